//! The data of a resource record as text, in the forms of zone files (RFC 1035 §5, and each type's own RFC).
//! Long values are cut; what cannot be read, or has no form here, is shown as RFC 3597 §5 says: `\# length hex`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codes::{rtype, type_name};
use super::message::{Name, Record};
use crate::cursor::Cursor;

/// Text of one record's data stops growing here.
const TEXT_BYTES_MAX: usize = 1024;
/// Keys, digests and unknown data show this many bytes.
const HEX_BYTES_MAX: usize = 64;

/// The address of an A or AAAA record.
pub fn address(record: &Record<'_>) -> Option<IpAddr> {
    match (record.rtype, record.class & 0x7fff) {
        (rtype::A, 1) => <[u8; 4]>::try_from(record.rdata).ok().map(IpAddr::from),
        (rtype::AAAA, 1) => <[u8; 16]>::try_from(record.rdata).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A type's name, or `TYPE` and its number (RFC 3597).
pub fn type_text(code: u16) -> String {
    type_name(code).map_or_else(|| format!("TYPE{code}"), str::to_owned)
}

/// The data as text.
pub fn text(record: &Record<'_>) -> String {
    let mut out = String::new();
    if known(record, &mut out).is_none() {
        out.clear();
        let _ = write!(out, "\\# {} ", record.rdata.len());
        hex(record.rdata, &mut out);
    }
    out
}

/// A reader of one record's data, which may hold names with pointers into the whole message.
struct Data<'a> {
    record: &'a Record<'a>,
    c: Cursor<'a>,
}

impl<'a> Data<'a> {
    fn name(&mut self) -> Option<String> {
        let at = self.record.rdata_at + self.c.position();
        let (name, end) = Name::read(self.record.message, at).ok()?;
        self.c.skip(end.checked_sub(at)?)?;
        Some(name.text())
    }

    fn numbers<const N: usize>(&mut self, widths: [u8; N], out: &mut String) -> Option<()> {
        for width in widths {
            let n = match width {
                1 => self.c.u8()?.into(),
                2 => self.c.u16()?.into(),
                _ => self.c.u32()?,
            };
            let _ = write!(out, "{n} ");
        }
        Some(())
    }

    fn hex(&mut self, out: &mut String) {
        hex(self.c.rest(), out);
    }
}

fn known(record: &Record<'_>, out: &mut String) -> Option<()> {
    let mut d = Data { record, c: Cursor::new(record.rdata) };
    match record.rtype {
        1 if record.rdata.len() == 4 => {
            let _ = write!(out, "{}", Ipv4Addr::from(d.c.array::<4>()?));
        }
        28 if record.rdata.len() == 16 => {
            let _ = write!(out, "{}", Ipv6Addr::from(d.c.array::<16>()?));
        }
        // NS, CNAME, PTR, DNAME, and the obsolete MD, MF, MB, MG, MR
        2..=5 | 7..=9 | 12 | 39 => out.push_str(&d.name()?),
        // SOA: two names, serial, refresh, retry, expire, minimum
        6 => {
            let (primary, mailbox) = (d.name()?, d.name()?);
            let _ = write!(out, "{primary} {mailbox} ");
            d.numbers([4, 4, 4, 4, 4], out)?;
        }
        // MX, AFSDB, RT, KX
        15 | 18 | 21 | 36 => {
            d.numbers([2], out)?;
            out.push_str(&d.name()?);
        }
        // TXT, SPF, HINFO
        16 | 99 | 13 => {
            while !d.c.is_empty() && out.len() < TEXT_BYTES_MAX {
                quoted(d.c.vec8()?, out);
                out.push(' ');
            }
        }
        // RP: mailbox, name of a TXT record
        17 => {
            let (mailbox, name) = (d.name()?, d.name()?);
            let _ = write!(out, "{mailbox} {name}");
        }
        33 => {
            d.numbers([2, 2, 2], out)?;
            out.push_str(&d.name()?);
        }
        // NAPTR: order, preference, flags, service, regular expression, replacement
        35 => {
            d.numbers([2, 2], out)?;
            for _ in 0..3 {
                quoted(d.c.vec8()?, out);
                out.push(' ');
            }
            out.push_str(&d.name()?);
        }
        // DS, CDS, DLV: key tag, algorithm, digest type, digest
        43 | 59 | 32769 => {
            d.numbers([2, 1, 1], out)?;
            d.hex(out);
        }
        // SSHFP: algorithm, type, fingerprint
        44 => {
            d.numbers([1, 1], out)?;
            d.hex(out);
        }
        // RRSIG, SIG: type covered, algorithm, labels, TTL, expiration, inception, key tag, signer, signature
        46 | 24 => {
            let _ = write!(out, "{} ", type_text(d.c.u16()?));
            d.numbers([1, 1, 4, 4, 4, 2], out)?;
            let _ = write!(out, "{} ", d.name()?);
            d.hex(out);
        }
        47 => {
            out.push_str(&d.name()?);
            types(&mut d.c, out)?;
        }
        // DNSKEY, CDNSKEY, KEY: flags, protocol, algorithm, key
        48 | 60 | 25 => {
            d.numbers([2, 1, 1], out)?;
            d.hex(out);
        }
        // NSEC3: hash algorithm, flags, iterations, salt, next hashed name, types
        50 => {
            d.numbers([1, 1, 2], out)?;
            salt(d.c.vec8()?, out);
            out.push(' ');
            base32hex(d.c.vec8()?, out);
            types(&mut d.c, out)?;
        }
        51 => {
            d.numbers([1, 1, 2], out)?;
            salt(d.c.vec8()?, out);
        }
        // TLSA, SMIMEA: usage, selector, matching type, data
        52 | 53 => {
            d.numbers([1, 1, 1], out)?;
            d.hex(out);
        }
        61 => d.hex(out),
        // CSYNC: serial, flags, types
        62 => {
            d.numbers([4, 2], out)?;
            types(&mut d.c, out)?;
        }
        rtype::SVCB | rtype::HTTPS => {
            d.numbers([2], out)?;
            out.push_str(&d.name()?);
            for param in params(d.c.rest()) {
                out.push(' ');
                param.text(out);
            }
        }
        108 | 109 => {
            let bytes: Vec<_> = record.rdata.iter().take(8).map(|b| format!("{b:02x}")).collect();
            out.push_str(&bytes.join("-"));
        }
        // URI: priority, weight, target
        256 => {
            d.numbers([2, 2], out)?;
            quoted(d.c.rest(), out);
        }
        // CAA: flags, tag, value
        257 => {
            d.numbers([1], out)?;
            let tag = d.c.vec8()?;
            let _ = write!(out, "{} ", String::from_utf8_lossy(tag));
            quoted(d.c.rest(), out);
        }
        _ => return None,
    }
    out.truncate(out.trim_end().len());
    Some(())
}

/// One parameter of an SVCB or HTTPS record (RFC 9460 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SvcParam<'a> {
    /// SvcParamKey
    pub key: u16,
    /// SvcParamValue
    pub value: &'a [u8],
}

