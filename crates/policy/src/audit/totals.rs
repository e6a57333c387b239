//! Counting what rules stop, hour by hour, until it is written to the log.

use std::collections::BTreeMap;

use super::{Counts, Entry, Event, Hour, Label, Target, Timestamp, Totals};

/// At most so many targets are counted one by one; what is stopped at further ones is counted as
/// [`Target::Rest`] of its rule. About 30 MB at most.
pub const TARGETS_MAX: usize = 100_000;

/// Counts what rules stop, in memory. Nothing in it says who was stopped.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<Key, Counts>,
    targets_max: Option<usize>,
}

/// In the order in which totals are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    hour: Hour,
    policy: Label,
    rule: Label,
    target: Target,
}

impl Tally {
    /// A tally that counts at most this many targets one by one, instead of [`TARGETS_MAX`].
    pub fn with_targets_max(targets_max: usize) -> Self {
        Self { targets_max: Some(targets_max), ..Self::default() }
    }

    /// Counts what a rule stopped.
    pub fn add(&mut self, at: Timestamp, policy: &Label, rule: &Label, target: Target, counts: Counts) {
        self.count(Key { hour: at.hour(), policy: policy.clone(), rule: rule.clone(), target }, counts);
    }

    fn count(&mut self, mut key: Key, counts: Counts) {
        let is_full = self.counts.len() >= self.targets_max.unwrap_or(TARGETS_MAX);
        if is_full && !self.counts.contains_key(&key) {
            key.target = Target::Rest;
        }
        self.counts.entry(key).or_default().add(counts);
    }

    /// Counts what another tally counted.
    pub fn merge(&mut self, other: Self) {
        for (key, counts) in other.counts {
            self.count(key, counts);
        }
    }

    /// What is counted: policy, rule, and how much was stopped at one target in one hour.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, &Label, Counts)> {
        self.counts.iter().map(|(key, counts)| (&key.policy, &key.rule, *counts))
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The entries for the hours that are over, to be appended. They stay counted until [`Tally::written`] is called, so
    /// that an append that fails loses nothing.
    pub fn due(&self, now: Timestamp) -> Vec<Entry> {
        let hour = now.hour();
        self.entries(now, |key| key.hour < hour)
    }

    /// The entries for everything counted, also of the hour that is not over: before the filter stops. Several totals
    /// of one hour add up.
    pub fn all(&self, now: Timestamp) -> Vec<Entry> {
        self.entries(now, |key| key.hour.start() <= now)
    }

    /// Counts what entries tell: those of [`Tally::all`] that were kept elsewhere meanwhile.
    pub fn recount(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Event::Totals(Totals { hour, policy, rule, target, counts }) = &entry.event else { continue };
            let key = Key { hour: *hour, policy: policy.clone(), rule: rule.clone(), target: target.clone() };
            self.count(key, *counts);
        }
    }

    /// Takes out what was appended.
    pub fn written(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Event::Totals(Totals { hour, policy, rule, target, counts }) = &entry.event else { continue };
            let key = Key { hour: *hour, policy: policy.clone(), rule: rule.clone(), target: target.clone() };
            if let Some(left) = self.counts.get_mut(&key) {
                left.flows = left.flows.saturating_sub(counts.flows);
                left.packets = left.packets.saturating_sub(counts.packets);
                left.bytes = left.bytes.saturating_sub(counts.bytes);
                if *left == Counts::default() {
                    self.counts.remove(&key);
                }
            }
        }
    }

    fn entries(&self, time: Timestamp, take: impl Fn(&Key) -> bool) -> Vec<Entry> {
        let totals = self.counts.iter().filter(|(key, _)| take(key)).map(|(key, &counts)| Totals {
            hour: key.hour,
            policy: key.policy.clone(),
            rule: key.rule.clone(),
            target: key.target.clone(),
            counts,
        });
        totals.map(|totals| Entry { time, event: Event::Totals(totals) }).collect()
    }
}
