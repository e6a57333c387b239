//! One direction of a TCP connection, put in order.

use std::collections::VecDeque;

/// A direction keeps at most this many segments that came too early.
pub const SEGMENTS_MAX: usize = 64;
/// … and at most this many bytes of them.
const BYTES_MAX: usize = 256 * 1024;
/// The first bytes of a direction are kept, to identify the protocol by and to compare retransmissions with.
pub const START_KEPT_MAX: usize = 20 * 1024;
/// Once the protocol is known, this much of them is kept: injected answers differ in their first bytes.
const START_SETTLED_MAX: usize = 256;
/// A segment further ahead than this (or behind) belongs to another connection.
const WINDOW_MAX: u32 = 1 << 30;
/// A stream that was picked up in its middle is taken back by at most this many bytes when earlier ones come late.
const REWIND_MAX: u32 = 64 * 1024;
/// No segment lacks more bytes than this, whatever a damaged capture says of its length.
const MISSING_MAX: u32 = 1 << 20;
/// A hole that the other side acknowledges is given up after so many more packets: what it acknowledged was sent, and
/// the capture does not have it. Some captures hold an acknowledgement before the segment, so not at once.
const ACKED_HOLE_PACKETS: u8 = 6;

/// What comes out, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes of the stream.
    Bytes(&'a [u8]),
    /// So many bytes are missing for good.
    Gap(u64),
}

/// What a reassembler had to do; for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounters {
    /// Segments held back because they came too early.
    pub held: u64,
    /// Segments that could not be held for want of room: a gap was declared instead.
    pub over_budget: u64,
    /// Holes given up.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Segments whose bytes differ from what was there before.
    pub conflicts: u64,
}

impl std::ops::AddAssign for ReassemblyCounters {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.over_budget += other.over_budget;
        self.gaps += other.gaps;
        self.gap_bytes += other.gap_bytes;
        self.conflicts += other.conflicts;
    }
}

/// A segment that came too early: its sequence number, the bytes captured of it, and how many were not.
type Held = (u32, Vec<u8>, u32);

/// Orders one direction. In-order segments pass straight through; only what comes too early is copied.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// Sequence number of the next byte to hand on; unknown before the first segment.
    next: Option<u32>,
    /// Segments ahead of `next`, by sequence number, not overlapping: (sequence number, captured bytes, missing after).
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The first bytes of the stream, as handed on, without a gap between them.
    start: Vec<u8>,
    /// The place of `start` in the stream: not 0 if the first thing was a gap.
    start_at: u64,
    /// Bytes handed on so far, gaps included.
    position: u64,
    acked_hole: u8,
    /// True if `start` has no gap in it.
    start_is_whole: bool,
    /// Little of the start is kept from now on.
    settled: bool,
    /// True once a segment's bytes differed from what was there.
    conflicting: bool,
    /// `next` was told by a packet without payload, which may have been a keep-alive: those are sent with the sequence
    /// number of the byte before the next one (RFC 9293 §3.8.4).
    may_be_keep_alive: bool,
    /// What there is no room for is refused, and no gap is declared in its place.
    strict: bool,
    /// Nothing but the first segment told where the stream begins.
    start_is_a_guess: bool,
}

impl Reassembler {
    /// One that has seen nothing. `next` is the sequence number of the first byte, if an earlier packet told it.
    pub fn new(next: Option<u32>) -> Self {
        Self { next, start_is_whole: true, ..Self::default() }
    }

    /// One of a connection whose start was not seen. `next` is what a packet without payload told of the first byte.
    pub fn picked_up(next: Option<u32>) -> Self {
        Self { may_be_keep_alive: next.is_some(), start_is_a_guess: next.is_none(), ..Self::new(next) }
    }

    /// For who can keep a segment from arriving: one for which there is no room is refused (counted under
    /// [`over_budget`](ReassemblyCounters::over_budget)) rather than that a gap is declared. It will be sent again.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// The first bytes of the stream that were handed on: [`START_KEPT_MAX`], and what else came with them.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// How many bytes came after [`start`](Self::start), gaps included.
    pub fn beyond_start(&self) -> u64 {
        self.position - self.start_at - self.start.len() as u64
    }

