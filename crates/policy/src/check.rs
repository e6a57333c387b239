//! Looks a policy over for what is probably not meant: rules that never have the say, conditions that never hold, lists
//! that nobody asks.
//!
//! What is said of conditions is proven (see [`Program::implies_any`] for the method), so there are no false alarms; but
//! not everything true is found. A rule counts as shadowed if, whenever it holds, a rule that goes before it does, one
//! that is in force whenever this one is: with the same hours or always, and not expiring earlier.

use std::fmt;

use daylight_expr::Program;

use crate::policy::Policy;
use crate::rule::{Condition, Match, Rule, Verdict};

/// How long before its end a rule is said to expire soon, in nanoseconds: 30 days.
pub const SOON_NS: i64 = 30 * 86_400 * 1_000_000_000;
/// How many earlier rules are looked at for each rule.
const EARLIER_MAX: usize = 512;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// To know.
    Note,
    /// Probably not meant.
    Warning,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Rules that go before it hold whenever it does.
    Shadowed,
    /// Its condition never holds.
    Impossible,
    /// It is over.
    Expired,
    /// It is over soon.
    ExpiresSoon,
    /// Without it all would be the same.
    NoEffect,
    /// The expression language has a doubt about its condition.
    Doubtful,
    /// No rule asks the list.
    UnusedList,
    /// Nothing is in the list.
    EmptyList,
    /// Entries of the list say what others say already.
    DuplicateEntries,
    /// Lines of the list could not be read.
    BadEntries,
    /// Two lists have something in common that one rule allows and another stops.
    OverlappingLists,
}

/// Something about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// The rule's or the list's name.
    pub subject: String,
    /// Its line in the policy's file.
    pub line: usize,
    /// What was found, and what to do.
    pub message: String,
}

/// All that was found, in the order of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// True if there is nothing to warn of.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Warning)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { severity, subject, line, message, .. } in &self.findings {
            let severity = if *severity == Severity::Warning { "warning" } else { "note" };
            writeln!(f, "{severity}: line {line}, {subject:?}: {message}")?;
        }
        Ok(())
    }
}

/// Looks a policy over, as of a time.
pub fn check(policy: &Policy, now_ns: i64) -> Report {
    let mut checker = Checker { policy, findings: Vec::new() };
    for rule in policy.rules() {
        checker.condition(rule);
        checker.expiry(rule, now_ns);
    }
    checker.order();
    checker.lists();
    checker.opposites();
    checker.findings.sort_by_key(|finding| finding.line);
    Report { findings: checker.findings }
}

struct Checker<'a> {
    policy: &'a Policy,
    findings: Vec<Finding>,
}

impl<'a> Checker<'a> {
    fn add(&mut self, severity: Severity, kind: Kind, subject: &str, line: usize, message: String) {
        self.findings.push(Finding { severity, kind, subject: subject.to_owned(), line, message });
    }

    fn warn(&mut self, kind: Kind, rule: &Rule, message: String) {
        self.add(Severity::Warning, kind, rule.name.as_str(), rule.line, message);
    }

    fn condition(&mut self, rule: &Rule) {
        let Condition::When(program) = &rule.condition else { return };
        if program.is_impossible() {
            let message =
                "its condition never holds: what it asks for contradicts itself. Mend it or remove the rule";
            return self.warn(Kind::Impossible, rule, message.to_owned());
        }
        if program.is_always() {
            let message = "its condition always holds. Write when = \"true\" if that is meant";
            self.warn(Kind::Doubtful, rule, message.to_owned());
        }
        for warning in program.warnings() {
            let advice = warning.advice();
            let gap = if advice.is_empty() { "" } else { "; " };
            self.warn(Kind::Doubtful, rule, format!("{warning}{gap}{advice}"));
        }
    }

    fn expiry(&mut self, rule: &Rule, now_ns: i64) {
        if now_ns >= rule.expires_ns {
            let message = format!(
                "it expired ({}) and is not in force. Remove it, or have {} renew it",
                rule.expires, rule.authority
            );
            self.warn(Kind::Expired, rule, message);
        } else if rule.expires_ns.saturating_sub(now_ns) < SOON_NS {
            let message = format!(
                "it expires soon ({}). Ask {} whether it is still needed",
                rule.expires, rule.authority
            );
            self.add(Severity::Note, Kind::ExpiresSoon, rule.name.as_str(), rule.line, message);
        }
    }

