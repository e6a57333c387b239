//! What the public page answers: is this host blocked here, since when, by which rule, why, on whose authority, until
//! when, and where to appeal.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    AuditError, Counts, Domain, Entry, Event, HostName, Hour, InclusionProof, Label, Log, Rule, Target,
    Terms, Timestamp,
};
use crate::schedule;

type RuleId = (Label, Label);

/// What the entries of a log say about rules and about what they stopped: a pure function of the entries.
#[derive(Clone, Debug, Default)]
pub struct History {
    rules: BTreeMap<RuleId, Known>,
    hosts: HashMap<HostName, BTreeMap<RuleId, Stopped>>,
    domains: HashMap<Domain, BTreeMap<(Label, RuleId), Stopped>>,
    /// By [`Target::ListLine`].
    lines: HashMap<RuleId, BTreeMap<Target, Stopped>>,
    /// When policies were loaded, and how their rules are read.
    loads: Vec<(Timestamp, Option<Terms>)>,
    /// When the filter stopped, if it has not started again.
    halted: Option<Timestamp>,
}

/// A rule as it was last told.
#[derive(Clone, Debug)]
struct Known {
    rule: Rule,
    index: u64,
    since: Timestamp,
    since_index: u64,
    /// The load that last told it, as an index into `loads`.
    load: usize,
}

/// What a rule stopped at one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// How much, over all hours.
    #[serde(flatten)]
    pub counts: Counts,
    /// The first hour in which it stopped anything there.
    pub first_hour: Hour,
    /// The last such hour.
    pub last_hour: Hour,
    /// The index of the last entry about it.
    pub index: u64,
}

/// Whether a rule is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Standing {
    /// It is.
    InForce,
    /// Its time is up.
    Expired,
    /// The filter does not run.
    Halted {
        /// Since when.
        at: Timestamp,
    },
    /// A policy without it was loaded.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
}

/// A rule that concerns a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, as it was last told: reason, authority, expiry, appeal.
    #[serde(flatten)]
    pub rule: Rule,
    /// Since when it is in force without a break, over loads of policies and restarts of the filter.
    pub since: Timestamp,
    /// Whether it is in force.
    #[serde(flatten)]
    pub standing: Standing,
    /// How the rules of its policy are read, if the log tells that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// Whether it is one of its hours; also true if the log does not tell which they are.
    pub in_hours: bool,
    /// The host or the domain by which it stopped flows to this host.
    pub target: Option<Target>,
    /// What it stopped there.
    pub stopped: Option<Stopped>,
    /// The entries that say so: the rule as it was first and last told, and the last totals.
    pub entries: Vec<u64>,
}

/// The answer about a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The host.
    pub host: HostName,
    /// Whether a rule that drops or rejects is in force, at this hour too, and covers it.
    pub blocked: bool,
    /// The rules that concern it; those in force first.
    pub findings: Vec<Finding>,
}

/// An answer with the proofs of every entry that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenAnswer {
    /// The answer.
    pub answer: Answer,
    /// An inclusion proof for each entry, by index; all against one checkpoint.
    pub proofs: Vec<InclusionProof>,
}

impl History {
    /// Takes in the next entry.
    pub fn add(&mut self, index: u64, entry: &Entry) {
        match &entry.event {
            Event::FilterStarted { .. } => self.halted = None,
            Event::FilterStopped { .. } => self.halted = Some(entry.time),
            Event::PolicyLoaded { terms, .. } => self.loads.push((entry.time, terms.clone())),
            Event::Rule(rule) => self.add_rule(index, entry.time, rule),
            Event::Totals(totals) => {
                let id = (totals.policy.clone(), totals.rule.clone());
                let new = Stopped::new(totals.hour, index);
                let stopped = match &totals.target {
                    Target::Host(host) => {
                        self.hosts.entry(host.clone()).or_default().entry(id).or_insert(new)
                    }
                    Target::ListName { list, name } => {
                        let of_domain = self.domains.entry(name.clone()).or_default();
                        of_domain.entry((list.clone(), id)).or_insert(new)
                    }
                    line @ Target::ListLine { .. } => {
                        self.lines.entry(id).or_default().entry(line.clone()).or_insert(new)
                    }
                    Target::Rest | Target::Rule => return,
                };
                stopped.add(totals.hour, totals.counts, index);
            }
            Event::KeyRotated(_) | Event::List(_) | Event::PolicyRefused { .. } => {}
        }
    }

    fn add_rule(&mut self, index: u64, time: Timestamp, rule: &Rule) {
        let Some(load) = self.loads.len().checked_sub(1) else { return };
        let new = Known { rule: rule.clone(), index, since: time, since_index: index, load };
        let known = self.rules.entry((rule.policy.clone(), rule.rule.clone())).or_insert_with(|| new.clone());
        // A rule that the load before this one did not have starts anew.
        *known = if known.load + 1 >= load {
            Known { since: known.since, since_index: known.since_index, ..new }
        } else {
            new
        };
    }

