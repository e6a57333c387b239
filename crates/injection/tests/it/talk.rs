//! A client and a server that talk, and somebody who puts packets in.

use std::net::IpAddr;

use daylight_injection::{Analysis, Report, Signatures, Tell, Verdict};
use daylight_packet::build::{self, Stamp, Tcp};
use daylight_packet::{LinkType, TcpHeader};
use daylight_protocols::testing::tls::{ClientHello, records};

pub(crate) const CLIENT_PORT: u16 = 50_000;
pub(crate) const MS: i64 = 1_000_000;
pub(crate) const RST: u8 = TcpHeader::RST;
pub(crate) const RST_ACK: u8 = TcpHeader::RST | TcpHeader::ACK;
/// What the server's packets arrive with: 64, twelve hops away.
pub(crate) const SERVER_TTL: u8 = 52;
pub(crate) const ROUND_TRIP: i64 = 40 * MS;

pub(crate) struct Talk {
    analysis: Analysis,
    ends: [IpAddr; 2],
    pub(crate) port: u16,
    /// Next sequence numbers: the client's, the server's.
    pub(crate) next: [u32; 2],
    pub(crate) now: i64,
    pub(crate) last: u64,
    ids: u16,
}

impl Talk {
    pub(crate) fn new(port: u16) -> Self {
        let ends = ["192.0.2.7", "203.0.113.80"].map(|end| end.parse().unwrap());
        Self { analysis: Analysis::new(), ends, port, next: [1000, 5000], now: 0, last: 0, ids: 300 }
    }

    pub(crate) fn v6(port: u16) -> Self {
        let ends = ["2001:db8::7", "2001:db8:80::1"].map(|end| end.parse().unwrap());
        Self { ends, ..Self::new(port) }
    }

    pub(crate) fn raw(&mut self, ip: &[u8]) -> u64 {
        self.last = self.analysis.add(LinkType::RAW, ip, self.now, ip.len() as u32);
        self.last
    }

    /// A segment as the server would make it, at the moment.
    pub(crate) fn server<'a>(&self, flags: u8, payload: &'a [u8]) -> Tcp<'a> {
        Tcp {
            source: self.ends[1],
            destination: self.ends[0],
            source_port: self.port,
            destination_port: CLIENT_PORT,
            seq: self.next[1],
            ack: self.next[0],
            flags,
            window: 29_200,
            ttl: SERVER_TTL,
            payload,
            ..Tcp::default()
        }
    }

    pub(crate) fn put(&mut self, segment: &Tcp<'_>) -> u64 {
        self.raw(&build::tcp(segment))
    }

    /// The client sends.
    pub(crate) fn client(&mut self, flags: u8, payload: &[u8]) -> u64 {
        let [source, destination] = self.ends;
        self.ids += 1;
        let segment = Tcp {
            source,
            destination,
            source_port: CLIENT_PORT,
            destination_port: self.port,
            seq: self.next[0],
            ack: if flags & TcpHeader::ACK == 0 { 0 } else { self.next[1] },
            flags,
            window: 64_240,
            ip_id: self.ids,
            payload,
            ..Tcp::default()
        };
        let number = self.put(&segment);
        let control = u32::from(flags & (TcpHeader::SYN | TcpHeader::FIN) != 0);
        self.next[0] = self.next[0].wrapping_add(payload.len() as u32 + control);
        number
    }

    /// The server sends, in its own manner: identifications count up.
    pub(crate) fn answer(&mut self, flags: u8, payload: &[u8]) -> u64 {
        let ip_id = if flags & TcpHeader::SYN == 0 { 7000 + (self.last as u16) } else { 0 };
        let segment = Tcp { ip_id, ..self.server(flags, payload) };
        let number = self.put(&segment);
        let control = u32::from(flags & (TcpHeader::SYN | TcpHeader::FIN) != 0);
        self.next[1] = self.next[1].wrapping_add(payload.len() as u32 + control);
        number
    }

    pub(crate) fn wait(&mut self, ns: i64) -> &mut Self {
        self.now += ns;
        self
    }

    pub(crate) fn handshake(&mut self) -> &mut Self {
        self.client(TcpHeader::SYN, b"");
        self.wait(ROUND_TRIP).answer(TcpHeader::SYN | TcpHeader::ACK, b"");
        self.client(TcpHeader::ACK, b"");
        self
    }

    /// The client says whom it wants.
    pub(crate) fn hello(&mut self, name: &str) -> u64 {
        let hello = records(&ClientHello::new(name).message(), &[]);
        self.client(TcpHeader::ACK | TcpHeader::PSH, &hello)
    }

    pub(crate) fn datagram(&mut self, from_client: bool, ttl: u8, payload: &[u8]) -> u64 {
        let [client, server] = self.ends;
        let stamp = Stamp { ttl, ..Stamp::default() };
        let packet = if from_client {
            build::udp(client, server, [CLIENT_PORT, self.port], &stamp, payload)
        } else {
            build::udp(server, client, [self.port, CLIENT_PORT], &stamp, payload)
        };
        self.raw(&packet)
    }

    pub(crate) fn report(self) -> Report {
        self.analysis.finish(&Signatures::own().unwrap())
    }
}

/// The tells of each packet that is called what, in order: number, verdict, tells.
pub(crate) fn told(report: &Report) -> Vec<(u64, Verdict, Vec<Tell>)> {
    let packets = report.findings.iter().flat_map(|finding| &finding.packets);
    packets
        .map(|packet| (packet.number, packet.verdict, packet.tells.iter().map(|told| told.tell).collect()))
        .collect()
}
