//! TCP reassembly against a naive model. Input: a byte of options, the first sequence number, then operations.
//!
//! The model knows every byte that was ever sent at a place. Whatever comes out must have been sent for that place; and
//! as long as nothing was given up (no budget, no acknowledged hole), it is all that was sent and no more.

use std::collections::BTreeMap;

use daylight_flow::{Piece, Reassembler, ReassemblyCounters, SEGMENTS_MAX, START_KEPT_MAX};

use crate::input::Input;

/// The reassembler's own bound on the bytes of one direction.
const HELD_MAX: usize = 256 * 1024;

/// What was handed on: places and bytes.
#[derive(Default)]
struct Out {
    at: u64,
    bytes: BTreeMap<u64, u8>,
    gap_bytes: u64,
}

impl Out {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Bytes(bytes) => {
                assert!(!bytes.is_empty(), "an empty piece");
                for byte in bytes {
                    self.bytes.insert(self.at, *byte);
                    self.at += 1;
                }
            }
            Piece::Gap(n) => {
                assert!(n > 0, "an empty gap");
                self.at += n;
                self.gap_bytes += n;
            }
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let options = input.u8();
    // Without contradictions, a byte is a function of its place.
    let (is_consistent, is_syn_seen) = (options & 1 == 0, options & 2 == 0);
    let isn = input.u32();
    let (mut r, mut counters, mut out) = (Reassembler::new(None), ReassemblyCounters::default(), Out::default());
    if is_syn_seen {
        r.syn(isn);
    }
    let mut sent: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    // Where the stream starts, relative to the first sequence number after `isn`; unknown without a SYN.
    let mut origin = is_syn_seen.then_some(0u64);
    let (mut gave_up, mut snapped) = (false, false);
    while !input.is_empty() {
        let op = input.u8();
        let place = u64::from(input.u16());
        let seq = isn.wrapping_add(1).wrapping_add(place as u32);
        match op & 7 {
            7 => {
                gave_up = true;
                r.acked(seq, &mut counters, &mut |piece| out.take(piece));
            }
            6 => wild(&mut input),
            _ => {
                let len = u64::from(input.u8()) << (op >> 6);
                let missing = if op & 0x38 == 0x38 { u32::from(input.u8()) } else { 0 };
                snapped |= missing > 0;
                let salt = if is_consistent { 0 } else { input.u8() };
                let bytes: Vec<u8> = (place..place + len).map(|at| (at * 31 + (at >> 8)) as u8 ^ salt).collect();
                let start = *origin.get_or_insert(place);
                for (at, byte) in (place..).zip(&bytes) {
                    if at >= start {
                        sent.entry(at - start).or_default().push(*byte);
                    }
                }
                let may_hold = op & 0x38 != 0x30;
                let before = counters.over_budget;
                r.push(seq, &bytes, missing, may_hold, &mut counters, &mut |piece| out.take(piece));
                gave_up |= counters.over_budget > before;
            }
        }
        assert!(r.held_bytes() <= HELD_MAX + (255 << 3), "{} bytes are held", r.held_bytes());
        assert!(r.bytes() <= r.held_bytes() + 2 * (START_KEPT_MAX + SEGMENTS_MAX * (255 << 3)));
    }
    r.flush(&mut counters, &mut |piece| out.take(piece));
    assert_eq!(r.held_bytes(), 0);
    assert_eq!(r.position(), out.at, "everything handed on is counted");
    for (at, byte) in &out.bytes {
        let was_sent = sent.get(at).is_some_and(|bytes| bytes.contains(byte));
        assert!(was_sent, "byte {byte:02x} at {at}, where {:02x?} were sent", sent.get(at));
    }
    if is_consistent {
        assert_eq!((counters.conflicts, r.is_conflicting()), (0, false), "nothing contradicted anything");
    }
    if !gave_up && !snapped {
        let lost = sent.keys().find(|at| !out.bytes.contains_key(at));
        assert_eq!(lost, None, "a byte was sent and not handed on");
    }
}

/// Any numbers at all, in a reassembler of their own: what comes out has no meaning, but it is counted.
fn wild(input: &mut Input<'_>) {
    let mut r = Reassembler::new(Some(input.u32()));
    let mut counters = ReassemblyCounters::default();
    let mut at = 0u64;
    let mut give = |piece: Piece<'_>| {
        at += match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Gap(n) => n,
        }
    };
    for _ in 0..4 {
        let (seq, missing) = (input.u32(), input.u32());
        let bytes = input.take(9);
        r.push(seq, bytes, missing, true, &mut counters, &mut give);
        r.acked(input.u32(), &mut counters, &mut give);
    }
    r.flush(&mut counters, &mut give);
    assert_eq!((r.position(), r.held_bytes()), (at, 0));
}
