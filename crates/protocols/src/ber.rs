//! A bounded reader of ASN.1 BER (X.690) for Kerberos, LDAP and SNMP: definite lengths and one-byte tags, which is all
//! that these three allow themselves.

use std::fmt::Write as _;

/// `BOOLEAN`
pub const BOOLEAN: u8 = 0x01;
/// `INTEGER`
pub const INTEGER: u8 = 0x02;
/// `OCTET STRING`
pub const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`
pub const OID: u8 = 0x06;
/// `ENUMERATED`
pub const ENUMERATED: u8 = 0x0a;
/// `SEQUENCE` and `SEQUENCE OF`
pub const SEQUENCE: u8 = 0x30;
/// `SET` and `SET OF`
pub const SET: u8 = 0x31;

/// The constructed context-specific tag `[n]`.
pub const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// The constructed tag `[APPLICATION n]`.
pub const fn application(n: u8) -> u8 {
    0x60 | n
}

/// What the first bytes of an element say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It has this tag, this many bytes of tag and length, and this many of value.
    Whole {
        /// The identifier octet.
        tag: u8,
        /// Octets before the value.
        head: usize,
        /// Octets of value. They need not be there.
        len: usize,
    },
    /// This many bytes are needed to tell.
    Need(usize),
    /// Not BER as it is read here: a long tag, an indefinite length, or a length of more than four bytes.
    Bad,
}

/// Reads tag and length at the start of `bytes`.
pub fn header(bytes: &[u8]) -> Header {
    let (Some(&tag), Some(&first)) = (bytes.first(), bytes.get(1)) else { return Header::Need(2) };
    if tag & 0x1f == 0x1f {
        return Header::Bad;
    }
    if first < 0x80 {
        return Header::Whole { tag, head: 2, len: first.into() };
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Header::Bad;
    }
    match bytes.get(2..2 + count) {
        Some(octets) => Header::Whole {
            tag,
            head: 2 + count,
            len: octets.iter().fold(0, |n, octet| n << 8 | usize::from(*octet)),
        },
        None => Header::Need(2 + count),
    }
}

/// The elements within one value, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Ber<'a> {
    rest: &'a [u8],
}

impl<'a> Ber<'a> {
    /// Starts at the first element.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The tag of the next element, without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element: its tag and its value. `None` at the end, or if it does not fit.
    pub fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let Header::Whole { tag, head, len } = header(self.rest) else { return None };
        let end = head.checked_add(len)?;
        let value = self.rest.get(head..end)?;
        self.rest = &self.rest[end..];
        Some((tag, value))
    }

    /// The value of the next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek()? == tag { self.element().map(|(_, value)| value) } else { None }
    }

    /// The elements within the next element, which must have this tag.
    pub fn within(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self::new)
    }

    /// The next element as a whole number that is not negative.
    pub fn uint(&mut self) -> Option<u64> {
        self.expect(INTEGER).and_then(uint)
    }

    /// The value of the first element with this tag from here on; those before it are left out.
    pub fn find(&mut self, tag: u8) -> Option<&'a [u8]> {
        while let Some((t, value)) = self.element() {
            if t == tag {
                return Some(value);
            }
        }
        None
    }
}

/// The value of an INTEGER or ENUMERATED that is not negative and below 2^64.
pub fn uint(value: &[u8]) -> Option<u64> {
    let digits = value.strip_prefix(&[0]).unwrap_or(value);
    if value.is_empty() || value[0] & 0x80 != 0 || digits.len() > 8 {
        return None;
    }
    Some(digits.iter().fold(0, |n, octet| n << 8 | u64::from(*octet)))
}

/// The value of an INTEGER of at most four octets.
pub fn int(value: &[u8]) -> Option<i32> {
    let first = *value.first()?;
    let start = if first & 0x80 != 0 { -1 } else { 0 };
    (value.len() <= 4).then(|| value.iter().fold(start, |n, octet| n << 8 | i32::from(*octet)))
}

/// An object identifier in dotted form. At most 64 arcs; `None` if it is empty, cut off, or longer.
pub fn oid(value: &[u8]) -> Option<String> {
    let mut text = String::new();
    let (mut arc, mut arcs, mut open) = (0u64, 0, false);
    for octet in value {
        if arc >> 56 != 0 {
            return None;
        }
        arc = arc << 7 | u64::from(octet & 0x7f);
        open = octet & 0x80 != 0;
        if open {
            continue;
        }
        if arcs == 0 {
            // The first two arcs share a number: 40 × first + second, the first being 0, 1 or 2.
            let first = (arc / 40).min(2);
            let _ = write!(text, "{first}.{}", arc - first * 40);
        } else {
            let _ = write!(text, ".{arc}");
        }
        arcs += 1;
        arc = 0;
        if arcs > 64 {
            return None;
        }
    }
    (arcs > 0 && !open).then_some(text)
}

/// Builds elements. For tests.
#[cfg(test)]
pub(crate) mod build {
    /// An element of this tag around these parts, with the shortest length.
    pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let mut out = vec![tag];
        match value.len() {
            n @ 0..0x80 => out.push(n as u8),
            n @ 0x80..0x100 => out.extend([0x81, n as u8]),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(value);
        out
    }

    /// A small INTEGER.
    pub(crate) fn int(n: u8) -> Vec<u8> {
        tlv(super::INTEGER, &[&[n]])
    }

    /// An OCTET STRING.
    pub(crate) fn octets(text: &[u8]) -> Vec<u8> {
        tlv(super::OCTET_STRING, &[text])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn lengths_in_all_forms() {
        assert_eq!(header(&hex("30 05")), Header::Whole { tag: 0x30, head: 2, len: 5 });
        assert_eq!(header(&hex("30 84 00000010")), Header::Whole { tag: 0x30, head: 6, len: 16 });
        assert_eq!(header(&hex("30 82 01")), Header::Need(4));
        assert_eq!(header(&hex("30")), Header::Need(2));
        assert_eq!(header(&hex("30 80")), Header::Bad, "indefinite");
        assert_eq!(header(&hex("30 85 0000000001")), Header::Bad);
        assert_eq!(header(&hex("7f 8148 01")), Header::Bad, "long tag");
    }

    #[test]
    fn numbers() {
        assert_eq!(uint(&hex("00ff")), Some(255));
        assert_eq!(uint(&hex("ff")), None);
        assert_eq!(uint(&hex("")), None);
        assert_eq!(uint(&hex("00ffffffffffffffff")), Some(u64::MAX));
        assert_eq!(uint(&hex("01ffffffffffffffff")), None);
        assert_eq!(int(&hex("ff79")), Some(-135));
        assert_eq!(int(&hex("17")), Some(23));
    }

    #[test]
    fn object_identifiers() {
        assert_eq!(oid(&hex("2b06010201010100")).as_deref(), Some("1.3.6.1.2.1.1.1.0"));
        assert_eq!(oid(&hex("2a864886f712010202")).as_deref(), Some("1.2.840.113554.1.2.2"));
        assert_eq!(oid(&hex("883703")).as_deref(), Some("2.999.3"));
        assert_eq!(oid(&hex("2b86")), None, "cut off");
        assert_eq!(oid(&hex("2bffffffffffffffffffff01")), None, "an arc too large");
    }

    #[test]
    fn elements_must_fit() {
        let bytes = hex("020105 0401ff 0402");
        let mut ber = Ber::new(&bytes);
        assert_eq!(ber.uint(), Some(5));
        assert_eq!(ber.expect(INTEGER), None, "another tag is left where it is");
        assert_eq!(ber.expect(OCTET_STRING), Some(&[0xff][..]));
        assert_eq!(ber.element(), None);
        assert!(!ber.is_empty());
    }
}
