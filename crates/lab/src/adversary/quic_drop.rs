//! QUIC: connections that starve after the server name in their Initial packet, or for their version.
//!
//! **Models.**
//! - By server name, the Great Firewall since April 2024 (Zohaib et al., "Exposing and Circumventing SNI-based QUIC Censorship of
//!   the Great Firewall of China", USENIX Security 2025, and its data, github.com/gfw-report/usenixsecurity25-quic-sni): it
//!   decrypts client Initials of version 1, looks at the first datagram of a flow only (a flow is forgotten after 60 s:
//!   `experiments/flow-tracking-time`), does not put a ClientHello together from several, and looks only where the client's port
//!   is higher than the server's. Then it drops what the client sends to that address and port for 180 s, whatever port it
//!   comes from; answers pass. This takes hold some time after the name has passed: 70 to 430 ms in most of the runs in
//!   `experiments/how-fast-gfw-blocks/data/results.csv`, 120 ms in the middle. So the connection that is found often comes
//!   about, and is cut.
//! - By version, TSPU since 4 March 2022 (its rule by ValdikSS on the QUIC working group's list and net4people/bbs#108 on that day;
//!   Xue et al., IMC 2022): UDP to port 443, at least 1001 bytes of payload, and QUIC version 1 in bytes 2 to 5; nothing else is
//!   checked. Both ways are dropped. Version 2, drafts and other ports pass. (By July 2023 it looked at names as well:
//!   net4people/bbs#654.)

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::flows::{FlowId, Flows};
use super::names::Names;
use super::observe;
use super::packet::Packet;
use super::residual::{Residual, ResidualConfig, Scope};
use super::{Adversary, AdversaryCounters, InPath, Out, Verdict};
use crate::hop::Direction;

/// An adversary that drops QUIC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuicDropConfig {
    /// Server names in Initial packets.
    #[serde(default)]
    pub sni: Names,
    /// Only in Initial packets of these versions; none is all that can be decrypted.
    #[serde(default)]
    pub sni_versions: Vec<u32>,
    /// Versions to drop whatever the name, as numbers: `1`, `0x6b3343cf` for version 2.
    #[serde(default)]
    pub versions: Vec<u32>,
    /// Only to these ports; none is all.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Only datagrams with at least this much payload, in bytes.
    #[serde(default)]
    pub payload_bytes_min: usize,
    /// Datagrams of a flow that are looked at, and put together for a server name.
    #[serde(default = "one")]
    pub datagrams: usize,
    /// Only where the client's port is higher than the server's.
    #[serde(default)]
    pub client_port_higher: bool,
    /// Drop only what the client sends.
    #[serde(default)]
    pub outbound_only: bool,
    /// How long after the find the block takes hold, in milliseconds: what comes until then passes, the find itself too.
    #[serde(default)]
    pub after_ms: f64,
    /// What stays blocked.
    #[serde(default = "connection")]
    pub residual: ResidualConfig,
}

fn one() -> usize {
    1
}

fn connection() -> ResidualConfig {
    ResidualConfig::CONNECTION
}

impl QuicDropConfig {
    /// The Great Firewall's filter by server name, with its published constants.
    pub fn gfw(sni: Names) -> Self {
        Self {
            sni,
            sni_versions: vec![1],
            versions: Vec::new(),
            ports: Vec::new(),
            payload_bytes_min: 0,
            datagrams: 1,
            client_port_higher: true,
            outbound_only: true,
            after_ms: 120.0,
            residual: ResidualConfig { scope: Scope::Service, seconds: 180.0, renewed: false },
        }
    }

    /// TSPU's filter by version, with its published constants.
    pub fn tspu() -> Self {
        Self {
            sni: Names::default(),
            sni_versions: Vec::new(),
            versions: vec![1],
            ports: vec![443],
            payload_bytes_min: 1001,
            datagrams: 1,
            client_port_higher: false,
            outbound_only: false,
            after_ms: 0.0,
            residual: ResidualConfig::CONNECTION,
        }
    }

