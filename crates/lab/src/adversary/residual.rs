//! Residual blocking: after a find, a pair of hosts stays blocked for a while, whatever they say.
//!
//! Bock et al., "Your Censor is My Censor: Weaponizing Censorship Infrastructure for Availability Attacks" (WOOT 2021)
//! describe it as null-routing or resetting by 3-tuple (client, server, server's port) or 4-tuple (with the client's port).
//! Durations reported: 90 s for the Great Firewall's HTTP filter (INTANG, IMC 2017; Rambert et al., WWW 2021: that 3-tuple only,
//! other ports of the same server are unaffected), 60 s for Iran's protocol filter, started anew by every further offence
//! (Bock et al., FOCI 2020), 180 s for the Great Firewall's QUIC filter (Zohaib et al., USENIX Security 2025).

use std::collections::HashMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::flows::FlowId;
use super::packet::Packet;

/// Which packets are hit by what an earlier one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// The same two hosts.
    #[serde(rename = "2-tuple")]
    Hosts,
    /// … and the same port of the server.
    #[serde(rename = "3-tuple")]
    Service,
    /// … and the same port of the client: that connection only.
    #[serde(rename = "4-tuple")]
    Flow,
}

/// How long a block lasts, and what it is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualConfig {
    /// Which packets are hit.
    pub scope: Scope,
    /// For how long after the find, in seconds.
    pub seconds: f64,
    /// A packet that is hit starts the time anew.
    #[serde(default)]
    pub renewed: bool,
}

impl ResidualConfig {
    /// This connection only, for as long as it may take to give up.
    pub(crate) const CONNECTION: Self = Self { scope: Scope::Flow, seconds: 900.0, renewed: false };

    fn duration_ns(&self) -> u64 {
        (self.seconds.max(0.0) * 1e9) as u64
    }
}

type Key = (u8, IpAddr, IpAddr, u16, u16);

/// The blocks in force.
#[derive(Debug)]
pub(crate) struct Residual {
    config: ResidualConfig,
    until: HashMap<Key, u64>,
}

/// At most this many are kept; with more, the list is cleared of what has ended, and then of everything.
const BLOCKS_MAX: usize = 65_536;

impl Residual {
    pub(crate) fn new(config: ResidualConfig) -> Self {
        Self { config, until: HashMap::new() }
    }

    fn key(&self, id: &FlowId) -> Key {
        let (server_port, client_port) = match self.config.scope {
            Scope::Hosts => (0, 0),
            Scope::Service => (id.server.1, 0),
            Scope::Flow => (id.server.1, id.client.1),
        };
        (id.protocol, id.client.0, id.server.0, server_port, client_port)
    }

    /// Something was found in this flow: what it is part of is blocked from now on.
    pub(crate) fn start(&mut self, now_ns: u64, id: &FlowId) {
        if self.until.len() >= BLOCKS_MAX {
            self.until.retain(|_, until| *until > now_ns);
            if self.until.len() >= BLOCKS_MAX {
                self.until.clear();
            }
        }
        self.until.insert(self.key(id), now_ns.saturating_add(self.config.duration_ns()));
    }

    /// Whether a packet is hit; if so, whether it comes from the client of what was blocked.
    pub(crate) fn holds(&mut self, now_ns: u64, packet: &Packet<'_>) -> Option<bool> {
        let sender = FlowId::of_sender(packet);
        let receiver = FlowId { client: sender.server, server: sender.client, ..sender };
        for (id, from_client) in [(sender, true), (receiver, false)] {
            let key = self.key(&id);
            match self.until.get_mut(&key) {
                Some(until) if *until > now_ns => {
                    if self.config.renewed && from_client {
                        *until = now_ns.saturating_add(self.config.duration_ns());
                    }
                    return Some(from_client);
                }
                Some(_) => {
                    self.until.remove(&key);
                }
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::Talk;
    use daylight_packet::TcpHeader;

    const SECOND: u64 = 1_000_000_000;

    fn held(scope: Scope) -> [bool; 4] {
        let mut residual = Residual::new(ResidualConfig { scope, seconds: 90.0, renewed: false });
        let mut talk = Talk::v4(80);
        let bytes = talk.client(TcpHeader::ACK, b"x");
        residual.start(0, &FlowId::of_sender(&Packet::from_ip(&bytes).unwrap()));
        let mut holds =
            |now, bytes: Vec<u8>| residual.holds(now, &Packet::from_ip(&bytes).unwrap()).is_some();
        let same = holds(89 * SECOND, talk.server(TcpHeader::ACK, b"y"));
        let other_client_port =
            holds(1, Talk { client_port: 50_001, ..talk.clone() }.client(TcpHeader::SYN, b""));
        let other_server_port =
            holds(1, Talk { server_port: 443, ..talk.clone() }.client(TcpHeader::SYN, b""));
        let later = holds(91 * SECOND, talk.client(TcpHeader::ACK, b"x"));
        [same, other_client_port, other_server_port, later]
    }

    #[test]
    fn the_scope_says_what_is_hit() {
        assert_eq!(held(Scope::Hosts), [true, true, true, false]);
        assert_eq!(held(Scope::Service), [true, true, false, false]);
        assert_eq!(held(Scope::Flow), [true, false, false, false]);
    }

    #[test]
    fn a_block_may_be_renewed_by_what_it_hits() {
        let config = ResidualConfig { scope: Scope::Service, seconds: 60.0, renewed: true };
        let mut residual = Residual::new(config);
        let mut talk = Talk::v4(80);
        let (bytes, answer) = (talk.client(TcpHeader::ACK, b"x"), talk.server(TcpHeader::ACK, b"y"));
        let (packet, answer) = (Packet::from_ip(&bytes).unwrap(), Packet::from_ip(&answer).unwrap());
        residual.start(0, &FlowId::of_sender(&packet));
        assert_eq!(residual.holds(50 * SECOND, &packet), Some(true));
        assert_eq!(residual.holds(100 * SECOND, &answer), Some(false));
        assert_eq!(residual.holds(111 * SECOND, &answer), None);
    }
}
