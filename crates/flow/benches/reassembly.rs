//! One direction of a TCP connection put in order, against the simplest thing that does it.
//!
//! Input: 64 segments of 1,400 bytes (88 KB: it stays in the cache) as they come in order, last first, in pairs swapped,
//! and with every eighth lost and acknowledged, as it is in captures that dropped packets. Yardstick: a `BTreeMap` from
//! the place in the stream to a copy of the segment, emptied from its front; it compares nothing, bounds nothing and
//! keeps no start of the stream. Both hand each piece to a closure that looks at its first byte. The figure is bytes of
//! payload per second; in order, nothing but the first 4 KiB is copied, so there it stands for a cost per segment.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_flow::{Piece, Reassembler, ReassemblyCounters, SEGMENTS_MAX};

const SEGMENT: usize = 1400;
/// Last first, all but one of them wait: as many as a direction may hold.
const SEGMENTS: usize = SEGMENTS_MAX;
/// The sequence numbers wrap on the way.
const START: u32 = 0u32.wrapping_sub(20 * SEGMENT as u32);

struct Segment {
    seq: u32,
    bytes: Vec<u8>,
}

fn segment(n: usize) -> Segment {
    Segment { seq: START.wrapping_add((n * SEGMENT) as u32), bytes: vec![n as u8; SEGMENT] }
}

/// (bytes, bytes missing) that came out, and something of each piece.
type Told = (usize, u64, u8);

fn tell(told: &mut Told, piece: Piece<'_>) {
    match piece {
        Piece::Bytes(bytes) => {
            told.0 += bytes.len();
            told.2 ^= bytes.first().copied().unwrap_or(0);
        }
        Piece::Gap(n) => told.1 += n,
    }
}

fn reassemble(segments: &[Segment], acknowledge: bool) -> Told {
    let mut stream = Reassembler::new(None);
    let (mut counters, mut told) = (ReassemblyCounters::default(), (0, 0, 0));
    stream.syn(START.wrapping_sub(1));
    for Segment { seq, bytes } in segments {
        stream.push(*seq, black_box(bytes), 0, true, &mut counters, &mut |piece| tell(&mut told, piece));
        if acknowledge {
            let end = seq.wrapping_add(SEGMENT as u32);
            stream.acked(end, &mut counters, &mut |piece| tell(&mut told, piece));
        }
    }
    stream.flush(&mut counters, &mut |piece| tell(&mut told, piece));
    told
}

fn with_a_map(segments: &[Segment]) -> Told {
    let mut held: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let (mut next, mut told) = (0, (0, 0, 0));
    for Segment { seq, bytes } in segments {
        held.insert(seq.wrapping_sub(START), black_box(bytes).clone());
        while let Some(first) = held.first_entry().filter(|first| *first.key() == next) {
            let bytes = first.remove();
            next += bytes.len() as u32;
            tell(&mut told, Piece::Bytes(&bytes));
        }
    }
    for (place, bytes) in held {
        tell(&mut told, Piece::Gap(u64::from(place.saturating_sub(next))));
        next = place + bytes.len() as u32;
        tell(&mut told, Piece::Bytes(&bytes));
    }
    told
}

fn bench(c: &mut Criterion) {
    let in_order: Vec<usize> = (0..SEGMENTS).collect();
    let swapped: Vec<usize> = (0..SEGMENTS).map(|n| n ^ 1).collect();
    let cases = [
        ("in order", in_order.clone()),
        ("pairs swapped", swapped),
        ("last first", in_order.iter().rev().copied().collect()),
        ("every eighth lost", in_order.iter().filter(|n| **n % 8 != 5).copied().collect()),
    ];
    let mut group = c.benchmark_group("reassembly");
    for (name, order) in cases {
        let segments: Vec<Segment> = order.iter().map(|n| segment(*n)).collect();
        let lossy = segments.len() < SEGMENTS;
        assert_eq!(reassemble(&segments, lossy), with_a_map(&segments), "{name}");
        group.throughput(Throughput::Bytes((segments.len() * SEGMENT) as u64));
        group.bench_function(format!("{name}/daylight"), |b| {
            b.iter(|| reassemble(&segments, lossy));
        });
        group.bench_function(format!("{name}/map"), |b| {
            b.iter(|| with_a_map(&segments));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
