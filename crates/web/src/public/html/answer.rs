//! The answer about a host, and the pages where there is none.

use daylight_policy::audit::{Action, Target};
use maud::{Markup, html};

use super::super::document::{AnswerDoc, Basis, FindingDoc, Relation, UnansweredDoc, Verdict, WayDoc};
use super::super::would::{Fate, Way};
use super::{Frame, Place, layout, parts};

/// The page.
pub(in super::super) fn page(frame: &Frame, doc: &AnswerDoc) -> Markup {
    let host = doc.asked.unicode.as_deref().unwrap_or(doc.asked.host.as_str());
    let (class, head, title) = match doc.verdict {
        Verdict::Blocked => ("stop", "Blocked here", "is blocked"),
        Verdict::Depends => ("slow", "Blocked in some cases", "is blocked in some cases"),
        Verdict::Limited => ("slow", "Slowed down here", "is slowed down"),
        Verdict::NotBlocked if at_other_hours(doc) => ("pass", "Not blocked now", "is not blocked now"),
        Verdict::NotBlocked => ("pass", "Not blocked here", "is not blocked"),
        Verdict::FilterStopped => ("pass", "Nothing is blocked: the filter does not run", "is not blocked"),
        Verdict::Unknown => ("note", "Not known to be blocked", "is not known to be blocked"),
    };
    let (main, others): (Vec<&FindingDoc>, Vec<&FindingDoc>) =
        doc.rules.iter().partition(|rule| doc.verdict != Verdict::FilterStopped && rule.blocks());
    let body = html! {
        (parts::search(host, false))
        section.verdict.(class) aria-labelledby="verdict" {
            (sign(doc.verdict))
            div {
                p.host {
                    (host)
                    @if doc.asked.unicode.is_some() { small { " (" (doc.asked.host) ")" } }
                }
                h1 #verdict { (head) }
                p { (explained(doc)) }
            }
        }
        @for finding in &main { (reason(finding)) }
        @if !doc.ways.is_empty() { (ways(doc)) }
        @if !others.is_empty() {
            section {
                h2 { @if main.is_empty() { "Rules that concern it" } @else { "Other rules that concern it" } }
                ul.list { @for finding in &others { (other(finding)) } }
            }
        }
        @if !doc.general_rules.is_empty() {
            section {
                h2 { "Rules about other things" }
                p { "These go by other things than names, such as addresses or protocols, and may stop single connections to any site." }
                ul.list {
                    @for rule in &doc.general_rules {
                        li { (parts::action(rule.action)) " " a href=(rule.url) { (rule.rule) } ": " (rule.reason) }
                    }
                }
            }
        }
        @if !doc.open_rules.is_empty() {
            section {
                h2 { "Rules that may name it" }
                p {
                    "These rules go by lists. The log alone does not tell whether they would stop this site, only \
                     that they have not done so up to now."
                }
                ul.list {
                    @for rule in &doc.open_rules {
                        li { (parts::action(rule.action)) " " a href=(rule.url) { (rule.rule) } ": " (rule.reason) }
                    }
                }
            }
        }
        (vouched(doc))
    };
    layout(frame, Place::Ask, &format!("{host} {title}"), &doc.log, body)
}

/// A shape beside the colour.
fn sign(verdict: Verdict) -> Markup {
    let path = match verdict {
        Verdict::Blocked => "M16 3a13 13 0 1 0 0 26 13 13 0 0 0 0-26M7 7l18 18",
        Verdict::NotBlocked | Verdict::FilterStopped => {
            "M16 3a13 13 0 1 0 0 26 13 13 0 0 0 0-26M10 16.5l4.2 4.2 8-9"
        }
        Verdict::Depends | Verdict::Limited => "M16 4L2.5 28h27zM16 13v7M16 24v.2",
        Verdict::Unknown => {
            "M16 3a13 13 0 1 0 0 26 13 13 0 0 0 0-26M12 12.5a4 4 0 1 1 5.5 3.7c-1 .5-1.5 1.200-1.500 2.300M16 23v.2"
        }
    };
    html! { svg.sign viewBox="0 0 32 32" aria-hidden="true" { path d=(path) {} } }
}

fn at_other_hours(doc: &AnswerDoc) -> bool {
    let mut rules = doc.rules.iter();
    rules.any(|rule| rule.relation == Relation::AtOtherHours && rule.rule.action.blocks())
}

fn explained(doc: &AnswerDoc) -> Markup {
    html! {
        @match doc.verdict {
            Verdict::Blocked => "It is not the site that refuses, but the filter of this network.",
            Verdict::Depends => "Whether the filter stops it depends on more than the name: how it is reached, from where, or with what.",
            Verdict::Limited => "The filter lets it through at a limited rate.",
            Verdict::NotBlocked if at_other_hours(doc) => "At other hours a rule stops it. Which hours, you find below.",
            Verdict::NotBlocked if doc.basis == Basis::Policy && !doc.general_rules.is_empty() => {
                "No rule of this filter stops it by its name. There are rules about other things, below. If it does not open, the trouble \
                 is more likely elsewhere: the site itself, your device, or another network on the way."
            }
            Verdict::NotBlocked if doc.basis == Basis::Policy => {
                "No rule of this filter stops it. If it does not open, the trouble is elsewhere: the site itself, your device, or another \
                 network on the way."
            }
            Verdict::NotBlocked => "No rule in force names it, and the filter has not stopped it under a rule that is in force.",
            Verdict::FilterStopped => "As long as the filter does not run, none of its rules has an effect.",
            Verdict::Unknown => "The filter has not stopped it up to now. There are rules that might, if somebody tries to reach it.",
        }
    }
}

