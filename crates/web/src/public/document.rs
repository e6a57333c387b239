//! What the pages say, as data: each document is shown as HTML and given out as JSON, so that both say the same.

use std::time::Duration;

use daylight_policy::audit::{
    Action, Counts, Digest, Entry, Finding, Hour, Label, List, Standing, Stopped, Target, Text, Timestamp,
};
use daylight_policy::{Hours, rule_path};
use serde::Serialize;

use super::board::{PolicyInForce, Refused, Running};
use super::follow::{Audit, TroubleKind, View};
use super::subject::AskedHost;
use super::would::{Fate, Way};

/// How the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LogState {
    /// Whole, and as it was signed.
    Sound,
    /// Not read yet.
    Reading,
    /// Something is wrong with it.
    #[serde(untagged)]
    Troubled(TroubleKind),
}

/// The log.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LogDoc {
    pub(super) state: LogState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wrong_since: Option<Timestamp>,
    /// Where the evidence of a split view is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<&'static str>,
    /// The log's name.
    pub(super) origin: String,
    /// Entries, and the root over them, up to which all that is said was verified.
    pub(super) entries: u64,
    pub(super) root: Option<String>,
    /// The key that vouches for it.
    pub(super) key: String,
    /// When news were last looked for.
    pub(super) read_at: Option<Timestamp>,
    /// When the whole log was last verified.
    pub(super) verified: Option<Audit>,
    pub(super) first_entry: Option<Timestamp>,
    pub(super) last_entry: Option<Timestamp>,
    /// Nothing was written for long, though the filter should run.
    pub(super) stale: bool,
    /// Since about when the filter gives no sign of life, though the log does not say that it ended: it was killed.
    pub(super) silent_since: Option<Timestamp>,
}

/// A filter that runs gives a sign of life every minute.
const SILENT_AFTER_S: i64 = 180;

impl LogDoc {
    pub(super) fn of(
        view: &View,
        key: &daylight_policy::audit::VerifierKey,
        stale_after: Duration,
        now: Timestamp,
    ) -> Self {
        let trouble = view.trouble.as_ref().or(view.damage.as_ref());
        let state = match trouble {
            Some(trouble) => LogState::Troubled(trouble.kind),
            None if view.seen.is_none() => LogState::Reading,
            None => LogState::Sound,
        };
        let checkpoint = view.seen.as_ref().map(|seen| seen.checkpoint.checkpoint());
        let key = view.seen.as_ref().map_or(key, |seen| &seen.key);
        let last = view.board.last();
        let silent_s = last.map_or(0, |last| now.unix_s() - last.unix_s());
        let stopped = matches!(view.board.running, Some(Running::Stopped { .. }));
        Self {
            state,
            why: trouble.map(|trouble| trouble.why.clone()),
            wrong_since: trouble.map(|trouble| trouble.since),
            evidence: trouble.and_then(|trouble| trouble.evidence.as_ref()).map(|_| super::routes::EVIDENCE),
            origin: key.name().to_owned(),
            entries: checkpoint.map_or(0, |checkpoint| checkpoint.size),
            root: checkpoint.map(|checkpoint| checkpoint.root.to_string()),
            key: key.to_string(),
            read_at: view.seen.as_ref().map(|seen| seen.at),
            verified: view.audit.clone(),
            first_entry: view.board.first,
            last_entry: last,
            stale: !stopped && u64::try_from(silent_s).is_ok_and(|silent| silent > stale_after.as_secs()),
            silent_since: view
                .alive_at
                .filter(|alive| !stopped && now.unix_s() - alive.unix_s() > SILENT_AFTER_S),
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.state == LogState::Sound
    }
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RuleDoc {
    pub(super) policy: Label,
    pub(super) rule: Label,
    /// Its page.
    pub(super) url: String,
    pub(super) action: Action,
    pub(super) condition: Text,
    pub(super) reason: Text,
    pub(super) authority: Text,
    /// Whose will that is.
    pub(super) basis: daylight_policy::Basis,
    pub(super) since: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) appeal: Option<Text>,
    #[serde(flatten)]
    pub(super) standing: Standing,
    /// At which hours it is in force, if that is known and it is not so always: for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<String>,
    /// Whether it is one of them; also true if the log does not tell which they are.
    pub(super) in_hours: bool,
    /// What it stopped in the last 24 hours, and since the log began.
    pub(super) last_day: Counts,
    pub(super) total: Counts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hours: Vec<HourDoc>,
    /// The entries that say so.
    pub(super) entries: Vec<u64>,
}

/// What was stopped in an hour.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HourDoc {
    pub(super) hour: Hour,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

impl RuleDoc {
    pub(super) fn of(finding: &Finding, view: &View, now: Timestamp) -> Self {
        let rule = &finding.rule;
        let day = view.board.day(&rule.policy, &rule.rule, now);
        let mut last_day = Counts::default();
        day.iter().for_each(|(_, counts)| last_day.add(*counts));
        Self {
            url: rule_path(&rule.policy, &rule.rule),
            policy: rule.policy.clone(),
            rule: rule.rule.clone(),
            action: rule.action,
            condition: rule.condition.clone(),
            reason: rule.reason.clone(),
            authority: rule.authority.clone(),
            basis: rule.basis,
            since: finding.since,
            expires: rule.expires,
            appeal: rule.appeal.clone(),
            standing: finding.standing,
            schedule: schedule(finding, view),
            in_hours: finding.in_hours,
            last_day,
            total: view.board.total(&rule.policy, &rule.rule),
            hours: day.into_iter().map(|(hour, counts)| HourDoc { hour, counts }).collect(),
            entries: finding.entries.clone(),
        }
    }

