//! What a look-up costs: once for each flow that has a name.
#![allow(missing_docs)] // benches have no callers who would read docs

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use daylight_inspect::catalog::{Catalog, registrable_domain};
use daylight_inspect::indicators::Indicators;

fn lookups(c: &mut Criterion) {
    let catalog = Catalog::builtin();
    for (what, host) in [
        ("by_host/known", "www.google.com"),
        ("by_host/long", "r3---sn-4g5ednsl.googlevideo.com"),
        ("by_host/unknown", "files.somebody.example.org"),
        (
            "by_host/longest",
            "a0123456789.b0123456789.c0123456789.d0123456789.e0123456789.f0123456789.example.net",
        ),
    ] {
        c.bench_function(what, |b| b.iter(|| catalog.by_host(black_box(host))));
    }
    c.bench_function("by_alpn", |b| b.iter(|| catalog.by_alpn(black_box("h2"))));
    let address = IpAddr::V4(Ipv4Addr::new(104, 16, 3, 4));
    c.bench_function("by_address", |b| b.iter(|| catalog.by_address(black_box(address))));
    c.bench_function("registrable_domain", |b| b.iter(|| registrable_domain(black_box("www.example.co.uk"))));
    c.bench_function("builtin", |b| b.iter(|| black_box(Catalog::builtin())));
    let own = "[intranet]\ncategory = \"business\"\ndomains = [\"corp.example\"]\n";
    c.bench_function("with_file", |b| {
        b.iter(|| catalog.with_file(black_box(own), "own.toml").map(|c| c.apps().len()))
    });
}

fn lists(c: &mut Criterion) {
    let text: String = (0..100_000).map(|i| format!("host{i}.bad{}.example\n", i % 977)).collect();
    c.bench_function("indicators/load 100,000 names", |b| {
        b.iter(|| Indicators::default().load(black_box(&text), "list.txt").map(|r| r.loaded()));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = lookups, lists
}
criterion_main!(benches);
