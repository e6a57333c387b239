//! Throttling: connections with certain server names are slow.
//!
//! **Models.** Twitter in Russia, March 2021 (Xue et al., "Throttling Twitter: An Emerging Censorship Technique in Russia", IMC
//! 2021; details from the authors' report, censoredplanet.org/throttling): policing, not shaping: what exceeds 130 to 150 kbit/s
//! is dropped, upstream and downstream each with a token bucket of its own, which let 16 KB through at once; set off by the
//! server name in a ClientHello of a connection from inside. A first packet of 101 bytes or more that it can make nothing of
//! ends the search; after one of TLS it looks at 15 to 20 more. TLS records are not put together from segments; connections
//! that are idle for about ten minutes are forgotten. On one mobile provider the same report saw all upload shaped: what
//! exceeds the rate waits.

use serde::{Deserialize, Serialize};

use super::flows::Flows;
use super::observe;
use super::packet::Packet;
use super::trigger::{Match, Reassembly, Trigger};
use super::{Adversary, AdversaryCounters, InPath, Out, Verdict};
use crate::hop::Direction;
use crate::hop::impairment::{Fate, Impairment, Line};

/// An adversary that slows connections down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleConfig {
    /// What it looks for.
    #[serde(rename = "match")]
    pub matching: Match,
    /// The rate that is left, in kbit/s, in each direction.
    #[serde(default = "rate")]
    pub rate_kbit_per_s: f64,
    /// How.
    #[serde(default)]
    pub how: How,
    /// What may pass at once, in bytes.
    #[serde(default = "burst")]
    pub burst_bytes: u64,
    /// What may wait, in bytes, if it shapes.
    #[serde(default = "queue")]
    pub queue_bytes: u64,
    /// All connections of a client share one rate, instead of each having its own.
    #[serde(default)]
    pub shared: bool,
    /// A first packet with more payload than this that is neither TLS nor HTTP is left alone, and its connection too, in
    /// bytes.
    #[serde(default = "unknown")]
    pub unknown_bytes_max: usize,
    /// How it reads TCP. TSPU did not put segments together then.
    #[serde(default = "no_reassembly")]
    pub reassembly: Reassembly,
}

fn rate() -> f64 {
    140.0
}

/// The report's example: 16 KB in a tenth of a second, then nothing for nine.
fn burst() -> u64 {
    16 * 1024
}

fn queue() -> u64 {
    64 * 1024
}

fn unknown() -> usize {
    100
}

fn no_reassembly() -> Reassembly {
    Reassembly::None
}

/// What happens to what exceeds the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is dropped.
    #[default]
    Policing,
    /// It waits, as long as there is room.
    Shaping,
}

/// About ten minutes: no sharp limit in the report.
const IDLE_NS: u64 = 600_000_000_000;

#[derive(Debug, Default)]
struct State {
    /// By direction, once it is slowed down.
    lines: Option<Box<[Line; 2]>>,
    exempt: bool,
    data_seen: bool,
}

/// The adversary.
pub struct Throttle {
    config: ThrottleConfig,
    trigger: Trigger,
    flows: Flows<State>,
    /// The lines of all, if they are shared.
    shared: [Line; 2],
    counters: AdversaryCounters,
}

impl ThrottleConfig {
    fn line(&self) -> Line {
        let police = self.how == How::Policing;
        let impairment = Impairment {
            rate_mbit_per_s: Some(self.rate_kbit_per_s.max(1.0) / 1000.0),
            burst_bytes: Some(self.burst_bytes),
            queue_bytes: Some(self.queue_bytes),
            police,
            ..Impairment::default()
        };
        Line::new(impairment, 0)
    }

    /// As configured.
    pub fn build(&self) -> Adversary {
        Adversary::InPath(Box::new(Throttle {
            trigger: Trigger::new(self.matching.clone(), self.reassembly),
            flows: Flows::new(IDLE_NS),
            shared: [self.line(), self.line()],
            counters: AdversaryCounters::of("throttle"),
            config: self.clone(),
        }))
    }
}

