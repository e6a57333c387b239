//! A policy with large lists: 100,000 domains and 10,000 prefixes. How long it takes to load, to reload with lists that
//! did and did not change, and how much memory two generations take, against what a program does at least: one line
//! after the other into a hash set of names and a sorted list of prefixes. The memory is printed first.

// Benches have no callers who would read docs, and may stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_policy::Policy;

const DOMAINS: usize = 100_000;
const PREFIXES: usize = 10_000;
const POLICY: &str = r#"
[policy]
name = "large"

[[list]]
name = "names"
kind = "domains"
file = "names.txt"

[[list]]
name = "nets"
kind = "prefixes"
file = "nets.txt"

[[rule]]
name = "listed"
when = "hostname in $names or dst_ip in $nets"
action = "reject"
reason = "It is on a list"
authority = "The benchmark"
expires = 2099-01-01
"#;

type Files = HashMap<PathBuf, Vec<u8>>;

fn files(more: &str) -> Files {
    let (mut names, mut nets) = (String::new(), String::new());
    for n in 0..DOMAINS {
        writeln!(names, "host{n}.site{}.example{}.test", n % 977, n % 13).unwrap();
    }
    for n in 0..PREFIXES {
        writeln!(nets, "10.{}.{}.0/25", n / 256, n % 256).unwrap();
    }
    names += more;
    [("names.txt", names), ("nets.txt", nets)].map(|(name, text)| (name.into(), text.into_bytes())).into()
}

fn load(files: &Files, previous: Option<&Policy>) -> Policy {
    Policy::parse(POLICY, "large.toml", files, previous).unwrap()
}

/// The least that a loader does.
fn by_hand(files: &Files) -> (HashSet<String>, Vec<(u32, u8)>) {
    let lines = |name: &str| str::from_utf8(&files[&PathBuf::from(name)]).unwrap().lines();
    let names = lines("names.txt").map(str::to_ascii_lowercase).collect();
    let nets = lines("nets.txt").map(|line| {
        let (address, length) = line.split_once('/').unwrap();
        let IpAddr::V4(address) = address.parse().unwrap() else { panic!("an IPv4 prefix") };
        (u32::from(address), length.parse().unwrap())
    });
    let mut nets: Vec<_> = nets.collect();
    nets.sort_unstable();
    (names, nets)
}

/// A line of /proc/self/status, in KiB.
fn status(what: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn memory(one: &Files, other: &Files) {
    let before = status("VmRSS:");
    // From here on VmHWM is the most since now (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let old = load(one, None);
    let one_generation = status("VmRSS:") - before;
    let new = load(other, Some(&old));
    let both = status("VmRSS:") - before;
    println!(
        "memory: {one_generation} KiB with one generation, {both} KiB with two, {} KiB at most while loading",
        status("VmHWM:") - before
    );
    drop((old, new));
}

fn bench(c: &mut Criterion) {
    let (one, other) = (files(""), files("one-more.test\n"));
    memory(&one, &other);
    let mut group = c.benchmark_group("100,000 domains and 10,000 prefixes");
    group.sample_size(20).throughput(Throughput::Elements((DOMAINS + PREFIXES) as u64));
    group.bench_function("load/policy", |b| b.iter(|| load(black_box(&one), None)));
    group.bench_function("load/by hand", |b| b.iter(|| by_hand(black_box(&one))));
    let old = load(&one, None);
    group.bench_function("reload of the same", |b| b.iter(|| load(black_box(&one), Some(&old))));
    group.bench_function("reload of a longer one", |b| b.iter(|| load(black_box(&other), Some(&old))));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
