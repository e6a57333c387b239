//! The frames of Initial packets (RFC 9000 §12.4, §19).

use std::ops::Range;

use bytes::{Buf, BufMut as _};
use quinn_proto::VarInt;
use quinn_proto::coding::Codec as _;

const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_ECN: u8 = 0x03;
const CRYPTO: u8 = 0x06;

/// A frame of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// So many bytes of it.
    Padding(usize),
    Ping,
    /// Where in the payload the number of the newest packet is that came.
    Ack(usize),
    /// Data from this offset on: where it is in the payload.
    Crypto(usize, Range<usize>),
    /// The end of the connection, or what no Initial packet has: up to the payload's end.
    Other,
}

/// The frames of a payload, and where each is, up to one that can't be read.
pub(super) fn frames(payload: &[u8]) -> impl Iterator<Item = (Frame, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut rest = payload.get(at..).filter(|rest| !rest.is_empty())?;
        let len = rest.len();
        let frame = frame(&mut rest, at)?;
        let place = at..at + len - rest.len();
        at = place.end;
        Some((frame, place))
    })
}

fn frame(rest: &mut &[u8], start: usize) -> Option<Frame> {
    let len = rest.len();
    let kind = rest.try_get_u8().ok()?;
    match kind {
        PADDING => {
            let padding = rest.iter().take_while(|&&byte| byte == PADDING).count();
            rest.advance(padding);
            Some(Frame::Padding(1 + padding))
        }
        PING => Some(Frame::Ping),
        ACK | ACK_ECN => {
            let largest = start + 1;
            let (_, _delay) = (integer(rest)?, integer(rest)?);
            let ranges = integer(rest)?;
            // The first range, a gap and a length for each of the others, and the counts of ECN.
            let more = 1 + 2 * ranges + if kind == ACK_ECN { 3 } else { 0 };
            for _ in 0..more {
                integer(rest)?;
            }
            Some(Frame::Ack(largest))
        }
        CRYPTO => {
            let offset = integer(rest)?;
            let data_len = integer(rest)?;
            let data = start + len - rest.len();
            *rest = rest.get(data_len..)?;
            Some(Frame::Crypto(offset, data..data + data_len))
        }
        _ => {
            *rest = &[];
            Some(Frame::Other)
        }
    }
}

fn integer(rest: &mut &[u8]) -> Option<usize> {
    VarInt::decode(rest).ok().map(|number| number.into_inner() as usize)
}

/// A CRYPTO frame's header in bytes: as short as it can be.
pub(super) fn crypto_header_len(offset: usize, data_len: usize) -> usize {
    1 + integer_len(offset) + integer_len(data_len)
}

fn integer_len(number: usize) -> usize {
    match number {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

pub(super) fn write_crypto(offset: usize, data: &[u8], out: &mut Vec<u8>) {
    out.put_u8(CRYPTO);
    write_integer(offset as u64, out);
    write_integer(data.len() as u64, out);
    out.put_slice(data);
}

pub(super) fn write_ping(out: &mut Vec<u8>) {
    out.put_u8(PING);
}

/// An integer of variable length (RFC 9000 §16); of one that has no such form the greatest is written.
pub(super) fn write_integer(number: u64, out: &mut Vec<u8>) {
    VarInt::from_u64(number).unwrap_or(VarInt::MAX).encode(out);
}

/// Makes an integer of variable length less by one, in its place; `false` if it is 0 or cut.
#[must_use]
pub(super) fn decrement(integer: &mut [u8]) -> bool {
    let Some(&first) = integer.first() else { return false };
    let Some(integer) = integer.get_mut(..1 << (first >> 6)) else { return false };
    if first & 0x3f == 0 && integer[1..].iter().all(|&byte| byte == 0) {
        return false;
    }
    for byte in integer.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn reads_what_initial_packets_have() {
        // ACK of 5 and 4, and of 1; PING; CRYPTO at 70 of three bytes; padding; the connection's end.
        let payload = [2, 5, 0, 1, 1, 1, 0, 1, 6, 0x40, 70, 3, b'a', b'b', b'c', 0, 0, 0x1c, 0, 0, 0];
        let read: Vec<_> = frames(&payload).collect();
        assert_eq!(
            read,
            [
                (Frame::Ack(1), 0..7),
                (Frame::Ping, 7..8),
                (Frame::Crypto(70, 12..15), 8..15),
                (Frame::Padding(2), 15..17),
                (Frame::Other, 17..21),
            ]
        );
        // Cut, and one that says that it is longer than it is.
        assert_eq!(frames(&payload[..5]).count(), 0);
        assert_eq!(frames(&[6, 0, 0xff]).count(), 0);
        assert_eq!(frames(&[2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).count(), 0);
    }

    #[test]
    fn whatever_comes_is_read_or_left() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..20_000 {
            let mut payload = vec![0; random.random_range(0..60)];
            random.fill(&mut payload[..]);
            // Half of the frames are of a kind that has something to read.
            for byte in &mut payload {
                if random.random() {
                    *byte %= 7;
                }
            }
            let mut end = 0;
            for (frame, place) in frames(&payload) {
                assert_eq!(place.start, end);
                end = place.end;
                if let Frame::Crypto(_, data) = frame {
                    assert!(place.start < data.start && data.end == place.end);
                }
            }
            assert!(end <= payload.len());
        }
    }

    #[test]
    fn one_less_is_as_long() {
        for number in [1, 63, 64, 256, 16_383, 16_384, 1 << 20, 1 << 31, 1 << 40] {
            let mut bytes = Vec::new();
            write_integer(number, &mut bytes);
            let len = bytes.len();
            assert!(decrement(&mut bytes));
            assert_eq!(VarInt::decode(&mut &bytes[..]).unwrap().into_inner(), number - 1);
            assert_eq!(bytes.len(), len);
        }
        for none in [&mut [0][..], &mut [0x40, 0], &mut [0x40], &mut []] {
            assert!(!decrement(none), "{none:?}");
        }
    }
}