    /// True once [`settle`](Self::settle) was called.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// How many bytes were handed on, gaps included.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// True once bytes came again with another content.
    pub fn is_conflicting(&self) -> bool {
        self.conflicting
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.held_bytes + self.start.capacity()
    }

    /// Bytes of segments that wait for a hole to be filled.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// A SYN was seen: the stream starts after it.
    pub fn syn(&mut self, seq: u32) {
        // A second SYN (other answers, fast open retries) before any byte moves the start.
        if self.position == 0 && self.held.is_empty() {
            self.next = Some(seq.wrapping_add(1));
        }
    }

    /// Goes back to `seq` if that lies before what was taken for the stream's start: the first segment of a connection
    /// without a handshake need not have been the first to be sent. For as long as nobody has read what was handed on, as
    /// it will be handed on again. True if it did.
    pub fn rewind(&mut self, seq: u32) -> bool {
        let (Some(next), true) = (self.next, self.start_is_a_guess && !self.settled) else { return false };
        let (given, behind) = (self.start.len() as u32, next.wrapping_sub(seq));
        if self.position != u64::from(given) || behind <= given || behind > REWIND_MAX {
            return false;
        }
        let start = std::mem::take(&mut self.start);
        self.held_bytes += start.len();
        self.held.push_front((next.wrapping_sub(given), start, 0));
        self.position = 0;
        self.next = Some(seq);
        true
    }

