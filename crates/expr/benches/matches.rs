//! Evaluation, against the closure that a programmer would write by hand for the same question on the same rows. Each
//! pass is over 1,024 rows; what counts is the ratio of the two.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_expr::{FieldType, Kind, NoLists, Row, Schema, ValueRef, compile};

struct Flow {
    protocol: &'static str,
    hostname: Option<String>,
    src_ip: IpAddr,
    dst_port: u16,
    src_bytes: u64,
    risks: Vec<&'static str>,
}

struct Fields;

const NAMES: [(&str, Kind); 6] = [
    ("protocol", Kind::Str),
    ("hostname", Kind::Str),
    ("src_ip", Kind::Ip),
    ("dst_port", Kind::Uint),
    ("src_bytes", Kind::Uint),
    ("risks", Kind::Str),
];

impl Schema for Fields {
    fn field(&self, name: &str) -> Option<FieldType> {
        let at = NAMES.iter().position(|(known, _)| *known == name)?;
        Some(FieldType { id: at as u32, kind: NAMES[at].1, list: name == "risks" })
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(NAMES.iter().map(|(name, _)| *name))
    }
}

impl Row for Flow {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        let one = match id {
            0 => Some(ValueRef::Str(self.protocol)),
            1 => self.hostname.as_deref().map(ValueRef::Str),
            2 => Some(ValueRef::Ip(self.src_ip)),
            3 => Some(ValueRef::Uint(self.dst_port.into())),
            4 => Some(ValueRef::Uint(self.src_bytes)),
            _ => None,
        };
        let risks = if id == 5 { self.risks.as_slice() } else { &[] };
        one.into_iter().chain(risks.iter().map(|risk| ValueRef::Str(risk)))
    }
}

fn flows() -> Vec<Flow> {
    // A small generator of numbers, so that branches are not all foreseen.
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..1024)
        .map(|_| Flow {
            protocol: ["tls", "dns", "http", "quic"][random(4) as usize],
            hostname: (random(4) > 0).then(|| format!("host{}.example{}.com", random(100), random(10))),
            src_ip: Ipv4Addr::new(10, random(4) as u8, random(256) as u8, 1).into(),
            dst_port: [443, 53, 80, 8443][random(4) as usize],
            src_bytes: random(100_000),
            risks: if random(3) == 0 { vec!["obsolete-tls", "self-signed-certificate"] } else { vec![] },
        })
        .collect()
}

type Question = fn(&Flow) -> bool;

fn bench(c: &mut Criterion) {
    let flows = flows();
    let cases: [(&str, &str, Question); 5] = [
        ("equal", r#"protocol == "tls""#, |flow| flow.protocol == "tls"),
        (
            "rule",
            r#"protocol == "tls" and src_ip == 10.1.0.0/16 and src_bytes > 50000 or dst_port in {53, 8000..8999}"#,
            |flow| {
                (flow.protocol == "tls"
                    && matches!(flow.src_ip, IpAddr::V4(ip) if ip.octets()[..2] == [10, 1])
                    && flow.src_bytes > 50_000)
                    || flow.dst_port == 53
                    || (8000..9000).contains(&flow.dst_port)
            },
        ),
        ("contains", r#"hostname contains "example7""#, |flow| {
            flow.hostname.as_ref().is_some_and(|name| name.contains("example7"))
        }),
        ("any of a list", r#"risks == "self-signed-certificate""#, |flow| {
            flow.risks.contains(&"self-signed-certificate")
        }),
        ("lower", r#"lower(hostname) == "host7.example3.com""#, |flow| {
            flow.hostname.as_ref().is_some_and(|name| name.eq_ignore_ascii_case("host7.example3.com"))
        }),
    ];
    let mut group = c.benchmark_group("matches");
    group.throughput(Throughput::Elements(flows.len() as u64));
    for (name, text, by_hand) in cases {
        let program = compile(text, &Fields, &NoLists).unwrap();
        for flow in &flows {
            assert_eq!(program.matches(flow), by_hand(flow), "{text}");
        }
        let count = |test: &dyn Fn(&Flow) -> bool| flows.iter().filter(|flow| test(black_box(flow))).count();
        group.bench_function(format!("{name}/program"), |b| b.iter(|| count(&|flow| program.matches(flow))));
        group.bench_function(format!("{name}/by hand"), |b| b.iter(|| count(&|flow| by_hand(flow))));
    }

    let names: Vec<String> = (0..200).map(|n| format!("host{n}.example{}.com", n % 10)).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let program = compile(&format!("hostname in {{{}}}", quoted.join(",")), &Fields, &NoLists).unwrap();
    let set: HashSet<String> = names.into_iter().collect();
    let count = |test: &dyn Fn(&Flow) -> bool| flows.iter().filter(|flow| test(black_box(flow))).count();
    group.bench_function("set of 200/program", |b| b.iter(|| count(&|flow| program.matches(flow))));
    group.bench_function("set of 200/by hand", |b| {
        b.iter(|| count(&|flow| flow.hostname.as_ref().is_some_and(|name| set.contains(name))))
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
