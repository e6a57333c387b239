//! What a client of QUIC sends first, to a server that doesn't answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use daylight_protocols::common;
use daylight_protocols::testing::Flow;
use quinn::crypto::ServerConfig as _;
use quinn::crypto::rustls::QuicServerConfig;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::hello::{Reader, message_lines};

/// Where the middle of the ClientHello begins: Chromium was seen from 55 to 85.
const BEGINNING: std::ops::RangeInclusive<usize> = 50..=90;

/// An Initial packet, as it was before it was protected.
pub(crate) struct Packet {
    datagram_len: usize,
    flags: u8,
    destination_len: usize,
    source_len: usize,
    token_len: usize,
    number: u64,
    crypto: BTreeMap<usize, Vec<u8>>,
    pings: usize,
    paddings: usize,
}

/// The datagrams of the first flight.
pub(crate) struct First {
    datagrams: Vec<Vec<u8>>,
    packets: Vec<Packet>,
}

impl First {
    /// Waits for the first `count` datagrams of the client that comes first.
    pub(crate) async fn receive(socket: &UdpSocket, keys: &QuicServerConfig, count: usize) -> Option<Self> {
        let mut from: Option<SocketAddr> = None;
        let (mut datagrams, mut packets) = (Vec::new(), Vec::new());
        let mut datagram = vec![0; 65_535];
        while packets.len() < count {
            let received = timeout(Duration::from_secs(60), socket.recv_from(&mut datagram)).await.ok()?;
            let (len, address) = received.unwrap();
            if *from.get_or_insert(address) == address {
                datagrams.push(datagram[..len].to_vec());
                packets.push(open(&datagram[..len], keys));
            }
        }
        Some(Self { datagrams, packets })
    }

    /// The ClientHello.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let pieces: BTreeMap<_, _> = self.packets.iter().flat_map(|packet| &packet.crypto).collect();
        let mut hello = Vec::new();
        for (&offset, data) in pieces {
            assert!(offset <= hello.len(), "{offset} of {}", hello.len());
            hello.truncate(offset);
            hello.extend_from_slice(data);
        }
        hello
    }

    pub(crate) fn ja4(&self) -> String {
        let mut flow = Flow::udp(443);
        for datagram in &self.datagrams {
            flow = flow.client(datagram);
        }
        flow.run().show(common::JA4)
    }

    /// A line for each thing that can be compared.
    pub(crate) fn lines(&self) -> Vec<String> {
        let hello = self.hello();
        let mut out = vec![format!("ja4 {}", self.ja4())];
        out.extend(message_lines(&hello));
        out.extend(self.packets.iter().map(|packet| packet.line(hello.len())));
        out
    }
}

impl Packet {
    fn line(&self, hello_len: usize) -> String {
        format!(
            "packet {} in a datagram of {}: flags {:02x}, names of {} and {}, token of {}; parts {}; \
             2 to 12 CRYPTO: {}; 2 to 10 PING: {}; PADDING: {}",
            self.number,
            self.datagram_len,
            self.flags,
            self.destination_len,
            self.source_len,
            self.token_len,
            self.parts(hello_len),
            (2..=12).contains(&self.crypto.len()),
            (2..=10).contains(&self.pings),
            self.paddings > 0,
        )
    }

    /// What it has of the ClientHello.
    fn parts(&self, hello_len: usize) -> String {
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for (&offset, data) in &self.crypto {
            match parts.last_mut() {
                Some(last) if last.1 == offset => last.1 += data.len(),
                _ => parts.push((offset, offset + data.len())),
            }
        }
        let is_middle =
            |start: usize, end: usize| BEGINNING.contains(&start) && end - start == hello_len.div_ceil(2) + 2;
        match parts[..] {
            [(0, start), (end, last)] if is_middle(start, end) && last == hello_len => {
                "beginning and end".to_owned()
            }
            [(start, end)] if is_middle(start, end) => "middle".to_owned(),
            _ => format!("{parts:?} of {hello_len}"),
        }
    }
}

fn open(datagram: &[u8], keys: &QuicServerConfig) -> Packet {
    let mut at = Reader(&datagram[5..]);
    let destination = at.vec8();
    let source = at.vec8();
    let token_len = at.integer() as usize;
    at.take(token_len);
    let len = at.integer() as usize;
    let number_offset = datagram.len() - at.0.len();
    let keys = keys.initial_keys(1, &quinn::ConnectionId::new(destination)).unwrap();
    let mut packet = datagram[..number_offset + len].to_vec();
    keys.header.remote.decrypt(number_offset, &mut packet);
    let (header, payload) = packet.split_at(number_offset + 1 + usize::from(packet[0] & 3));
    let number = header[number_offset..].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let mut payload = BytesMut::from(payload);
    keys.packet.remote.decrypt(number, header, &mut payload).unwrap();

    let (mut crypto, mut pings, mut paddings) = (BTreeMap::new(), 0, 0);
    let mut frames = Reader(&payload);
    while let [kind, ..] = frames.0 {
        frames.take(1);
        match kind {
            0 => paddings += 1,
            1 => pings += 1,
            6 => {
                let offset = frames.integer() as usize;
                let len = frames.integer() as usize;
                crypto.insert(offset, frames.take(len).to_vec());
            }
            _ => panic!("a frame of type {kind} in a client's first packets"),
        }
    }
    Packet {
        datagram_len: datagram.len(),
        flags: packet[0],
        destination_len: destination.len(),
        source_len: source.len(),
        token_len,
        number,
        crypto,
        pings,
        paddings,
    }
}
