//! Is it blocked here? From the log, and from the policy in force where its files are at hand.

use std::collections::BTreeMap;

use daylight_policy::audit::{Action, AuditError, HostName, Label, Log, Standing, Timestamp};
use daylight_policy::{Match, Policy, Rule, rule_path};

use super::Site;
use super::document::{
    AnswerDoc, Basis, FindingDoc, LogDoc, ProofDoc, Relation, RuleDoc, Verdict, WayDoc, proof_path,
};
use super::follow::View;
use super::subject::AskedHost;
use super::would::{self, Cover, Fate, Judged, Way};

/// What rules say about a host, by their names.
#[derive(Default)]
struct Said {
    rules: BTreeMap<(Label, Label), (Cover, Option<String>)>,
    at_other_hours: Vec<(Label, Label)>,
    judged: Option<Judged>,
}

/// Answers about a host, without proofs.
pub(super) fn answer(site: &Site, view: &View, asked: AskedHost, now: Timestamp) -> AnswerDoc {
    let host = &asked.host;
    let said = match &view.policy {
        Some(policy) => by_policy(policy, host, now),
        None => by_log(view, host, now),
    };
    let matching: Vec<(Label, Label)> = said.rules.keys().chain(&said.at_other_hours).cloned().collect();
    let answer = view.history.answer(host, now, &matching);
    let mut rules: Vec<FindingDoc> = Vec::new();
    let (mut open_rules, mut general_rules) = (Vec::new(), Vec::new());
    for finding in &answer.findings {
        let id = (finding.rule.policy.clone(), finding.rule.rule.clone());
        let (cover, entry) = said.rules.get(&id).cloned().unzip();
        let has_stopped_it = finding.stopped.is_some();
        let relation = match cover {
            Some(Cover::Open | Cover::General) if !has_stopped_it => {
                let acts = finding.rule.action.blocks() || finding.rule.action == Action::Limit;
                let group = if cover == Some(Cover::Open) { &mut open_rules } else { &mut general_rules };
                // Nothing is open about one that is over.
                if acts && finding.standing == Standing::InForce {
                    group.push(RuleDoc::of(finding, view, now).brief());
                }
                continue;
            }
            // It stopped the host, and nothing is known that would say otherwise.
            Some(Cover::Yes | Cover::Open) => Relation::Covers,
            Some(Cover::Depends | Cover::General) => Relation::Depends,
            Some(Cover::Overruled) => Relation::Overruled,
            None if said.at_other_hours.contains(&id) => Relation::AtOtherHours,
            None => Relation::Stopped,
        };
        rules.push(FindingDoc::of(finding, view, now, relation, entry.flatten()));
    }
    // Those in force stand first already; among them, those that block go before the others.
    rules.sort_by_key(|rule| !rule.blocks());
    let verdict = verdict(view, &said, &rules, &open_rules);
    AnswerDoc {
        verdict,
        basis: if said.judged.is_some() { Basis::Policy } else { Basis::Log },
        now,
        ways: said.judged.map(|judged| ways(&judged, view)).unwrap_or_default(),
        rules,
        open_rules,
        general_rules,
        log: LogDoc::of(view, &site.settings.key, site.settings.stale_after, now),
        proofs: Vec::new(),
        proof_error: None,
        asked,
    }
}

fn by_policy(policy: &Policy, host: &HostName, now: Timestamp) -> Said {
    let judged = would::judge(policy, host, now.unix_s().saturating_mul(1_000_000_000));
    let id = |rule: &Rule| (policy.name().clone(), rule.name.clone());
    let named = |(at, cover): &(usize, Cover)| {
        let rule = policy.rules().get(*at)?;
        Some((id(rule), (*cover, would::entry_of(rule, host))))
    };
    let others = judged.at_other_hours.iter().filter_map(|at| policy.rules().get(*at));
    Said {
        rules: judged.rules.iter().filter_map(named).collect(),
        at_other_hours: others.map(id).collect(),
        judged: Some(judged),
    }
}

