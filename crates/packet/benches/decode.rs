//! From a frame to the flow's key and payload, against etherparse on the same frames in the same run.
//!
//! Input: 1,024 frames of one shape each (addresses, ports and payload lengths vary), whose headers fit into the
//! second-level cache, so that it is the code that is measured and not memory. Peer: `etherparse::SlicedPacket`, asked for the same
//! facts: both addresses, both ports, the length of the payload. The figure is packets per second (`elem/s`). Etherparse
//! does not open VXLAN, so it is called a second time for what is inside; it does not read radiotap, so that has no peer.
//! It does not make a key that is the same for both directions either: that part is in our figure alone.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_packet::{Decoder, FrameKind, LinkType, Packet};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

const FRAMES: usize = 1024;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A peer's decoder.
type Peer = fn(&[u8]) -> Option<Facts>;

/// What both are asked for: the ends' addresses and ports in no order, and the length of the payload.
type Facts = (u128, u32, usize);

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn ours(decoder: &Decoder, link: LinkType, frame: &[u8]) -> Option<Facts> {
    let mut packet = Packet::default();
    let kind = decoder.decode_into(link, frame, 0, frame.len() as u32, &mut packet);
    if kind != FrameKind::Packet {
        return None;
    }
    let key = &packet.key;
    let addresses = number(key.address(0)).wrapping_add(number(key.address(1)));
    Some((addresses, u32::from(key.ports[0]) + u32::from(key.ports[1]), packet.payload_len as usize))
}

fn theirs(frame: &[u8]) -> Option<(Facts, &[u8])> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let addresses = match sliced.net? {
        NetSlice::Ipv4(ip) => {
            let (a, b) = (ip.header().source_addr(), ip.header().destination_addr());
            number(a.into()).wrapping_add(number(b.into()))
        }
        NetSlice::Ipv6(ip) => {
            let (a, b) = (ip.header().source_addr(), ip.header().destination_addr());
            number(a.into()).wrapping_add(number(b.into()))
        }
        _ => return None,
    };
    let (from, to, payload) = match sliced.transport? {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port(), tcp.payload()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port(), udp.payload()),
        _ => return None,
    };
    Some(((addresses, u32::from(from) + u32::from(to), payload.len()), payload))
}

fn theirs_in_vxlan(frame: &[u8]) -> Option<Facts> {
    let (_, outer) = theirs(frame)?;
    Some(theirs(outer.get(8..)?)?.0)
}

fn tcp(n: usize) -> Vec<u8> {
    // Every length from nothing to a full segment, in steps that no branch predictor learns.
    let payload = vec![0x5a; n * 397 % 1300];
    let mut bytes = (20_000 + n as u16).to_be_bytes().to_vec();
    bytes.extend(443_u16.to_be_bytes());
    bytes.extend((n as u32 * 1460).to_be_bytes());
    // Acknowledgement, 32 bytes of header, ACK and PSH, window, no checksum; timestamps as every system sends them.
    bytes.extend([0, 0, 0, 9, 0x80, 0x18, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    bytes.extend(payload);
    bytes
}

fn udp(to: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = 50_000_u16.to_be_bytes().to_vec();
    bytes.extend(to.to_be_bytes());
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn ipv4(n: usize, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((payload.len() as u16 + 20).to_be_bytes());
    bytes.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    // Half of the packets go the other way.
    let ends = [Ipv4Addr::new(10, 0, (n >> 8) as u8, n as u8), Ipv4Addr::new(192, 0, 2, 9)];
    bytes.extend(ends[n * 7 / 3 % 2].octets());
    bytes.extend(ends[1 - n * 7 / 3 % 2].octets());
    bytes.extend(payload);
    bytes
}

fn ipv6(n: usize, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next, 63]);
    bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16).octets());
    bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9).octets());
    bytes.extend(payload);
    bytes
}

/// Hop-by-hop options, then destination options, each of padding alone.
fn ipv6_extended(n: usize) -> Vec<u8> {
    let mut bytes = vec![60, 0, 1, 4, 0, 0, 0, 0];
    bytes.extend([TCP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(tcp(n));
    ipv6(n, 0, &bytes)
}

fn ethernet(tags: &[u8], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(tags);
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn vxlan(n: usize) -> Vec<u8> {
    let mut inside = vec![8, 0, 0, 0, 0, 0, 42, 0];
    inside.extend(ethernet(&[], 0x0800, &ipv4(n, TCP, &tcp(n))));
    ethernet(&[], 0x0800, &ipv4(n, UDP, &udp(4789, &inside)))
}

/// Radiotap with timestamp and flags, a QoS data frame to the access point, LLC and SNAP.
fn radiotap(n: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 17, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([0x88, 0x01, 0, 0]);
    bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3]);
    bytes.extend([0x10, 0, 0, 0]);
    bytes.extend([0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0]);
    bytes.extend(ipv4(n, TCP, &tcp(n)));
    bytes
}

struct Case {
    name: &'static str,
    link: LinkType,
    frame: fn(usize) -> Vec<u8>,
    peer: Option<Peer>,
}

fn bench(c: &mut Criterion) {
    let plain: Option<Peer> = Some(|frame| theirs(frame).map(|(facts, _)| facts));
    let on_ethernet = |name, frame, peer| Case { name, link: LinkType::ETHERNET, frame, peer };
    let cases = [
        on_ethernet("ethernet, ipv4, tcp", |n| ethernet(&[], 0x0800, &ipv4(n, TCP, &tcp(n))), plain),
        on_ethernet(
            "ethernet, ipv4, udp",
            |n| ethernet(&[], 0x0800, &ipv4(n, UDP, &udp(53, &[7; 40]))),
            plain,
        ),
        on_ethernet("vlan, ipv4, tcp", |n| ethernet(&[0x81, 0, 0, 7], 0x0800, &ipv4(n, TCP, &tcp(n))), plain),
        on_ethernet("ipv6, tcp", |n| ethernet(&[], 0x86dd, &ipv6(n, TCP, &tcp(n))), plain),
        on_ethernet("ipv6, two extension headers, tcp", |n| ethernet(&[], 0x86dd, &ipv6_extended(n)), plain),
        on_ethernet("vxlan, ipv4, tcp", vxlan, Some(theirs_in_vxlan)),
        Case { name: "radiotap, 802.11, ipv4, tcp", link: LinkType::RADIOTAP, frame: radiotap, peer: None },
    ];
    let decoder = Decoder::new();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for Case { name, link, frame, peer } in cases {
        let frames: Vec<Vec<u8>> = (0..FRAMES).map(frame).collect();
        for (n, frame) in frames.iter().enumerate() {
            let found = ours(&decoder, link, frame);
            assert!(found.is_some(), "{name}, frame {n}");
            assert!(peer.is_none_or(|peer| peer(frame) == found), "{name}, frame {n}: the peer differs");
        }
        let sum = |facts: Option<Facts>| facts.map_or(0, |(a, p, n)| a as u64 ^ u64::from(p) ^ n as u64);
        group.bench_function(format!("{name}/daylight"), |b| {
            b.iter(|| {
                frames.iter().map(|f| sum(ours(&decoder, link, black_box(f)))).fold(0, u64::wrapping_add)
            });
        });
        if let Some(peer) = peer {
            group.bench_function(format!("{name}/etherparse"), |b| {
                b.iter(|| frames.iter().map(|f| sum(peer(black_box(f)))).fold(0, u64::wrapping_add));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