    /// What is known about a host at this time. `matching` are the names (policy, rule) of further rules that cover the
    /// host as the filter's own policy says: the log tells what was stopped, and what nobody tried to reach nobody stopped.
    pub fn answer(&self, host: &HostName, now: Timestamp, matching: &[(Label, Label)]) -> Answer {
        let mut findings: BTreeMap<&RuleId, Finding> = BTreeMap::new();
        let mut note = |id, target: Option<Target>, stopped: Option<&Stopped>| {
            let Some((id, known)) = self.rules.get_key_value(id) else { return };
            let finding = findings.entry(id).or_insert_with(|| self.finding(known, now));
            if finding.target.is_none() {
                (finding.target, finding.stopped) = (target, stopped.cloned());
                finding.entries.extend(stopped.map(|stopped| stopped.index));
            }
        };
        for (id, stopped) in self.hosts.get(host).into_iter().flatten() {
            note(id, Some(Target::Host(host.clone())), Some(stopped));
        }
        for domain in domains_over(host) {
            for ((list, id), stopped) in self.domains.get(&domain).into_iter().flatten() {
                let target = Target::ListName { list: list.clone(), name: domain.clone() };
                note(id, Some(target), Some(stopped));
            }
        }
        for id in matching {
            note(id, None, None);
        }
        let mut findings: Vec<Finding> = findings.into_values().collect();
        findings.sort_by_key(|finding| finding.standing != Standing::InForce);
        let blocks = |f: &Finding| f.standing == Standing::InForce && f.in_hours && f.rule.action.blocks();
        Answer { host: host.clone(), blocked: findings.iter().any(blocks), findings }
    }

    /// Every rule that the log ever told, as it was last told, by policy and name. Nothing is said of targets.
    pub fn rules(&self, now: Timestamp) -> impl Iterator<Item = Finding> {
        self.rules.values().map(move |known| self.finding(known, now))
    }

    /// One of them.
    pub fn rule(&self, policy: &Label, rule: &Label, now: Timestamp) -> Option<Finding> {
        let known = self.rules.get(&(policy.clone(), rule.clone()))?;
        Some(self.finding(known, now))
    }

    /// What a rule stopped at entries of lists that are no names, each a [`Target::ListLine`]; by list, file and line.
    pub fn lines(&self, policy: &Label, rule: &Label) -> impl Iterator<Item = (&Target, &Stopped)> {
        self.lines.get(&(policy.clone(), rule.clone())).into_iter().flatten()
    }

    fn finding(&self, known: &Known, now: Timestamp) -> Finding {
        let standing = if let Some(&(at, _)) = self.loads.get(known.load + 1) {
            Standing::Withdrawn { at }
        } else if known.rule.expires <= now {
            Standing::Expired
        } else if let Some(at) = self.halted {
            Standing::Halted { at }
        } else {
            Standing::InForce
        };
        let mut entries = vec![known.since_index];
        entries.extend((known.index != known.since_index).then_some(known.index));
        let terms = self.loads.get(known.load).and_then(|(_, terms)| terms.clone());
        let now_ns = now.unix_s().saturating_mul(1_000_000_000);
        let in_hours = terms
            .as_ref()
            .and_then(|terms| schedule::is_within(&known.rule.hours, terms.timezone.as_str(), now_ns));
        Finding {
            rule: known.rule.clone(),
            since: known.since,
            standing,
            terms,
            in_hours: in_hours.unwrap_or(true),
            target: None,
            stopped: None,
            entries,
        }
    }
}

/// The domains of lists that would cover a host.
fn domains_over(host: &HostName) -> impl Iterator<Item = Domain> {
    let name = host.as_str();
    let zones = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
    zones
        .filter_map(move |at| name.get(at..))
        .flat_map(|zone| [zone.to_owned(), format!("*.{zone}")])
        .filter_map(|domain| Domain::new(&domain).ok())
        .filter(move |domain| domain.covers(host))
}

impl Stopped {
    fn new(hour: Hour, index: u64) -> Self {
        Self { counts: Counts::default(), first_hour: hour, last_hour: hour, index }
    }

    fn add(&mut self, hour: Hour, counts: Counts, index: u64) {
        self.counts.add(counts);
        self.first_hour = self.first_hour.min(hour);
        self.last_hour = self.last_hour.max(hour);
        self.index = index;
    }
}

impl Answer {
    /// Attaches the proofs from the log that the history was read from.
    ///
    /// # Errors
    /// As [`Log::prove_inclusion`].
    pub fn prove(self, log: &Log) -> Result<ProvenAnswer, AuditError> {
        let mut indices: Vec<u64> = self.findings.iter().flat_map(|f| f.entries.iter().copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        let proofs = indices.into_iter().map(|index| log.prove_inclusion(index)).collect::<Result<_, _>>()?;
        Ok(ProvenAnswer { answer: self, proofs })
    }
}

/// Reads a whole log and answers about one host, with proofs. Who answers often keeps a [`History`] and feeds it from a
/// [`super::Tail`].
///
/// # Errors
/// If the log can't be read or is not as its checkpoint says.
pub fn lookup(
    log: Log,
    host: &HostName,
    now: Timestamp,
    matching: &[(Label, Label)],
) -> Result<ProvenAnswer, AuditError> {
    let mut tail = log.tail(0)?;
    let mut history = History::default();
    for (index, entry) in tail.poll()? {
        history.add(index, &entry);
    }
    history.answer(host, now, matching).prove(tail.log())
}
