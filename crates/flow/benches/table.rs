//! The flow table, when it is far larger than the caches.
//!
//! `find`: a million IPv4 TCP flows of the engine's size (192 bytes each), looked up in random order, one packet counted
//! on each. `in steps of 32` is what the engine does: the hash and the index for 32 packets, then the 32 keys, then the
//! work, so that cache misses overlap. `one by one` is the same table without that. Yardstick: std's `HashMap` (which is
//! hashbrown) with the flows in it and a fast hash (foldhash); it hashes and looks up one by one, as its interface has
//! it. The figure is look-ups per second, hash included; it is the machine's memory that is measured, so it moves with
//! whatever else the machine does.
//!
//! `churn`: 100,000 flows at any time; each step removes the oldest and adds a new one. The figure is steps per second.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use daylight_flow::{Flow, FlowHasher, Table};
use daylight_packet::FlowKey;
use foldhash::fast::RandomState;

/// The program's allocator: it decides which pages the flows lie on, and with so many, much of the time goes into finding
/// pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the engine keeps with each flow is as large as this.
type Hot = [u64; 3];
const _: () = assert!(size_of::<Flow<Hot>>() <= 192);

const FLOWS: u32 = 1_000_000;
const CHURN_FLOWS: u32 = 100_000;
const STEP: usize = 32;

fn key(n: u32) -> FlowKey {
    let client = 0xffff_0a00_0000_u64 + u64::from(n >> 4);
    FlowKey {
        addresses: [[0, client], [0, 0xffff_c000_0209]],
        ports: [32_768 + (n % 16) as u16, 443],
        protocol: 6,
        ip_version: 4,
        ..FlowKey::default()
    }
}

fn flow(n: u32) -> Flow<Hot> {
    Flow::new(key(n), true, 0, n.into(), [0; 3])
}

/// The keys in an order that neither the caches nor the prefetcher can foresee.
fn shuffled() -> Vec<FlowKey> {
    let mut numbers: Vec<u32> = (0..FLOWS).collect();
    let mut state = 1_u64;
    for i in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.swap(i, (state >> 33) as usize % (i + 1));
    }
    numbers.into_iter().map(key).collect()
}

fn count(flow: &mut Flow<Hot>) {
    flow.last_ns += 1;
    flow.sides[0].packets = flow.sides[0].packets.wrapping_add(1);
}

fn in_steps(table: &mut Table<Hot>, hasher: &FlowHasher, keys: &[FlowKey]) -> usize {
    let mut steps = [(0, 0); STEP];
    let mut found = 0;
    for group in keys.chunks(STEP) {
        for (step, key) in steps.iter_mut().zip(group) {
            let hash = hasher.hash(key);
            *step = (hash, table.first_guess(hash));
        }
        steps[..group.len()].iter().filter_map(|(_, guess)| table.guessed(*guess)).for_each(Flow::touch);
        for ((hash, guess), key) in steps.iter().zip(group) {
            let index = match table.guessed(*guess) {
                Some(flow) if flow.is_of(*hash, key) => Some(*guess),
                _ => table.find(*hash, key),
            };
            if let Some(index) = index {
                count(&mut table[index]);
                found += 1;
            }
        }
    }
    found
}

fn one_by_one(table: &mut Table<Hot>, hasher: &FlowHasher, keys: &[FlowKey]) -> usize {
    let mut found = 0;
    for key in keys {
        if let Some(index) = table.find(hasher.hash(key), key) {
            count(&mut table[index]);
            found += 1;
        }
    }
    found
}

fn find(c: &mut Criterion) {
    let keys = shuffled();
    let hasher = FlowHasher::with_seed(7);
    let mut group = c.benchmark_group("find in 1,000,000");
    group.throughput(Throughput::Elements(FLOWS.into())).sample_size(10);

    let mut table: Table<Hot> = Table::default();
    for n in 0..FLOWS {
        table.insert(hasher.hash(&key(n)), flow(n));
    }
    assert_eq!(in_steps(&mut table, &hasher, &keys), keys.len());
    group.bench_function("table, in steps of 32", |b| {
        b.iter(|| in_steps(&mut table, &hasher, black_box(&keys)));
    });
    group.bench_function("table, one by one", |b| {
        b.iter(|| one_by_one(&mut table, &hasher, black_box(&keys)));
    });
    drop(table);

    let mut map: HashMap<FlowKey, Flow<Hot>, RandomState> = HashMap::default();
    map.extend((0..FLOWS).map(|n| (key(n), flow(n))));
    group.bench_function("std HashMap", |b| {
        b.iter(|| {
            black_box(&keys).iter().for_each(|key| map.get_mut(key).map_or((), count));
        });
    });
    group.finish();
}

fn churn(c: &mut Criterion) {
    let mut group = c.benchmark_group("churn among 100,000");
    group.throughput(Throughput::Elements(CHURN_FLOWS.into())).sample_size(10);
    churn_table(&mut group);
    churn_map(&mut group);
    group.finish();
}

fn churn_table(group: &mut BenchmarkGroup<'_, WallTime>) {
    let hasher = FlowHasher::with_seed(7);
    let mut table: Table<Hot> = Table::default();
    let mut live: VecDeque<u32> =
        (0..CHURN_FLOWS).map(|n| table.insert(hasher.hash(&key(n)), flow(n))).collect();
    let mut next = CHURN_FLOWS;
    group.bench_function("table", |b| {
        b.iter(|| {
            for _ in 0..CHURN_FLOWS {
                table.remove(live.pop_front().unwrap());
                live.push_back(table.insert(hasher.hash(&key(next)), flow(next)));
                next = next.wrapping_add(1);
            }
        });
    });
    assert_eq!(table.len(), CHURN_FLOWS as usize);
}

fn churn_map(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut map: HashMap<FlowKey, Flow<Hot>, RandomState> = HashMap::default();
    map.extend((0..CHURN_FLOWS).map(|n| (key(n), flow(n))));
    let mut next = CHURN_FLOWS;
    group.bench_function("std HashMap", |b| {
        b.iter(|| {
            for _ in 0..CHURN_FLOWS {
                map.remove(&key(next.wrapping_sub(CHURN_FLOWS)));
                map.insert(key(next), flow(next));
                next = next.wrapping_add(1);
            }
        });
    });
    assert_eq!(map.len(), CHURN_FLOWS as usize);
}

criterion_group!(benches, find, churn);
criterion_main!(benches);
