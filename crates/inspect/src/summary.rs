//! What a person wants to know of a capture: how much of what, by whom, and what deserves a look.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use daylight_protocols::{Confidence, ProtocolId, Risk, common};
use foldhash::fast::RandomState;

use crate::merge::RecordSink;
use crate::record::FlowRecord;

/// Hosts and talkers that are told apart; what comes after is counted together.
pub const NAMES_MAX: usize = 200_000;

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Flows.
    pub flows: u64,
    /// Packets of both sides.
    pub packets: u64,
    /// Bytes on the wire of both sides.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, record: &FlowRecord) {
        self.flows += 1;
        self.packets += record.src.packets + record.dst.packets;
        self.bytes += record.src.bytes + record.dst.bytes;
    }
}

/// A risk's flows, and the first of them.
#[derive(Clone, Debug)]
pub struct RiskSeen {
    /// Which.
    pub risk: &'static Risk,
    /// Flows that have it.
    pub flows: u64,
    /// The first flow: its ends, its host name if it has one, and the evidence.
    pub example: String,
}

/// Counts records.
#[derive(Default)]
pub struct Summary {
    total: Amount,
    span_ns: Option<(i64, i64)>,
    /// By protocol, and whether the payload said so.
    protocols: HashMap<(ProtocolId, bool), Amount, RandomState>,
    applications: HashMap<(&'static str, &'static str), Amount, RandomState>,
    hosts: HashMap<Box<str>, Amount, RandomState>,
    talkers: HashMap<IpAddr, Amount, RandomState>,
    risks: HashMap<&'static str, RiskSeen, RandomState>,
    other_hosts: Amount,
    other_talkers: Amount,
}

/// The largest of a kind, and how much there is of all others together.
#[derive(Clone, Debug)]
pub struct Top<K> {
    /// The largest first.
    pub rows: Vec<(K, Amount)>,
    /// How many more there are.
    pub others: u64,
}

impl Summary {
    /// Everything together.
    pub fn total(&self) -> Amount {
        self.total
    }

    /// Times of the first and the last packet of any flow.
    pub fn span_ns(&self) -> Option<(i64, i64)> {
        self.span_ns
    }

    /// Protocols by bytes; true if the payload said so, false if only the port or another flow did.
    pub fn protocols(&self, rows: usize) -> Top<(ProtocolId, bool)> {
        top(self.protocols.iter().map(|(k, a)| (*k, *a)), rows, |k| (k.0.name(), k.1))
    }

    /// Applications with their categories, by bytes.
    pub fn applications(&self, rows: usize) -> Top<(&'static str, &'static str)> {
        top(self.applications.iter().map(|(k, a)| (*k, *a)), rows, |k| *k)
    }

    /// Host names by bytes.
    pub fn hosts(&self, rows: usize) -> Top<&str> {
        let mut top = top(self.hosts.iter().map(|(k, a)| (&**k, *a)), rows, |k| *k);
        top.others += self.other_hosts.flows;
        top
    }

    /// Clients by bytes.
    pub fn talkers(&self, rows: usize) -> Top<IpAddr> {
        let mut top = top(self.talkers.iter().map(|(k, a)| (*k, *a)), rows, |k| *k);
        top.others += self.other_talkers.flows;
        top
    }

    /// Risks, the severest first, then by flows.
    pub fn risks(&self) -> Vec<&RiskSeen> {
        let mut risks: Vec<_> = self.risks.values().collect();
        risks.sort_by_key(|r| (std::cmp::Reverse((r.risk.severity, r.flows)), r.risk.name));
        risks
    }
}

fn top<K: Copy, O: Ord>(
    all: impl Iterator<Item = (K, Amount)>,
    rows: usize,
    name: impl Fn(&K) -> O,
) -> Top<K> {
    let mut all: Vec<_> = all.collect();
    let larger_first = |(a, x): &(K, Amount), (b, y): &(K, Amount)| {
        (y.bytes, y.flows).cmp(&(x.bytes, x.flows)).then_with(|| name(a).cmp(&name(b)))
    };
    let others = all.len().saturating_sub(rows) as u64;
    if others > 0 {
        // Only what is shown is worth being put in order.
        all.select_nth_unstable_by(rows, larger_first);
        all.truncate(rows);
    }
    all.sort_by(larger_first);
    Top { rows: all, others }
}

fn count<K, Q>(
    map: &mut HashMap<K, Amount, RandomState>,
    others: &mut Amount,
    key: &Q,
    own: impl FnOnce() -> K,
    record: &FlowRecord,
) where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: ?Sized + Eq + Hash,
{
    if let Some(amount) = map.get_mut(key) {
        amount.add(record);
    } else if map.len() < NAMES_MAX {
        map.entry(own()).or_default().add(record);
    } else {
        others.add(record);
    }
}

impl RecordSink for Summary {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.total.add(&record);
        let (start, end) = self.span_ns.unwrap_or((record.start_ns, record.end_ns));
        self.span_ns = Some((start.min(record.start_ns), end.max(record.end_ns)));
        let known = record.confidence >= Confidence::Payload;
        self.protocols.entry((record.protocol, known)).or_default().add(&record);
        if let Some(application) = record.application {
            self.applications.entry((application, record.category.unwrap_or(""))).or_default().add(&record);
        }
        let host = record.text(common::HOSTNAME).or(record.resolved_name.as_deref());
        if let Some(host) = host {
            count(&mut self.hosts, &mut self.other_hosts, host, || host.into(), &record);
        }
        let talker = record.ends.src_ip;
        count(&mut self.talkers, &mut self.other_talkers, &talker, || talker, &record);
        for found in record.risks() {
            let seen = self.risks.entry(found.risk.name).or_insert_with(|| RiskSeen {
                risk: found.risk,
                flows: 0,
                example: example(&record, &found.evidence),
            });
            seen.flows += 1;
        }
    }
}

fn example(record: &FlowRecord, evidence: &str) -> String {
    let ends = &record.ends;
    let server = match record.text(common::HOSTNAME) {
        Some(host) => host.to_owned(),
        None => ends.dst_ip.to_string(),
    };
    let (from, to) = match ends.ip_protocol {
        6 | 17 | 132 => (format!(":{}", ends.src_port), format!(":{}", ends.dst_port)),
        _ => (String::new(), String::new()),
    };
    format!("{}{from} > {server}{to}  {evidence}", ends.src_ip)
}
