//! What the owner of the engine says of it once a second, and what is wrong according to that.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use serde::Serialize;

/// Interfaces and further counters that are looked at; the rest is left out.
pub const GAUGES_MAX: usize = 256;
/// A loss counts as going on for so many seconds after it last grew.
const FRESH_S: usize = 60;

/// What an engine has counted since its start, and how full it is. The owner fills it in; what it has no number for
/// stays 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gauges {
    /// Packets that were read.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Where packets come from.
    pub interfaces: Vec<Interface>,
    /// Flows in the table now.
    pub flows_open: u64,
    /// And at most.
    pub flows_max: u64,
    /// Bytes of out-of-order segments held now.
    pub reassembly_bytes: u64,
    /// And at most.
    pub reassembly_bytes_max: u64,
    /// Bytes of IP fragments held now.
    pub fragment_bytes: u64,
    /// And at most.
    pub fragment_bytes_max: u64,
    /// Flows that were ended early because the table was full.
    pub flows_over_budget: u64,
    /// Parsers that failed; their flows go on without them.
    pub parser_panics: u64,
    /// Facts about flows (names of addresses) that were forgotten for want of room.
    pub facts_forgotten: u64,
    /// What else there is to say, such as of the places that records are written to.
    pub counters: Vec<Counter>,
}

/// An interface that packets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// False while it is down, or gone.
    pub is_up: bool,
    /// Packets that came from it.
    pub received: u64,
    /// Packets that the kernel dropped because its ring was full.
    pub dropped_by_kernel: u64,
    /// Packets that the network card dropped before the kernel saw them.
    pub dropped_by_card: u64,
    /// Packets that were taken from the ring and then given up.
    pub dropped_by_engine: u64,
}

impl Interface {
    fn dropped(&self) -> u64 {
        self.dropped_by_kernel.saturating_add(self.dropped_by_card).saturating_add(self.dropped_by_engine)
    }
}

/// A counter that only its owner knows the meaning of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// Its name, for people.
    pub name: String,
    /// Its value since the start.
    pub value: u64,
    /// True if anything above 0 means that something was lost.
    pub is_bad: bool,
    /// What to do about it, if it is bad.
    pub advice: String,
}

impl Gauges {
    /// Packets that were lost, over all interfaces.
    pub fn dropped(&self) -> u64 {
        self.interfaces.iter().fold(0, |sum, interface| sum.saturating_add(interface.dropped()))
    }

    pub(crate) fn clip(&mut self) {
        self.interfaces.truncate(GAUGES_MAX);
        self.counters.truncate(GAUGES_MAX);
    }
}

/// Something that is lost, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// What, and where.
    pub what: String,
    /// How much since the start.
    pub total: u64,
    /// How much in the last minute.
    pub last_minute: u64,
    /// What to do about it.
    pub advice: String,
}

impl Loss {
    /// True if it grew within the last minute.
    pub fn is_going_on(&self) -> bool {
        self.last_minute > 0
    }
}

/// How full something is that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// What.
    pub name: &'static str,
    /// `flows`, `bytes` …
    pub unit: &'static str,
    /// How much there is now.
    pub now: u64,
    /// How much there may be; 0 if that is not known.
    pub max: u64,
}

impl Budget {
    /// True if less than a tenth is left.
    pub fn is_tight(&self) -> bool {
        self.max > 0 && self.now >= self.max - self.max / 10
    }
}

/// Follows losses over the last minute.
#[derive(Default)]
pub(crate) struct Losses {
    seen: HashMap<String, Seen, RandomState>,
}

#[derive(Default)]
struct Seen {
    total: u64,
    /// How much it grew in each of the last seconds.
    grown: VecDeque<u64>,
}

