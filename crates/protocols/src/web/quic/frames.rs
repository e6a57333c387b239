//! The frames in Initial packets (RFC 9000 §19): only CRYPTO, ACK, PING, PADDING and CONNECTION_CLOSE may be there.

use super::header::varint;
use crate::cursor::Cursor;

/// What Initial packets bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A piece of the handshake: where in it, and the bytes.
    Crypto(u64, &'a [u8]),
    /// The connection ends.
    Close,
}

/// The frames of a payload that matter. Stops at the first that can't be read; `google` for Google's numbers.
pub(crate) fn frames(payload: &[u8], google: bool) -> impl Iterator<Item = Frame<'_>> {
    let mut c = Cursor::new(payload);
    std::iter::from_fn(move || {
        loop {
            match (c.u8()?, google) {
                (0, _) => {
                    let padding = c.rest().iter().take_while(|b| **b == 0).count();
                    c.skip(padding)?;
                }
                (1, false) | (7, true) => {}
                (6, false) | (8, true) => {
                    let (offset, len) = (varint(&mut c)?, varint(&mut c)?);
                    // A frame that says more than there is: take what there is.
                    let len = usize::try_from(len).ok()?.min(c.remaining());
                    return Some(Frame::Crypto(offset, c.take(len)?));
                }
                (kind @ (2 | 3), false) => {
                    let (_largest, _delay, ranges, _first) =
                        (varint(&mut c)?, varint(&mut c)?, varint(&mut c)?, varint(&mut c)?);
                    // Each range takes at least two bytes: more than are there can't be.
                    for _ in 0..ranges.min(c.remaining() as u64).saturating_mul(2) {
                        varint(&mut c)?;
                    }
                    if kind == 3 {
                        let _counts = (varint(&mut c)?, varint(&mut c)?, varint(&mut c)?);
                    }
                }
                (0x1c | 0x1d, false) => return Some(Frame::Close),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn acks_and_padding_are_passed_over() {
        // ACK of 0 with one more range, PING, padding, CRYPTO at 5 of 3 bytes, padding, CRYPTO at 0 of 2 bytes.
        let payload = hex("02 05 00 01 00 01 00  01  000000  06 05 03 616263  0000  06 00 02 7879 1c");
        let found: Vec<_> = frames(&payload, false).collect();
        assert_eq!(found, [Frame::Crypto(5, b"abc"), Frame::Crypto(0, b"xy"), Frame::Close]);
        assert_eq!(frames(&hex("02 05 00 bfffffff 00"), false).count(), 0);
    }
}
