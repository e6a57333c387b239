//! A ClientHello in Initials and CRYPTO frames of QUIC, made by hand, against a real server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daylight_packet::TransportKind;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Keys, Version};

use super::{NAMES, each, ensure};
use crate::filtering::{Filter, policy, rule, with_filter};
use crate::h3::serve;
use crate::hello;
use crate::namespace::entered;
use crate::net::{Net, have};
use crate::raw::Wire;

/// The least that a datagram with an Initial holds (RFC 9000 §14.1).
const DATAGRAM_MIN: usize = 1200;

/// A client's first flight in the making.
struct Flight {
    keys: Keys,
    destination: [u8; 8],
    number: u64,
    hello: Vec<u8>,
    /// Where the name is in the hello.
    name: usize,
}

impl Flight {
    fn new(name: &str, padding: usize, seed: u16) -> Self {
        let destination = [0x5a, 1, 2, 3, 4, 5, (seed >> 8) as u8, seed as u8];
        // Only what a server can't do without: initial_source_connection_id, and some room for data.
        let parameters =
            b"\x0f\x04\x21\x22\x23\x24\x04\x04\x80\x10\x00\x00\x05\x04\x80\x10\x00\x00\x08\x01\x10".to_vec();
        let config = Arc::new(hello::client("h3", padding));
        let server = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(config, Version::V1, server, parameters).unwrap();
        let mut hello = Vec::new();
        assert!(tls.write_hs(&mut hello).is_none());
        let at = hello.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap();
        let keys = suite.keys(&destination, rustls::Side::Client, Version::V1);
        Self { keys, destination, number: 0, hello, name: at }
    }

    /// A CRYPTO frame with these bytes of the hello.
    fn crypto(&self, from: usize, to: usize) -> Vec<u8> {
        let [a, b] = (0x4000 | from as u16).to_be_bytes();
        let [c, d] = (0x4000 | (to - from) as u16).to_be_bytes();
        [&[6, a, b, c, d], &self.hello[from..to]].concat()
    }

    /// A datagram with one Initial that holds these frames, and padding.
    fn initial(&mut self, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = frames.concat();
        payload.resize(payload.len().max(DATAGRAM_MIN - 40), 0);
        let tag = self.keys.local.packet.tag_len();
        let length = 0x4000 | (4 + payload.len() + tag) as u16;
        let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
        packet.extend(self.destination);
        packet.extend([4, 0x21, 0x22, 0x23, 0x24, 0]);
        packet.extend(length.to_be_bytes());
        let at = packet.len();
        packet.extend((self.number as u32).to_be_bytes());
        let sealed = self.keys.local.packet.encrypt_in_place(self.number, &packet, &mut payload).unwrap();
        self.number += 1;
        packet.extend(&payload);
        packet.extend(sealed.as_ref());
        let sample = packet[at + 4..at + 4 + self.keys.local.header.sample_len()].to_vec();
        let (first, rest) = packet.split_at_mut(1);
        self.keys.local.header.encrypt_in_place(&sample, &mut first[0], &mut rest[at - 1..at + 3]).unwrap();
        packet
    }

    fn end(&self) -> usize {
        self.hello.len()
    }
}

/// True if there is a Handshake packet in the datagram: the server has read the whole hello.
fn is_answer(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    // Long headers of version 1, one behind the other.
    while rest.len() > 7 && rest[0] & 0x80 != 0 {
        let kind = rest[0] >> 4 & 3;
        if kind == 2 {
            return true;
        }
        let mut at = 5;
        at += 1 + usize::from(rest[at]);
        at += 1 + usize::from(rest[at]);
        at += usize::from(kind == 0);
        let [a, b] = [rest[at], rest[at + 1]];
        let (length, size) = match a >> 6 {
            0 => (usize::from(a), 1),
            _ => (usize::from(u16::from_be_bytes([a & 0x3f, b])), 2),
        };
        rest = rest.get(at + size + length..).unwrap_or(&[]);
    }
    false
}

type Cut = fn(&mut Flight) -> Vec<Vec<u8>>;

fn pieces(flight: &Flight, size: usize) -> Vec<(usize, usize)> {
    (0..flight.end()).step_by(size).map(|from| (from, (from + size).min(flight.end()))).collect()
}

