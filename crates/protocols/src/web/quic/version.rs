//! QUIC versions: their names, and what their Initial packets are protected with.

use crate::Value;

/// Which rules a version's packets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// RFC 9000 and the drafts from 22 on, with TLS inside.
    V1,
    /// RFC 9369: other packet types and labels.
    V2,
    /// Google's Q050: long headers as in the drafts, Google's own handshake inside.
    Q050,
    /// Google's T050 and T051: as Q050, with TLS inside.
    T05x,
    /// Google's Q046: long headers of an earlier draft, not encrypted.
    Q046,
    /// Google's Q043 and before: public flags, not encrypted.
    Q043,
}

type Salt = [u8; 20];

/// draft-ietf-quic-tls-21 and -22.
const DRAFT_22: Salt = *b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a";
/// draft-ietf-quic-tls-23 to -28.
const DRAFT_23: Salt = *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02";
/// draft-ietf-quic-tls-29 to -32.
const DRAFT_29: Salt = *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99";
/// RFC 9001 §5.2, and draft-ietf-quic-tls-33 and -34.
const V1: Salt = *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
/// RFC 9369 §3.3.1.
const V2: Salt = *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
/// Google's (Chromium, quic/core/crypto/crypto_utils.cc).
const Q050: Salt = *b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45";
const T050: Salt = *b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10";
const T051: Salt = *b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d";

pub(crate) const VERSION_1: u32 = 1;
pub(crate) const VERSION_2: u32 = 0x6b33_43cf;

/// The rules of a version; `None` for those that aren't known.
pub(crate) fn rules(version: u32) -> Option<Rules> {
    Some(match version {
        VERSION_1 | 0xff00_0016..=0xff00_0022 | 0xface_b000..=0xface_b01f => Rules::V1,
        VERSION_2 => Rules::V2,
        0x5130_3530 => Rules::Q050,
        0x5430_3530 | 0x5430_3531 => Rules::T05x,
        0x5130_3436 => Rules::Q046,
        // Q024 to Q043.
        0x5130_3234..=0x5130_3239 | 0x5130_3330..=0x5130_3339 | 0x5130_3430..=0x5130_3433 => Rules::Q043,
        _ => return None,
    })
}

/// The salts that a version's Initial packets may be protected with, the likeliest first. Facebook's aliases have moved
/// from draft to draft.
pub(crate) fn salts(version: u32) -> &'static [Salt] {
    match version {
        VERSION_1 | 0xff00_0021 | 0xff00_0022 => &[V1],
        VERSION_2 => &[V2],
        0xff00_001d..=0xff00_0020 => &[DRAFT_29],
        0xff00_0017..=0xff00_001c => &[DRAFT_23],
        0xff00_0016 | 0xface_b001 => &[DRAFT_22],
        0xface_b002 => &[DRAFT_23],
        0xface_b00e => &[DRAFT_23, V1, DRAFT_29],
        0xface_b000..=0xface_b01f => &[V1, DRAFT_29, DRAFT_23],
        0x5130_3530 => &[Q050],
        0x5430_3530 => &[T050],
        0x5430_3531 => &[T051],
        _ => &[],
    }
}

/// True for versions that only exist to exercise version negotiation (RFC 9000 §15).
pub(crate) fn is_reserved(version: u32) -> bool {
    version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// The version as people write it.
pub(crate) fn name(version: u32) -> Value {
    Value::Name(match version {
        VERSION_1 => "1",
        VERSION_2 => "2",
        0xface_b001 => "mvfst-22",
        0xface_b002 => "mvfst-27",
        0xface_b00e => "mvfst-exp",
        0xff00_0000..=0xff00_00ff => return Value::from(format!("draft-{}", version & 0xff)),
        0xface_b000..=0xface_b01f => return Value::from(format!("mvfst-0x{version:08x}")),
        _ if rules(version).is_some() => return Value::text(&version.to_be_bytes()),
        _ => return Value::from(format!("0x{version:08x}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rules() {
        for (version, want, known) in [
            (1, "1", true),
            (VERSION_2, "2", true),
            (0xff00_001d, "draft-29", true),
            (u32::from_be_bytes(*b"Q046"), "Q046", true),
            (u32::from_be_bytes(*b"T051"), "T051", true),
            (u32::from_be_bytes(*b"Q035"), "Q035", true),
            (u32::from_be_bytes(*b"Q044"), "0x51303434", false),
            (0xface_b002, "mvfst-27", true),
            (0x1a2a_3a4a, "0x1a2a3a4a", false),
        ] {
            assert_eq!(name(version).as_str(), Some(want));
            assert_eq!(rules(version).is_some(), known, "{want}");
        }
        assert!(is_reserved(0x1a2a_3a4a) && !is_reserved(1));
    }
}
