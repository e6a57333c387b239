//! What the log says is in force, and how much was stopped lately: a pure function of its entries.

use std::collections::{BTreeMap, VecDeque};

use daylight_policy::audit::{
    Counts, Digest, Entry, Event, Hour, Label, List, Terms, Text, Timestamp, Totals,
};
use serde::Serialize;

use super::would::ToldCondition;

/// How many of the last entries are kept to be shown.
pub(super) const LATEST_MAX: usize = 50;
/// The hours of the "last day", the one that goes on included.
pub(super) const DAY_HOURS: i64 = 24;
/// Hours of a rule that are kept one by one: enough for a day, however late the hour's totals come.
const HOURS_KEPT: usize = 50;
const HOUR_S: i64 = 3600;

/// What the entries add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    /// The policy in force.
    pub(super) policy: Option<PolicyInForce>,
    /// The last policy that was refused, if it came after the one in force.
    pub(super) refused: Option<Refused>,
    /// Whether the filter runs, if the log says.
    pub(super) running: Option<Running>,
    /// The time of the first entry.
    pub(super) first: Option<Timestamp>,
    /// The last entries, the newest last.
    pub(super) latest: VecDeque<(u64, Entry)>,
    /// What the rules of the policy in force ask, in its order.
    pub(super) conditions: Vec<(Label, ToldCondition)>,
    totals: BTreeMap<(Label, Label), PerRule>,
}

/// A policy, as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PolicyInForce {
    /// Its name.
    pub(super) policy: Label,
    /// SHA-256 of its file.
    pub(super) version: Digest,
    /// When it was loaded.
    pub(super) loaded: Timestamp,
    /// The entry that says so.
    pub(super) entry: u64,
    /// How its rules are read, if the log tells that.
    #[serde(flatten)]
    pub(super) terms: Option<Terms>,
    /// The names of its rules, in the file's order.
    pub(super) rules: Vec<Label>,
    /// The lists that it uses.
    pub(super) lists: Vec<List>,
}

/// A policy that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refused {
    /// When.
    pub(super) at: Timestamp,
    /// Its name.
    pub(super) policy: Label,
    /// What was wrong.
    pub(super) why: Text,
}

/// Whether the filter runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum Running {
    /// It does.
    Running {
        /// Since when.
        since: Timestamp,
        /// Which program.
        software: Text,
    },
    /// It does not.
    Stopped {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: Text,
    },
}

#[derive(Clone, Debug, Default)]
struct PerRule {
    all: Counts,
    hours: BTreeMap<Hour, Counts>,
}

impl Board {
    /// Takes in the next entry.
    pub(super) fn add(&mut self, index: u64, entry: &Entry) {
        self.first.get_or_insert(entry.time);
        if self.latest.len() == LATEST_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back((index, entry.clone()));
        match &entry.event {
            Event::FilterStarted { software } => {
                self.running = Some(Running::Running { since: entry.time, software: software.clone() });
            }
            Event::FilterStopped { why } => {
                self.running = Some(Running::Stopped { since: entry.time, why: why.clone() });
            }
            Event::PolicyLoaded { policy, version, terms, .. } => {
                self.refused = None;
                self.conditions.clear();
                self.policy = Some(PolicyInForce {
                    policy: policy.clone(),
                    version: *version,
                    loaded: entry.time,
                    entry: index,
                    terms: terms.clone(),
                    rules: Vec::new(),
                    lists: Vec::new(),
                });
            }
            Event::PolicyRefused { policy, why, .. } => {
                self.refused = Some(Refused { at: entry.time, policy: policy.clone(), why: why.clone() });
            }
            Event::Rule(rule) => {
                let condition = ToldCondition::read(rule.condition.as_str());
                self.conditions.push((rule.rule.clone(), condition));
                if let Some(policy) = &mut self.policy {
                    policy.rules.push(rule.rule.clone());
                }
            }
            Event::List(list) => {
                if let Some(policy) = &mut self.policy {
                    policy.lists.push(list.clone());
                }
            }
            Event::Totals(totals) => self.count(totals),
            _ => {}
        }
    }

    fn count(&mut self, totals: &Totals) {
        let id = (totals.policy.clone(), totals.rule.clone());
        let rule = self.totals.entry(id).or_default();
        rule.all.add(totals.counts);
        rule.hours.entry(totals.hour).or_default().add(totals.counts);
        while rule.hours.len() > HOURS_KEPT {
            rule.hours.pop_first();
        }
    }

