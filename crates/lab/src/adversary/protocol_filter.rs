//! A filter that lets only some protocols through.
//!
//! **Model.** Iran, February 2020 (Bock et al., "Detecting and Evading Censorship-in-Depth: A Case Study of Iran's Protocol
//! Filter", FOCI 2020). On TCP ports 53, 80 and 443, a connection must look like DNS, HTTP or TLS, on any of the three, judged by
//! its first two packets with data taken together. If it does not, every packet after the first that the client sends is
//! dropped for 60 s. No reassembly, no checksums; only connections that are opened from inside. (That another offence to the
//! same destination starts the 60 s of earlier ones anew, as the paper saw, is not modelled: each connection has its own.)
//!
//! The fingerprints, after §4.3: HTTP is at least eight bytes that begin with one of seven methods and a blank. TLS is a record
//! header of a handshake, version 3.x. DNS is judged by its length prefix and header: opcode 0 and a question. For the last
//! two this is our reading, and no stricter than the paper's.

use daylight_packet::TcpHeader;
use serde::{Deserialize, Serialize};

use super::flows::{FlowId, Flows};
use super::names::Prefix;
use super::observe::METHODS;
use super::packet::Packet;
use super::residual::{Residual, ResidualConfig, Scope};
use super::{Adversary, AdversaryCounters, InPath, Out, Verdict};
use crate::hop::Direction;

/// An adversary that lets only some protocols through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolFilterConfig {
    /// TCP ports of servers on which it looks.
    pub ports: Vec<u16>,
    /// What may pass.
    pub allow: Vec<Allowed>,
    /// Only to these addresses; none is all. Iran's filter was seen at 18 % of them.
    pub prefixes: Vec<Prefix>,
    /// How long what does not pass is blocked, in seconds.
    pub seconds: f64,
}

/// A protocol that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// DNS over TCP.
    Dns,
    /// HTTP/1.
    Http,
    /// TLS.
    Tls,
    /// SSH.
    Ssh,
}

impl Default for ProtocolFilterConfig {
    fn default() -> Self {
        Self {
            ports: vec![53, 80, 443],
            allow: vec![Allowed::Dns, Allowed::Http, Allowed::Tls],
            prefixes: Vec::new(),
            seconds: 60.0,
        }
    }
}

/// Packets with data that are judged.
const PACKETS: u8 = 2;

/// A flow's packets so far, and their data.
#[derive(Default)]
struct Begun {
    packets: u8,
    data: Vec<u8>,
    passed: bool,
}

/// The adversary.
pub struct ProtocolFilter {
    config: ProtocolFilterConfig,
    flows: Flows<Begun>,
    blocked: Residual,
    counters: AdversaryCounters,
}

impl ProtocolFilterConfig {
    /// As configured.
    pub fn build(&self) -> Adversary {
        let residual = ResidualConfig { scope: Scope::Flow, seconds: self.seconds, renewed: false };
        Adversary::InPath(Box::new(ProtocolFilter {
            config: self.clone(),
            flows: Flows::default(),
            blocked: Residual::new(residual),
            counters: AdversaryCounters::of("protocol-filter"),
        }))
    }
}

impl Allowed {
    /// True if the data of a connection's first packets looks like it.
    fn fits(self, data: &[u8]) -> bool {
        match self {
            Self::Dns => match data {
                [a, b, _, _, flags, _, q, r, ..] => {
                    let len = usize::from(u16::from_be_bytes([*a, *b]));
                    len >= 12 && flags & 0xf8 == 0 && u16::from_be_bytes([*q, *r]) > 0
                }
                _ => false,
            },
            Self::Http => data.len() >= 8 && METHODS[..7].iter().any(|m| data.starts_with(m.as_bytes())),
            Self::Tls => matches!(data, [22, 3, 0..=4, _, _, ..]),
            Self::Ssh => data.starts_with(b"SSH-"),
        }
    }
}

