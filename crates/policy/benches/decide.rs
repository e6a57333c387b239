//! A policy of 100 rules over flows, against closures written by hand for the same questions. Each pass is over 1,024
//! records; what counts is the ratio of the two.

// Benches have no callers who would read docs, stop at what can't be, and print.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_inspect::FlowRecord;
use daylight_policy::{Decision, Early, FieldSet, FlowState, Judge, Policy, Stage};

const NOW: i64 = 1_780_000_000_000_000_000;

type Question = Box<dyn Fn(&FlowRecord) -> bool>;

/// A hundred rules of three kinds, and the same as closures.
fn rules() -> (Arc<Policy>, Vec<Question>) {
    let mut text = "[policy]\nname = \"bench\"\n".to_owned();
    let mut by_hand: Vec<Question> = Vec::new();
    for n in 0..100_u16 {
        let (port, block) = (1000 + n * 7, n as u8);
        let when = match n % 3 {
            0 => format!("dst_port in {{{port}..{}}}", port + 3),
            1 => format!("src_ip == 10.{block}.0.0/16 and dst_port == 443"),
            _ => format!("transport == \"udp\" and src_bytes > {}", 1_000_000 + u32::from(n)),
        };
        by_hand.push(match n % 3 {
            0 => Box::new(move |r| (port..=port + 3).contains(&r.ends.dst_port)),
            1 => Box::new(move |r| {
                matches!(r.ends.src_ip, IpAddr::V4(ip) if ip.octets()[..2] == [10, block])
                    && r.ends.dst_port == 443
            }),
            _ => Box::new(move |r| r.ends.ip_protocol == 17 && r.src.bytes > 1_000_000 + u64::from(n)),
        });
        text += &format!(
            "[[rule]]\nname = \"r{n}\"\nwhen = '{when}'\naction = \"drop\"\nreason = \"b\"\nauthority = \"b\"\nexpires = 2099-01-01\n"
        );
    }
    let files: HashMap<PathBuf, Vec<u8>> = HashMap::new();
    (Arc::new(Policy::parse(&text, "bench", &files, None).unwrap()), by_hand)
}

fn records() -> Vec<FlowRecord> {
    // A small generator of numbers, so that branches are not all foreseen.
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..1024)
        .map(|n| {
            let mut record = FlowRecord::blank(n);
            record.ends.ip_protocol = [6, 17][random(2) as usize];
            record.ends.dst_port = [443, 53, 80, 1000 + random(2000) as u16][random(4) as usize];
            record.ends.src_ip = Ipv4Addr::new(10, 100 + random(100) as u8, random(256) as u8, 1).into();
            record.src.bytes = random(1_100_000);
            record
        })
        .collect()
}

/// Pairs of passes whose times are compared: what else the machine does meets both alike.
const ROUNDS: usize = 400;

fn time(pass: impl FnOnce() -> usize) -> f64 {
    let start = Instant::now();
    black_box(pass());
    start.elapsed().as_secs_f64()
}

fn bench(c: &mut Criterion) {
    let ((policy, by_hand), records) = (rules(), records());
    let mut judge = Judge::new(Arc::clone(&policy));
    let place = |record: &FlowRecord| by_hand.iter().position(|test| test(record)).map(|at| at as u32);
    for record in &records {
        assert_eq!(judge.judge(record, NOW).1, place(record));
    }
    let mut group = c.benchmark_group("100 rules");
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("whole record/policy", |b| {
        b.iter(|| records.iter().filter(|r| judge.judge(black_box(*r), NOW).1.is_some()).count());
    });
    group.bench_function("whole record/by hand", |b| {
        b.iter(|| records.iter().filter(|r| place(black_box(r)).is_some()).count());
    });
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let ours =
                time(|| records.iter().filter(|r| judge.judge(black_box(*r), NOW).1.is_some()).count());
            ours / time(|| records.iter().filter(|r| place(black_box(r)).is_some()).count())
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "times closures, one after the other: median {:.2}, quarter to quarter {:.2} to {:.2}",
        ratios[ROUNDS / 2],
        ratios[ROUNDS / 4],
        ratios[ROUNDS * 3 / 4]
    );
    // Packets of flows that stay undecided, where nothing that the waiting rule reads has changed.
    let ports = policy.fields().set_of(|field| &*field.name == "dst_port");
    let mut states = vec![FlowState::default(); records.len()];
    let mut pass = |changed: FieldSet| {
        let mut undecided = 0;
        for (record, state) in records.iter().zip(&mut states) {
            let row = Early::new(policy.fields(), black_box(record), Stage::Begun);
            let decision = judge.decide(&row, NOW, changed, state);
            undecided += usize::from(matches!(decision, Decision::Undecided { .. }));
        }
        undecided
    };
    assert!(pass(FieldSet::ALL) > 100);
    group.bench_function("next packet, nothing new", |b| b.iter(|| pass(ports)));
    group.bench_function("next packet, all new", |b| b.iter(|| pass(FieldSet::ALL)));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
