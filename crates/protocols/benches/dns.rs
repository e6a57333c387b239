//! A DNS look-up, read: a query and its answer (an alias and two addresses, 80 to 90 bytes) through a parser of its own,
//! as a flow over UDP has it.
//!
//! There is no peer: the lines differ only in what is wanted, so their ratio is what asking for less saves. Facts (which
//! address is called what) are told in every case, as the engine needs them to name later flows. The figure is look-ups
//! per second.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_protocols::driver::Driver;
use daylight_protocols::testing::hex;
use daylight_protocols::{Dir, Findings, ProtocolId, Sink, Wanted, common};

const LOOKUPS: usize = 256;

fn lookup(n: usize) -> (Vec<u8>, Vec<u8>) {
    let (host, domain) = (format!("www{n}"), format!("example{}", n % 10));
    let mut query = (n as u16).to_be_bytes().to_vec();
    query.extend(hex("0100 0001 0000 0000 0000"));
    for label in [host.as_str(), &domain, "org"] {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);

    let mut answer = query.clone();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[7] = 3;
    // The alias is "cdn" in the same domain, whose labels stand after the host's.
    let in_domain = 12 + 1 + host.len() as u8;
    answer.extend(hex("c00c 0005 0001 0000003c 0006"));
    let alias = answer.len() as u8;
    answer.extend([3, b'c', b'd', b'n', 0xc0, in_domain]);
    for last in [1, 2] {
        answer.extend([0xc0, alias]);
        answer.extend(hex("0001 0001 0000001e 0004 c00002"));
        answer.push(last);
    }
    (query, answer)
}

/// Reads both datagrams; answers how many fields, events and facts there were.
fn read((query, answer): &(Vec<u8>, Vec<u8>), wanted: &Wanted) -> (Findings, usize, usize) {
    let (mut found, mut events, mut facts) = (Findings::default(), Vec::new(), Vec::new());
    let addresses = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 53])];
    let mut driver = Driver::new(ProtocolId::Dns).unwrap();
    let mut sink = Sink::new(&mut found, wanted, &mut events, &mut facts, 0, addresses, [50_000, 53]);
    let _ = driver.datagram(Dir::Client, black_box(query), &mut sink);
    let _ = driver.datagram(Dir::Server, black_box(answer), &mut sink);
    driver.finish(&mut sink);
    (found, events.len(), facts.len())
}

fn bench(c: &mut Criterion) {
    let lookups: Vec<_> = (0..LOOKUPS).map(lookup).collect();
    let mut hostname = Wanted::none();
    hostname.add(common::HOSTNAME);
    let mut fields = Wanted::all();
    fields.set_events(false);
    let cases = [
        ("nothing", Wanted::none()),
        ("host name", hostname),
        ("every field", fields),
        ("every field and transactions", Wanted::all()),
    ];
    let mut group = c.benchmark_group("dns/wanting");
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    for (name, wanted) in &cases {
        let (found, events, facts) = read(&lookups[7], wanted);
        // One fact: both addresses have the same name.
        assert_eq!((events, facts), (usize::from(name.ends_with("transactions")), 1), "{name}");
        assert_eq!(found.text(common::HOSTNAME).is_some(), *name != "nothing", "{name}");
        assert!(found.text(common::HOSTNAME).is_none_or(|host| host == "www7.example7.org"), "{name}");
        group.bench_function(*name, |b| {
            b.iter(|| lookups.iter().map(|l| read(l, wanted).2).sum::<usize>());
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