impl InPath for ProtocolFilter {
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, _: &mut Out) -> Verdict {
        self.counters.seen += 1;
        let Some(segment) = packet.tcp() else { return Verdict::Pass };
        if let Some(from_client) = self.blocked.holds(now_ns, packet) {
            self.counters.residual += 1;
            if from_client {
                self.counters.dropped += 1;
                return Verdict::Drop;
            }
            return Verdict::Pass;
        }
        let prefixes = &self.config.prefixes;
        let wanted = direction == Direction::Outbound
            && self.config.ports.contains(&segment.ports[1])
            && (prefixes.is_empty() || prefixes.iter().any(|p| p.has(packet.destination)));
        if !wanted || segment.payload.is_empty() && segment.flags & TcpHeader::SYN == 0 {
            return Verdict::Pass;
        }
        let (flow, from_opener, begun): (FlowId, _, _) = self.flows.of(now_ns, packet, Begun::default);
        if !from_opener || begun.passed || segment.payload.is_empty() {
            return Verdict::Pass;
        }
        begun.packets += 1;
        begun.data.extend_from_slice(segment.payload);
        if self.config.allow.iter().any(|allowed| allowed.fits(&begun.data)) {
            begun.passed = true;
            begun.data = Vec::new();
        } else if begun.packets >= PACKETS {
            // The second packet was judged, and does not pass: "every packet after the first".
            self.counters.matched += 1;
            self.counters.dropped += 1;
            self.blocked.start(now_ns, &flow);
            // Judged once: when the minute is over, it is left alone.
            begun.passed = true;
            begun.data = Vec::new();
            return Verdict::Drop;
        }
        Verdict::Pass
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::{Talk, hello, http};

    const SECOND: u64 = 1_000_000_000;

    /// Which of a client's packets with this data pass.
    fn passed(adversary: &mut Adversary, talk: &mut Talk, now_ns: u64, data: &[&[u8]]) -> Vec<bool> {
        talk.handshake(adversary, now_ns);
        data.iter()
            .map(|d| {
                let bytes = talk.client(TcpHeader::ACK | TcpHeader::PSH, d);
                talk.show(adversary, now_ns, &bytes).0 == Verdict::Pass
            })
            .collect()
    }

    fn fresh(port: u16, client_port: u16) -> Talk {
        Talk { client_port, ..Talk::v4(port) }
    }

    #[test]
    fn allowed_protocols_pass_on_any_of_the_ports() {
        let mut adversary = ProtocolFilterConfig::default().build();
        let dns =
            [&[0, 29, 1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x07example\x03org\0\0\x01\0\x01"].concat();
        let messages = [dns, http("/", "any.example"), hello("any.example")];
        for (i, port) in [53, 80, 443].into_iter().enumerate() {
            for (j, message) in messages.iter().enumerate() {
                let mut talk = fresh(port, 50_000 + (i * 3 + j) as u16);
                assert_eq!(passed(&mut adversary, &mut talk, 0, &[message, b"more", b"more"]), [true; 3]);
            }
        }
    }

    #[test]
    fn the_rest_stops_after_its_first_packet_for_a_minute() {
        let mut adversary = ProtocolFilterConfig::default().build();
        let mut talk = fresh(443, 50_000);
        assert_eq!(
            passed(&mut adversary, &mut talk, 0, &[b"SSH-2.0-x\r\n", b"kexinit", b"x"]),
            [true, false, false]
        );
        let answer = talk.clone().server(TcpHeader::ACK, b"what the server sends passes");
        assert_eq!(talk.show(&mut adversary, 1, &answer).0, Verdict::Pass);
        let data = talk.client(TcpHeader::ACK, b"x");
        assert_eq!(talk.show(&mut adversary, 59 * SECOND, &data).0, Verdict::Drop);
        assert_eq!(talk.show(&mut adversary, 61 * SECOND, &data).0, Verdict::Pass);
        // Collateral: another connection of the same two hosts, another port.
        assert_eq!(
            passed(&mut adversary, &mut fresh(443, 50_001), 1, &[&hello("fine.example"), b"x"]),
            [true; 2]
        );
        assert_eq!(
            passed(&mut adversary, &mut fresh(22, 50_002), 1, &[b"SSH-2.0-x\r\n", b"x", b"x"]),
            [true; 3]
        );
    }

    /// Two packets together: a method in two halves passes.
    #[test]
    fn the_first_two_packets_are_taken_together() {
        let mut adversary = ProtocolFilterConfig::default().build();
        let halves: [&[u8]; 3] = [b"GE", b"T / HTTP/1.1\r\n", b"Host: a\r\n\r\n"];
        assert_eq!(passed(&mut adversary, &mut fresh(80, 50_000), 0, &halves), [true; 3]);
        let thirds: [&[u8]; 3] = [b"G", b"E", b"T / HTTP/1.1\r\n"];
        assert_eq!(passed(&mut adversary, &mut fresh(80, 50_001), 0, &thirds), [true, false, false]);
    }

    #[test]
    fn connections_from_outside_are_left_alone() {
        let mut adversary = ProtocolFilterConfig::default().build();
        let mut talk = Talk {
            client_address: "198.51.100.7".parse().unwrap(),
            server_address: "192.0.2.1".parse().unwrap(),
            ..Talk::v4(443)
        };
        let mut outside = Talk::v4(443);
        std::mem::swap(&mut outside.client_address, &mut outside.server_address);
        for _ in 0..3 {
            let bytes = talk.client(TcpHeader::ACK, b"SSH");
            let packet = Packet::from_ip(&bytes).unwrap();
            let verdict = adversary.packet(0, Direction::Inbound, &packet, &mut Out::default());
            assert_eq!(verdict, Verdict::Pass);
        }
    }
}