/// The parameters of an SVCB or HTTPS record's data after priority and target, as far as they can be read.
pub fn params(bytes: &[u8]) -> impl Iterator<Item = SvcParam<'_>> {
    let mut c = Cursor::new(bytes);
    std::iter::from_fn(move || Some(SvcParam { key: c.u16()?, value: c.vec16()? }))
}

/// The parameters of a record, and its priority. `None` if it is not an SVCB or HTTPS record, or broken.
pub fn service<'a>(record: &Record<'a>) -> Option<(u16, impl Iterator<Item = SvcParam<'a>> + use<'a>)> {
    if !matches!(record.rtype, rtype::SVCB | rtype::HTTPS) {
        return None;
    }
    let priority = Cursor::new(record.rdata).u16()?;
    let (_, end) = Name::read(record.message, record.rdata_at + 2).ok()?;
    let rest = record.rdata.get(end.checked_sub(record.rdata_at)?..)?;
    Some((priority, params(rest)))
}

impl<'a> SvcParam<'a> {
    /// The protocols of an `alpn` parameter.
    pub fn alpn(self) -> impl Iterator<Item = &'a [u8]> {
        let mut c = Cursor::new(if self.key == 1 { self.value } else { &[] });
        std::iter::from_fn(move || c.vec8())
    }

    /// The addresses of an `ipv4hint` or `ipv6hint` parameter.
    pub fn hints(self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let width = match self.key {
            4 => 4,
            6 => 16,
            _ => usize::MAX,
        };
        let mut c = Cursor::new(self.value);
        std::iter::from_fn(move || match width {
            4 => c.array::<4>().map(IpAddr::from),
            16 => c.array::<16>().map(IpAddr::from),
            _ => None,
        })
    }

    /// True if it announces Encrypted Client Hello.
    pub fn is_ech(self) -> bool {
        self.key == 5
    }

    fn text(self, out: &mut String) {
        let join = |list: Vec<String>| list.join(",");
        let _ = match self.key {
            0 => {
                let keys = self.value.chunks_exact(2).take(16);
                let keys = keys.map(|k| format!("key{}", u16::from_be_bytes([k[0], k[1]]))).collect();
                write!(out, "mandatory={}", join(keys))
            }
            1 => {
                let ids = self.alpn().take(16).map(|id| String::from_utf8_lossy(id).into_owned()).collect();
                write!(out, "alpn={}", join(ids))
            }
            2 => write!(out, "no-default-alpn"),
            3 if self.value.len() == 2 => {
                write!(out, "port={}", u16::from_be_bytes([self.value[0], self.value[1]]))
            }
            4 | 6 => {
                let name = if self.key == 4 { "ipv4hint" } else { "ipv6hint" };
                write!(out, "{name}={}", join(self.hints().take(16).map(|ip| ip.to_string()).collect()))
            }
            5 => write!(out, "ech={} bytes", self.value.len()),
            7 => write!(
                out,
                "dohpath={}",
                String::from_utf8_lossy(self.value.get(..256).unwrap_or(self.value))
            ),
            key => {
                let _ = write!(out, "key{key}=");
                hex(self.value, out);
                Ok(())
            }
        };
    }
}

