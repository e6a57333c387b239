//! TCP resets: after a Host header, a server name, a word in a URL, or to an address.
//!
//! **Models.** On the path, to both ends, while the packet itself goes through: the Great Firewall (Clayton, Murdoch and Watson,
//! "Ignoring the Great Firewall of China", PET 2006: resets come in threes, at the sequence number expected and 1460 and
//! 4380 bytes further on, so that one of them fits if more was sent meanwhile). In the path, to the client, and the packet is
//! dropped: Sandvine's boxes in Egypt (AFTE and OONI, "The State of Internet Censorship in Egypt", 2018: IPID 0x1234, DF clear) and
//! those of Belarus's Business Network (Qurium, 2020: window 502, IPID 0). [`Signature`] holds what each fills in.
//!
//! With `close` it sends FIN/ACK instead: beside resets and pages the third way to end a connection that CenTrace counts (Raman
//! et al., "Network Measurement Methods for Locating and Examining Censorship Devices", CoNEXT 2022).
//!
//! **Residual blocking.** While it lasts, whatever the client sends, its SYN too, is answered by resets; in the path it is
//! also dropped.
//!
//! **Sequence numbers.** A reset counts only if its sequence number is exactly the one expected (RFC 5961 §3.2). The client
//! expects what it acknowledges. The server expects what follows the packet if that arrives, and its beginning if it was dropped.

use daylight_packet::TcpHeader;
use serde::{Deserialize, Serialize};

use super::either::Look;
use super::mark::{Fill, Mark, Rule};
use super::packet::{Packet, Segment};
use super::residual::{Residual, ResidualConfig};
use super::trigger::{Match, Reassembly, Trigger};
use super::{Adversary, AdversaryCounters, Out, Place};
use crate::hop::Direction;
use crate::hop::random::Random;
use daylight_packet::build::{self, Tcp};

/// An adversary that resets connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpResetConfig {
    /// What it looks for.
    #[serde(rename = "match")]
    pub matching: Match,
    /// Where it stands.
    #[serde(default)]
    pub place: Place,
    /// Who gets resets.
    #[serde(default)]
    pub sides: Sides,
    /// What they look like.
    #[serde(default)]
    pub signature: Signature,
    /// Close with FIN/ACK rather than reset: the connection ends as if the other side had hung up.
    #[serde(default)]
    pub close: bool,
    /// How it reads TCP.
    #[serde(default)]
    pub reassembly: Reassembly,
    /// What stays blocked afterwards. If it is not said: in the path, the connection; on the path, nothing.
    #[serde(default)]
    pub residual: Option<ResidualConfig>,
    /// How long after the packet the resets are sent, in milliseconds.
    #[serde(default)]
    pub after_ms: f64,
}

/// Which ends of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sides {
    /// Both.
    #[default]
    Both,
    /// The end that opened it.
    Client,
    /// The other.
    Server,
}

impl Sides {
    pub(crate) fn client(self) -> bool {
        self != Self::Server
    }

    pub(crate) fn server(self) -> bool {
        self != Self::Client
    }
}

/// What resets look like, by who sends them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// As an ordinary host would: one RST/ACK.
    #[default]
    Plain,
    /// Great Firewall, type 1: a lone RST, DF clear, a window, random TTL (INTANG, IMC 2017).
    GfwType1,
    /// Great Firewall, type 2: three RST/ACK at 0, 1460 and 4380 bytes, with windows and TTLs of their own (Clayton et al. 2006;
    /// INTANG).
    GfwType2,
    /// China 2022: three RST/ACK that are byte for byte the same, DF set, window 1375 above the TTL (captures of CenTrace).
    ChinaLockstep,
    /// Sandvine PacketLogic in Turkey and Syria: IPID 13330 (Citizen Lab, "Bad Traffic", 2018).
    PacketlogicTurkey,
    /// Egypt: IPID 0x1234, DF clear (AFTE and OONI 2018).
    PacketlogicEgypt,
    /// Belarus, Business Network: RST/ACK, window 502, IPID 0 (Qurium 2020).
    BusinessNetwork,
    /// A box that copies the TTL of the packet it answers: IPID 1, window 8192, DF clear (captures of CenTrace).
    TtlCopier,
    /// As told.
    Custom {
        /// The header fields.
        #[serde(default)]
        mark: Mark,
        /// RST/ACK rather than RST.
        #[serde(default)]
        ack: bool,
        /// How many bytes beyond the expected sequence number; one reset for each.
        offsets: Vec<u32>,
    },
}

/// The shape of a burst of resets.
struct Burst {
    mark: Mark,
    ack: bool,
    offsets: Vec<u32>,
    lockstep: bool,
}