    /// The time of the last entry.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.latest.back().map(|(_, entry)| entry.time)
    }

    /// What a rule stopped since the log began.
    pub(super) fn total(&self, policy: &Label, rule: &Label) -> Counts {
        self.totals.get(&(policy.clone(), rule.clone())).map(|rule| rule.all).unwrap_or_default()
    }

    /// What a rule stopped in each of the last 24 hours, the one that goes on last.
    pub(super) fn day(&self, policy: &Label, rule: &Label, now: Timestamp) -> Vec<(Hour, Counts)> {
        let hours = self.totals.get(&(policy.clone(), rule.clone())).map(|rule| &rule.hours);
        let this = now.hour().start().unix_s();
        let starts = (1 - DAY_HOURS..=0).filter_map(|ago| Timestamp::from_unix_s(this + ago * HOUR_S).ok());
        starts
            .map(|start| {
                let hour = start.hour();
                (hour, hours.and_then(|hours| hours.get(&hour)).copied().unwrap_or_default())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use daylight_policy::Basis;
    use daylight_policy::audit::{Action, Rule, Target};

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn totals(hour: &str, flows: u64) -> Entry {
        let counts = Counts { flows, packets: 2 * flows, bytes: 100 * flows };
        let (policy, rule) = (label("p"), label("r"));
        let hour = at(hour).hour();
        Entry {
            time: at("2026-11-24T12:00:00Z"),
            event: Event::Totals(Totals { hour, policy, rule, target: Target::Rule, counts }),
        }
    }

    #[test]
    fn the_last_day_has_24_hours_and_leaves_out_older_ones() {
        let mut board = Board::default();
        for (index, (hour, flows)) in [
            ("2026-11-23T12:00:00Z", 7),
            ("2026-11-23T13:00:00Z", 1),
            ("2026-11-24T12:00:00Z", 2),
            ("2026-11-24T12:00:00Z", 3),
        ]
        .into_iter()
        .enumerate()
        {
            board.add(index as u64, &totals(hour, flows));
        }
        let day = board.day(&label("p"), &label("r"), at("2026-11-24T12:59:59Z"));
        assert_eq!(day.len(), 24);
        assert_eq!((day[0].0.to_string(), day[0].1.flows), ("2026-11-23T13:00:00Z".to_owned(), 1));
        assert_eq!((day[23].0.to_string(), day[23].1.flows), ("2026-11-24T12:00:00Z".to_owned(), 5));
        assert_eq!(day.iter().map(|(_, counts)| counts.flows).sum::<u64>(), 6);
        assert_eq!(board.total(&label("p"), &label("r")).flows, 13);
        assert_eq!(board.total(&label("p"), &label("other")).flows, 0);
    }

    #[test]
    fn hours_and_entries_kept_are_bounded() {
        let mut board = Board::default();
        for hour in 0..500 {
            let hour = Timestamp::from_unix_s(hour * 3600).unwrap().to_string();
            board.add(0, &totals(&hour, 1));
        }
        assert_eq!(board.latest.len(), LATEST_MAX);
        assert_eq!(board.totals.values().map(|rule| rule.hours.len()).sum::<usize>(), HOURS_KEPT);
        assert_eq!(board.total(&label("p"), &label("r")).flows, 500);
    }

    #[test]
    fn a_load_takes_the_place_of_the_policy_and_of_a_refusal() {
        let mut board = Board::default();
        let text = |text: &str| Text::new(text).unwrap();
        let rule = |name: &str| Rule {
            policy: label("p"),
            rule: label(name),
            action: Action::Drop,
            condition: text("true"),
            reason: text("r"),
            authority: text("a"),
            expires: at("2030-01-01T00:00:00Z"),
            appeal: None,
            basis: Basis::default(),
            hours: vec![],
        };
        let time = at("2026-11-24T12:00:00Z");
        let mut add = |entries: Vec<Entry>| entries.iter().for_each(|entry| board.add(9, entry));
        add(Entry::policy_loaded(
            time,
            &label("p"),
            Digest::of(b"1"),
            None,
            vec![rule("a"), rule("b")],
            vec![],
        ));
        let why = text("line 3");
        add(vec![Entry {
            time,
            event: Event::PolicyRefused { policy: label("p"), version: Digest::of(b"2"), why },
        }]);
        add(vec![Entry { time, event: Event::FilterStopped { why: text("asked to") } }]);
        assert_eq!(board.policy.as_ref().unwrap().rules, [label("a"), label("b")]);
        assert_eq!(board.conditions.len(), 2);
        assert!(board.refused.is_some());
        assert!(matches!(board.running, Some(Running::Stopped { .. })));
        board.add(10, &Entry::policy_loaded(time, &label("q"), Digest::of(b"3"), None, vec![], vec![])[0]);
        assert_eq!(
            board.policy.as_ref().map(|policy| (&policy.policy, policy.entry)),
            Some((&label("q"), 10))
        );
        assert!(board.refused.is_none() && board.conditions.is_empty());
    }
}