#[rustfmt::skip]
const CUTS: &[(&str, (usize, Cut))] = &[
    ("whole", (0, |flight| {
        let frame = flight.crypto(0, flight.end());
        vec![flight.initial(&[frame])]
    })),
    ("two frames, cut in the name", (0, |flight| {
        let at = flight.name + 5;
        let frames = [flight.crypto(0, at), flight.crypto(at, flight.end())];
        vec![flight.initial(&frames)]
    })),
    ("two frames, the second first, padding between", (0, |flight| {
        let at = flight.name + 5;
        let frames = [vec![0; 40], flight.crypto(at, flight.end()), vec![0, 0, 1, 0], flight.crypto(0, at)];
        vec![flight.initial(&frames)]
    })),
    ("many frames, backwards", (0, |flight| {
        let frames: Vec<_> = pieces(flight, 7).into_iter().rev().map(|(from, to)| flight.crypto(from, to)).collect();
        vec![flight.initial(&frames)]
    })),
    ("frames that overlap", (0, |flight| {
        let (name, end) = (flight.name, flight.end());
        let frames = [flight.crypto(name + 3, end), flight.crypto(name - 9, name + 8), flight.crypto(0, name + 1)];
        vec![flight.initial(&frames)]
    })),
    ("two Initials, cut in the name", (0, |flight| {
        let at = flight.name + 5;
        let frames = [flight.crypto(0, at), flight.crypto(at, flight.end())];
        frames.map(|frame| flight.initial(&[frame])).to_vec()
    })),
    ("two Initials, the second first", (0, |flight| {
        let at = flight.name + 5;
        let frames = [flight.crypto(at, flight.end()), flight.crypto(0, at)];
        frames.map(|frame| flight.initial(&[frame])).to_vec()
    })),
    ("nine Initials", (0, |flight| {
        let size = flight.end().div_ceil(9);
        let pieces = pieces(flight, size);
        pieces.into_iter().map(|(from, to)| { let frame = flight.crypto(from, to); flight.initial(&[frame]) }).collect()
    })),
    ("a PING before", (0, |flight| {
        let frame = flight.crypto(0, flight.end());
        vec![flight.initial(&[vec![1]]), flight.initial(&[frame])]
    })),
    ("a datagram of nothing before", (0, |flight| {
        let frame = flight.crypto(0, flight.end());
        vec![b"nothing".to_vec(), flight.initial(&[frame])]
    })),
    ("many datagrams of nothing before", (0, |flight| {
        let frame = flight.crypto(0, flight.end());
        [vec![b"nothing".to_vec(); 30], vec![flight.initial(&[frame])]].concat()
    })),
    ("larger than a datagram", (3000, |flight| {
        let pieces = pieces(flight, 1000);
        pieces.into_iter().map(|(from, to)| { let frame = flight.crypto(from, to); flight.initial(&[frame]) }).collect()
    })),
    ("larger than a datagram, backwards", (3000, |flight| {
        let pieces = pieces(flight, 1000);
        pieces.into_iter().rev().map(|(from, to)| { let frame = flight.crypto(from, to); flight.initial(&[frame]) }).collect()
    })),
    ("larger than a datagram, twice", (3000, |flight| {
        let pieces = [pieces(flight, 1000), pieces(flight, 1100)].concat();
        pieces.into_iter().map(|(from, to)| { let frame = flight.crypto(from, to); flight.initial(&[frame]) }).collect()
    })),
];

fn play(filter: &Filter<'_>, wire: &Wire, (padding, cut): (usize, Cut), name: &str) -> Result<(), String> {
    let blocked = name == NAMES[0];
    let before = filter.stopped(NAMES[0]);
    let port = wire.port();
    let datagrams = cut(&mut Flight::new(name, padding, port));
    let (start, mut again, mut answered) = (Instant::now(), Duration::ZERO, false);
    let over = |answered: bool| answered || filter.stopped(NAMES[0]) > before;
    while !over(answered) && start.elapsed() < Duration::from_secs(20) {
        if start.elapsed() >= again {
            // As clients do that get no answer.
            again += Duration::from_secs(1);
            for datagram in &datagrams {
                wire.send(&[wire.udp([port, 443], datagram)]);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let got = wire.receive(TransportKind::UDP, port);
        answered |= got.iter().any(|got| is_answer(got.payload()));
        std::thread::sleep(Duration::from_millis(1));
    }
    if blocked {
        std::thread::sleep(Duration::from_millis(60));
        answered |= wire.receive(TransportKind::UDP, port).iter().any(|got| is_answer(got.payload()));
    }
    let stopped = filter.stopped(NAMES[0]) - before;
    ensure(answered != blocked, || format!("answered: {answered}, {stopped} stopped"))?;
    ensure(stopped == u64::from(blocked), || format!("{stopped} are said to be stopped"))
}

#[test]
fn hello_in_initials() {
    if !have(&["openssl", "ping"]) || !entered("evasion::quic::hello_in_initials") {
        return;
    }
    let net = Net::new();
    let _server = serve(&net);
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let rules = rule("names", "quic && hostname == \"blocked.example.org\"", "drop");
    with_filter(&net, &policy(&rules), |filter| {
        let cuts = CUTS.iter().map(|(name, cut)| (*name, *cut));
        each(cuts, &wires, |wire, cut, name| play(filter, wire, *cut, name));
    });
}
