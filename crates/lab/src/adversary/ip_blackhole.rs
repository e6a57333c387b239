//! Blocking by address.
//!
//! **Models.** The plain null route: nothing to or from an address passes. Belarus, October 2020 to 2021: connections to Tor's
//! relays, and later its bridges, got their SYN/ACK, but the client's ACK was dropped (net4people/bbs#72), which looks like a
//! server that answers and then falls silent. Routers that are told to refuse say so by ICMP (RFC 1812 §5.2.7.1).

use daylight_packet::TcpHeader;
use serde::{Deserialize, Serialize};

use super::names::Prefix;
use super::packet::{Packet, Transport};
use super::tcp_reset::{Resetter, Signature};
use super::{Adversary, AdversaryCounters, InPath, Out, Verdict, icmp};
use crate::hop::Direction;

/// An adversary that blocks addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpBlackholeConfig {
    /// Which addresses.
    pub prefixes: Vec<Prefix>,
    /// Only these ports of theirs; none is all, and what has no ports too.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Only this transport.
    #[serde(default)]
    pub transport: Option<Only>,
    /// What is dropped.
    #[serde(default)]
    pub drop: Dropped,
    /// What the sender is told.
    #[serde(default)]
    pub answer: Answer,
}

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Which packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dropped {
    /// All, both ways.
    #[default]
    All,
    /// What goes there; what comes back passes.
    Outbound,
    /// What goes there, but SYNs pass: the handshake is not completed.
    AfterSyn,
}

/// What the sender of a dropped packet is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing.
    #[default]
    Silence,
    /// ICMP "administratively prohibited".
    Icmp,
    /// A TCP reset; nothing for other transports.
    Reset,
}

/// The adversary.
pub struct IpBlackhole {
    config: IpBlackholeConfig,
    resetter: Resetter,
    counters: AdversaryCounters,
}

impl IpBlackholeConfig {
    /// As configured.
    pub fn build(&self, seed: u64) -> Adversary {
        Adversary::InPath(Box::new(IpBlackhole {
            config: self.clone(),
            resetter: Resetter::new(&Signature::Plain, 0.0, seed),
            counters: AdversaryCounters::of("ip-blackhole"),
        }))
    }

    /// True if a packet goes to (`true`) or comes from (`false`) what is blocked.
    fn blocks(&self, packet: &Packet<'_>) -> Option<bool> {
        let transport = matches!(
            (self.transport, &packet.transport),
            (None, _) | (Some(Only::Tcp), Transport::Tcp(_)) | (Some(Only::Udp), Transport::Udp(_))
        );
        let [from, to] = packet.ports();
        let is = |address, port| {
            self.prefixes.iter().any(|p| p.has(address))
                && (self.ports.is_empty() || self.ports.contains(&port))
        };
        if !transport {
            None
        } else if is(packet.destination, to) {
            Some(true)
        } else {
            is(packet.source, from).then_some(false)
        }
    }
}

impl InPath for IpBlackhole {
    fn packet(&mut self, _: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> Verdict {
        self.counters.seen += 1;
        let Some(there) = self.config.blocks(packet) else { return Verdict::Pass };
        self.counters.matched += 1;
        let syn = packet.tcp().is_some_and(|s| s.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN);
        let dropped = match self.config.drop {
            Dropped::All => true,
            Dropped::Outbound => there,
            Dropped::AfterSyn => there && !syn,
        };
        if !dropped {
            return Verdict::Pass;
        }
        self.counters.dropped += 1;
        if there {
            self.counters.injected += match self.config.answer {
                Answer::Silence => 0,
                Answer::Reset => self.resetter.send(direction, packet, true, false, out),
                Answer::Icmp => icmp::prohibited(packet).map_or(0, |ip| {
                    out.inject(direction.reverse(), ip, 0);
                    1
                }),
            };
        }
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

    fn adversary(more: &str) -> Adversary {
        let text = format!("prefixes = ['198.51.100.7', '2001:db8:f::/48']\n{more}");
        toml::from_str::<IpBlackholeConfig>(&text).unwrap().build(0)
    }

    #[test]
    fn nothing_passes_and_the_neighbour_is_not_touched() {
        for mut talk in [Talk::v4(443), Talk::v6(443)] {
            let mut adversary = adversary("");
            let packets = [
                talk.client(TcpHeader::SYN, b""),
                talk.server(TcpHeader::SYN | TcpHeader::ACK, b""),
                talk.udp(0, b"x"),
            ];
            for bytes in packets {
                assert_eq!(talk.show(&mut adversary, 0, &bytes), (Verdict::Drop, vec![]));
            }
            let neighbour = if talk.server_address.is_ipv4() { "198.51.100.8" } else { "2001:db8:e::7" };
            talk.server_address = neighbour.parse().unwrap();
            talk.handshake(&mut adversary, 0);
        }
    }

    #[test]
    fn the_handshake_that_is_not_completed() {
        let mut adversary = adversary("drop = 'after-syn'");
        let mut talk = Talk::v4(9001);
        let verdicts = [
            talk.client(TcpHeader::SYN, b""),
            talk.server(TcpHeader::SYN | TcpHeader::ACK, b""),
            talk.client(TcpHeader::ACK, b""),
            talk.server(TcpHeader::SYN | TcpHeader::ACK, b""),
        ]
        .map(|bytes| talk.show(&mut adversary, 0, &bytes).0 == Verdict::Pass);
        assert_eq!(verdicts, [true, true, false, true]);
    }

    #[test]
    fn ports_transports_and_answers() {
        let mut talk = Talk::v4(443);
        let mut only_udp = adversary("transport = 'udp'\nports = [443]");
        assert_eq!(talk.show(&mut only_udp, 0, &talk.udp(0, b"q")).0, Verdict::Drop);
        assert_eq!(talk.show(&mut only_udp, 0, &Talk::v4(444).udp(0, b"q")).0, Verdict::Pass);
        talk.handshake(&mut only_udp, 0);
        let syn = Talk::v4(443).client(TcpHeader::SYN, b"");
        let icmp = talk.show(&mut adversary("answer = 'icmp'"), 0, &syn).1;
        assert_eq!(Packet::from_ip(&icmp[0].ip).unwrap().protocol, 1);
        let reset = talk.show(&mut adversary("answer = 'reset'"), 0, &syn).1;
        assert_eq!(
            Packet::from_ip(&reset[0].ip).unwrap().tcp().unwrap().flags,
            TcpHeader::RST | TcpHeader::ACK
        );
    }
}