    /// The rules with a verdict, in the order in which they have the say.
    fn ordered(&self) -> Vec<&'a Rule> {
        self.policy.order.iter().filter_map(|turn| self.policy.rules().get(turn.rule as usize)).collect()
    }

    fn order(&mut self) {
        let ordered = self.ordered();
        for (at, rule) in ordered.iter().enumerate() {
            let possible = rule.condition.program().is_none_or(|program| !program.is_impossible());
            let earlier: Vec<&Rule> = ordered
                .iter()
                .take(at)
                .rev()
                .take(EARLIER_MAX)
                .filter(|earlier| is_in_force_with(earlier, rule))
                .copied()
                .collect();
            if possible && let Some(by) = shadowing(rule, &earlier) {
                let names: Vec<String> =
                    by.iter().map(|rule| format!("{:?} (line {})", rule.name.as_str(), rule.line)).collect();
                let how = match self.policy.matching() {
                    Match::First => "stand before it",
                    Match::All => "are as strict or stricter",
                };
                let message = format!(
                    "it never has the say: whenever it holds, so does {}, rules that {how}. Move it up, narrow the \
                     others, or remove it",
                    names.join(" or ")
                );
                self.warn(Kind::Shadowed, rule, message);
                continue;
            }
            let same = |other: &&Rule| other.action.verdict() == Some(Verdict::Allow);
            if ordered.get(at..).is_some_and(|rest| rest.iter().all(same)) {
                let message = "it has no effect: what no rule speaks of is allowed, and no rule after it says otherwise. \
                     Remove it, or move it before the rule that it is an exception to";
                self.warn(Kind::NoEffect, rule, message.to_owned());
            }
        }
    }

    fn lists(&mut self) {
        for list in self.policy.lists() {
            let (name, line, report) = (list.name(), list.line, list.report());
            let used = self
                .policy
                .rules()
                .iter()
                .filter_map(|rule| rule.condition.program())
                .any(|program| program.lists().any(|used| used == name));
            if !used {
                let message =
                    format!("no rule asks this list: write in ${name} in a condition, or remove it");
                self.add(Severity::Warning, Kind::UnusedList, name, line, message);
            }
            if list.list().is_empty() {
                let message = format!("nothing is in it: {} has no entry", list.spec.file.display());
                self.add(Severity::Warning, Kind::EmptyList, name, line, message);
            }
            if report.duplicates > 0 {
                let message = format!(
                    "{} of its {} entries say what others say already; they do no harm",
                    report.duplicates, report.entries
                );
                self.add(Severity::Note, Kind::DuplicateEntries, name, line, message);
            }
            if report.bad > 0 {
                let message = format!(
                    "{} of its lines can't be read and are left out: {}",
                    report.bad,
                    report.problems.join("; ")
                );
                self.add(Severity::Warning, Kind::BadEntries, name, line, message);
            }
        }
    }

    /// Lists that have something in common, one in a rule that allows, the other in one that stops.
    fn opposites(&mut self) {
        let lists = self.policy.lists();
        for (at, first) in lists.iter().enumerate() {
            for second in lists.iter().skip(at + 1).filter(|second| second.kind() == first.kind()) {
                let rules = |allows: bool, name: &str| {
                    self.policy.rules().iter().find(|rule| {
                        let stops = matches!(rule.action.name(), "drop" | "reject");
                        (if allows { rule.action.name() == "allow" } else { stops })
                            && rule.condition.program().is_some_and(|p| p.lists().any(|used| used == name))
                    })
                };
                let pair = |a: &str, b: &str| Some((rules(true, a)?, rules(false, b)?));
                let Some((allowing, stopping)) =
                    pair(first.name(), second.name()).or_else(|| pair(second.name(), first.name()))
                else {
                    continue;
                };
                let Some(example) = first.list().meets(second.list()) else { continue };
                let message = format!(
                    "{example} is in ${} as well as in ${}: {:?} allows it and {:?} stops it. See that the one that is \
                     meant to has the say",
                    first.name(),
                    second.name(),
                    allowing.name,
                    stopping.name
                );
                self.add(Severity::Note, Kind::OverlappingLists, first.name(), first.line, message);
            }
        }
    }
}

/// True if the earlier rule is in force whenever the later one is.
fn is_in_force_with(earlier: &Rule, later: &Rule) -> bool {
    earlier.expires_ns >= later.expires_ns && (earlier.hours.is_empty() || earlier.hours == later.hours)
}

/// The rules of which at least one holds whenever this one does.
fn shadowing<'a>(rule: &Rule, earlier: &[&'a Rule]) -> Option<Vec<&'a Rule>> {
    if let Some(always) = earlier.iter().find(|rule| matches!(rule.condition, Condition::Always)) {
        return Some(vec![*always]);
    }
    let Condition::When(program) = &rule.condition else { return None };
    // Only a rule that asks for a field that this one asks for can be implied by it; others always hold or never do.
    let related = |other: &Program| other.fields().iter().any(|field| program.fields().contains(field));
    let (rules, programs): (Vec<&Rule>, Vec<&Program>) = earlier
        .iter()
        .filter_map(|rule| Some((*rule, rule.condition.program().filter(|other| related(other))?)))
        .unzip();
    let found = program.implies_any(&programs)?;
    Some(found.into_iter().filter_map(|at| rules.get(at).copied()).collect())
}
