//! A connection that starves after its server name.
//!
//! **Models.** TSPU, Russia (Xue et al., "TSPU: Russia's Decentralized Censorship System", IMC 2022, figure 2): boxes in the path
//! that drop everything of the connection, both ways: at once, the hello with it ("SNI-IV"), or after five to eight more
//! packets have passed ("SNI-II"). It is told from an outage by what happened before: handshake and first packets go through.
//! Uzbekistan and others drop from the ClientHello on.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::flows::Flows;
use super::packet::Packet;
use super::residual::{Residual, ResidualConfig};
use super::trigger::{Match, Reassembly, Trigger};
use super::{Adversary, AdversaryCounters, InPath, Out, Verdict};
use crate::hop::Direction;
use crate::hop::random::Random;

/// An adversary that drops connections after their server name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SniDropConfig {
    /// What it looks for.
    #[serde(rename = "match")]
    pub matching: Match,
    /// How many packets of the connection pass after the find, the one with the name included: least and most. None if it
    /// is not said; TSPU's second class is `[5, 8]`.
    #[serde(default)]
    pub packets_passed: Option<[u32; 2]>,
    /// Drop only what the client sends.
    #[serde(default)]
    pub outbound_only: bool,
    /// How it reads TCP.
    #[serde(default)]
    pub reassembly: Reassembly,
    /// What stays blocked; the connection if it is not said.
    #[serde(default)]
    pub residual: Option<ResidualConfig>,
}

/// The adversary.
pub struct SniDrop {
    trigger: Trigger,
    passed: Option<RangeInclusive<u32>>,
    outbound_only: bool,
    residual: Residual,
    /// Packets that a condemned connection may still pass.
    grace: Flows<Option<u32>>,
    dice: Random,
    counters: AdversaryCounters,
}

impl SniDropConfig {
    /// As configured.
    pub fn build(&self, seed: u64) -> Adversary {
        Adversary::InPath(Box::new(SniDrop {
            trigger: Trigger::new(self.matching.clone(), self.reassembly),
            passed: self.packets_passed.map(|[least, most]| least..=most.max(least)),
            outbound_only: self.outbound_only,
            residual: Residual::new(self.residual.unwrap_or(ResidualConfig::CONNECTION)),
            grace: Flows::default(),
            dice: Random::new(seed),
            counters: AdversaryCounters::of("sni-drop"),
        }))
    }
}

impl InPath for SniDrop {
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, _: &mut Out) -> Verdict {
        self.counters.seen += 1;
        if packet.tcp().is_none() {
            return Verdict::Pass;
        }
        let mut from_client = self.residual.holds(now_ns, packet);
        if from_client.is_some() {
            self.counters.residual += 1;
        } else if let Some(find) = self.trigger.check(now_ns, direction, packet) {
            self.counters.matched += 1;
            self.residual.start(now_ns, &find.flow);
            let grace = self.passed.as_ref().map(|range| {
                let span = (range.end() - range.start()) as usize + 1;
                range.start() + u32::try_from(self.dice.below(span)).unwrap_or(0)
            });
            *self.grace.of(now_ns, packet, || None).2 = grace;
            from_client = Some(true);
        }
        let Some(from_client) = from_client else { return Verdict::Pass };
        if self.passed.is_some()
            && let Some(left) = self.grace.of(now_ns, packet, || None).2
            && *left > 0
        {
            *left -= 1;
            return Verdict::Pass;
        }
        if self.outbound_only && !from_client {
            return Verdict::Pass;
        }
        self.counters.dropped += 1;
        Verdict::Drop
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::{Talk, hello};
    use daylight_packet::TcpHeader;

    fn adversary(more: &str) -> Adversary {
        let text = format!("match.sni = ['blocked.example']\n{more}");
        toml::from_str::<SniDropConfig>(&text).unwrap().build(9)
    }

    /// The verdicts on a hello for `name` and on ten packets to and fro after it.
    fn verdicts(adversary: &mut Adversary, talk: &mut Talk, name: &'static str) -> Vec<bool> {
        talk.handshake(adversary, 0);
        let hello = talk.client(TcpHeader::ACK, &hello(name));
        let mut passed = vec![talk.show(adversary, 0, &hello).0 == Verdict::Pass];
        for i in 0..10 {
            let bytes = if i % 2 == 0 {
                talk.server(TcpHeader::ACK, b"s")
            } else {
                talk.client(TcpHeader::ACK, b"c")
            };
            passed.push(talk.show(adversary, 0, &bytes).0 == Verdict::Pass);
        }
        passed
    }

    #[test]
    fn nothing_passes_from_the_hello_on() {
        for mut talk in [Talk::v4(443), Talk::v6(443)] {
            let mut adversary = adversary("");
            assert_eq!(verdicts(&mut adversary, &mut talk.clone(), "blocked.example"), [false; 11]);
            talk.client_port += 1;
            assert_eq!(verdicts(&mut adversary, &mut talk, "fine.example"), [true; 11]);
        }
    }

    /// IMC 2022: five to eight packets pass, then none.
    #[test]
    fn a_few_packets_pass_first() {
        let mut adversary = adversary("packets_passed = [5, 8]");
        let mut numbers = Vec::new();
        for port in 0..40 {
            let mut talk = Talk { client_port: 51_000 + port, ..Talk::v4(443) };
            let passed = verdicts(&mut adversary, &mut talk, "blocked.example");
            let n = passed.iter().take_while(|p| **p).count();
            assert!(passed[n..].iter().all(|p| !p), "{passed:?}");
            numbers.push(n);
        }
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [5, 6, 7, 8]);
    }

    #[test]
    fn only_what_the_client_sends() {
        let mut adversary = adversary("outbound_only = true");
        let passed = verdicts(&mut adversary, &mut Talk::v4(443), "blocked.example");
        assert!(!passed[0] && passed[1] && !passed[2] && passed[3]);
    }
}