    /// As configured.
    pub fn build(&self) -> Adversary {
        Adversary::InPath(Box::new(QuicDrop {
            config: self.clone(),
            flows: Flows::new(FLOW_IDLE_NS),
            pending: VecDeque::new(),
            residual: Residual::new(self.residual),
            counters: AdversaryCounters::of("quic-drop"),
        }))
    }
}

/// After so long without a datagram, the next is a flow's first again.
const FLOW_IDLE_NS: u64 = 60_000_000_000;
/// Finds that wait at once; more are missed.
const PENDING_MAX: usize = 65_536;

/// The adversary.
pub struct QuicDrop {
    config: QuicDropConfig,
    /// The first datagrams of each flow: how many came, and those kept to be put together.
    flows: Flows<(usize, Vec<Vec<u8>>)>,
    /// Finds whose block has yet to take hold, and when it will.
    pending: VecDeque<(u64, FlowId)>,
    residual: Residual,
    counters: AdversaryCounters,
}

impl QuicDrop {
    fn is_blocked(&self, datagrams: &[Vec<u8>], payload: &[u8]) -> bool {
        let Some(version) = observe::quic_version(payload) else { return false };
        if payload.len() < self.config.payload_bytes_min {
            return false;
        }
        self.config.versions.contains(&version)
            || !self.config.sni.is_empty()
                && (self.config.sni_versions.is_empty() || self.config.sni_versions.contains(&version))
                && observe::quic_server_name(datagrams.iter().map(Vec::as_slice))
                    .is_some_and(|name| self.config.sni.has(&name))
    }
}