/// What the conditions say that the log tells, at this hour. It does not tell what is on lists.
fn by_log(view: &View, host: &HostName, now: Timestamp) -> Said {
    let Some(policy) = &view.board.policy else { return Said::default() };
    let goes_by_order = policy.terms.as_ref().is_some_and(|terms| terms.matching == Match::First);
    let stopped = view.history.answer(host, now, &[]).findings;
    let mut said = Said::default();
    // A rule has the say about the host however it is come to: none that follows has.
    let mut is_settled = false;
    for (name, condition) in &view.board.conditions {
        let finding = view.history.rule(&policy.policy, name, now);
        let (Some(cover), Some(finding)) = (condition.cover(host), finding) else { continue };
        let has_stopped_it =
            || stopped.iter().any(|other| (&other.rule.policy, &other.rule.rule) == (&policy.policy, name));
        let is_known = matches!(cover, Cover::Yes | Cover::Depends) || has_stopped_it();
        let id = (policy.policy.clone(), name.clone());
        match (finding.in_hours, is_settled, is_known) {
            (false, _, true) => said.at_other_hours.push(id),
            (true, true, true) => _ = said.rules.insert(id, (Cover::Overruled, None)),
            (true, false, _) => _ = said.rules.insert(id, (cover, None)),
            _ => {}
        }
        let has_the_say = finding.in_hours
            && finding.standing == Standing::InForce
            && finding.rule.action != Action::Log
            && condition.covers_every_way(host);
        is_settled |= goes_by_order && has_the_say;
    }
    said
}

fn verdict(view: &View, said: &Said, rules: &[FindingDoc], open: &[RuleDoc]) -> Verdict {
    if matches!(view.board.running, Some(super::board::Running::Stopped { .. })) {
        return Verdict::FilterStopped;
    }
    let blocks = |relation: Relation| rules.iter().any(|rule| rule.blocks() && rule.relation == relation);
    let Some(judged) = &said.judged else {
        return if blocks(Relation::Covers) {
            Verdict::Blocked
        } else if blocks(Relation::Depends) {
            Verdict::Depends
        } else if open.iter().any(|rule| rule.action.blocks()) {
            Verdict::Unknown
        } else {
            Verdict::NotBlocked
        };
    };
    let has = |fate: Fate| judged.ways.iter().any(|(_, found, _)| *found == fate);
    let is_blocked =
        |(way, fate, _): &(Way, Fate, Option<usize>)| *way != Way::Other && *fate == Fate::Blocked;
    if judged.ways.iter().any(is_blocked) {
        Verdict::Blocked
    } else if has(Fate::Depends) || has(Fate::Blocked) || blocks(Relation::Depends) {
        Verdict::Depends
    } else if has(Fate::Limited) {
        Verdict::Limited
    } else {
        Verdict::NotBlocked
    }
}

fn ways(judged: &Judged, view: &View) -> Vec<WayDoc> {
    let Some(policy) = &view.policy else { return Vec::new() };
    let path = |at: usize| policy.rules().get(at).map(|rule| rule_path(policy.name(), &rule.name));
    let ways = judged.ways.iter();
    ways.map(|(way, fate, rule)| WayDoc { way: *way, fate: *fate, rule: rule.and_then(path) }).collect()
}

/// Attaches the proofs. They are taken from the log as it is now, and each is verified.
pub(super) fn prove(site: &Site, answer: &mut AnswerDoc) {
    let mut entries: Vec<u64> =
        answer.rules.iter().flat_map(|rule| rule.rule.entries.iter().copied()).collect();
    entries.sort_unstable();
    entries.dedup();
    let proven = Log::open(&site.settings.log, &site.settings.key).and_then(|log| {
        let prove = |entry| {
            let proof = log.prove_inclusion(entry)?.to_string();
            Ok::<_, AuditError>(ProofDoc { entry, url: proof_path(entry), proof })
        };
        entries.into_iter().map(prove).collect()
    });
    match proven {
        Ok(proofs) => answer.proofs = proofs,
        Err(error) => answer.proof_error = Some(site.without_path(&error.to_string())),
    }
}