impl Signature {
    fn burst(&self) -> Burst {
        let (fixed8, fixed16) = (Fill::Fixed::<u8>, Fill::Fixed::<u16>);
        let random = Fill::By(Rule::Random);
        let mark = |ttl, ip_id, window, dont_fragment| Mark { ttl, ip_id, window, dont_fragment };
        let random_ttl = Fill::By(Rule::Random);
        let (mark, ack, offsets, lockstep): (Mark, bool, &[u32], bool) = match self {
            Self::Plain => (Mark::default(), true, &[0], false),
            Self::GfwType1 => (mark(random_ttl, random, random, false), false, &[0], false),
            Self::GfwType2 => (mark(random_ttl, random, random, false), true, &[0, 1460, 4380], false),
            Self::ChinaLockstep => (mark(random_ttl, random, random, true), true, &[0, 0, 0], true),
            Self::PacketlogicTurkey => {
                (mark(fixed8(64), fixed16(13_330), fixed16(0), false), false, &[0], false)
            }
            Self::PacketlogicEgypt => {
                (mark(fixed8(64), fixed16(0x1234), fixed16(0), false), false, &[0], false)
            }
            Self::BusinessNetwork => (mark(fixed8(64), fixed16(0), fixed16(502), true), true, &[0], false),
            Self::TtlCopier => {
                (mark(Fill::By(Rule::Copied), fixed16(1), fixed16(8192), false), false, &[0], false)
            }
            Self::Custom { mark, ack, offsets } => (*mark, *ack, offsets, false),
        };
        Burst { mark, ack, offsets: offsets.to_vec(), lockstep }
    }
}

/// How far China's lockstep resets have their window above their TTL.
const LOCKSTEP_GAP: u16 = 1375;

/// Makes resets.
pub(crate) struct Resetter {
    burst: Burst,
    dice: Random,
    after_ns: u64,
    close: bool,
}

impl Resetter {
    pub(crate) fn new(signature: &Signature, after_ms: f64, seed: u64) -> Self {
        let after_ns = (after_ms.max(0.0) * 1e6) as u64;
        Self { burst: signature.burst(), dice: Random::new(seed), after_ns, close: false }
    }

    /// One that closes instead.
    fn closing(self, close: bool) -> Self {
        Self { close, ..self }
    }

    /// Resets for who sent `packet` (`back`) or for who was to have it, which it reaches or not (`arrives`). Says how many.
    pub(crate) fn send(
        &mut self,
        direction: Direction,
        packet: &Packet<'_>,
        back: bool,
        arrives: bool,
        out: &mut Out,
    ) -> u64 {
        let Some(segment) = packet.tcp().filter(|s| !s.has(TcpHeader::RST)) else { return 0 };
        let Segment { ports: [source, destination], seq, ack, .. } = *segment;
        let next = seq.wrapping_add(segment.sequence_len());
        // Who has sent no acknowledgement yet expects none: the reset must bring its own (RFC 9293 §3.10.7.3).
        let with_ack = self.burst.ack || self.close || back && !segment.has(TcpHeader::ACK);
        let end = if self.close { TcpHeader::FIN } else { TcpHeader::RST };
        let flags = end | if with_ack { TcpHeader::ACK } else { 0 };
        let mut common = Tcp { flags, ..Tcp::default() };
        if back {
            common.source = packet.destination;
            common.destination = packet.source;
            (common.source_port, common.destination_port) = (destination, source);
            (common.seq, common.ack) = (ack, if with_ack { next } else { 0 });
        } else {
            common.source = packet.source;
            common.destination = packet.destination;
            (common.source_port, common.destination_port) = (source, destination);
            (common.seq, common.ack) = (if arrives { next } else { seq }, if with_ack { ack } else { 0 });
        }
        let mut fields = None;
        for offset in &self.burst.offsets {
            if fields.is_none() || !self.burst.lockstep {
                let stamp = self.burst.mark.stamp(packet, &mut self.dice);
                let window = self.burst.mark.window(packet, &mut self.dice);
                fields = Some((stamp, window));
            }
            let Some((stamp, mut window)) = fields else { continue };
            if self.burst.lockstep {
                window = u16::from(stamp.ttl) + LOCKSTEP_GAP;
            }
            let reset = Tcp {
                seq: common.seq.wrapping_add(*offset),
                window,
                ttl: stamp.ttl,
                ip_id: stamp.ip_id,
                dont_fragment: stamp.dont_fragment,
                ..common
            };
            let to = if back { direction.reverse() } else { direction };
            out.inject(to, build::tcp(&reset), self.after_ns);
        }
        self.burst.offsets.len() as u64
    }
}

/// The adversary.
pub struct TcpReset {
    trigger: Trigger,
    sides: Sides,
    resetter: Resetter,
    residual: Option<Residual>,
    in_path: bool,
    counters: AdversaryCounters,
}