    /// A segment: `bytes` from `seq` on, of which `missing` more were on the wire but not captured. `may_hold` is
    /// false when the budget of all flows is used up. `give` gets what is in order now.
    pub fn push(
        &mut self,
        seq: u32,
        bytes: &[u8],
        missing: u32,
        may_hold: bool,
        counters: &mut ReassemblyCounters,
        give: &mut dyn FnMut(Piece<'_>),
    ) {
        let missing = missing.min(MISSING_MAX);
        let mut next = *self.next.get_or_insert(seq);
        if std::mem::take(&mut self.may_be_keep_alive) && seq == next.wrapping_add(1) {
            next = seq;
            self.next = Some(seq);
        }
        let ahead = seq.wrapping_sub(next);
        if ahead == 0 {
            self.give(bytes, missing, give);
            self.release(counters, give);
        } else if ahead < WINDOW_MAX {
            let room = self.held.len() < SEGMENTS_MAX && self.held_bytes + bytes.len() <= BYTES_MAX;
            if may_hold && room {
                counters.held += 1;
                self.hold(seq, bytes, missing, counters);
            } else {
                counters.over_budget += 1;
                if self.strict {
                    return;
                }
                self.hold(seq, bytes, missing, counters);
                self.close_hole(counters, give);
            }
        } else if ahead > WINDOW_MAX.wrapping_neg() {
            // It starts before what was handed on: compare what is known, and take what is new.
            let behind = ahead.wrapping_neg();
            self.compare(behind, bytes, counters);
            let total = bytes.len() as u32 + missing;
            if total > behind {
                let known = behind as usize;
                match bytes.get(known..) {
                    Some(new) => self.give(new, missing, give),
                    None => self.give(&[], total - behind, give),
                }
                self.release(counters, give);
            }
        }
    }

    /// The start has served its purpose but for comparing: a few bytes are enough.
    pub fn settle(&mut self) {
        if self.settled {
            return;
        }
        if self.start.capacity() > START_SETTLED_MAX {
            self.start = self.start[..self.start.len().min(START_SETTLED_MAX)].into();
        }
        self.settled = true;
    }

    /// The other side acknowledged everything before `ack`.
    pub fn acked(&mut self, ack: u32, counters: &mut ReassemblyCounters, give: &mut dyn FnMut(Piece<'_>)) {
        let (Some(next), Some((first, ..))) = (self.next, self.held.front()) else { return };
        let hole = first.wrapping_sub(next);
        if ack.wrapping_sub(next) >= hole && ack.wrapping_sub(next) < WINDOW_MAX {
            self.acked_hole += 1;
            if self.acked_hole > ACKED_HOLE_PACKETS {
                self.close_hole(counters, give);
            }
        }
    }

    /// The flow has ended: hands on what is left, with the holes in it.
    pub fn flush(&mut self, counters: &mut ReassemblyCounters, give: &mut dyn FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            self.close_hole(counters, give);
        }
    }

    /// Gives up the first hole.
    fn close_hole(&mut self, counters: &mut ReassemblyCounters, give: &mut dyn FnMut(Piece<'_>)) {
        let (Some(next), Some((first, ..))) = (self.next, self.held.front()) else { return };
        let hole = first.wrapping_sub(next);
        counters.gaps += 1;
        counters.gap_bytes += u64::from(hole);
        self.give(&[], hole, give);
        self.release(counters, give);
    }

    fn give(&mut self, bytes: &[u8], missing: u32, give: &mut dyn FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            if self.start_is_whole {
                if !self.settled && self.start.len() < START_KEPT_MAX {
                    self.start.extend_from_slice(bytes);
                } else if self.settled && self.start.len() < START_SETTLED_MAX {
                    let room = START_SETTLED_MAX - self.start.len();
                    self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
            give(Piece::Bytes(bytes));
        }
        if missing > 0 {
            self.start_is_whole = self.start.is_empty();
            give(Piece::Gap(missing.into()));
        }
        let n = bytes.len() as u32 + missing;
        self.position += u64::from(n);
        if self.start.is_empty() {
            self.start_at = self.position;
        }
        self.next = self.next.map(|next| next.wrapping_add(n));
        self.acked_hole = 0;
    }

    /// Hands on held segments that are in order now.
    fn release(&mut self, counters: &mut ReassemblyCounters, give: &mut dyn FnMut(Piece<'_>)) {
        while let (Some(next), Some((seq, ..))) = (self.next, self.held.front()) {
            let ahead = seq.wrapping_sub(next);
            if ahead != 0 && ahead < WINDOW_MAX {
                return;
            }
            let Some((_, bytes, missing)) = self.held.pop_front() else { return };
            self.held_bytes -= bytes.len();
            let behind = ahead.wrapping_neg();
            self.compare(behind, &bytes, counters);
            match bytes.get(behind as usize..) {
                Some(new) => self.give(new, missing, give),
                None => {
                    let total = bytes.len() as u32 + missing;
                    if total > behind {
                        self.give(&[], total - behind, give);
                    }
                }
            }
        }
    }

    /// Compares bytes that lie `behind` the next one with what was handed on, as far as that was kept.
    fn compare(&mut self, behind: u32, bytes: &[u8], counters: &mut ReassemblyCounters) {
        // A lone byte just before the next is a keep-alive probe, and may be anything.
        if bytes.len() < 2 || behind == 0 {
            return;
        }
        let Some(from) = self.position.checked_sub(self.start_at + u64::from(behind)) else { return };
        let known = self.start.get(from as usize..).unwrap_or(&[]);
        let n = known.len().min(bytes.len());
        if known[..n] != bytes[..n] {
            counters.conflicts += 1;
            self.conflicting = true;
        }
    }

    /// Keeps a segment that came too early: of bytes that are held already, the first stay.
    fn hold(&mut self, seq: u32, bytes: &[u8], missing: u32, counters: &mut ReassemblyCounters) {
        let Some(next) = self.next else { return };
        let place = |s: u32| s.wrapping_sub(next);
        let (mut start, end) =
            (place(seq), place(seq).saturating_add(bytes.len() as u32).saturating_add(missing));
        let mut i = 0;
        let mut pieces: Vec<(usize, Held)> = Vec::new();
        // Walk over the held segments and fill the holes between them that this one covers.
        while i <= self.held.len() && start < end {
            let (held_start, held_end) = match self.held.get(i) {
                Some((s, b, m)) => (place(*s), place(*s).saturating_add(b.len() as u32).saturating_add(*m)),
                None => (u32::MAX, u32::MAX),
            };
            if held_end <= start {
                i += 1;
                continue;
            }
            if start < held_start {
                let stop = end.min(held_start);
                let from = (start - place(seq)) as usize;
                let to = ((stop - place(seq)) as usize).min(bytes.len());
                let piece = bytes.get(from..to).unwrap_or(&[]).to_vec();
                let lost = stop - start - piece.len() as u32;
                pieces.push((i, (next.wrapping_add(start), piece, lost)));
            }
            if let Some((_, b, _)) = self.held.get(i)
                && end > held_start
            {
                let (from, to) = (start.max(held_start), end.min(held_start + b.len() as u32));
                let old = b.get((from - held_start) as usize..to.saturating_sub(held_start) as usize);
                let at = (from - place(seq)) as usize;
                let new = bytes.get(at..at + to.saturating_sub(from) as usize);
                if let (Some(old), Some(new)) = (old, new)
                    && old != new
                {
                    counters.conflicts += 1;
                    self.conflicting = true;
                }
            }
            start = start.max(held_end);
            i += 1;
        }
        for (i, piece) in pieces.into_iter().rev() {
            self.held_bytes += piece.1.len();
            self.held.insert(i, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a SYN the stream begins with the lowest sequence number, whichever segment comes first.
    #[test]
    fn a_picked_up_stream_goes_back_to_its_start() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut r = Reassembler::picked_up(None);
            let mut counters = ReassemblyCounters::default();
            for i in order {
                let seq = u32::MAX.wrapping_add(i * 2);
                r.rewind(seq);
                r.push(seq, &b"abcdef"[i as usize * 2..][..2], 0, true, &mut counters, &mut |_| {});
            }
            assert_eq!((r.start(), r.position(), r.held_bytes()), (&b"abcdef"[..], 6, 0), "{order:?}");
            assert_eq!((counters.gaps, counters.conflicts), (0, 0));
        }
        // Where the start is known, what lies before it is old.
        let mut r = Reassembler::picked_up(Some(100));
        r.push(100, b"ab", 0, true, &mut ReassemblyCounters::default(), &mut |_| {});
        assert!(!r.rewind(98) && !Reassembler::new(None).rewind(98));
    }

    /// Who can keep segments from arriving declares no gap for want of room.
    #[test]
    fn a_strict_one_refuses_what_it_has_no_room_for() {
        let mut r = Reassembler::new(Some(0)).strict(true);
        let (mut counters, mut out) = (ReassemblyCounters::default(), Vec::new());
        let count = 2 * SEGMENTS_MAX as u32;
        for round in 0..3 {
            for seq in (0..count).rev() {
                r.push(seq, &[seq as u8], 0, true, &mut counters, &mut |piece| match piece {
                    Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                    Piece::Gap(_) => panic!("a gap in round {round}"),
                });
            }
        }
        // Sent often enough, in the worst of orders, some are let in each time.
        assert!(counters.over_budget > 0);
        for seq in 0..count {
            r.push(seq, &[seq as u8], 0, true, &mut counters, &mut |piece| {
                if let Piece::Bytes(bytes) = piece {
                    out.extend_from_slice(bytes);
                }
            });
        }
        assert_eq!(out, (0..count).map(|i| i as u8).collect::<Vec<_>>());
        assert_eq!(counters.gaps, 0);
    }

    /// Feeds segments (sequence number, bytes) and gives what comes out; `.` stands for a lost byte.
    fn run(syn: Option<u32>, segments: &[(u32, &[u8])]) -> (Vec<u8>, ReassemblyCounters) {
        let (mut r, mut counters, mut out) =
            (Reassembler::new(None), ReassemblyCounters::default(), Vec::new());
        if let Some(seq) = syn {
            r.syn(seq);
        }
        let mut give = |piece: Piece<'_>| match piece {
            Piece::Bytes(b) => out.extend_from_slice(b),
            Piece::Gap(n) => out.extend(std::iter::repeat_n(b'.', n as usize)),
        };
        for (seq, bytes) in segments {
            r.push(*seq, bytes, 0, true, &mut counters, &mut give);
        }
        r.flush(&mut counters, &mut give);
        assert_eq!(r.held_bytes(), 0);
        (out, counters)
    }

    #[test]
    fn out_of_order_and_again() {
        let (out, counters) = run(Some(9), &[(13, b"def"), (10, b"abc"), (10, b"abc"), (16, b"g")]);
        assert_eq!(out, b"abcdefg");
        assert_eq!((counters.held, counters.conflicts, counters.gaps), (1, 0, 0));
    }

    #[test]
    fn a_retransmission_with_another_content_is_told_and_the_first_wins() {
        let (out, counters) = run(Some(9), &[(10, b"abcdef"), (12, b"XXef"), (16, b"g")]);
        assert_eq!(out, b"abcdefg");
        assert_eq!(counters.conflicts, 1);
        let (out, counters) = run(Some(9), &[(14, b"efgh"), (12, b"cdXX"), (10, b"ab")]);
        assert_eq!(out, b"abcdefgh");
        assert_eq!(counters.conflicts, 1);
    }

    #[test]
    fn a_keep_alive_before_the_first_byte_is_no_hole() {
        let run = |mut r: Reassembler, seq| {
            let (mut counters, mut out) = (ReassemblyCounters::default(), Vec::new());
            r.push(seq, b"abc", 0, true, &mut counters, &mut |piece| out.push(format!("{piece:?}")));
            (out.len(), counters.held)
        };
        assert_eq!(run(Reassembler::picked_up(Some(9)), 10), (1, 0));
        // Two bytes are missing, or one after a SYN: those were lost.
        assert_eq!(run(Reassembler::picked_up(Some(9)), 11), (0, 1));
        assert_eq!(run(Reassembler::new(Some(9)), 10), (0, 1));
        assert_eq!(run(Reassembler::picked_up(None), 10), (1, 0));
    }

    #[test]
    fn a_keep_alive_is_not_a_conflict() {
        let (out, counters) = run(Some(9), &[(10, b"abc"), (12, b"\0"), (13, b"d")]);
        assert_eq!((out.as_slice(), counters.conflicts), (b"abcd".as_slice(), 0));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let (out, _) = run(Some(u32::MAX - 2), &[(1, b"cd"), (u32::MAX - 1, b"ab\0"), (3, b"e")]);
        assert_eq!(out, b"ab\0cde");
    }

    #[test]
    fn a_hole_is_given_up_when_the_other_side_has_the_bytes() {
        let (mut r, mut counters, mut out) =
            (Reassembler::new(None), ReassemblyCounters::default(), Vec::new());
        let mut give = |piece: Piece<'_>| out.push(format!("{piece:?}"));
        r.syn(0);
        r.push(1, b"ab", 0, true, &mut counters, &mut give);
        r.push(5, b"ef", 0, true, &mut counters, &mut give);
        for _ in 0..=ACKED_HOLE_PACKETS {
            r.acked(7, &mut counters, &mut give);
        }
        assert_eq!(out, ["Bytes([97, 98])", "Gap(2)", "Bytes([101, 102])"]);
        assert_eq!((counters.gaps, counters.gap_bytes), (1, 2));
    }

    #[test]
    fn bytes_cut_by_the_snap_length_are_a_gap() {
        let (mut r, mut counters, mut out) =
            (Reassembler::new(None), ReassemblyCounters::default(), Vec::new());
        let mut give = |piece: Piece<'_>| out.push(format!("{piece:?}"));
        r.push(1, b"ab", 3, true, &mut counters, &mut give);
        r.push(6, b"f", 0, true, &mut counters, &mut give);
        assert_eq!(out, ["Bytes([97, 98])", "Gap(3)", "Bytes([102])"]);
    }

    proptest::proptest! {
        /// Whatever the cut, the order, the repetitions and the starting number, the stream comes out as it was.
        #[test]
        fn any_cut_in_any_order_gives_the_stream(
            stream in proptest::collection::vec(proptest::num::u8::ANY, 1..600),
            cuts in proptest::collection::vec((proptest::arbitrary::any::<proptest::sample::Index>(), 1usize..80), 0..40),
            isn: u32,
        ) {
            let mut segments: Vec<(u32, &[u8])> = Vec::new();
            for (at, len) in &cuts {
                let at = at.index(stream.len());
                let piece = &stream[at..stream.len().min(at + len)];
                segments.push((isn.wrapping_add(1 + at as u32), piece));
            }
            // Make sure that everything is there at least once, last of all.
            for (i, piece) in stream.chunks(90).enumerate() {
                segments.push((isn.wrapping_add(1 + i as u32 * 90), piece));
            }
            let (out, counters) = run(Some(isn), &segments);
            proptest::prop_assert_eq!(out, stream);
            proptest::prop_assert_eq!(counters.conflicts, 0);
        }
    }
}
