//! Questions in odd spellings, cut up, and behind others.

use daylight_protocols::names::dns::message::Header;

use super::{NAMES, each, ensure};
use crate::filtering::{Filter, policy, rule, with_filter};
use crate::namespace::entered;
use crate::net::{Net, have};
use crate::raw::{Stream, Wire};

/// What the server says of every name.
const ADDRESS: [u8; 4] = [198, 51, 100, 2];

/// A query for a name's IPv4 address.
pub(super) fn query(name: &str) -> Vec<u8> {
    let mut message = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend(b"\0\0\x01\0\x01");
    message
}

fn framed(name: &str) -> Vec<u8> {
    let query = query(name);
    [&(query.len() as u16).to_be_bytes()[..], &query].concat()
}

/// How many addresses were told.
fn answers(stream: &Stream<'_>) -> usize {
    stream.got.windows(4).filter(|window| *window == ADDRESS).count()
}

type Send = fn(&mut Stream<'_>, &str);

/// How it is sent, and how many answers there are without the filter.
#[rustfmt::skip]
const WAYS: &[(&str, (Send, usize))] = &[
    ("whole", (|stream, name| stream.send(0, &framed(name)), 1)),
    ("in capitals", (|stream, name| stream.send(0, &framed(&name.to_uppercase())), 1)),
    ("cut in its length", (|stream, name| cut(stream, &framed(name), 1), 1)),
    ("the length alone", (|stream, name| cut(stream, &framed(name), 2), 1)),
    ("cut in the name", (|stream, name| cut(stream, &framed(name), 18), 1)),
    ("one byte each", (|stream, name| bytewise(stream, &framed(name)), 1)),
    ("backwards", (|stream, name| {
        let message = framed(name);
        let bytes = message.iter().enumerate();
        let packets: Vec<_> = bytes.map(|(at, byte)| stream.segment(at, &[*byte])).rev().collect();
        stream.transmit(&packets);
    }, 1)),
    ("after another, in turn", (|stream, name| {
        let first = framed(NAMES[1]);
        stream.send(0, &first);
        assert!(stream.wait(|stream| answers(stream) == 1), "no first answer");
        stream.send(first.len(), &framed(name));
    }, 2)),
    ("after another, at once", (|stream, name| stream.send(0, &[framed(NAMES[1]), framed(name)].concat()), 2)),
    ("after another, cut in its length", (|stream, name| {
        let first = framed(NAMES[1]);
        cut(stream, &[&first[..], &framed(name)].concat(), first.len() + 1);
    }, 2)),
    ("after another, one byte each", (|stream, name| {
        bytewise(stream, &[framed(NAMES[1]), framed(name)].concat());
    }, 2)),
];

fn cut(stream: &mut Stream<'_>, message: &[u8], at: usize) {
    stream.send(0, &message[..at]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    stream.poll();
    stream.send(at, &message[at..]);
}

fn bytewise(stream: &mut Stream<'_>, message: &[u8]) {
    let bytes = message.iter().enumerate();
    let packets: Vec<_> = bytes.map(|(at, byte)| stream.segment(at, &[*byte])).collect();
    stream.transmit_slowly(&packets);
}

fn play(
    filter: &Filter<'_>,
    wire: &Wire,
    (send, expected): &(Send, usize),
    name: &str,
) -> Result<(), String> {
    let blocked = name == NAMES[0];
    let before = filter.stopped(NAMES[0]);
    let mut stream = Stream::open(wire, 53);
    send(&mut stream, name);
    if blocked {
        let seen = stream.wait(|stream| filter.stopped(name) > before || answers(stream) == *expected);
        stream.settle();
        ensure(seen && answers(&stream) < *expected, || "it was answered".into())?;
        // Refused in words, or by a reset if others wait for their answer.
        let refused =
            Header::read(stream.got.get(2..).unwrap_or(&[])).is_some_and(|header| header.rcode() == 5);
        ensure(stream.is_reset || refused || *expected > 1, || "it was not refused".into())?;
    } else {
        let seen = stream.wait(|stream| answers(stream) == *expected || stream.is_reset);
        ensure(seen && !stream.is_reset, || format!("{} answers", answers(&stream)))?;
    }
    let stopped = filter.stopped(NAMES[0]) - before;
    ensure(stopped == u64::from(blocked), || format!("{stopped} are said to be stopped"))
}

type Spelling = fn(&str) -> String;

/// As the name is written, in a datagram.
const SPELLINGS: &[(&str, Spelling)] = &[
    ("plain", |name| name.to_owned()),
    ("in capitals", str::to_uppercase),
    ("mixed", |name| {
        let mixed = name
            .bytes()
            .enumerate()
            .map(|(i, byte)| if i % 2 == 0 { byte.to_ascii_uppercase() } else { byte });
        mixed.map(char::from).collect()
    }),
];

#[test]
fn questions() {
    let needed = ["nginx", "openssl", "dnsmasq", "ss", "ping"];
    if !have(&needed) || !entered("evasion::dns::questions") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let rules = rule("names", "dns && hostname == \"blocked.example.org\"", "reject");
    with_filter(&net, &policy(&rules), |filter| {
        let ways = WAYS.iter().map(|(name, way)| (*name, way));
        each(ways, &wires, |wire, way, name| play(filter, wire, way, name));
        let spellings = SPELLINGS.iter().map(|(name, spelling)| (*name, spelling));
        each(spellings, &wires, |wire, spelling, name| {
            ask(filter, wire, name, |port| vec![wire.udp([port, 53], &query(&spelling(name)))])
        });
    });
}

/// Asks in datagrams; the blocked name is refused in words, the other is answered.
pub(super) fn ask(
    filter: &Filter<'_>,
    wire: &Wire,
    name: &str,
    packets: impl Fn(u16) -> Vec<Vec<u8>>,
) -> Result<(), String> {
    let before = filter.stopped(NAMES[0]);
    let port = wire.port();
    wire.send(&packets(port));
    let answer = wire.answer(port, || false).ok_or("no answer")?;
    let code = Header::read(&answer).map(|header| header.rcode());
    let expected = if name == NAMES[0] { 5 } else { 0 };
    ensure(code == Some(expected), || format!("answered with {code:?}"))?;
    ensure(filter.stopped(NAMES[0]) - before == u64::from(name == NAMES[0]), || "a wrong count".into())
}
