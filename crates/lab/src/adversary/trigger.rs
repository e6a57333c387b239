//! What sets an adversary off: a Host header, a server name, a word in a URL, an address.

use daylight_flow::{Piece, Reassembler, ReassemblyCounters};
use daylight_packet::TcpHeader;
use serde::{Deserialize, Serialize};

use super::flows::{FlowId, Flows};
use super::names::{Names, Prefix};
use super::observe;
use super::packet::Packet;
use crate::hop::Direction;

/// What an adversary looks for. Several kinds may be given; one of them is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Names in the Host header of HTTP/1 requests.
    pub hosts: Names,
    /// Server names in TLS ClientHellos.
    pub sni: Names,
    /// Words in the target of HTTP/1 requests, in any case.
    pub keywords: Vec<String>,
    /// Addresses that are connected to.
    pub prefixes: Vec<Prefix>,
    /// Only connections to these ports; none is all.
    pub ports: Vec<u16>,
    /// Look at what servers' side sends first too: connections that are opened from the right. Real censors differ (Citizen
    /// Lab and others could trigger the Great Firewall from outside, TSPU not).
    pub bidirectional: bool,
}

/// How an adversary reads TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reassembly {
    /// Segments are put in order, and read as a stream.
    #[default]
    Stream,
    /// Each segment is read by itself: what is split is not found.
    None,
}

/// Data segments of a flow that are looked at. (TSPU's throttler looked at 15 to 20 after the first: censoredplanet.org/throttling.)
const SEGMENTS_MAX: u16 = 16;

/// What is known of a flow.
#[derive(Debug, Default)]
struct Watched {
    segments: u16,
    stream: Reassembler,
    prefix: Vec<u8>,
    done: bool,
}

/// The bytes of a stream that are kept to look at.
const PREFIX_BYTES_MAX: usize = 16 * 1024;

/// Something that an adversary looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// The name, the word or the address.
    pub what: String,
    /// Which flow, as its opener sees it.
    pub(crate) flow: FlowId,
}

/// Watches connections for what sets an adversary off.
#[derive(Debug)]
pub struct Trigger {
    config: Match,
    reassembly: Reassembly,
    flows: Flows<Watched>,
    counters: ReassemblyCounters,
}

impl Trigger {
    /// Looks for `config`.
    pub fn new(config: Match, reassembly: Reassembly) -> Self {
        Self { config, reassembly, flows: Flows::default(), counters: ReassemblyCounters::default() }
    }

    /// Looks at a packet: is this the one? A flow sets it off once.
    pub fn check(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>) -> Option<Find> {
        let segment = packet.tcp()?;
        let (flow, from_opener, watched) = self.flows.of(now_ns, packet, Watched::default);
        let opened = if from_opener { direction } else { direction.reverse() };
        let ports = &self.config.ports;
        let skipped = watched.done
            || !from_opener
            || opened == Direction::Inbound && !self.config.bidirectional
            || !ports.is_empty() && !ports.contains(&flow.server.1);
        if skipped {
            return None;
        }
        let find = |what| Some(Find { what, flow });
        if self.config.prefixes.iter().any(|p| p.has(packet.destination)) {
            watched.done = true;
            return find(packet.destination.to_string());
        }
        if segment.has(TcpHeader::SYN) {
            watched.stream.syn(segment.seq);
        }
        if segment.payload.is_empty() {
            return None;
        }
        watched.segments += 1;
        let what = match self.reassembly {
            Reassembly::None => self.config.read(segment.payload),
            Reassembly::Stream => {
                let prefix = &mut watched.prefix;
                let seq = segment.seq.wrapping_add(u32::from(segment.has(TcpHeader::SYN)));
                watched.stream.push(seq, segment.payload, 0, true, &mut self.counters, &mut |piece| {
                    if let Piece::Bytes(bytes) = piece {
                        let room = PREFIX_BYTES_MAX.saturating_sub(prefix.len());
                        prefix.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    }
                });
                self.config.read(prefix)
            }
        };
        if what.is_some() || watched.segments >= SEGMENTS_MAX {
            watched.done = true;
            watched.prefix = Vec::new();
            watched.stream = Reassembler::default();
        }
        what.and_then(find)
    }
}