    /// The same without the hours.
    pub(super) fn brief(mut self) -> Self {
        self.hours.clear();
        self
    }

    pub(super) fn is_in_force(&self) -> bool {
        self.standing == Standing::InForce
    }
}

/// The hours of a rule, as the log tells them. One that was begun before hours were told may say nothing of them: then
/// they are those of the policy in force.
fn schedule(finding: &Finding, view: &View) -> Option<String> {
    let rule = &finding.rule;
    let (hours, zone) = match &finding.terms {
        Some(terms) => (&rule.hours, terms.timezone.as_str()),
        None => {
            let policy = view.policy.as_ref().filter(|policy| *policy.name() == rule.policy)?;
            let known = policy.rules().iter().find(|known| known.name == rule.rule)?;
            (&known.hours, policy.timezone())
        }
    };
    let windows: Vec<String> = hours.iter().map(window).collect();
    (!windows.is_empty()).then(|| format!("{} ({zone})", windows.join("; ")))
}

/// A window of hours, for people: `Mon–Thu 08:00–16:00`.
fn window(hours: &Hours) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut days = String::new();
    let on = |day: usize| hours.days >> day & 1 == 1;
    let mut day = 0;
    while day < DAYS.len() {
        let last = (day..DAYS.len()).take_while(|day| on(*day)).last();
        if let (Some(last), Some(first)) = (last, DAYS.get(day)) {
            let separator = if days.is_empty() { "" } else { ", " };
            days.push_str(&format!("{separator}{first}"));
            if let Some(name) = DAYS.get(last).filter(|_| last > day) {
                days.push_str(&format!("{}{name}", if last == day + 1 { ", " } else { "–" }));
            }
            day = last;
        }
        day += 1;
    }
    let days = if hours.days & 0x7f == 0x7f { "every day" } else { &days };
    let [from, to] = [hours.from, hours.to].map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60));
    format!("{days} {from}–{to}")
}

/// All rules, and what is in force.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OverviewDoc {
    pub(super) operator: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) now: Timestamp,
    pub(super) filter: Option<Running>,
    pub(super) policy: Option<PolicyInForce>,
    pub(super) refused: Option<Refused>,
    /// Those in force first, in their policy's order; then those that were.
    pub(super) rules: Vec<RuleDoc>,
    pub(super) log: LogDoc,
}

/// What a rule stopped at an entry of a list that is told by its line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LineDoc {
    pub(super) list: Label,
    pub(super) line: u32,
    /// SHA-256 of the list's file as it was then.
    pub(super) digest: Digest,
    /// The list is in force as it was then.
    pub(super) in_force: bool,
    #[serde(flatten)]
    pub(super) stopped: Stopped,
}

/// No more of them are shown of a rule.
const LINES_SHOWN: usize = 100;

impl LineDoc {
    /// Those of a rule at which it stopped most.
    pub(super) fn of_rule(view: &View, policy: &Label, rule: &Label) -> Vec<Self> {
        let in_force = view.board.policy.iter().flat_map(|policy| &policy.lists);
        let mut lines: Vec<Self> = view
            .history
            .lines(policy, rule)
            .filter_map(|(target, stopped)| {
                let Target::ListLine { list, digest, line } = target else { return None };
                let is_it =
                    |known: &List| known.policy == *policy && known.list == *list && known.digest == *digest;
                Some(Self {
                    list: list.clone(),
                    line: *line,
                    digest: *digest,
                    in_force: in_force.clone().any(is_it),
                    stopped: stopped.clone(),
                })
            })
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.stopped.counts.flows));
        lines.truncate(LINES_SHOWN);
        lines
    }
}

