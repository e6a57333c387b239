//! What the rules did, in numbers that name no client.

use std::collections::BTreeMap;

/// Targets that are told apart for each rule between two reports; what goes beyond counts together.
pub const TARGETS_MAX: usize = 10_000;

/// The target under which everything counts that has no name, or finds no room.
pub const OTHERS: &str = "-";

/// What was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Connections, or questions of a protocol of questions and answers.
    pub flows: u64,
    /// Packets that the filter itself stopped. Later ones of a connection are the kernel's to count.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

impl std::ops::AddAssign for Stopped {
    fn add_assign(&mut self, other: Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Totals by rule and target (a host name or the entry of a list; never a client) since they were last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    rules: BTreeMap<Box<str>, BTreeMap<Box<str>, Stopped>>,
}

impl Totals {
    /// Counts. A name is counted without a trailing dot and in lower case.
    pub fn add(&mut self, rule: &str, target: Option<&str>, stopped: Stopped) {
        if !self.rules.contains_key(rule) {
            self.rules.insert(rule.into(), BTreeMap::new());
        }
        let Some(targets) = self.rules.get_mut(rule) else { return };
        let name = target.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let mut name = name.as_deref().filter(|name| !name.is_empty()).unwrap_or(OTHERS);
        if !targets.contains_key(name) {
            if targets.len() >= TARGETS_MAX {
                name = OTHERS;
            }
            targets.entry(name.into()).or_default();
        }
        if let Some(total) = targets.get_mut(name) {
            *total += stopped;
        }
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: Self) {
        for (rule, targets) in other.rules {
            for (target, stopped) in targets {
                let target = (&*target != OTHERS).then_some(&*target);
                self.add(&rule, target, stopped);
            }
        }
    }

    /// Rule, target, and what was stopped, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Stopped)> {
        self.rules.iter().flat_map(|(rule, targets)| {
            targets.iter().map(move |(target, stopped)| (&**rule, &**target, *stopped))
        })
    }

    /// True if nothing was stopped.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Stopped = Stopped { flows: 1, packets: 2, bytes: 100 };

    #[test]
    fn names_count_however_they_are_written() {
        let mut totals = Totals::default();
        for name in ["Example.org", "example.org.", "example.org"] {
            totals.add("a", Some(name), ONE);
        }
        totals.add("a", None, ONE);
        let mut other = Totals::default();
        other.add("b", Some("example.org"), ONE);
        other.add("a", Some("example.org"), ONE);
        totals.merge(other);
        let found: Vec<_> = totals.iter().map(|(rule, target, s)| (rule, target, s.flows, s.bytes)).collect();
        assert_eq!(found, [("a", "-", 1, 100), ("a", "example.org", 4, 400), ("b", "example.org", 1, 100)]);
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_nothing_is_lost() {
        let mut totals = Totals::default();
        for i in 0..TARGETS_MAX + 500 {
            totals.add("a", Some(&format!("{i}.example.org")), ONE);
        }
        assert!(totals.iter().count() <= TARGETS_MAX + 1);
        assert_eq!(totals.iter().map(|(_, _, s)| s.flows).sum::<u64>(), TARGETS_MAX as u64 + 500);
    }
}
