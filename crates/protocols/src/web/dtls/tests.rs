//! Whole flows of DTLS.

use crate::common::{HOSTNAME, JA4, TLS_VERSION};
use crate::testing::tls::{ClientHello, certificates, dtls_fragment, dtls_record, server_hello};
use crate::testing::{Flow, hex};
use crate::web::tls::certificate::tests::{CA, RSA_LEAF};
use crate::web::tls::fields;
use crate::{Confidence, ProtocolId};

fn hello() -> ClientHello {
    ClientHello { legacy_version: 0xfefd, versions: vec![], alpn: vec![], ..ClientHello::new("dtls.example") }
}

/// A message in fragments of `size` bytes, each in a record and datagram of its own.
fn fragments(kind: u8, sequence: u16, body: &[u8], size: usize) -> Vec<Vec<u8>> {
    (0..body.len())
        .step_by(size)
        .enumerate()
        .map(|(i, start)| {
            let range = start..(start + size).min(body.len());
            dtls_record(22, 0xfefd, 0, i as u32, &dtls_fragment(kind, sequence, body, range))
        })
        .collect()
}

#[test]
fn a_handshake_with_a_cookie_and_fragments() {
    let body = hello().dtls_body(&[]);
    let first = dtls_record(22, 0xfeff, 0, 0, &dtls_fragment(1, 0, &body, 0..body.len()));
    let verify = dtls_record(22, 0xfeff, 0, 0, &dtls_fragment(3, 0, &hex("feff 04 01020304"), 0..7));
    let body = hello().dtls_body(&[1, 2, 3, 4]);
    let second = fragments(1, 1, &body, 100);
    let server = server_hello(0xfefd, &[], 0xc02b, &[]);
    let chain = certificates(&[RSA_LEAF, CA]);
    let mut answer = fragments(2, 1, &server[4..], 4000);
    answer.extend(fragments(11, 2, &chain[4..], 300));
    let mut flow = Flow::udp(5684).at(1_706_745_600).client(&first).server(&verify);
    // Backwards, and each twice.
    for datagram in second.iter().rev().chain(&second) {
        flow = flow.client(datagram);
    }
    for datagram in answer.iter().rev().chain(&answer) {
        flow = flow.server(datagram);
    }
    let seen = flow.run();
    assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Dtls, Confidence::Handshake));
    assert_eq!(seen.show(HOSTNAME), "dtls.example");
    assert_eq!(seen.show(TLS_VERSION), "DTLSv1.2");
    assert!(seen.show(JA4).starts_with("dd2d05"), "{}", seen.show(JA4));
    assert_eq!(seen.show(fields::CERT_CHAIN_LENGTH), "2");
    assert_eq!(seen.risks(), ["tls-cert-name-mismatch"]);
}

#[test]
fn several_messages_and_records_in_a_datagram() {
    let server = server_hello(0xfefd, &[], 0xc02b, &[]);
    let chain = certificates(&[RSA_LEAF]);
    let messages = [
        dtls_fragment(2, 1, &server[4..], 0..server.len() - 4),
        dtls_fragment(11, 2, &chain[4..], 0..chain.len() - 4),
    ];
    let together = dtls_record(22, 0xfefd, 0, 1, &messages.concat());
    let apart =
        [dtls_record(22, 0xfefd, 0, 1, &messages[0]), dtls_record(22, 0xfefd, 0, 2, &messages[1])].concat();
    for datagram in [together, apart] {
        let seen = Flow::udp(5684).server(&datagram).run();
        assert_eq!(seen.protocol, ProtocolId::Dtls);
        assert_eq!(seen.show(fields::CERT_CN), "www.example.org");
    }
}

#[test]
fn sessions_picked_up_in_the_middle() {
    let data = dtls_record(23, 0xfefd, 1, 500, &[0x99; 60]);
    assert_eq!(Flow::udp(443).server(&data).run().protocol, ProtocolId::Dtls);
    // AnyConnect's version.
    let old = dtls_record(23, 0x0100, 1, 500, &[0x99; 60]);
    assert_eq!(Flow::udp(443).client(&old).run().protocol, ProtocolId::Dtls);
}

#[test]
fn what_only_looks_like_it_is_not_claimed() {
    let data = dtls_record(23, 0xfefd, 1, 500, &[0x99; 60]);
    for bytes in [
        [data.clone(), vec![0]].concat(),
        data[..data.len() - 1].to_vec(),
        dtls_record(23, 0xfefd, 0, 500, &[0x99; 60]),
        dtls_record(23, 0xfe00, 1, 500, &[0x99; 60]),
        dtls_record(22, 0xfefd, 0, 0, &[0x99; 60]),
    ] {
        assert_eq!(Flow::udp(443).client(&bytes).run().protocol, ProtocolId::Unknown);
    }
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(at: proptest::sample::Index, byte: u8, cut: proptest::sample::Index) {
        let body = hello().dtls_body(&[]);
        let mut datagram = fragments(1, 0, &body, 80).concat();
        let at = at.index(datagram.len());
        datagram[at] = byte;
        datagram.truncate(cut.index(datagram.len()) + 1);
        let _ = Flow::udp(443).client(&datagram).server(&datagram).run();
    }
}
