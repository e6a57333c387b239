//! A dry run: what a policy would have done to flows that were recorded.

use std::sync::Arc;

use daylight_inspect::FlowRecord;

use crate::judge::Judge;
use crate::policy::Policy;

/// Flows and their bytes on the wire, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Flows.
    pub flows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.flows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Counts what each rule of a policy would have decided about records. Each is judged at the time of its first packet,
/// so that hours and expiry count as they would have then.
#[derive(Clone, Debug)]
pub struct Counter {
    judge: Judge,
    rules: Vec<Count>,
    others: Count,
}

impl Counter {
    /// For a policy.
    pub fn new(policy: Arc<Policy>) -> Self {
        let rules = vec![Count::default(); policy.rules().len()];
        Self { judge: Judge::new(policy), rules, others: Count::default() }
    }

    /// Adds a flow.
    pub fn add(&mut self, record: &FlowRecord) {
        let bytes = record.src.bytes.saturating_add(record.dst.bytes);
        let (_, decided) = self.judge.judge(record, record.start_ns);
        for at in self.judge.logging(record, decided, record.start_ns).into_iter().chain(decided) {
            if let Some(count) = self.rules.get_mut(at as usize) {
                count.add(bytes);
            }
        }
        if decided.is_none() {
            self.others.add(bytes);
        }
    }

    /// What the rule at a place had the say about, or logged.
    pub fn rule(&self, at: u32) -> Count {
        self.rules.get(at as usize).copied().unwrap_or_default()
    }

    /// For each rule, in the file's order.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = (&str, Count)> {
        self.judge.policy().rules().iter().map(|rule| rule.name.as_str()).zip(self.rules.iter().copied())
    }

    /// What no rule spoke of.
    pub fn others(&self) -> Count {
        self.others
    }
}