/// A character string in quotes (RFC 1035 §5.1); bytes that are not printable ASCII as `\DDD`.
fn quoted(bytes: &[u8], out: &mut String) {
    out.push('"');
    for b in bytes {
        if out.len() >= TEXT_BYTES_MAX {
            break;
        }
        match b {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(*b as char);
            }
            b' '..=b'~' => out.push(*b as char),
            _ => {
                let _ = write!(out, "\\{b:03}");
            }
        }
    }
    out.push('"');
}

fn hex(bytes: &[u8], out: &mut String) {
    for b in bytes.iter().take(HEX_BYTES_MAX) {
        let _ = write!(out, "{b:02x}");
    }
    if bytes.len() > HEX_BYTES_MAX {
        out.push('…');
    }
}

fn salt(bytes: &[u8], out: &mut String) {
    if bytes.is_empty() { out.push('-') } else { hex(bytes, out) }
}

/// RFC 4648 §7, without padding.
fn base32hex(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let (mut bits, mut count) = (0u32, 0);
    for b in bytes.iter().take(HEX_BYTES_MAX) {
        bits = bits << 8 | u32::from(*b);
        count += 8;
        while count >= 5 {
            count -= 5;
            out.push(ALPHABET[(bits >> count & 31) as usize] as char);
        }
    }
    if count > 0 {
        out.push(ALPHABET[(bits << (5 - count) & 31) as usize] as char);
    }
}