impl InPath for QuicDrop {
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, _: &mut Out) -> Verdict {
        self.counters.seen += 1;
        let Some(datagram) = packet.udp() else { return Verdict::Pass };
        while let Some((due_ns, flow)) = self.pending.pop_front_if(|(due_ns, _)| *due_ns <= now_ns) {
            self.residual.start(due_ns, &flow);
        }
        if let Some(from_client) = self.residual.holds(now_ns, packet) {
            self.counters.residual += 1;
            if from_client || !self.config.outbound_only {
                self.counters.dropped += 1;
                return Verdict::Drop;
            }
            return Verdict::Pass;
        }
        let limit = self.config.datagrams;
        let (flow, from_opener, (count, kept)) = self.flows.of(now_ns, packet, || (0, Vec::new()));
        let [client, server] = datagram.ports;
        let wanted = from_opener
            && direction == Direction::Outbound
            && *count < limit
            && (self.config.ports.is_empty() || self.config.ports.contains(&server))
            && (!self.config.client_port_higher || client > server);
        if !wanted {
            return Verdict::Pass;
        }
        *count += 1;
        kept.push(datagram.payload.to_vec());
        let datagrams = if *count < limit { kept.clone() } else { std::mem::take(kept) };
        if !self.is_blocked(&datagrams, datagram.payload) {
            return Verdict::Pass;
        }
        self.counters.matched += 1;
        let after_ns = (self.config.after_ms.max(0.0) * 1e6) as u64;
        if after_ns > 0 {
            if self.pending.len() < PENDING_MAX {
                self.pending.push_back((now_ns.saturating_add(after_ns), flow));
            }
            return Verdict::Pass;
        }
        self.counters.dropped += 1;
        self.residual.start(now_ns, &flow);
        Verdict::Drop
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::Talk;
    use daylight_protocols::Dir;
    use daylight_protocols::testing::tls::{ClientHello, Initial, crypto_frame};

    const SECOND: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    fn initial(version: u32, name: &'static str) -> Vec<u8> {
        let initial = Initial { version, ..Initial::new(&[1, 2, 3, 4, 5, 6, 7, 8]) };
        initial.datagram(Dir::Client, &crypto_frame(0, &ClientHello::new(name).message()))
    }

    fn passes(adversary: &mut Adversary, talk: &Talk, now_ns: u64, side: usize, payload: &[u8]) -> bool {
        talk.show(adversary, now_ns, &talk.udp(side, payload)).0 == Verdict::Pass
    }

    /// USENIX Security 2025: 180 s for client, server and port, client to server only; from a tenth of a second after the name.
    #[test]
    fn the_great_firewall() {
        for talk in [Talk::v4(443), Talk::v6(443)] {
            let mut adversary = QuicDropConfig::gfw(["blocked.example"].into()).build();
            let gfw = &mut adversary;
            assert!(passes(gfw, &talk, 0, 0, &initial(1, "www.blocked.example")));
            assert!(passes(gfw, &talk, 60 * MS, 0, b"what the client says at once"));
            assert!(!passes(gfw, &talk, 121 * MS, 0, b"what it says then"));
            assert!(passes(gfw, &talk, 122 * MS, 1, b"the server's answers pass"));
            let other_port = Talk { client_port: 60_000, ..talk.clone() };
            assert!(!passes(gfw, &other_port, 179 * SECOND, 0, b"anything"));
            assert!(passes(gfw, &other_port, 181 * SECOND, 0, b"anything"));
            let other_service = Talk { server_port: 444, ..talk.clone() };
            assert!(passes(gfw, &other_service, 182 * SECOND, 0, &initial(1, "fine.example")));
        }
    }

    #[test]
    fn what_the_great_firewall_does_not_see() {
        let mut adversary = QuicDropConfig::gfw(["blocked.example"].into()).build();
        let gfw = &mut adversary;
        let fresh = |client_port| Talk { client_port, ..Talk::v4(443) };
        // A datagram of anything before the Initial.
        assert!(passes(gfw, &fresh(50_001), 0, 0, &[0; 100]));
        assert!(passes(gfw, &fresh(50_001), 1, 0, &initial(1, "blocked.example")));
        assert!(!is_cut(gfw, &fresh(50_001), 1));
        // A client's port that is not the higher one.
        assert!(passes(gfw, &fresh(400), 0, 0, &initial(1, "blocked.example")));
        assert!(!is_cut(gfw, &fresh(400), 0));
        // Version 2.
        assert!(passes(gfw, &fresh(50_004), 0, 0, &initial(0x6b33_43cf, "blocked.example")));
        assert!(!is_cut(gfw, &fresh(50_004), 0));
        // A hello in two datagrams.
        let message = ClientHello::new("blocked.example").message();
        let (a, b) = message.split_at(50);
        let first = Initial::new(&[9; 8]);
        let halves = [
            first.datagram(Dir::Client, &crypto_frame(0, a)),
            Initial { number: 1, ..first }.datagram(Dir::Client, &crypto_frame(50, b)),
        ];
        assert!(halves.iter().all(|half| passes(gfw, &fresh(50_002), 0, 0, half)));
        assert!(!is_cut(gfw, &fresh(50_002), 0));
        // One that puts them together does.
        let two = QuicDropConfig { datagrams: 2, ..QuicDropConfig::gfw(["blocked.example"].into()) };
        let mut adversary = two.build();
        assert!(passes(&mut adversary, &fresh(50_003), 0, 0, &halves[0]));
        assert!(passes(&mut adversary, &fresh(50_003), 0, 0, &halves[1]));
        assert!(is_cut(&mut adversary, &fresh(50_003), 0));
    }

    /// Whether what the client says a second later does not arrive.
    fn is_cut(adversary: &mut Adversary, talk: &Talk, since_ns: u64) -> bool {
        !passes(adversary, talk, since_ns + SECOND, 0, b"more")
    }

    /// IMC 2022: port 443, 1001 bytes, version 1; nothing else matters.
    #[test]
    fn tspu() {
        let fresh = |client_port| Talk { client_port, ..Talk::v4(443) };
        let mut adversary = QuicDropConfig::tspu().build();
        let tspu = &mut adversary;
        let mut junk = vec![0xff; 1001];
        junk[1..5].copy_from_slice(&[0, 0, 0, 1]);
        assert!(!passes(tspu, &fresh(50_001), 0, 0, &junk));
        assert!(!passes(tspu, &fresh(50_001), 1, 1, b"nor does the answer"));
        assert!(passes(tspu, &fresh(50_002), 0, 0, &junk[..1000]));
        assert!(passes(tspu, &fresh(50_003), 0, 0, &initial(0x6b33_43cf, "any.example")));
        assert!(passes(tspu, &Talk::v4(8443), 0, 0, &junk));
    }
}