/// A rule for which it is blocked.
fn reason(finding: &FindingDoc) -> Markup {
    let rule = &finding.rule;
    html! {
        section.why aria-label={ "The rule " (rule.rule) } {
            p.label { "Why" }
            p.reason { (rule.reason) }
            (parts::facts(rule))
            dl.facts {
                div { dt { "Rule" } dd { a href=(rule.url) { (rule.rule) } ", of the policy “" (rule.policy) "”; it " (parts::deed(rule.action)) } }
                @if let Some(entry) = &finding.list_entry { div { dt { "Named by" } dd { "the list’s entry " code { (entry) } } } }
                @if let Some(stopped) = &finding.stopped {
                    div {
                        dt { "Stopped so far" }
                        dd {
                            (parts::counted(stopped.counts.flows, "attempt", "attempts")) ", first on " (parts::time(stopped.first_hour.start()))
                            @if let Some(Target::ListName { name, .. }) = &finding.target { ", at all names of " code { (name) } }
                        }
                    }
                }
                div { dt { "Proof" } dd { (parts::proofs(&rule.entries)) " of the public log" } }
            }
        }
    }
}

fn ways(doc: &AnswerDoc) -> Markup {
    let name = |way: &WayDoc| match way.way {
        Way::Lookup => "Looking up its address (DNS)",
        Way::Web => "Opening it in a browser (HTTPS)",
        Way::Other => "Anything else",
    };
    let fate = |way: &WayDoc| match way.fate {
        Fate::Blocked => html! { span.tag.stop { "Stopped" } },
        Fate::Depends => html! { span.tag.slow { "It depends" } },
        Fate::Limited => html! { span.tag.slow { "Slowed down" } },
        Fate::Passes => html! { span.tag.pass { "Passes" } },
    };
    html! {
        section {
            h2 { "In detail" }
            ul.ways {
                @for way in &doc.ways {
                    li {
                        span { (name(way)) }
                        span { (fate(way)) @if let Some(rule) = &way.rule { " " a href=(rule) { "by this rule" } } }
                    }
                }
            }
        }
    }
}

fn other(finding: &FindingDoc) -> Markup {
    let rule = &finding.rule;
    html! {
        li {
            (parts::action(rule.action)) " " (parts::standing(rule.standing)) " " a href=(rule.url) { (rule.rule) } ": " (rule.reason) " "
            span.quiet {
                "("
                @match (finding.relation, rule.is_in_force()) {
                    (Relation::Stopped, true) => "it has stopped this site, and would not do so now",
                    (_, false) => "no longer in force",
                    (Relation::Overruled, true) => "another rule goes before it",
                    (Relation::AtOtherHours, true) => "at other hours",
                    (Relation::Depends, true) => "for some connections",
                    (Relation::Covers, true) if matches!(rule.action, Action::Log) => "written down, and let through",
                    (Relation::Covers, true) => "it covers this site",
                }
                @if let Some(schedule) = &rule.schedule { ": " (schedule) }
                @if let Some(stopped) = &finding.stopped {
                    "; " (parts::counted(stopped.counts.flows, "attempt", "attempts")) " stopped, last on " (parts::time(stopped.last_hour.start()))
                }
                ")"
            }
        }
    }
}

/// What the answer rests on.
fn vouched(doc: &AnswerDoc) -> Markup {
    html! {
        section.vouched {
            h2 { "What this answer rests on" }
            @match doc.basis {
                Basis::Policy => p { "The policy in force with its lists, which are those that the log tells of, and the public log." },
                Basis::Log => p {
                    "The public log alone. It tells what the rules are and what they stopped, not what is on their lists."
                },
            }
            @if let Some(error) = &doc.proof_error {
                p.bad-text { "There are no proofs for it: " code { (error) } }
            } @else if doc.proofs.is_empty() {
                p { "No entry of the log is about this site." }
            } @else {
                p {
                    "Each of these files proves, to whoever has the operator’s key, that the log says so: "
                    @for (at, proof) in doc.proofs.iter().enumerate() {
                        @if at > 0 { ", " }
                        a href=(proof.url) { "entry " (parts::number(proof.entry)) }
                    }
                    ". " a href="/log" { "How to check them" } "."
                }
            }
            p { a href={ "/is-blocked.json?host=" (doc.asked.host) } { "This answer as data" } " (JSON, with the proofs)" }
        }
    }
}

/// There is no answer to what was asked.
pub(in super::super) fn unanswered(frame: &Frame, doc: &UnansweredDoc, input: &str) -> Markup {
    let head = match doc.error {
        "address" => "That is an address, not a name",
        "empty" => "Which site?",
        "no-log" => "There is no answer at the moment",
        _ => "That is not the name of a site",
    };
    let body = html! {
        (parts::search(input, false))
        section.verdict.note aria-labelledby="verdict" {
            (sign(Verdict::Unknown))
            div {
                h1 #verdict { (head) }
                p { (doc.message) }
            }
        }
        @if doc.error == "address" {
            section {
                p {
                    "Rules may well stop addresses, by lists of them. " a href="/rules" { "The rules" } " say which, and why; what they stopped is \
                     counted by the lines of those lists, without saying where."
                }
            }
        }
    };
    layout(frame, Place::Ask, head, &doc.log, body)
}

/// There is no such page.
pub(in super::super) fn missing(frame: &Frame, doc: &UnansweredDoc) -> Markup {
    let body = html! {
        h1 { "Not found" }
        p { (doc.message) }
        (parts::search("", false))
    };
    layout(frame, Place::Elsewhere, "Not found", &doc.log, body)
}
