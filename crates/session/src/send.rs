//! What was written to a stream and not yet acknowledged, and which path has it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Smaller writes are copied together.
const COPIED_MAX: usize = 4 << 10;
const TOGETHER: usize = 16 << 10;

/// The sending end of a stream.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    /// With the offset of their first byte.
    chunks: VecDeque<(u64, Bytes)>,
    /// Comes after them.
    tail: BytesMut,
    /// All before it is acknowledged.
    acked: u64,
    /// All before it was written.
    end: u64,
    /// All before it was sent once.
    sent: u64,
    /// Ranges to be sent again.
    lost: BTreeMap<u64, u64>,
    /// Ranges under way: where they end, and by which path.
    flight: BTreeMap<u64, (u64, u64)>,
}

impl SendBuffer {
    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.acked) as usize
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn write(&mut self, data: Bytes) {
        let start = self.end;
        self.end += data.len() as u64;
        if data.len() >= COPIED_MAX {
            self.end_tail(start);
            self.chunks.push_back((start, data));
        } else {
            self.tail.extend_from_slice(&data);
            if self.tail.len() >= TOGETHER {
                self.end_tail(self.end);
            }
        }
    }

    /// The tail, which ends before `end`, is a chunk from now on.
    fn end_tail(&mut self, end: u64) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail).freeze();
            self.chunks.push_back((end - tail.len() as u64, tail));
        }
    }

    /// The next range to send: what was lost, then what is new and before `limit`.
    pub(crate) fn pending(&self, limit: u64) -> Option<Range<u64>> {
        if let Some((&start, &end)) = self.lost.first_key_value() {
            return Some(start..end);
        }
        let end = self.end.min(limit);
        (self.sent < end).then_some(self.sent..end)
    }

    /// Appends a range of what is kept.
    pub(crate) fn copy(&self, range: Range<u64>, out: &mut BytesMut) {
        let Range { mut start, end } = range;
        let first = self.chunks.partition_point(|(at, data)| at + data.len() as u64 <= start);
        let tail_start = self.end - self.tail.len() as u64;
        let chunks = self.chunks.range(first..).map(|(at, data)| (*at, &data[..]));
        for (at, data) in chunks.chain([(tail_start, &self.tail[..])]) {
            if start >= end {
                return;
            }
            let (from, to) = ((start - at) as usize, ((end - at) as usize).min(data.len()));
            if let Some(part) = data.get(from..to) {
                out.extend_from_slice(part);
                start += part.len() as u64;
            }
        }
    }

    /// A part of what [`SendBuffer::pending`] gave goes by `path`, from its front. Gives how much of it is new.
    pub(crate) fn mark_sent(&mut self, range: Range<u64>, path: u64) -> u64 {
        let Range { start, end } = range;
        let new = if let Some(lost_end) = self.lost.remove(&start) {
            if end < lost_end {
                self.lost.insert(end, lost_end);
            }
            0
        } else {
            let new = end - self.sent;
            self.sent = end;
            new
        };
        match self.flight.range_mut(..start).next_back() {
            Some((_, (before, by))) if *before == start && *by == path => *before = end,
            _ => drop(self.flight.insert(start, (end, path))),
        }
        new
    }

    /// All before `offset` has been received. Gives how much memory that frees.
    pub(crate) fn ack(&mut self, offset: u64) -> usize {
        let freed = offset.saturating_sub(self.acked);
        self.acked += freed;
        while self.chunks.front().is_some_and(|(at, data)| at + data.len() as u64 <= self.acked) {
            self.chunks.pop_front();
        }
        if self.acked == self.end {
            self.tail = BytesMut::new();
        }
        while let Some((&start, &end)) = self.lost.first_key_value().filter(|(at, _)| **at < offset) {
            self.lost.remove(&start);
            if end > offset {
                self.lost.insert(offset, end);
            }
        }
        while let Some((&start, &(end, path))) = self.flight.first_key_value().filter(|(at, _)| **at < offset)
        {
            self.flight.remove(&start);
            if end > offset {
                self.flight.insert(offset, (end, path));
            }
        }
        freed as usize
    }

    /// What is under way by `path` is to be sent again.
    pub(crate) fn requeue(&mut self, path: u64) {
        let lost = self.flight.extract_if(.., |_, (_, by)| *by == path);
        for (start, (end, _)) in lost {
            match self.lost.range_mut(..start).next_back() {
                Some((_, before)) if *before == start => *before = end,
                _ => drop(self.lost.insert(start, end)),
            }
        }
    }

    /// Forgets what is kept; nothing is sent any more. Gives how much memory that frees.
    pub(crate) fn clear(&mut self) -> usize {
        let freed = self.len();
        let sent = self.sent;
        *self = Self { acked: sent, end: sent, sent, ..Self::default() };
        freed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        Send { path: u64, len: u64 },
        Lose(u64),
        Ack(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..9000).prop_map(Step::Write),
            (0u64..3, 1u64..5000).prop_map(|(path, len)| Step::Send { path, len }),
            (0u64..3).prop_map(Step::Lose),
            (0u64..6000).prop_map(Step::Ack),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))] // Each looks at every byte.

        /// Against one owner for each byte.
        #[test]
        fn every_byte_is_somewhere(steps in prop::collection::vec(step(), 1..80)) {
            #[derive(Clone, Copy, Debug, PartialEq)]
            enum State { New, Flight(u64), Lost }
            let byte = |at: usize| ((at * 31) >> 3) as u8;
            let mut buffer = SendBuffer::default();
            let (mut states, mut acked) = (Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Write(len) => {
                        let start = states.len();
                        buffer.write((start..start + len).map(byte).collect());
                        states.resize(start + len, State::New);
                    }
                    Step::Send { path, len } => {
                        let wanted = states[acked..].iter().position(|state| *state == State::Lost)
                            .or_else(|| states[acked..].iter().position(|state| *state == State::New))
                            .map(|at| at + acked);
                        let pending = buffer.pending(u64::MAX);
                        prop_assert_eq!(pending.as_ref().map(|range| range.start as usize), wanted);
                        let Some(Range { start, end }) = pending else { continue };
                        let end = end.min(start + len);
                        let mut out = BytesMut::new();
                        buffer.copy(start..end, &mut out);
                        let expected: Vec<u8> = (start as usize..end as usize).map(byte).collect();
                        prop_assert_eq!(&out[..], &expected[..]);
                        let part = &mut states[start as usize..end as usize];
                        let new = part.iter().filter(|state| **state == State::New).count() as u64;
                        part.fill(State::Flight(path));
                        prop_assert_eq!(buffer.mark_sent(start..end, path), new);
                    }
                    Step::Lose(path) => {
                        buffer.requeue(path);
                        states.iter_mut().filter(|state| **state == State::Flight(path)).for_each(|s| *s = State::Lost);
                    }
                    Step::Ack(more) => {
                        let to = (acked + more as usize).min(buffer.sent() as usize);
                        prop_assert_eq!(buffer.ack(to as u64), to - acked);
                        acked = to;
                    }
                }
                prop_assert_eq!(buffer.len(), states.len() - acked);
                let kept: usize = buffer.chunks.iter().map(|(_, data)| data.len()).sum();
                prop_assert!(kept + buffer.tail.len() <= buffer.len() + TOGETHER);
            }
        }
    }
}
