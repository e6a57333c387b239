//! QUIC's integers of variable length (RFC 9000 §16).

use bytes::{Buf, BufMut, Bytes};

/// The longest, in bytes.
pub(super) const LEN_MAX: usize = 8;

/// Appends a number below 2^62.
pub(super) fn put(number: u64, out: &mut impl BufMut) {
    match number {
        0..0x40 => out.put_uint(number, 1),
        0x40..0x4000 => out.put_uint(number | 0x4000, 2),
        0x4000..0x4000_0000 => out.put_uint(number | 0x8000_0000, 4),
        _ => out.put_u64(number | 0xc000_0000_0000_0000),
    }
}

/// Takes a number from the front; `None`, and nothing is taken, if it is not there whole.
pub(super) fn take(from: &mut Bytes) -> Option<u64> {
    let first = *from.first()?;
    let len = 1_usize << (first >> 6);
    if from.len() < len {
        return None;
    }
    let number = from.get_uint(len);
    // The two highest bits said how long it is.
    Some(number & (u64::MAX >> (66 - 8 * len)))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    /// The examples of RFC 9000, appendix A.1.
    #[test]
    fn as_in_the_standard() {
        for (bytes, number) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            let mut out = BytesMut::new();
            put(number, &mut out);
            assert_eq!(out, bytes);
            for cut in 0..bytes.len() {
                assert_eq!(take(&mut Bytes::copy_from_slice(&bytes[..cut])), None);
            }
            assert_eq!(take(&mut out.freeze()), Some(number));
        }
        assert_eq!(take(&mut Bytes::from_static(&[0x40, 0x25])), Some(37), "longer than it need be");
    }
}