impl InPath for Throttle {
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, _: &mut Out) -> Verdict {
        self.counters.seen += 1;
        let Some(segment) = packet.tcp() else { return Verdict::Pass };
        let (_, _, state) = self.flows.of(now_ns, packet, State::default);
        if state.exempt {
            return Verdict::Pass;
        }
        if state.lines.is_none() {
            let payload = segment.payload;
            let known = observe::is_tls(payload) || observe::request(payload).is_some();
            // Only before anything else was understood: a hello's second half is no stranger.
            if payload.len() > self.config.unknown_bytes_max && !known && !state.data_seen {
                state.exempt = true;
                return Verdict::Pass;
            }
            state.data_seen |= known;
            if self.trigger.check(now_ns, direction, packet).is_none() {
                return Verdict::Pass;
            }
            self.counters.matched += 1;
            state.lines = Some(Box::new([self.config.line(), self.config.line()]));
        } else {
            self.counters.residual += 1;
        }
        let Some(own) = &mut state.lines else { return Verdict::Pass };
        let lines = if self.config.shared { &mut self.shared } else { &mut **own };
        match lines[direction.index()].carry(now_ns, packet.ip.len()) {
            Fate::Arrives(at) if at <= now_ns => Verdict::Pass,
            Fate::Arrives(at) => {
                self.counters.delayed += 1;
                Verdict::Delay(at - now_ns)
            }
            _ => {
                self.counters.dropped += 1;
                Verdict::Drop
            }
        }
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

    const SECOND: u64 = 1_000_000_000;
    const TWITTER: &str = "match.sni = ['*t.co*', 'twimg.com', 'twitter.com']\n";

    fn adversary(more: &str) -> Adversary {
        toml::from_str::<ThrottleConfig>(&format!("{TWITTER}{more}")).unwrap().build()
    }

    /// Bytes of the server's that get through in ten seconds at full speed, and the longest wait.
    fn download(adversary: &mut Adversary, talk: &mut Talk, name: &'static str) -> (usize, u64) {
        talk.handshake(adversary, 0);
        let hello = talk.client(TcpHeader::ACK, &hello(name));
        let _ = talk.show(adversary, 0, &hello);
        let (mut passed, mut wait) = (0, 0);
        for i in 0..10_000 {
            let bytes = talk.server(TcpHeader::ACK, &[0; 1000]);
            match talk.show(adversary, i * SECOND / 1000, &bytes).0 {
                Verdict::Pass => passed += bytes.len(),
                Verdict::Delay(ns) => {
                    passed += bytes.len();
                    wait = wait.max(ns);
                }
                _ => {}
            }
        }
        (passed, wait)
    }

    /// IMC 2021: between 130 and 150 kbit/s, by dropping; and `t.co` is in reddit.com and microsoft.com.
    #[test]
    fn twitter_in_russia() {
        for (talk, name) in [
            (Talk::v4(443), "abs.twimg.com"),
            (Talk::v6(443), "www.reddit.com"),
            (Talk::v4(443), "microsoft.com"),
        ] {
            let (passed, wait) = download(&mut adversary(""), &mut talk.clone(), name);
            let kbit_per_s = (passed as f64 - 16384.0) * 8.0 / 10_000.0;
            assert!((130.0..150.0).contains(&kbit_per_s), "{name} {kbit_per_s}");
            assert_eq!(wait, 0);
        }
        assert_eq!(download(&mut adversary(""), &mut Talk::v4(443), "fine.example").0, 10_000 * 1040);
    }

    #[test]
    fn a_shaper_lets_packets_wait() {
        let (passed, wait) =
            download(&mut adversary("how = 'shaping'\nburst_bytes = 0"), &mut Talk::v4(443), "twitter.com");
        let kbit_per_s = passed as f64 * 8.0 / 10_000.0;
        // The queue of 64 KiB is filled at the end: 3.7 s at the rate.
        assert!((180.0..200.0).contains(&kbit_per_s), "{kbit_per_s}");
        assert!((3 * SECOND..4 * SECOND).contains(&wait), "{wait}");
    }

    #[test]
    fn a_large_packet_of_something_unknown_ends_the_search() {
        for (junk, slow) in [(vec![0x80; 101], false), (vec![0x80; 90], true)] {
            let mut adversary = adversary("");
            let mut talk = Talk::v4(443);
            talk.handshake(&mut adversary, 0);
            let first = talk.client(TcpHeader::ACK, &junk);
            assert_eq!(talk.show(&mut adversary, 0, &first).0, Verdict::Pass);
            let hello = talk.client(TcpHeader::ACK, &hello("twitter.com"));
            let _ = talk.show(&mut adversary, 0, &hello);
            let dropped = (0..100).any(|_| {
                let bytes = talk.server(TcpHeader::ACK, &[0; 1000]);
                talk.show(&mut adversary, 1, &bytes).0 == Verdict::Drop
            });
            assert_eq!(dropped, slow);
        }
    }
}
