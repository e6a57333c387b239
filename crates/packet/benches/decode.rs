//! What decoding a frame costs, by kind of frame, with everything in the cache. `cargo bench -p daylight-packet`.
//!
//! "mixed" goes through frames of several kinds in an irregular order, so that branches are not learnt by heart.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_packet::{Decoder, LinkType};
use etherparse::{PacketBuilder, VlanId};

const PAYLOAD: [u8; 100] = [0x17; 100];

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let start = || PacketBuilder::ethernet2([2; 6], [4; 6]);
    let (a, b) = ([10, 0, 0, 1], [192, 0, 2, 7]);
    let (c, d) = ([0x20; 16], [0x21; 16]);
    let tcp_v4 = written(|out| {
        start().ipv4(a, b, 64).tcp(40000, 443, 1, 2).ack(1).write(out, &PAYLOAD).unwrap();
    });
    let udp_v4 = written(|out| start().ipv4(b, a, 64).udp(53, 40000).write(out, &PAYLOAD).unwrap());
    let tcp_v6 = written(|out| {
        start().ipv6(c, d, 64).tcp(40000, 443, 1, 2).ack(1).write(out, &PAYLOAD).unwrap();
    });
    let vlan = written(|out| {
        let tagged = start().single_vlan(VlanId::try_new(5).unwrap());
        tagged.ipv4(a, b, 64).tcp(40000, 443, 1, 2).ack(1).write(out, &PAYLOAD).unwrap();
    });
    let two_tags = written(|out| {
        let tagged = start().double_vlan(VlanId::try_new(5).unwrap(), VlanId::try_new(6).unwrap());
        tagged.ipv4(a, b, 64).tcp(40000, 443, 1, 2).ack(1).write(out, &PAYLOAD).unwrap();
    });
    let icmp = written(|out| start().ipv4(a, b, 64).icmpv4_echo_request(1, 1).write(out, &PAYLOAD).unwrap());
    let vxlan = written(|out| {
        let inside = [&[8, 0, 0, 0, 0, 0, 5, 0], &tcp_v4[..]].concat();
        start().ipv4(a, b, 64).udp(50000, 4789).write(out, &inside).unwrap();
    });
    vec![
        ("tcp-ipv4", tcp_v4),
        ("udp-ipv4", udp_v4),
        ("tcp-ipv6", tcp_v6),
        ("tcp-vlan", vlan),
        ("tcp-qinq", two_tags),
        ("icmp", icmp),
        ("vxlan", vxlan),
    ]
}

fn decode(criterion: &mut Criterion) {
    let frames = frames();
    let decoder = Decoder::new();
    let one = |bytes: &[u8]| decoder.decode(LinkType::ETHERNET, black_box(bytes), 1, bytes.len() as u32);
    let mut group = criterion.benchmark_group("decode");
    for (name, bytes) in &frames {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                black_box(&one(bytes));
            });
        });
    }
    // TCP three times of eight each for IPv4 and IPv6, UDP twice: in a fixed order that has no period worth learning.
    let kinds = [0, 0, 0, 1, 1, 2, 2, 2];
    let mut random = 1_u64;
    let order: Vec<&[u8]> = (0..4096)
        .map(|_| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            &frames[kinds[(random >> 61) as usize]].1[..]
        })
        .collect();
    group.throughput(Throughput::Elements(order.len() as u64));
    group.bench_function("mixed", |bencher| {
        bencher.iter(|| {
            for bytes in &order {
                black_box(&one(bytes));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
