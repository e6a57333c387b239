//! Fingerprints of TLS peers.
//!
//! - JA3 and JA3S (Salesforce, 2017): the MD5 of the hello's numbers in their order, GREASE left out.
//! - JA4 (FoxIO, TLS client only, BSD-3-Clause): readable prefix, sorted ciphers, sorted extensions, signature algorithms
//!   in their order. <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>

use md5::{Digest, Md5};

use super::hello::{ClientHello, ServerHello, extensions, u16s, vec8s};
use super::names::is_grease;

/// What carries the hello: the first letter of a JA4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TLS over TCP.
    Tls,
    /// DTLS.
    Dtls,
    /// QUIC.
    Quic,
}

/// Numbers in decimal, with dashes between them.
fn decimals(out: &mut Vec<u8>, numbers: impl Iterator<Item = u16>) {
    for (i, n) in numbers.enumerate() {
        if i > 0 {
            out.push(b'-');
        }
        decimal(out, n);
    }
}

fn decimal(out: &mut Vec<u8>, mut n: u16) {
    let mut digits = [0; 5];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n| char::from(hex_digit(n));
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

fn md5_hex(text: &[u8]) -> String {
    hex(&Md5::digest(text))
}

/// The text that JA3 hashes: version, ciphers, extensions, groups, point formats.
fn ja3_text(hello: &ClientHello<'_>) -> Vec<u8> {
    let no_grease = |n: &u16| !is_grease(*n);
    let mut text = Vec::with_capacity(256);
    decimal(&mut text, hello.legacy_version);
    text.push(b',');
    decimals(&mut text, u16s(hello.ciphers).filter(no_grease));
    text.push(b',');
    decimals(&mut text, extensions(hello.extensions).map(|(kind, _)| kind).filter(no_grease));
    text.push(b',');
    decimals(&mut text, u16s(hello.groups).filter(no_grease));
    text.push(b',');
    decimals(&mut text, hello.point_formats.iter().map(|p| u16::from(*p)));
    text
}

/// JA3 of a client.
pub(crate) fn ja3(hello: &ClientHello<'_>) -> String {
    md5_hex(&ja3_text(hello))
}

/// JA3S of a server: version, cipher, extensions.
pub(crate) fn ja3s(hello: &ServerHello<'_>) -> String {
    let mut text = Vec::with_capacity(64);
    decimal(&mut text, hello.legacy_version);
    text.push(b',');
    decimal(&mut text, hello.cipher);
    text.push(b',');
    decimals(&mut text, extensions(hello.extensions).map(|(kind, _)| kind));
    md5_hex(&text)
}

/// The first twelve digits of the SHA-256; of nothing, twelve zeros.
fn sha256_12(text: &[u8]) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    hex(&sha2::Sha256::digest(text)[..6])
}

/// Numbers in four hexadecimal digits, with commas between them.
fn hex_list(out: &mut Vec<u8>, numbers: impl Iterator<Item = u16>) {
    for (i, n) in numbers.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let [high, low] = n.to_be_bytes();
        out.extend([high >> 4, high, low >> 4, low].map(hex_digit));
    }
}

/// Two decimal digits; more than 99 is 99.
fn two_digits(n: usize) -> [u8; 2] {
    let n = n.min(99) as u8;
    [b'0' + n / 10, b'0' + n % 10]
}

/// First and last character of the first application protocol; if either is not an ASCII letter or digit, the first and
/// last hexadecimal digit of it instead.
fn ja4_alpn(alpn: &[u8]) -> [u8; 2] {
    match (alpn.first(), alpn.last()) {
        (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            [*first, *last]
        }
        (Some(first), Some(last)) => [hex_digit(first >> 4), hex_digit(*last)],
        _ => *b"00",
    }
}