/// The type bit maps of NSEC and its kin (RFC 4034 §4.1.2).
fn types(c: &mut Cursor<'_>, out: &mut String) -> Option<()> {
    while !c.is_empty() {
        let (window, map) = (c.u8()?, c.vec8()?);
        for (i, byte) in map.iter().enumerate().take(32) {
            for bit in 0..8 {
                if byte & 0x80 >> bit != 0 && out.len() < TEXT_BYTES_MAX {
                    let _ = write!(out, " {}", type_text(u16::from(window) << 8 | (i as u16 * 8 + bit)));
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::dns::message::Reader;
    use crate::testing;

    /// A record of the root at offset 30, after `example.com` at 12.
    fn shown(rtype: u16, rdata: &[u8]) -> String {
        let mut m = b"\0\0\0\0\0\0\0\0\0\0\0\0\x07example\x03com\0".to_vec();
        let at = m.len();
        m.push(0);
        m.extend(rtype.to_be_bytes());
        m.extend([0, 1, 0, 0, 0, 60]);
        m.extend((rdata.len() as u16).to_be_bytes());
        m.extend(rdata);
        text(&Reader::at(&m, at).record().unwrap())
    }

    #[test]
    fn common_types() {
        assert_eq!(shown(1, &[192, 0, 2, 1]), "192.0.2.1");
        assert_eq!(shown(28, &testing::hex("20010db8000000000000000000000001")), "2001:db8::1");
        assert_eq!(shown(5, b"\x03www\xc0\x0c"), "www.example.com");
        assert_eq!(shown(15, b"\x00\x0a\x04mail\xc0\x0c"), "10 mail.example.com");
        assert_eq!(shown(16, b"\x06v=spf1\x02a\""), r#""v=spf1" "a\"""#);
        assert_eq!(shown(33, b"\0\x01\0\x02\x1f\x90\xc0\x0c"), "1 2 8080 example.com");
        assert_eq!(
            shown(6, b"\x02ns\xc0\x0c\x04host\xc0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05"),
            "ns.example.com host.example.com 1 2 3 4 5"
        );
        assert_eq!(
            shown(35, b"\0\x64\0\x0a\x01u\x07E2U+sip\x05!^.*!\0"),
            r#"100 10 "u" "E2U+sip" "!^.*!" ."#
        );
        assert_eq!(shown(257, b"\0\x05issueca.example.net"), r#"0 issue "ca.example.net""#);
    }

    #[test]
    fn dnssec_and_its_kin() {
        assert_eq!(shown(43, b"\xec\x45\x05\x01\x2b\xb1"), "60485 5 1 2bb1");
        assert_eq!(shown(48, b"\x01\x01\x03\x0d\xaa\xbb"), "257 3 13 aabb");
        assert_eq!(
            shown(46, b"\0\x01\x05\x03\0\x01\x51\x80\0\0\0\x02\0\0\0\x01\x0a\x5e\xc0\x0c\xff"),
            "A 5 3 86400 2 1 2654 example.com ff"
        );
        // RFC 4034 §4.3: host.example.com. A MX RRSIG NSEC TYPE1234
        let nsec = testing::hex(
            "04686f7374c00c 0006 400100000003 041b 000000000000000000000000000000000000000000000000000020",
        );
        assert_eq!(shown(47, &nsec), "host.example.com A MX RRSIG NSEC TYPE1234");
        assert_eq!(
            shown(50, b"\x01\0\0\x0a\x01\xab\x05\0\x44\x32\x14\xc7\0\x01\x40"),
            "1 0 10 ab 01234567 A"
        );
        assert_eq!(shown(52, b"\x03\x01\x01\xaa"), "3 1 1 aa");
    }

    #[test]
    fn service_binding() {
        // RFC 9460 appendix D: priority 1, target the root, alpn h2,h3, port 53, ipv4hint.
        let rdata =
            testing::hex("0001 00 0001 0006 026832 026833 0003 0002 0035 0004 0004 c0000201 0005 0001 ff");
        assert_eq!(shown(65, &rdata), "1 . alpn=h2,h3 port=53 ipv4hint=192.0.2.1 ech=1 bytes");
    }

    #[test]
    fn what_is_unknown_or_broken_is_shown_as_rfc_3597_says() {
        assert_eq!(shown(65280, &[1, 2]), r"\# 2 0102");
        assert_eq!(shown(1, &[1, 2, 3]), r"\# 3 010203");
        assert_eq!(shown(15, &[0, 1, 0xc0, 0xff]), r"\# 4 0001c0ff");
        assert!(shown(65281, &[7; 4000]).len() < 200);
        assert!(shown(16, &[[200].as_slice(), &[7; 200]].concat().repeat(50)).len() < 2000);
    }
}