impl TcpResetConfig {
    /// As configured.
    pub fn build(&self, seed: u64) -> Adversary {
        let in_path = self.place == Place::InPath;
        let residual = self.residual.or_else(|| in_path.then_some(ResidualConfig::CONNECTION));
        let reset = TcpReset {
            trigger: Trigger::new(self.matching.clone(), self.reassembly),
            sides: self.sides,
            resetter: Resetter::new(&self.signature, self.after_ms, seed).closing(self.close),
            residual: residual.map(Residual::new),
            in_path,
            counters: AdversaryCounters::of("tcp-reset"),
        };
        Adversary::at(self.place, reset)
    }
}

impl Look for TcpReset {
    /// Looks at a packet, and resets its connection if it has to. True if it is not to pass.
    fn look(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> bool {
        if packet.tcp().is_none() {
            return false;
        }
        let held = self.residual.as_mut().and_then(|r| r.holds(now_ns, packet));
        let from_client = match (held, self.trigger.check(now_ns, direction, packet)) {
            (Some(from_client), _) => {
                self.counters.residual += 1;
                from_client
            }
            (None, Some(find)) => {
                self.counters.matched += 1;
                if let Some(residual) = &mut self.residual {
                    residual.start(now_ns, &find.flow);
                }
                true
            }
            (None, None) => return false,
        };
        // What the server sends meanwhile is dropped by those who can, and needs no answer.
        if from_client {
            let resetter = &mut self.resetter;
            let mut sent = 0;
            if self.sides.client() {
                sent += resetter.send(direction, packet, true, !self.in_path, out);
            }
            if self.sides.server() {
                sent += resetter.send(direction, packet, false, !self.in_path, out);
            }
            self.counters.injected += sent;
        }
        true
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::Verdict;
    use crate::adversary::residual::Scope;
    use crate::adversary::testing::{Talk, hello, http};

    fn config(text: &str) -> TcpResetConfig {
        toml::from_str(text).unwrap()
    }

    const BLOCKED: &str = "match.sni = ['blocked.example']\nmatch.hosts = ['blocked.example']\n";

    /// Seq, ack, flags, window of a reset, and TTL, IPID and DF.
    fn fields(ip: &[u8]) -> (u32, u32, u8, u16, u8, u16, bool) {
        let packet = Packet::from_ip(ip).unwrap();
        let s = packet.tcp().unwrap();
        (s.seq, s.ack, s.flags, s.window, packet.ttl, packet.ip_id.unwrap_or(0), ip[6] & 0x40 != 0)
    }

    #[test]
    fn in_the_path_both_ends_are_reset_where_they_are() {
        for mut talk in [Talk::v4(443), Talk::v6(443)] {
            let mut adversary = config(BLOCKED).build(0);
            talk.handshake(&mut adversary, 0);
            let (before, hello) = (talk.clone(), hello("www.blocked.example"));
            let packet = talk.client(TcpHeader::ACK | TcpHeader::PSH, &hello);
            let (verdict, injected) = talk.show(&mut adversary, 0, &packet);
            assert_eq!((verdict, injected.len()), (Verdict::Drop, 2));
            let (seq, ack, flags, ..) = fields(&injected[0].ip);
            assert_eq!(
                (injected[0].direction, seq, ack, flags),
                (Direction::Inbound, before.next[1], talk.next[0], 0x14)
            );
            // The server has not seen the hello.
            let (seq, ..) = fields(&injected[1].ip);
            assert_eq!((injected[1].direction, seq), (Direction::Outbound, before.next[0]));
            // Nothing of the connection passes any more, and resets are not answered by resets.
            assert_eq!(
                talk.show(&mut adversary, 1, &talk.clone().server(TcpHeader::ACK, b"x")),
                (Verdict::Drop, vec![])
            );
            assert_eq!(
                talk.show(&mut adversary, 1, &talk.clone().client(TcpHeader::RST, b"")),
                (Verdict::Drop, vec![])
            );
            // Collateral: the same two hosts, another name.
            let mut other = Talk { client_port: 50_001, ..before };
            other.handshake(&mut adversary, 2);
            let fine = other.client(TcpHeader::ACK, &super::super::testing::hello("fine.example"));
            assert_eq!(other.show(&mut adversary, 2, &fine), (Verdict::Pass, vec![]));
        }
    }

    /// Clayton et al. 2006: threes at 0, 1460 and 4380, to both ends, and the request goes through.
    #[test]
    fn resets_of_the_great_firewall() {
        let text = format!("{BLOCKED}place = 'on-path'\nsignature = 'gfw-type2'");
        let mut adversary = config(&text).build(1);
        let mut talk = Talk::v4(80);
        talk.handshake(&mut adversary, 0);
        let packet = talk.client(TcpHeader::ACK, &http("/", "blocked.example"));
        let (verdict, injected) = talk.show(&mut adversary, 0, &packet);
        assert_eq!(verdict, Verdict::Pass);
        let to_client: Vec<_> = injected[..3].iter().map(|i| fields(&i.ip)).collect();
        assert_eq!(to_client.iter().map(|f| f.0 - talk.next[1]).collect::<Vec<_>>(), [0, 1460, 4380]);
        assert!(to_client.iter().all(|f| f.2 == 0x14 && f.3 != 0 && !f.6));
        assert!(to_client[0].4 != to_client[1].4 || to_client[1].4 != to_client[2].4);
        // The server has got the request, so the reset follows it.
        assert_eq!(fields(&injected[3].ip).0, talk.next[0]);
        assert_eq!(injected.len(), 6);
    }

    #[test]
    fn what_gives_each_injector_away() {
        let first = |signature: &str| {
            let text = format!("{BLOCKED}sides = 'client'\nsignature = {signature}");
            let mut adversary = config(&text).build(2);
            let mut talk = Talk::v4(443);
            talk.handshake(&mut adversary, 0);
            let packet = talk.client(TcpHeader::ACK, &hello("blocked.example"));
            talk.show(&mut adversary, 0, &packet).1
        };
        let (_, _, flags, window, _, ip_id, df) = fields(&first("'packetlogic-egypt'")[0].ip);
        assert_eq!((flags, window, ip_id, df), (4, 0, 0x1234, false));
        assert_eq!(fields(&first("'packetlogic-turkey'")[0].ip).5, 0x3412);
        let (_, _, flags, window, _, ip_id, _) = fields(&first("'business-network'")[0].ip);
        assert_eq!((flags, window, ip_id), (0x14, 502, 0));
        let (_, _, _, window, ttl, ip_id, df) = fields(&first("'ttl-copier'")[0].ip);
        assert_eq!((window, ttl, ip_id, df), (8192, 61, 1, false));
        let three = first("'china-lockstep'");
        assert!(three.len() == 3 && three.iter().all(|i| i.ip == three[0].ip));
        let (_, _, _, window, ttl, _, df) = fields(&three[0].ip);
        assert_eq!((window - u16::from(ttl), df), (1375, true));
        let custom = first("{ custom = { offsets = [5], mark = { ttl = 9, window = 'copied' } } }");
        assert_eq!((fields(&custom[0].ip).4, fields(&custom[0].ip).3), (9, 512));
    }

    #[test]
    fn a_close_in_place_of_a_reset() {
        let mut adversary = config(&format!("{BLOCKED}close = true\nsides = 'client'")).build(0);
        let mut talk = Talk::v4(443);
        talk.handshake(&mut adversary, 0);
        let packet = talk.client(TcpHeader::ACK, &hello("blocked.example"));
        let (verdict, injected) = talk.show(&mut adversary, 0, &packet);
        let (seq, ack, flags, ..) = fields(&injected[0].ip);
        assert_eq!((verdict, injected.len(), flags), (Verdict::Drop, 1, TcpHeader::FIN | TcpHeader::ACK));
        assert_eq!((seq, ack), (talk.next[1], talk.next[0]));
    }

    /// Rambert et al. 2021: 90 s for client, server and port; other ports of the same server are not affected.
    #[test]
    fn the_penalty_box_of_the_great_firewall() {
        let text = format!("{BLOCKED}place = 'on-path'\nresidual = {{ scope = '3-tuple', seconds = 90 }}");
        let config = config(&text);
        assert_eq!(config.residual.unwrap().scope, Scope::Service);
        let mut adversary = config.build(0);
        let mut talk = Talk::v4(80);
        talk.handshake(&mut adversary, 0);
        let packet = talk.client(TcpHeader::ACK, &http("/", "blocked.example"));
        assert!(!talk.show(&mut adversary, 0, &packet).1.is_empty());
        let second = 1_000_000_000;
        let mut next = Talk { client_port: 50_100, ..Talk::v4(80) };
        let (verdict, injected) =
            next.clone().show(&mut adversary, 89 * second, &next.client(TcpHeader::SYN, b""));
        assert_eq!(verdict, Verdict::Pass);
        // A SYN expects RST/ACK with its own number acknowledged.
        let (_, ack, flags, ..) = fields(&injected[0].ip);
        assert_eq!((ack, flags), (next.next[0], 0x14));
        Talk { client_port: 50_101, ..Talk::v4(8080) }.handshake(&mut adversary, 89 * second);
        Talk { client_port: 50_102, ..Talk::v4(80) }.handshake(&mut adversary, 91 * second);
        assert_eq!(adversary.counters().matched, 1);
    }
}