/// JA4 of a client.
pub(crate) fn ja4(hello: &ClientHello<'_>, carrier: Carrier) -> String {
    let no_grease = |n: &u16| !is_grease(*n);
    let mut ciphers: Vec<u16> = u16s(hello.ciphers).filter(no_grease).collect();
    let mut kinds: Vec<u16> = extensions(hello.extensions).map(|(kind, _)| kind).filter(no_grease).collect();
    // "The highest value in the extension": by number, also for DTLS, whose numbers fall as versions rise.
    let version = match u16s(hello.versions).filter(no_grease).max().unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    };
    let mut out = Vec::with_capacity(36);
    out.push(match carrier {
        Carrier::Tls => b't',
        Carrier::Dtls => b'd',
        Carrier::Quic => b'q',
    });
    out.extend_from_slice(version.as_bytes());
    out.push(if hello.has_sni { b'd' } else { b'i' });
    out.extend(two_digits(ciphers.len()));
    out.extend(two_digits(kinds.len()));
    out.extend(ja4_alpn(vec8s(hello.alpn).next().unwrap_or_default()));

    let mut text = Vec::with_capacity(512);
    ciphers.sort_unstable();
    hex_list(&mut text, ciphers.iter().copied());
    out.push(b'_');
    out.extend_from_slice(sha256_12(&text).as_bytes());

    text.clear();
    // SNI and ALPN are in the prefix already.
    kinds.retain(|kind| !matches!(kind, 0 | 16));
    kinds.sort_unstable();
    hex_list(&mut text, kinds.iter().copied());
    if !hello.signatures.is_empty() && !kinds.is_empty() {
        text.push(b'_');
        hex_list(&mut text, u16s(hello.signatures).filter(no_grease));
    }
    out.push(b'_');
    out.extend_from_slice(sha256_12(&text).as_bytes());
    out.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex as unhex;

    fn list(numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn empty_extensions(kinds: &[u16]) -> Vec<u8> {
        kinds.iter().flat_map(|k| [(k >> 8) as u8, *k as u8, 0, 0]).collect()
    }

    /// The worked example of the JA4 description.
    #[test]
    fn ja4_of_the_description() {
        let ciphers = list(&[
            0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ]);
        let extensions = empty_extensions(&[
            0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
            0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
        ]);
        let signatures = list(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]);
        let versions = list(&[0x2a2a, 0x0304, 0x0303]);
        let hello = ClientHello {
            legacy_version: 0x0303,
            ciphers: &ciphers,
            extensions: &extensions,
            signatures: &signatures,
            versions: &versions,
            has_sni: true,
            alpn: b"\x02h2\x08http/1.1",
            ..ClientHello::default()
        };
        assert_eq!(ja4(&hello, Carrier::Tls), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert!(ja4(&hello, Carrier::Quic).starts_with("q13d1516h2_"));
        let unsigned = ClientHello { signatures: &[], ..hello };
        assert!(ja4(&unsigned, Carrier::Tls).ends_with("_6d807ffa2a79"));
    }

    #[test]
    fn ja4_of_a_hello_with_nothing_in_it() {
        let hello = ClientHello { legacy_version: 0xfeff, ..ClientHello::default() };
        assert_eq!(ja4(&hello, Carrier::Dtls), "dd1i000000_000000000000_000000000000");
    }

    /// The examples of the description's section on ALPN.
    #[test]
    fn ja4_shows_odd_application_protocols_in_hexadecimal() {
        for (alpn, want) in [
            ("", "00"),
            ("ab", "ab"),
            ("abcd", "ad"),
            ("30ab", "3b"),
            ("3031abcd", "3d"),
            ("30abcd31", "01"),
            ("68", "hh"),
            ("687474702f312e31", "h1"),
        ] {
            assert_eq!(ja4_alpn(&unhex(alpn)), want.as_bytes(), "{alpn}");
        }
    }

    /// The example in the README of JA3.
    #[test]
    fn ja3_of_the_description() {
        let ciphers = list(&[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4]);
        let extensions = empty_extensions(&[0, 10, 11]);
        let groups = list(&[23, 24, 25]);
        let hello = ClientHello {
            legacy_version: 769,
            ciphers: &ciphers,
            extensions: &extensions,
            groups: &groups,
            point_formats: &[0],
            ..ClientHello::default()
        };
        assert_eq!(
            String::from_utf8(ja3_text(&hello)).unwrap(),
            "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0"
        );
        assert_eq!(ja3(&hello), "ada70206e40642a3e4461f35503241d5");
    }
}
