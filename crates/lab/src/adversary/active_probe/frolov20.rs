//! Probes in the manner of a scan for servers that resist probing.
//!
//! Source: Frolov, Wampler and Wustrow, "Detecting Probe-resistant Proxies", NDSS 2020: a server that answers nothing, whatever
//! it is asked, gives itself away by when and how it closes. The paper sends an HTTP request, a TLS ClientHello, Modbus,
//! S7, STUN, a DNS zone transfer, and random bytes of several lengths. The bytes here are the lab's own requests
//! of these protocols, not those of the authors' scanner.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{Probe, random_bytes};
use crate::hop::random::Random;

/// Lengths of random probes: below, at and above what proxies wait for, and more than they read at once.
const LENGTHS: [usize; 6] = [1, 23, 64, 512, 4096, 17_000];

const HTTP: &[u8] =
    b"GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n";
/// Read Device Identification (Modbus application protocol 1.1b3, §6.21).
const MODBUS: &[u8] = &[0, 0, 0, 0, 0, 5, 0, 0x2b, 0x0e, 1, 0];
/// A connection request of ISO 8073 in TPKT, with which S7 begins.
const S7: &[u8] = &[3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 0x0a, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2];
/// A binding request (RFC 8489 §5), without attributes.
const STUN: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42probe-202011";
/// AXFR of example.com over TCP (RFC 5936), with its length before it.
const DNS_AXFR: &[u8] =
    b"\x00\x1d\x5a\x5a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\xfc\x00\x01";

/// The probes.
pub fn probes(dice: &mut Random) -> Vec<Probe> {
    let fixed: [(&str, &[u8]); 7] = [
        ("nothing", b""),
        ("http", HTTP),
        ("modbus", MODBUS),
        ("s7", S7),
        ("stun", STUN),
        ("dns-axfr", DNS_AXFR),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    ];
    let mut probes: Vec<Probe> =
        fixed.iter().map(|(name, bytes)| Probe::tcp(format!("frolov20 {name}"), *bytes)).collect();
    probes.extend(client_hello().map(|hello| Probe::tcp("frolov20 tls", hello)));
    let random =
        LENGTHS.iter().map(|len| Probe::tcp(format!("frolov20 random {len}"), random_bytes(dice, *len)));
    probes.extend(random);
    probes
}

/// A ClientHello of rustls; `None` if it can't be made, which no version of it does.
fn client_hello() -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("www.example.com").ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).ok()?;
    Some(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_messages_say_are_right() {
        let probes = probes(&mut Random::new(1));
        let named = |name: &str| probes.iter().find(|p| p.name == name).unwrap().pieces[0].as_slice();
        let says = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        assert_eq!(says(&named("frolov20 dns-axfr")[..2]), named("frolov20 dns-axfr").len() - 2);
        assert_eq!(says(&named("frolov20 modbus")[4..6]), named("frolov20 modbus").len() - 6);
        assert_eq!(says(&named("frolov20 s7")[2..4]), named("frolov20 s7").len());
        assert_eq!(named("frolov20 stun").len(), 20);
        assert_eq!(named("frolov20 tls")[..2], [0x16, 3]);
        assert_eq!(probes.len(), 8 + LENGTHS.len());
    }
}