impl Match {
    /// True if nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.sni.is_empty() && self.keywords.is_empty() && self.prefixes.is_empty()
    }

    /// What of it is in the payload of a connection's opener.
    fn read(&self, payload: &[u8]) -> Option<String> {
        if observe::is_tls(payload) {
            return observe::server_name(payload).filter(|name| self.sni.has(name));
        }
        let request = observe::request(payload)?;
        if let Some(host) = request.host.filter(|host| self.hosts.has(host)) {
            return Some(host);
        }
        let target = request.target.to_ascii_lowercase();
        let is_in = |word: &&String| {
            let word = word.to_ascii_lowercase();
            !word.is_empty() && target.windows(word.len()).any(|w| w == word.as_bytes())
        };
        self.keywords.iter().find(is_in).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::{Talk, hello, http};

    fn found(reassembly: Reassembly, config: &Match, port: u16, segments: &[&[u8]]) -> Option<String> {
        let mut trigger = Trigger::new(config.clone(), reassembly);
        let mut talk = Talk::v4(port);
        let mut packets =
            vec![talk.client(TcpHeader::SYN, b""), talk.server(TcpHeader::SYN | TcpHeader::ACK, b"")];
        packets.extend(segments.iter().map(|s| talk.client(TcpHeader::ACK | TcpHeader::PSH, s)));
        packets.iter().find_map(|bytes| {
            let packet = Packet::from_ip(bytes).unwrap();
            let direction = talk.direction(&packet);
            trigger.check(0, direction, &packet).map(|f| f.what)
        })
    }

    fn config() -> Match {
        Match {
            hosts: ["blocked.example"].into(),
            sni: ["blocked.example"].into(),
            keywords: vec!["Falun".into()],
            ..Match::default()
        }
    }

    #[test]
    fn each_kind_is_found_and_others_are_not() {
        for reassembly in [Reassembly::Stream, Reassembly::None] {
            let found = |port, bytes: &[u8]| found(reassembly, &config(), port, &[bytes]);
            assert_eq!(found(443, &hello("www.blocked.example")).as_deref(), Some("www.blocked.example"));
            assert_eq!(found(8443, &hello("fine.example")), None);
            assert_eq!(found(80, &http("/", "blocked.example")).as_deref(), Some("blocked.example"));
            assert_eq!(found(80, &http("/", "fine.example")), None);
            assert_eq!(found(80, &http("/?q=fALUN", "fine.example")).as_deref(), Some("Falun"));
        }
    }

    #[test]
    fn what_is_split_is_found_by_those_who_put_it_together() {
        let hello = hello("blocked.example");
        let at = hello.windows(7).position(|w| w == b"blocked").unwrap() + 3;
        let halves = [&hello[..at], &hello[at..]];
        assert!(found(Reassembly::Stream, &config(), 443, &halves).is_some());
        assert!(found(Reassembly::None, &config(), 443, &halves).is_none());
    }

    #[test]
    fn ports_addresses_and_the_side_that_opened() {
        let on_443 = Match { ports: vec![443], ..config() };
        assert!(found(Reassembly::None, &on_443, 444, &[&hello("blocked.example")]).is_none());
        let by_address = Match { prefixes: vec!["198.51.100.0/24".parse().unwrap()], ..Match::default() };
        assert_eq!(found(Reassembly::None, &by_address, 1, &[]).as_deref(), Some("198.51.100.7"));
        let mut trigger = Trigger::new(config(), Reassembly::Stream);
        let bytes = Talk::v4(443).client(TcpHeader::ACK, &hello("blocked.example"));
        let packet = Packet::from_ip(&bytes).unwrap();
        assert_eq!(trigger.check(0, Direction::Inbound, &packet), None);
    }
}
