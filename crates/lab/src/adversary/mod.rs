//! Censors, one file each, with the paper or report that each models.
//!
//! They are models that measure our tools: the tunnel has to get past them, the probe has to name them. They live in the lab
//! and nowhere else; no other part of Daylight depends on them.
//!
//! An adversary stands *in the path* ([`InPath`]: it may drop, delay and change packets) or *on the path* ([`OnPath`]: it gets
//! a copy, and can only put packets in: its type has no verdict to give). Both are given packets and times and have no clock
//! and no socket, so they are tested on bytes. Two kinds end connections themselves, and are programs rather than
//! packet handlers: [`tls_interception`] and [`http_proxy`].
//!
//! A new one is a file here, a variant of [`AdversaryConfig`] and a line in its `build`.
//!
//! | file | does | after |
//! |---|---|---|
//! | [`dns_injection`] | forges DNS answers | FOCI 2014 and 2020; Turkmenistan 2022; Belarus (MTS) 2020 |
//! | [`ip_blackhole`] | drops by address | Belarus, October 2020 |
//! | [`tcp_reset`] | resets after a Host, an SNI, a word | Clayton 2006; Egypt 2018; Belarus 2020; captures |
//! | [`http_block_page`] | answers in the site's place | Iran; Belarus 2020 |
//! | [`sni_drop`] | lets a connection starve after its SNI | TSPU, IMC 2022 |
//! | [`quic_drop`] | drops QUIC by SNI or by version | USENIX Security 2025; TSPU, IMC 2022 |
//! | [`throttle`] | slows down by SNI | Twitter in Russia, IMC 2021 |
//! | [`protocol_filter`] | lets only some protocols through | Iran, FOCI 2020 |
//! | [`tls_alert`] | refuses an SNI with an alert | CenTrace, CoNEXT 2022 |
//! | [`tls_interception`] | forged certificate | Kazakhstan, IMC 2020; Belarus (A1) 2020 |
//! | [`http_proxy`] | transparent proxy | Netalyzr; Belarus (A1) 2020 |
//!
//! [`residual`] adds to most of them that a pair of hosts stays blocked for a while.
//!
//! What a censor could find out without touching anything stands in [`detect`]; what he could by asking, in
//! [`active_probe`].

pub mod active_probe;
mod config;
pub mod detect;
pub mod dns_injection;
mod either;
mod flows;
pub mod http_block_page;
pub mod http_proxy;
pub mod icmp;
pub mod ip_blackhole;
pub mod mark;
pub mod names;
mod observe;
pub mod packet;
pub mod protocol_filter;
pub mod proxy;
pub mod quic_drop;
pub mod residual;
pub mod sni_drop;
pub mod tcp_reset;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod tls_alert;
pub mod tls_interception;
pub mod trigger;

pub use config::{AdversaryConfig, Built, ConfigError};

use serde::{Deserialize, Serialize};

use crate::hop::Direction;
use packet::Packet;

/// Where an adversary stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Packets go through it.
    #[default]
    InPath,
    /// It gets copies.
    OnPath,
}

/// What an adversary in the path does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is gone.
    Drop,
    /// It goes on after so many nanoseconds.
    Delay(u64),
    /// This IP packet goes on in its place.
    Replace(Vec<u8>),
}

/// A packet to be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Which way.
    pub direction: Direction,
    /// From the IP header on.
    pub ip: Vec<u8>,
    /// How long after the packet that was the reason, in nanoseconds.
    pub after_ns: u64,
}

/// Where adversaries put packets in.
#[derive(Debug, Default)]
pub struct Out {
    pub(crate) injected: Vec<Injected>,
}

impl Out {
    /// What was put in so far, in the order of the calls.
    pub fn injected(&self) -> &[Injected] {
        &self.injected
    }

    /// Puts an IP packet in, `after_ns` nanoseconds from now.
    pub fn inject(&mut self, direction: Direction, ip: Vec<u8>, after_ns: u64) {
        self.injected.push(Injected { direction, ip, after_ns });
    }
}

/// What an adversary has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AdversaryCounters {
    /// As in the scenario file: `tcp-reset` …
    pub kind: &'static str,
    /// Packets that it was shown.
    pub seen: u64,
    /// Times that it found what it looks for.
    pub matched: u64,
    /// Packets hit because of an earlier find.
    pub residual: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets delayed.
    pub delayed: u64,
    /// Packets put in.
    pub injected: u64,
}

impl AdversaryCounters {
    pub(crate) fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }
}

/// An adversary that packets go through.
pub trait InPath: Send {
    /// A packet has come. `now_ns` never goes back.
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> Verdict;

    /// What was done so far.
    fn counters(&self) -> AdversaryCounters;
}

/// An adversary that gets copies. It can put packets in and nothing else.
pub trait OnPath: Send {
    /// A packet has passed. `now_ns` never goes back.
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out);

    /// What was done so far.
    fn counters(&self) -> AdversaryCounters;
}

/// An adversary at its place.
pub enum Adversary {
    /// Packets go through it.
    InPath(Box<dyn InPath>),
    /// It gets copies.
    OnPath(Box<dyn OnPath>),
}

impl Adversary {
    /// Shows it a packet. What is on the path lets everything pass.
    pub fn packet(
        &mut self,
        now_ns: u64,
        direction: Direction,
        packet: &Packet<'_>,
        out: &mut Out,
    ) -> Verdict {
        match self {
            Self::InPath(adversary) => adversary.packet(now_ns, direction, packet, out),
            Self::OnPath(adversary) => {
                adversary.packet(now_ns, direction, packet, out);
                Verdict::Pass
            }
        }
    }

    /// What it has done.
    pub fn counters(&self) -> AdversaryCounters {
        match self {
            Self::InPath(adversary) => adversary.counters(),
            Self::OnPath(adversary) => adversary.counters(),
        }
    }
}