/// A rule, and the log that tells it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RulePageDoc {
    #[serde(flatten)]
    pub(super) rule: RuleDoc,
    /// Where it stopped most, of what is told by the lines of lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lines: Vec<LineDoc>,
    pub(super) log: LogDoc,
}

/// What is said about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It is blocked.
    Blocked,
    /// In some cases it is.
    Depends,
    /// It is slowed down.
    Limited,
    /// It is not.
    NotBlocked,
    /// The filter does not run; nothing is.
    FilterStopped,
    /// The log alone can't tell.
    Unknown,
}

/// On what an answer rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Basis {
    /// On the policy that is in force, with its lists, and the log.
    Policy,
    /// On the log alone.
    Log,
}

/// What becomes of a way to a host.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WayDoc {
    pub(super) way: Way,
    pub(super) fate: Fate,
    /// The page of the rule that has the say; none if no rule has.
    pub(super) rule: Option<String>,
}

/// What a rule has to do with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Relation {
    /// It covers the host.
    Covers,
    /// It covers some connections to it.
    Depends,
    /// It covers the host, but another rule goes before it.
    Overruled,
    /// It covers the host at other hours than now.
    AtOtherHours,
    /// It would not stop it now, and did.
    Stopped,
}

/// A rule that concerns a host.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FindingDoc {
    #[serde(flatten)]
    pub(super) rule: RuleDoc,
    pub(super) relation: Relation,
    /// The entry of a list that names the host.
    pub(super) list_entry: Option<String>,
    /// The host or domain under which the log counts what was stopped.
    pub(super) target: Option<Target>,
    /// What it stopped there.
    pub(super) stopped: Option<Stopped>,
}

impl FindingDoc {
    pub(super) fn of(
        finding: &Finding,
        view: &View,
        now: Timestamp,
        relation: Relation,
        list_entry: Option<String>,
    ) -> Self {
        Self {
            rule: RuleDoc::of(finding, view, now).brief(),
            relation,
            list_entry,
            target: finding.target.clone(),
            stopped: finding.stopped.clone(),
        }
    }

    /// Whether it is a reason for why a host is blocked now.
    pub(super) fn blocks(&self) -> bool {
        let applies = matches!(self.relation, Relation::Covers | Relation::Depends);
        applies && self.rule.is_in_force() && self.rule.action.blocks()
    }
}

/// A proof, as text.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ProofDoc {
    pub(super) entry: u64,
    pub(super) url: String,
    pub(super) proof: String,
}

/// The answer about a host.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AnswerDoc {
    #[serde(flatten)]
    pub(super) asked: AskedHost,
    pub(super) verdict: Verdict,
    pub(super) basis: Basis,
    pub(super) now: Timestamp,
    /// For each way to it; empty if the policy isn't known.
    pub(super) ways: Vec<WayDoc>,
    /// The rules that concern it; those that block first.
    pub(super) rules: Vec<FindingDoc>,
    /// Rules in force of which the log alone doesn't say whether they name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) open_rules: Vec<RuleDoc>,
    /// Rules in force that stop or slow down by other things than names: they may concern connections to any host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) general_rules: Vec<RuleDoc>,
    pub(super) log: LogDoc,
    /// For every entry that the answer rests on.
    pub(super) proofs: Vec<ProofDoc>,
    /// Why there are no proofs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proof_error: Option<String>,
}

/// What could not be answered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct UnansweredDoc {
    /// `address`, `unclear`, `empty`, `reading`, `not-found` …
    pub(super) error: &'static str,
    pub(super) message: String,
    pub(super) log: LogDoc,
}

/// The log's page.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LogPageDoc {
    #[serde(flatten)]
    pub(super) log: LogDoc,
    pub(super) checkpoint: Option<String>,
    /// The last entries, the newest first.
    pub(super) latest: Vec<EntryDoc>,
}

/// An entry.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EntryDoc {
    pub(super) index: u64,
    pub(super) proof: String,
    pub(super) entry: Entry,
}

/// The path of the proof of an entry.
pub(super) fn proof_path(entry: u64) -> String {
    format!("/proof/{entry}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_readable() {
        for (days, text) in [
            (0b000_1111, "Mon–Thu 08:00–16:30"),
            (0b111_1111, "every day 08:00–16:30"),
            (0b110_0000, "Sat, Sun 08:00–16:30"),
            (0b101_0111, "Mon–Wed, Fri, Sun 08:00–16:30"),
            (0b000_0001, "Mon 08:00–16:30"),
        ] {
            assert_eq!(window(&Hours { days, from: 480, to: 990 }), text);
        }
    }
}
