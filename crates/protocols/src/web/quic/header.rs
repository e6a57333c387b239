//! Packets with a long header (RFC 8999, RFC 9000 §17.2).

use super::crypto::TAG_LEN;
use super::version::{self, Rules};
use crate::cursor::Cursor;

/// Connection ids are no longer than this in all versions so far.
pub(crate) const CID_MAX: usize = 20;

/// Types of packets with a long header, whatever bits a version gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    /// Of version 0: which versions the server speaks.
    VersionNegotiation,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Long<'a> {
    pub(crate) kind: Kind,
    pub(crate) version: u32,
    pub(crate) dcid: &'a [u8],
    pub(crate) scid: &'a [u8],
    /// Initial: the client's token; Retry: the server's. VersionNegotiation: the list of versions.
    pub(crate) token: &'a [u8],
    /// Where the packet number begins, counted from the packet's start; 0 if there is none.
    pub(crate) number_at: usize,
    /// How long the packet is.
    pub(crate) len: usize,
}

/// A variable-length integer (RFC 9000 §16).
pub(crate) fn varint(c: &mut Cursor<'_>) -> Option<u64> {
    let first = c.u8()?;
    let more = match first >> 6 {
        0 => 0,
        1 => 1,
        2 => 3,
        _ => 7,
    };
    c.take(more).map(|rest| rest.iter().fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b)))
}

impl<'a> Long<'a> {
    /// Reads the packet at the start of `bytes`. Of a version that isn't known it is read as of version 1. `None` if it
    /// has no long header, or its lengths don't fit.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(bytes);
        let first = c.u8()?;
        let version = c.u32()?;
        if first & 0x80 == 0 {
            return None;
        }
        let (dcid, scid) = (c.vec8()?, c.vec8()?);
        if dcid.len() > CID_MAX || scid.len() > CID_MAX {
            return None;
        }
        let rules = version::rules(version).unwrap_or(Rules::V1);
        if version == 0 {
            let list = c.rest();
            let fits = !list.is_empty() && list.len().is_multiple_of(4);
            return fits.then_some(Self {
                kind: Kind::VersionNegotiation,
                version,
                dcid,
                scid,
                token: list,
                number_at: 0,
                len: bytes.len(),
            });
        }
        // Q046 and before have other headers.
        if first & 0x40 == 0 || matches!(rules, Rules::Q046 | Rules::Q043) {
            return None;
        }
        let kind = match (first >> 4 & 3, rules) {
            (0, Rules::V2) | (3, Rules::V1 | Rules::Q050 | Rules::T05x) => Kind::Retry,
            (1, Rules::V2) | (0, _) => Kind::Initial,
            (2, Rules::V2) | (1, _) => Kind::ZeroRtt,
            _ => Kind::Handshake,
        };
        let mut token = &[][..];
        if kind == Kind::Retry {
            let rest = c.rest();
            // Before draft 25 the token was preceded by the original connection id, and there was no tag.
            token = rest.get(..rest.len().checked_sub(TAG_LEN)?)?;
            if token.is_empty() {
                return None;
            }
            return Some(Self { kind, version, dcid, scid, token, number_at: 0, len: bytes.len() });
        }
        if kind == Kind::Initial {
            let len = varint(&mut c)?;
            token = c.take(usize::try_from(len).ok()?)?;
        }
        let len = usize::try_from(varint(&mut c)?).ok()?;
        let number_at = c.position();
        // Packet number, sample, tag: no packet is shorter (RFC 9001 §5.4.2).
        if len < 4 + TAG_LEN {
            return None;
        }
        c.skip(len)?;
        Some(Self { kind, version, dcid, scid, token, number_at, len: c.position() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// RFC 9000 appendix A.1.
    #[test]
    fn variable_length_integers() {
        for (bytes, want) in [
            ("c2197c5eff14e88c", 151_288_809_941_952_652),
            ("9d7f3e7d", 494_878_333),
            ("7bbd", 15_293),
            ("25", 37),
            ("4025", 37),
        ] {
            assert_eq!(varint(&mut Cursor::new(&hex(bytes))), Some(want));
        }
        assert_eq!(varint(&mut Cursor::new(&hex("c2197c"))), None);
    }

    /// RFC 9001 appendix A.4 and RFC 9369 appendix A.4.
    #[test]
    fn retries() {
        for packet in [
            "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
            "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6",
        ] {
            let packet = hex(packet);
            let long = Long::parse(&packet).unwrap();
            assert_eq!((long.kind, long.token), (Kind::Retry, &b"token"[..]));
            assert_eq!(long.scid, hex("f067a5502a4262b5"));
        }
    }
}
