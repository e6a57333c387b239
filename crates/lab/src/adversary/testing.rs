//! For tests: a conversation's packets, and what an adversary makes of them.

use daylight_packet::TcpHeader;
use std::net::IpAddr;

use daylight_protocols::testing::tls::{ClientHello, records};

use super::packet::{Packet, checksums_hold};
use super::{Adversary, Injected, Out, Verdict};
use crate::hop::Direction;
use daylight_packet::build::{self, Stamp, Tcp};

/// A TCP conversation; sequence numbers move on as it goes.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) client_address: IpAddr,
    pub(crate) server_address: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) server_port: u16,
    /// Next sequence number of the client and the server.
    pub(crate) next: [u32; 2],
    pub(crate) ttl: u8,
}

impl Talk {
    pub(crate) fn v4(server_port: u16) -> Self {
        Self::between("192.0.2.1", "198.51.100.7", server_port)
    }

    pub(crate) fn v6(server_port: u16) -> Self {
        Self::between("2001:db8::1", "2001:db8:f::7", server_port)
    }

    fn between(client: &str, server: &str, server_port: u16) -> Self {
        Self {
            client_address: client.parse().unwrap(),
            server_address: server.parse().unwrap(),
            client_port: 50_000,
            server_port,
            next: [1000, 9000],
            ttl: 61,
        }
    }

    pub(crate) fn client(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        self.send(0, flags, payload)
    }

    pub(crate) fn server(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        self.send(1, flags, payload)
    }

    fn send(&mut self, side: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
        let ends = [(self.client_address, self.client_port), (self.server_address, self.server_port)];
        let ((source, source_port), (destination, destination_port)) = (ends[side], ends[1 - side]);
        let ack = if flags & TcpHeader::ACK == 0 { 0 } else { self.next[1 - side] };
        let bytes = build::tcp(&Tcp {
            source,
            destination,
            source_port,
            destination_port,
            seq: self.next[side],
            ack,
            flags,
            window: 512,
            ttl: self.ttl,
            ip_id: 4321,
            payload,
            ..Tcp::default()
        });
        let marks = u32::from(flags & TcpHeader::SYN != 0) + u32::from(flags & TcpHeader::FIN != 0);
        self.next[side] += payload.len() as u32 + marks;
        bytes
    }

    pub(crate) fn udp(&self, side: usize, payload: &[u8]) -> Vec<u8> {
        let ends = [(self.client_address, self.client_port), (self.server_address, self.server_port)];
        let ((source, from), (destination, to)) = (ends[side], ends[1 - side]);
        build::udp(
            source,
            destination,
            [from, to],
            &Stamp { ttl: self.ttl, ip_id: 77, ..Stamp::default() },
            payload,
        )
    }

    pub(crate) fn direction(&self, packet: &Packet<'_>) -> Direction {
        if packet.source == self.client_address { Direction::Outbound } else { Direction::Inbound }
    }

    /// SYN, SYN/ACK and ACK, shown to the adversary, which must let them pass.
    pub(crate) fn handshake(&mut self, adversary: &mut Adversary, now_ns: u64) {
        let packets = [
            self.client(TcpHeader::SYN, b""),
            self.server(TcpHeader::SYN | TcpHeader::ACK, b""),
            self.client(TcpHeader::ACK, b""),
        ];
        for bytes in packets {
            assert_eq!(self.show(adversary, now_ns, &bytes), (Verdict::Pass, vec![]));
        }
    }

    /// Shows a packet; checks that what is put in has right checksums.
    pub(crate) fn show(
        &self,
        adversary: &mut Adversary,
        now_ns: u64,
        bytes: &[u8],
    ) -> (Verdict, Vec<Injected>) {
        let packet = Packet::from_ip(bytes).unwrap();
        let mut out = Out::default();
        let verdict = adversary.packet(now_ns, self.direction(&packet), &packet, &mut out);
        for injected in &out.injected {
            assert!(checksums_hold(&injected.ip), "{injected:?}");
            let way = Packet::from_ip(&injected.ip).unwrap();
            assert_eq!(self.direction(&way), injected.direction, "{injected:?}");
        }
        (verdict, out.injected)
    }
}

/// A ClientHello in a record.
pub(crate) fn hello(name: &'static str) -> Vec<u8> {
    records(&ClientHello::new(name).message(), &[])
}

/// An HTTP request.
pub(crate) fn http(target: &str, host: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: test\r\n\r\n").into_bytes()
}
