//! A stream's bytes in order, from pieces that come in any order and more than once.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

/// Pieces smaller than this are copied together: what is kept then costs little more than its length, whatever a peer
/// does. Larger ones stay in the buffer in which they came, which is at most 8 times as large.
const COPIED_MAX: usize = 8 << 10;
/// How large the pieces become.
const TOGETHER: usize = 16 << 10;

/// Bytes in order, in pieces.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    whole: VecDeque<Bytes>,
    /// Comes after them.
    tail: BytesMut,
    len: usize,
}

impl Chunks {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        self.len += data.len();
        if data.len() >= COPIED_MAX {
            self.end_tail();
            self.whole.push_back(data);
            return;
        }
        self.tail.extend_from_slice(&data);
        if self.tail.len() >= TOGETHER {
            self.end_tail();
        }
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.whole.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn append(&mut self, other: Self) {
        for data in other.whole {
            self.push(data);
        }
        self.push(other.tail.freeze());
    }

    /// From the front, at most `len_max` bytes in one piece.
    fn pop(&mut self, len_max: usize) -> Option<Bytes> {
        if self.whole.is_empty() {
            self.end_tail();
        }
        let front = self.whole.front_mut()?;
        let data = if front.len() > len_max { front.split_to(len_max) } else { self.whole.pop_front()? };
        self.len -= data.len();
        Some(data)
    }
}

/// The receiving end of a stream.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    /// All before it has come.
    end: u64,
    /// In order, not yet read.
    ready: Chunks,
    /// What came before its turn, by offset; no two touch.
    later: BTreeMap<u64, Chunks>,
}

impl Assembler {
    /// All before it has come.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// All before it was read.
    pub(crate) fn read_to(&self) -> u64 {
        self.end - self.ready.len() as u64
    }

    /// How many separate pieces wait for their turn.
    pub(crate) fn pieces(&self) -> usize {
        self.later.len()
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.ready.len() > 0
    }

    /// Takes up data; what came before is left out.
    pub(crate) fn insert(&mut self, mut offset: u64, mut data: Bytes) {
        loop {
            // What lies before the offset covers all up to here.
            let before = self.later.range(..=offset).next_back().map(|(at, run)| at + run.len() as u64);
            let covered = before.unwrap_or(0).max(self.end);
            if covered > offset {
                let known = (covered - offset).min(data.len() as u64);
                let _known = data.split_to(known as usize);
                offset += known;
            }
            if data.is_empty() {
                return;
            }
            // And what lies behind is left as it is.
            let next = self.later.range(offset..).next().map_or(u64::MAX, |(at, _)| *at);
            let room = usize::try_from(next - offset).unwrap_or(usize::MAX).min(data.len());
            if room > 0 {
                self.insert_new(offset, data.split_to(room));
            }
            offset += room as u64;
        }
    }

    /// Takes up data none of which has come.
    fn insert_new(&mut self, offset: u64, data: Bytes) {
        let mut end = offset + data.len() as u64;
        let before = self.later.range_mut(..offset).next_back();
        if offset == self.end {
            self.ready.push(data);
            if let Some(next) = self.later.remove(&end) {
                end += next.len() as u64;
                self.ready.append(next);
            }
            self.end = end;
            return;
        }
        let start = match before {
            Some((&at, run)) if at + run.len() as u64 == offset => {
                run.push(data);
                at
            }
            _ => {
                let mut run = Chunks::default();
                run.push(data);
                self.later.insert(offset, run);
                offset
            }
        };
        if let Some(next) = self.later.remove(&end)
            && let Some(run) = self.later.get_mut(&start)
        {
            run.append(next);
        }
    }

    /// What is in order, at most `len_max` bytes in one piece.
    pub(crate) fn read(&mut self, len_max: usize) -> Option<Bytes> {
        self.ready.pop(len_max)
    }

    /// Drops all that has come.
    pub(crate) fn clear(&mut self) {
        (self.ready, self.later) = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))] // Each looks at every byte.

        /// Against the whole stream: pieces in any order, overlapping and again, read now and then.
        #[test]
        fn bytes_come_out_once_and_in_order(
            pieces in prop::collection::vec((0usize..40_000, 1usize..12_000, any::<bool>()), 1..60),
        ) {
            let whole: Vec<u8> = (0..60_000u32).map(|n| ((n * 7919) >> 5) as u8).collect();
            let mut come = vec![false; whole.len()];
            let mut assembler = Assembler::default();
            let mut read = Vec::new();
            for (start, len, reads) in pieces {
                let end = start + len;
                assembler.insert(start as u64, Bytes::copy_from_slice(&whole[start..end]));
                come[start..end].fill(true);
                let expected = come.iter().position(|come| !come).unwrap_or(whole.len());
                prop_assert_eq!(assembler.end(), expected as u64);
                let gaps = come[expected..].windows(2).filter(|pair| !pair[0] && pair[1]).count();
                prop_assert_eq!(assembler.pieces(), gaps);
                let kept: usize = assembler.later.values().map(Chunks::len).sum();
                prop_assert_eq!(kept, come[expected..].iter().filter(|come| **come).count());
                if reads {
                    while let Some(data) = assembler.read(5000) {
                        prop_assert!(data.len() <= 5000);
                        read.extend_from_slice(&data);
                    }
                    prop_assert_eq!(assembler.read_to(), expected as u64);
                    prop_assert_eq!(&read[..], &whole[..expected]);
                }
            }
        }
    }

    #[test]
    fn small_pieces_are_kept_together() {
        let mut chunks = Chunks::default();
        for _ in 0..100_000 {
            chunks.push(Bytes::from_static(b"x"));
        }
        assert!(chunks.whole.len() < 8, "{}", chunks.whole.len());
    }
}
