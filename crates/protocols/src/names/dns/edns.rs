//! EDNS: the OPT record and its options (RFC 6891).

use std::net::IpAddr;

use super::codes;
use super::message::Record;
use crate::cursor::Cursor;

/// An OPT record's fixed part: it is packed into class and TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    /// The largest UDP message that the sender can take.
    pub udp_size: u16,
    /// The upper eight bits of the response code.
    pub rcode_high: u8,
    /// 0 is the only version there is.
    pub version: u8,
    /// DO: DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    options: &'a [u8],
}

/// An option (IANA, "DNS EDNS0 Option Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdnsOption<'a> {
    /// Name server identifier (RFC 5001).
    Nsid(&'a [u8]),
    /// Client subnet (RFC 7871): the address and how many bits of it count.
    ClientSubnet(IpAddr, u8),
    /// Client cookie, and the server's if it is known (RFC 7873).
    Cookie(&'a [u8]),
    /// Idle time-out of a TCP connection in units of 100 ms (RFC 7828); a client names none.
    Keepalive(Option<u16>),
    /// So many bytes of padding (RFC 7830).
    Padding(usize),
    /// Extended DNS Error (RFC 8914): the code and the extra text.
    Error(u16, &'a [u8]),
    /// Any other option's code.
    Other(u16),
}

impl<'a> Opt<'a> {
    /// Takes the fields out of the record.
    pub fn read(record: &Record<'a>) -> Self {
        let [rcode_high, version, high, _] = record.ttl.to_be_bytes();
        Self {
            udp_size: record.class,
            rcode_high,
            version,
            dnssec_ok: high & 0x80 != 0,
            options: record.rdata,
        }
    }

    /// The options, as far as they can be read.
    pub fn options(&self) -> impl Iterator<Item = EdnsOption<'a>> {
        let mut c = Cursor::new(self.options);
        std::iter::from_fn(move || {
            let (code, data) = (c.u16()?, c.vec16()?);
            Some(option(code, data).unwrap_or(EdnsOption::Other(code)))
        })
    }
}

fn option(code: u16, data: &[u8]) -> Option<EdnsOption<'_>> {
    let mut c = Cursor::new(data);
    Some(match code {
        3 => EdnsOption::Nsid(data),
        8 => {
            let (family, source, _scope) = (c.u16()?, c.u8()?, c.u8()?);
            let mut bytes = [0; 16];
            let address = c.rest();
            bytes.get_mut(..address.len())?.copy_from_slice(address);
            let ip = match (family, source, address.len()) {
                (1, ..=32, ..=4) => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
                (2, ..=128, _) => IpAddr::from(bytes),
                _ => return None,
            };
            EdnsOption::ClientSubnet(ip, source)
        }
        10 if data.len() == 8 || (16..=40).contains(&data.len()) => EdnsOption::Cookie(data),
        11 if data.is_empty() => EdnsOption::Keepalive(None),
        11 if data.len() == 2 => EdnsOption::Keepalive(c.u16()),
        12 => EdnsOption::Padding(data.len()),
        15 => EdnsOption::Error(c.u16()?, c.rest()),
        _ => return None,
    })
}

/// An Extended DNS Error for people: the code's name, and the extra text if there is one.
pub fn error_text(code: u16, extra: &[u8]) -> String {
    let name = codes::ede_name(code).map_or_else(|| format!("{code}"), str::to_owned);
    let extra = String::from_utf8_lossy(extra.get(..256).unwrap_or(extra));
    let extra = extra.trim_end_matches('\0');
    if extra.is_empty() { name } else { format!("{name}: {extra}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::dns::message::Reader;
    use crate::testing::hex;

    fn opt(record: &str) -> Vec<u8> {
        let mut m = vec![0; 12];
        m.extend(hex(record));
        m
    }

    #[test]
    fn the_fixed_part() {
        // root, OPT, 1232 bytes, extended rcode 1, version 0, DO
        let m = opt("00 0029 04d0 01 00 8000 0000");
        let record = Reader::new(&m).record().unwrap();
        let opt = Opt::read(&record);
        assert_eq!((opt.udp_size, opt.rcode_high, opt.version, opt.dnssec_ok), (1232, 1, 0, true));
        assert_eq!(opt.options().count(), 0);
    }

    #[test]
    fn options() {
        // RFC 7871: IPv4, /24, 192.0.2.0; a client cookie; 3 bytes of padding; EDE 15 "x"; keepalive 5 s; one cut short.
        let options = "0008 0007 0001 18 00 c00002 000a 0008 0102030405060708 000c 0003 000000 \
                       000f 0003 000f 78 000b 0002 0032 000c 0040 00";
        let m = opt(&format!("00 0029 1000 00000000 {:04x} {options}", hex(options).len()));
        let record = Reader::new(&m).record().unwrap();
        let found: Vec<_> = Opt::read(&record).options().collect();
        assert_eq!(
            found,
            [
                EdnsOption::ClientSubnet(IpAddr::from([192, 0, 2, 0]), 24),
                EdnsOption::Cookie(&[1, 2, 3, 4, 5, 6, 7, 8]),
                EdnsOption::Padding(3),
                EdnsOption::Error(15, b"x"),
                EdnsOption::Keepalive(Some(50)),
            ]
        );
        assert_eq!(error_text(15, b"x"), "blocked: x");
        assert_eq!(error_text(16, b""), "censored");
    }

    #[test]
    fn a_subnet_that_is_too_long_is_no_subnet() {
        assert_eq!(option(8, &[0, 1, 24, 0, 1, 2, 3, 4, 5]), None);
        assert_eq!(option(8, &[0, 1, 33, 0, 1, 2, 3, 4]), None);
        assert!(option(8, &[0, 2, 56, 0, 0x20, 1, 0x0d, 0xb8, 0, 0, 1]).is_some());
    }
}
