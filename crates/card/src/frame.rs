//! Frames: a list as an endless series of codes, of which any that are enough give it back (RaptorQ, RFC 6330).
//!
//! ```text
//! 8 bytes   which list: the beginning of SHA-256 of its bytes
//! 3 bytes   its length
//! 2 bytes   the length of a symbol
//! 3 bytes   which symbol (ESI); the first ones are the list itself, there are 2²⁴
//! …         the symbol
//! ```
//! Numbers are big-endian. A frame travels as a line of kind F. There is one source block, with sub-blocks of one symbol.

use std::collections::BTreeSet;

use raptorq::{Decoder, Encoder, EncodingPacket, ObjectTransmissionInformation, PayloadId};

use crate::error::{Error, Result};
use crate::signed::Kind;
use crate::{Id, LIST_BYTES_MAX, line};

const HEAD_BYTES: usize = 16;
/// The least bytes of a symbol; fewer would make a list too many of them.
pub const SYMBOL_BYTES_MIN: u16 = 64;
/// The most bytes of a symbol.
pub const SYMBOL_BYTES_MAX: u16 = 512;
/// A frame of this many makes a code of 65 × 65 modules, that old telephones read from a screen.
pub const SYMBOL_BYTES: u16 = 200;
/// Symbols beyond the list's own that are kept at most; more than a few are never needed.
const SPARE_MAX: usize = 64;
const ESI_END: u32 = 1 << 24;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    of: Id,
    len: u32,
    esi: u32,
    symbol: Vec<u8>,
}

impl Frame {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size = (self.symbol.len() as u16).to_be_bytes();
        let (len, esi) = (self.len.to_be_bytes(), self.esi.to_be_bytes());
        [&self.of.0[..], &len[1..], &size, &esi[1..], &self.symbol].concat()
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// If they are no frame's.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let wrong = |field, why: String| Error::field(Kind::Frame, field, why);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n: u32, byte| n << 8 | u32::from(*byte));
        let (head, symbol) = bytes
            .split_at_checked(HEAD_BYTES)
            .ok_or_else(|| wrong("head", format!("is cut: there are {} bytes", bytes.len())))?;
        let mut of = [0; 8];
        of.copy_from_slice(&head[..8]);
        let (len, size, esi) = (number(&head[8..11]), number(&head[11..13]), number(&head[13..]));
        if len == 0 || len as usize > LIST_BYTES_MAX {
            return Err(wrong("length", format!("is {len}; {LIST_BYTES_MAX} is the most")));
        }
        if !(u32::from(SYMBOL_BYTES_MIN)..=u32::from(SYMBOL_BYTES_MAX)).contains(&size) {
            return Err(wrong(
                "symbol",
                format!("has {size} bytes; {SYMBOL_BYTES_MIN} to {SYMBOL_BYTES_MAX} are right"),
            ));
        }
        if symbol.len() != size as usize {
            return Err(wrong("symbol", format!("has {} bytes and says it has {size}", symbol.len())));
        }
        Ok(Self { of: Id(of), len, esi, symbol: symbol.to_vec() })
    }

    /// How many frames the list has at least.
    #[must_use]
    pub fn needed(&self) -> usize {
        (self.len as usize).div_ceil(self.symbol.len())
    }

    fn config(&self) -> ObjectTransmissionInformation {
        config(self.len.into(), self.symbol.len() as u16)
    }
}

fn config(len: u64, symbol_bytes: u16) -> ObjectTransmissionInformation {
    ObjectTransmissionInformation::new(len, symbol_bytes, 1, 1, 1)
}

/// The frames of some bytes: `count` of them, from the one with this number on.
///
/// # Errors
/// If there are no bytes or more than [`LIST_BYTES_MAX`], or the symbols' length isn't one that is possible.
pub fn frames(bytes: &[u8], symbol_bytes: u16, first: u32, count: u32) -> Result<Vec<Frame>> {
    if bytes.is_empty() || bytes.len() > LIST_BYTES_MAX {
        return Err(Error::TooLong { what: "list", len: bytes.len(), max: LIST_BYTES_MAX });
    }
    if !(SYMBOL_BYTES_MIN..=SYMBOL_BYTES_MAX).contains(&symbol_bytes) {
        let why = format!("has {symbol_bytes} bytes; {SYMBOL_BYTES_MIN} to {SYMBOL_BYTES_MAX} are right");
        return Err(Error::field(Kind::Frame, "symbol", why));
    }
    let end = first.checked_add(count).filter(|end| *end <= ESI_END);
    let end = end.ok_or_else(|| Error::field(Kind::Frame, "number", format!("is beyond {ESI_END}")))?;
    let of = Id::of(&[bytes]);
    let encoder = Encoder::new(bytes, config(bytes.len() as u64, symbol_bytes));
    let block = &encoder.get_block_encoders()[0];
    let own = bytes.len().div_ceil(symbol_bytes.into()) as u32;
    let mut packets = block.source_packets();
    packets.drain(..first.min(own) as usize);
    packets.truncate(count as usize);
    if end > own {
        let spare = first.max(own) - own;
        packets.extend(block.repair_packets(spare, end - own - spare));
    }
    let frame = |packet: EncodingPacket| {
        let (id, symbol) = packet.split();
        Frame { of, len: bytes.len() as u32, esi: id.encoding_symbol_id(), symbol }
    };
    Ok(packets.into_iter().map(frame).collect())
}

