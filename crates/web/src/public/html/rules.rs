//! The rules: all of them, and one.

use daylight_policy::Basis;
use maud::{Markup, html};

use super::super::document::{LineDoc, OverviewDoc, RuleDoc, RulePageDoc};
use super::{Frame, Place, layout, parts};

/// All rules that there are or were.
pub(in super::super) fn page(doc: &OverviewDoc) -> Markup {
    let frame = Frame { operator: doc.operator.clone(), contact: doc.contact.clone() };
    let (now, before): (Vec<&RuleDoc>, Vec<&RuleDoc>) = doc.rules.iter().partition(|rule| rule.is_in_force());
    let body = html! {
        h1 { "Rules" }
        p.lead { "Every rule that the filter has, or had since the log began" @if let Some(first) = doc.log.first_entry { " on " (parts::time(first)) } "." }
        section {
            h2 { "In force" }
            @if now.is_empty() { p { "None: nothing is blocked." } } @else { (table(&now)) }
        }
        @if !before.is_empty() { section { h2 { "No longer in force" } (table(&before)) } }
        @if let Some(policy) = &doc.policy {
            section {
                h2 { "Policy and lists in force" }
                p {
                    "“" (policy.policy) "”, loaded " (parts::time(policy.loaded)) " (" (parts::proofs(&[policy.entry])) "). The digests are those \
                     of the files (SHA-256): whoever has a file can compare."
                }
                @if let Some(terms) = &policy.terms {
                    p {
                        (parts::order(terms.matching)) " What no rule speaks of " (parts::otherwise(terms.default)) "."
                        " Rules’ hours are those of the zone " (terms.timezone) "."
                    }
                }
                ul.digests {
                    li { b { "Policy" } code { (policy.version) } }
                    @for list in &policy.lists {
                        li { b { "List “" (list.list) "”, " (parts::counted(list.entries, "entry", "entries")) } code { (list.digest) } }
                    }
                }
            }
        }
        p { a href="/rules.json" { "The same as data" } " (JSON)" }
    };
    layout(&frame, Place::Rules, "Rules", &doc.log, body)
}

fn table(rules: &[&RuleDoc]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Rules" {
            table {
                thead { tr { th { "Rule" } th { "Why" } th { "Decided by" } th { "Until" } th.count { "Last 24 hours" } th.count { "In all" } } }
                tbody {
                    @for rule in rules {
                        tr {
                            th scope="row" { a href=(rule.url) { (rule.rule) } br; (parts::action(rule.action)) " " (parts::standing(rule.standing)) }
                            td data-label="Why" { (rule.reason) }
                            td data-label="Decided by" {
                                (rule.authority)
                                @if rule.basis != Basis::Operator { " " span.quiet { "(" (rule.basis.words()) ")" } }
                            }
                            td data-label="Until" { (parts::time(rule.expires)) }
                            td.count data-label="Last 24 hours" { (parts::number(rule.last_day.flows)) }
                            td.count data-label="In all" { (parts::number(rule.total.flows)) }
                        }
                    }
                }
            }
        }
    }
}

/// What was stopped at entries of lists that have no names.
fn lines(lines: &[LineDoc]) -> Markup {
    html! {
        h3 { "By entries of lists" }
        table.hours {
            thead { tr { th { "Entry" } th { "Last" } th.count { "Stopped" } } }
            tbody {
                @for line in lines {
                    tr {
                        th scope="row" {
                            "Line " (line.line) " of the list “" (line.list) "”"
                            @if !line.in_force { ", as it was before" }
                        }
                        td { (parts::time(line.stopped.last_hour.start())) " (" (parts::proofs(&[line.stopped.index])) ")" }
                        td.count { (parts::number(line.stopped.counts.flows)) }
                    }
                }
            }
        }
        p.quiet {
            "The log holds no addresses. What stands on a line is found in the list’s file, of which "
            a href="/rules" { "the digest" } " is public."
        }
    }
}

/// One rule.
pub(in super::super) fn rule(frame: &Frame, doc: &RulePageDoc) -> Markup {
    let rule = &doc.rule;
    let body = html! {
        p.crumb { a href="/rules" { "Rules" } " / " (rule.policy) }
        h1 { (rule.rule) }
        p { (parts::action(rule.action)) " " (parts::standing(rule.standing)) }
        section.why {
            p.label { "Why" }
            p.reason { (rule.reason) }
            (parts::facts(rule))
        }
        section {
            h2 { "What it does" }
            p { "When this holds for a connection, the filter " (parts::deed(rule.action)) ":" }
            pre { code { (rule.condition) } }
        }
        section {
            h2 { "What it stopped" }
            (parts::plot(&rule.hours))
            p {
                b { (parts::number(rule.last_day.flows)) } " in the last 24 hours, " b { (parts::number(rule.total.flows)) }
                " since the log began (connections, or questions for a name)."
            }
            @if !doc.lines.is_empty() { (lines(&doc.lines)) }
            details {
                summary { "Hour by hour" }
                table.hours {
                    thead { tr { th { "Hour" } th.count { "Stopped" } } }
                    tbody {
                        @for hour in rule.hours.iter().rev() {
                            tr { th scope="row" { (parts::time(hour.hour.start())) } td.count { (parts::number(hour.counts.flows)) } }
                        }
                    }
                }
            }
        }
        section {
            h2 { "Where the log says so" }
            p { "Proofs: " (parts::proofs(&rule.entries)) ". " a href="/log" { "How to check them" } "." }
            p { a href={ (rule.url) ".json" } { "This page as data" } " (JSON)" }
        }
    };
    layout(frame, Place::Rules, &format!("Rule {}", rule.rule), &doc.log, body)
}
