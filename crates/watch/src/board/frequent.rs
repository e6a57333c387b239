//! Who had the most, of a stream of names without end, in a table of fixed size.
//!
//! This is the frequent-items sketch of Misra and Gries in the form that subtracts in batches (Anderson et al., 2017):
//! a map from names to counts. When it outgrows its size, the median count is subtracted from all, and what has nothing
//! left is dropped. Every unit that is subtracted is subtracted from at least half a table of names at once, so that
//! what is missing from any count is at most `2 · total / size`. Sketches can be added to each other, and the bound
//! holds for the sum. Space-Saving has the same bound, but counts too much where this counts too little: in a scan of
//! ten million addresses it would show a thousand of them as busy, and this shows them as what they are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

/// By what names are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Bytes on the wire of both sides.
    #[default]
    Bytes,
    /// Packets of both sides.
    Packets,
    /// Flows, each counted when the board is first told of it.
    Flows,
}

impl Measure {
    /// All, in the order in which a viewer goes through them.
    pub const ALL: [Self; 3] = [Self::Bytes, Self::Packets, Self::Flows];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Flows => "flows",
        }
    }
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Bytes on the wire of both sides.
    pub bytes: u64,
    /// Packets of both sides.
    pub packets: u64,
    /// Flows.
    pub flows: u64,
}

impl Amount {
    /// One of the three.
    pub fn of(&self, by: Measure) -> u64 {
        match by {
            Measure::Bytes => self.bytes,
            Measure::Packets => self.packets,
            Measure::Flows => self.flows,
        }
    }

    fn of_mut(&mut self, by: Measure) -> &mut u64 {
        match by {
            Measure::Bytes => &mut self.bytes,
            Measure::Packets => &mut self.packets,
            Measure::Flows => &mut self.flows,
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
        self.flows = self.flows.saturating_add(other.flows);
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A name of ours: a protocol, an application, a risk.
    Name(&'static str),
    /// A name from the network.
    Text(Arc<str>),
    /// An address.
    Address(IpAddr),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Text(text) => f.write_str(text),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The sketch. Counts of its measure are between `true − error()` and `true`; of the other measures, what was counted
/// since the name last came into the table.
#[derive(Clone, Debug)]
pub(crate) struct Frequent {
    by: Measure,
    entries_max: usize,
    entries: HashMap<Key, Amount, RandomState>,
    error: u64,
    total: Amount,
}

impl Frequent {
    pub(crate) fn new(by: Measure, entries_max: usize) -> Self {
        Self { by, entries_max, entries: HashMap::default(), error: 0, total: Amount::default() }
    }

    pub(crate) fn add(&mut self, key: Key, amount: Amount) {
        self.total += amount;
        *self.entries.entry(key).or_default() += amount;
        if self.entries.len() > self.entries_max {
            self.shrink();
        }
    }

    /// Adds all that another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.total += other.total;
        self.error = self.error.saturating_add(other.error);
        for (key, amount) in &other.entries {
            *self.entries.entry(key.clone()).or_default() += *amount;
        }
        // Once, at the end: then the result does not depend on the order of a map.
        if self.entries.len() > self.entries_max {
            self.shrink();
        }
    }

    /// Leaves at most half a table: what is above the count that half a table reaches, by how much it is above.
    fn shrink(&mut self) {
        let by = self.by;
        let mut counts: Vec<u64> = self.entries.values().map(|amount| amount.of(by)).collect();
        let half = self.entries_max / 2;
        let (_, median, _) = counts.select_nth_unstable_by(half, |a, b| b.cmp(a));
        let median = *median;
        self.entries.retain(|_, amount| {
            let count = amount.of_mut(by);
            *count = count.saturating_sub(median);
            *count > 0
        });
        self.error = self.error.saturating_add(median);
    }

    /// By how much a count may be too small. At most `2 · total / entries_max`.
    pub(crate) fn error(&self) -> u64 {
        self.error
    }

    /// Everything that was added.
    pub(crate) fn total(&self) -> Amount {
        self.total
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The largest by a measure (this one's own, unless nothing was ever dropped).
    pub(crate) fn top(&self, by: Measure, rows: usize) -> Vec<(&Key, Amount)> {
        let mut all: Vec<_> = self.entries.iter().map(|(key, amount)| (key, *amount)).collect();
        let larger_first = |(a, x): &(&Key, Amount), (b, y): &(&Key, Amount)| {
            y.of(by).cmp(&x.of(by)).then_with(|| y.bytes.cmp(&x.bytes)).then_with(|| a.cmp(b))
        };
        if all.len() > rows && rows > 0 {
            all.select_nth_unstable_by(rows, larger_first);
        }
        all.truncate(rows);
        all.sort_unstable_by(larger_first);
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(bytes: u64) -> Amount {
        Amount { bytes, packets: 1, flows: 0 }
    }

    fn key(number: u32) -> Key {
        Key::Address(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_scan_fills_no_memory_and_hides_nobody() {
        let mut sketch = Frequent::new(Measure::Bytes, 64);
        let mut most = 0;
        for i in 0..100_000 {
            sketch.add(key(i + 1000), bytes(60));
            if i % 10 == 0 {
                sketch.add(key(1), bytes(1500));
            }
            most = most.max(sketch.len());
        }
        assert!(most <= 64);
        assert!(sketch.error() <= 2 * sketch.total().bytes / 64);
        let top = sketch.top(Measure::Bytes, 2);
        assert_eq!(top[0].0, &key(1));
        assert!(top[0].1.bytes > 14_000_000 && top[1].1.bytes < 6000, "{top:?}");
    }

    #[test]
    fn what_fits_is_exact() {
        let mut sketch = Frequent::new(Measure::Flows, 8);
        for i in 0..8 {
            sketch.add(key(i), Amount { bytes: 0, packets: 0, flows: u64::from(i) });
        }
        assert_eq!((sketch.error(), sketch.len()), (0, 8));
        assert_eq!(sketch.top(Measure::Flows, 1)[0].1.flows, 7);
        assert!(sketch.top(Measure::Flows, 0).is_empty());
    }

    proptest! {
        /// However a stream is cut and put together again, no count is too large, or too small by more than said, and
        /// the bound is kept.
        #[test]
        fn against_a_naive_count(
            stream in prop::collection::vec((0u32..60, 0u64..1000, 0usize..4), 0..800),
            entries_max in 4usize..40,
        ) {
            let mut parts: Vec<_> = (0..4).map(|_| Frequent::new(Measure::Bytes, entries_max)).collect();
            let mut naive = HashMap::<Key, u64>::new();
            for (name, amount, part) in stream {
                parts[part].add(key(name), bytes(amount));
                *naive.entry(key(name)).or_default() += amount;
            }
            let mut all = Frequent::new(Measure::Bytes, entries_max);
            parts.iter().for_each(|part| all.merge(part));
            prop_assert!(all.len() <= entries_max);
            prop_assert_eq!(all.total().bytes, naive.values().sum::<u64>());
            prop_assert!(all.error() <= 2 * all.total().bytes / entries_max as u64);
            for (name, truth) in &naive {
                let counted = all.entries.get(name).map_or(0, |amount| amount.bytes);
                prop_assert!(counted <= *truth && counted + all.error() >= *truth);
            }
        }
    }
}