/// Gathers frames until they are enough.
#[derive(Default)]
pub struct Collector {
    first: Option<Frame>,
    decoder: Option<Decoder>,
    seen: BTreeSet<u32>,
}

impl Collector {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a scanner read.
    ///
    /// # Errors
    /// If it isn't the line of a frame; and as [`Self::add`].
    pub fn add_line(&mut self, text: &str) -> Result<Option<Vec<u8>>> {
        let line = line::read(text)?;
        if line.kind != Kind::Frame {
            return Err(line::LineError::Kind { found: line.kind, wanted: Kind::Frame }.into());
        }
        self.add(&Frame::decode(&line.bytes)?)
    }

    /// Takes a frame; gives the list's bytes when there are enough. One that was there before changes nothing.
    ///
    /// # Errors
    /// If the frame is of another list, or if a forged one was among them: then all have to be gathered anew.
    pub fn add(&mut self, frame: &Frame) -> Result<Option<Vec<u8>>> {
        let first = self.first.get_or_insert_with(|| frame.clone());
        if (first.of, first.len, first.symbol.len()) != (frame.of, frame.len, frame.symbol.len()) {
            return Err(Error::Frame("the frame is of another list; begin anew to read that one".to_owned()));
        }
        if self.seen.len() >= frame.needed() + SPARE_MAX || !self.seen.insert(frame.esi) {
            return Ok(None);
        }
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(frame.config()));
        let packet = EncodingPacket::new(PayloadId::new(0, frame.esi), frame.symbol.clone());
        let Some(bytes) = decoder.decode(packet) else { return Ok(None) };
        let good = Id::of(&[&bytes]) == frame.of;
        *self = Self::new();
        if good {
            Ok(Some(bytes))
        } else {
            Err(Error::Frame("a frame was forged; read them all again".to_owned()))
        }
    }

    /// How many different frames there are, and how many are needed at least.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.seen.len(), self.first.as_ref().map_or(0, Frame::needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Any frames that are two more than the list's own give it back, in any order. RaptorQ fails then once in 10⁶.
        #[test]
        fn any_frames_that_are_enough_do(
            bytes in proptest::collection::vec(any::<u8>(), 1..6000),
            lost in any::<u64>(),
            first in 0..300u32,
        ) {
            let own = bytes.len().div_ceil(200) as u32;
            let frames = frames(&bytes, 200, first, 3 * own + 12).unwrap();
            prop_assert_eq!(frames.len(), 3 * own as usize + 12);
            let mut kept: Vec<&Frame> =
                frames.iter().enumerate().filter(|(at, _)| lost.rotate_left(*at as u32) & 1 == 0).map(|(_, f)| f).collect();
            prop_assume!(kept.len() >= own as usize + 4);
            kept.reverse();
            let mut collector = Collector::new();
            let mut given = None;
            for frame in kept.iter().take(own as usize + 4) {
                prop_assert_eq!(Frame::decode(&frame.encode()).unwrap(), (*frame).clone());
                let line = line::write(Kind::Frame, &frame.encode()).unwrap();
                given = collector.add_line(&line).unwrap();
                if given.is_some() {
                    break;
                }
            }
            prop_assert_eq!(given, Some(bytes));
        }
    }

    #[test]
    fn a_forged_frame_is_noticed() {
        let bytes: Vec<u8> = (0..1000u32).map(|at| (at * at) as u8).collect();
        let mut frames = frames(&bytes, 200, 0, 5).unwrap();
        frames[2].symbol[7] ^= 1;
        let mut collector = Collector::new();
        let outcomes: Vec<_> = frames.iter().map(|frame| collector.add(frame)).collect();
        assert!(matches!(outcomes[4], Err(Error::Frame(_))), "{outcomes:?}");
    }

    #[test]
    fn frames_of_two_lists_are_told_apart() {
        let mut collector = Collector::new();
        collector.add(&frames(&[1; 200], 64, 0, 2).unwrap()[1]).unwrap();
        let error = collector.add(&frames(&[2; 200], 64, 0, 1).unwrap()[0]).unwrap_err();
        assert_eq!(error.to_string(), "the frame is of another list; begin anew to read that one");
    }
}
