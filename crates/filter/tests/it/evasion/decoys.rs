//! Packets that the server never takes, which say another name in the place of the real one.

use std::sync::atomic::Ordering;

use daylight_packet::TcpHeader;
use daylight_packet::build::Tcp;

use super::dns::{ask, query};
use super::tls::{RULE, find};
use super::{NAMES, each, ensure};
use crate::filtering::{Filter, policy, rule, with_filter};
use crate::hello::{fetch, hello};
use crate::namespace::entered;
use crate::net::{Net, have};
use crate::raw::{Stream, Wire};

/// What keeps the server from taking a segment.
#[derive(Clone, Copy)]
enum Spoilt {
    /// A checksum that is wrong: everybody can see that.
    Checksum,
    /// Something that only the server knows to be wrong, or the routers before it.
    Otherwise(fn(&mut Tcp<'_>)),
}

/// The server is behind a router that this is too little for.
const SHORT_TTL: Spoilt = Spoilt::Otherwise(|tcp| tcp.ttl = 9);

/// What is spoilt, and how many bytes of other things there are in the hello.
const WAYS: &[(&str, (Spoilt, usize))] = &[
    ("a wrong checksum", (Spoilt::Checksum, 0)),
    ("a wrong checksum in a large hello", (Spoilt::Checksum, 3000)),
    ("a short time to live", (SHORT_TTL, 0)),
    ("a short time to live in a large hello", (SHORT_TTL, 3000)),
    (
        "an acknowledgement of what was never sent",
        (Spoilt::Otherwise(|tcp| tcp.ack = tcp.ack.wrapping_add(1 << 30)), 0),
    ),
    ("no acknowledgement", (Spoilt::Otherwise(|tcp| tcp.flags = TcpHeader::PSH), 0)),
];

/// Changes a byte of the transport's checksum.
fn spoil(mut packet: Vec<u8>) -> Vec<u8> {
    const UDP: u8 = 17;
    let (header, protocol) = if packet[0] >> 4 == 6 { (40, packet[6]) } else { (20, packet[9]) };
    packet[header + if protocol == UDP { 6 } else { 16 }] ^= 0x5a;
    packet
}

/// A hello whose name is sent as a decoy, and then as it is. A hello with the other name is sent in its place unless that is
/// thrown away for a reason that the filter can't see: then a forbidden one would be stopped, and rightly.
fn play(
    filter: &Filter<'_>,
    wire: &Wire,
    (spoilt, padding): (Spoilt, usize),
    name: &str,
) -> Result<(), String> {
    let blocked = name == NAMES[0];
    let is_plain = matches!(spoilt, Spoilt::Checksum);
    let counters = &filter.shared.counters;
    let before = filter.stopped(NAMES[0]);
    let (tls, real) = hello(name, padding);
    let (at, mut decoy) = (find(&real, name), real.clone());
    if blocked || is_plain {
        decoy[at..at + name.len()].copy_from_slice(NAMES[usize::from(blocked)].as_bytes());
    }
    let piece = at.saturating_sub(50)..(at + 60).min(real.len());
    let mut stream = Stream::open(wire, 443);
    stream.send(0, &real[..piece.start]);
    let packets = counters.packets.load(Ordering::Relaxed);
    let decoy = &decoy[piece.clone()];
    stream.transmit(&[match spoilt {
        Spoilt::Checksum => spoil(stream.made(piece.start, decoy, |_| {})),
        Spoilt::Otherwise(change) => stream.made(piece.start, decoy, change),
    }]);
    stream.send(piece.end, &real[piece.end..]);
    // What comes next meets a filter that has read a whole hello.
    stream.wait(|_| counters.packets.load(Ordering::Relaxed) > packets + 1);
    stream.settle();
    let dropped = counters.dropped.load(Ordering::Relaxed);
    stream.send(piece.start, &real[piece]);
    if blocked {
        let is_over = |stream: &Stream<'_>| {
            counters.dropped.load(Ordering::Relaxed) > dropped || !stream.got.is_empty()
        };
        let seen = stream.wait(is_over);
        stream.settle();
        ensure(seen && stream.got.is_empty(), || format!("{} bytes of an answer", stream.got.len()))?;
    } else {
        let sent = stream.sent();
        let page = fetch(&mut stream, tls, sent, name);
        ensure(page.contains("the site itself"), || format!("nothing but {page:?}"))?;
    }
    let stopped = filter.stopped(NAMES[0]) - before;
    ensure(stopped == u64::from(blocked && is_plain), || format!("{stopped} are said to be stopped"))
}

#[test]
fn segments() {
    if !have(&["nginx", "openssl", "dnsmasq", "ss", "ping"]) || !entered("evasion::decoys::segments") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    // In place of more routers.
    let far = "iptables -I INPUT -m ttl --ttl-lt 30 -j DROP && ip6tables -I INPUT -m hl --hl-lt 30 -j DROP";
    assert!(net.server.sh(far).status.success());
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    with_filter(&net, &policy(&rule("names", RULE, "drop")), |filter| {
        each(WAYS.iter().copied(), &wires, |wire, way, name| play(filter, wire, *way, name));
    });
}

/// A decoy and the real question, as they are sent.
type Order = fn(Vec<u8>, Vec<u8>) -> Vec<Vec<u8>>;

#[test]
fn datagrams() {
    if !have(&["nginx", "openssl", "dnsmasq", "ss", "ping"]) || !entered("evasion::decoys::datagrams") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let rules = rule("names", "dns && hostname == \"blocked.example.org\"", "reject");
    with_filter(&net, &policy(&rules), |filter| {
        let ways: [(&str, Order); 2] = [
            ("a wrong checksum before", |decoy, real| vec![spoil(decoy), real]),
            ("a wrong checksum after", |decoy, real| vec![real, spoil(decoy)]),
        ];
        each(ways.into_iter(), &wires, |wire, way, name| {
            let other = NAMES[usize::from(name == NAMES[0])];
            ask(filter, wire, name, |port| {
                let [decoy, real] = [other, name].map(|name| wire.udp([port, 53], &query(name)));
                way(decoy, real)
            })
        });
    });
}