impl Losses {
    /// Takes in the state after so many seconds, and says what was lost.
    pub(crate) fn look(&mut self, gauges: &Gauges, own: &[(&str, u64, &str)], seconds: u64) -> Vec<Loss> {
        let all = of(gauges).chain(
            own.iter().map(|(what, total, advice)| ((*what).to_owned(), *total, (*advice).to_owned())),
        );
        let mut losses = Vec::new();
        let mut seen = HashMap::default();
        for (what, total, advice) in all.filter(|(_, total, _)| *total > 0) {
            let mut entry: Seen = self.seen.remove(&what).unwrap_or_default();
            // Of an interface that came back, the counters start anew.
            entry.grown.push_back(total.checked_sub(entry.total).unwrap_or(total));
            entry.grown.extend((1..seconds.min(FRESH_S as u64)).map(|_| 0));
            entry.grown.drain(..entry.grown.len().saturating_sub(FRESH_S));
            entry.total = total;
            let last_minute = entry.grown.iter().sum();
            seen.insert(what.clone(), entry);
            losses.push(Loss { what, total, last_minute, advice });
        }
        // What is no longer spoken of is forgotten.
        self.seen = seen;
        losses
    }
}

/// What the engine's gauges tell of losses: what, how much, what to do.
fn of(gauges: &Gauges) -> impl Iterator<Item = (String, u64, String)> + '_ {
    let interfaces = gauges.interfaces.iter().flat_map(|interface| {
        let name = &interface.name;
        [
            (
                format!("{name}: packets dropped by the kernel"),
                interface.dropped_by_kernel,
                "the engine does not keep up: give it more cores or a larger ring, or capture less by a filter",
            ),
            (
                format!("{name}: packets dropped by the network card"),
                interface.dropped_by_card,
                "enlarge the card's receive ring (ethtool -G), or spread its queues over more cores (ethtool -L)",
            ),
            (
                format!("{name}: packets given up by the engine"),
                interface.dropped_by_engine,
                "the engine had no room left for them: give it more cores, or capture less by a filter",
            ),
        ]
    });
    let engine = [
        (
            "flows ended early".to_owned(),
            gauges.flows_over_budget,
            "the flow table was full: raise its budget, or shorten the time-outs; a scan does this too",
        ),
        (
            "parsers that failed".to_owned(),
            gauges.parser_panics,
            "their flows go on, read no further: please report it, with a capture if you can share one",
        ),
        (
            "names of addresses forgotten".to_owned(),
            gauges.facts_forgotten,
            "more names were looked up than are remembered: some flows have no name and less of a label",
        ),
    ];
    let rest = gauges.counters.iter().filter(|counter| counter.is_bad).map(|counter| {
        let advice = if counter.advice.is_empty() { "see its log" } else { &counter.advice };
        (counter.name.clone(), counter.value, advice.to_owned())
    });
    interfaces.chain(engine).map(|(what, total, advice)| (what, total, advice.to_owned())).chain(rest)
}

/// The engine's budgets.
pub(crate) fn budgets(gauges: &Gauges) -> [Budget; 3] {
    let budget = |name, unit, now, max| Budget { name, unit, now, max };
    [
        budget("flow table", "flows", gauges.flows_open, gauges.flows_max),
        budget("reassembly", "bytes", gauges.reassembly_bytes, gauges.reassembly_bytes_max),
        budget("fragments", "bytes", gauges.fragment_bytes, gauges.fragment_bytes_max),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_fresh_for_a_minute() {
        let mut losses = Losses::default();
        let interface = Interface { name: "eth0".into(), dropped_by_kernel: 5, ..Interface::default() };
        let gauges = Gauges { interfaces: vec![interface], ..Gauges::default() };
        assert!(losses.look(&Gauges::default(), &[("records", 0, "")], 1).is_empty());
        let seen = losses.look(&gauges, &[("records", 2, "wait")], 1);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].what, "eth0: packets dropped by the kernel");
        assert_eq!((seen[0].total, seen[0].last_minute), (5, 5));
        for _ in 0..59 {
            assert!(losses.look(&gauges, &[], 1)[0].is_going_on());
        }
        assert!(!losses.look(&gauges, &[], 1)[0].is_going_on());
        let anew = Gauges { flows_over_budget: 1, ..Gauges::default() };
        assert_eq!(losses.look(&anew, &[], 1).len(), 1);
        assert_eq!(losses.seen.len(), 1);
    }

    #[test]
    fn a_tenth_left_is_tight() {
        let budget = |now, max| Budget { name: "", unit: "", now, max };
        assert!(budget(90, 100).is_tight() && budget(2, 2).is_tight());
        assert!(!budget(89, 100).is_tight() && !budget(5, 0).is_tight());
    }
}
