//! The first page: ask, and see what is in force.

use maud::{Markup, html};

use super::super::board::Running;
use super::super::document::{OverviewDoc, RuleDoc};
use super::{Frame, Place, layout, parts};

/// The page.
pub(in super::super) fn page(doc: &OverviewDoc) -> Markup {
    let frame = Frame { operator: doc.operator.clone(), contact: doc.contact.clone() };
    let mut in_force: Vec<&RuleDoc> = doc.rules.iter().filter(|rule| rule.is_in_force()).collect();
    // Who comes here looks for what is stopped.
    in_force.sort_by_key(|rule| !rule.action.blocks());
    let body = html! {
        section.hero {
            h1 { "Is it blocked here?" }
            p.lead {
                @match &doc.operator { Some(operator) => { (operator) } None => { "The operator of this network" } }
                " runs a filter on this network. Here you can see what it stops, why, who decided so, and where to object."
            }
            (parts::search("", true))
        }
        (filter(doc))
        section {
            h2 { "In force now" }
            @if in_force.is_empty() {
                p { "No rule is in force: nothing is blocked." }
            } @else {
                @if let Some(policy) = &doc.policy {
                    p.quiet {
                        (parts::counted(in_force.len() as u64, "rule", "rules")) " of the policy “" (policy.policy) "”, loaded "
                        (parts::time(policy.loaded)) "."
                    }
                }
                div.cards { @for rule in in_force { (card(rule)) } }
            }
            @if doc.rules.iter().any(|rule| !rule.is_in_force()) {
                p { a href="/rules" { "Rules that are no longer in force" } }
            }
        }
        section.explained {
            h2 { "What this page is" }
            p {
                "The filter writes down what it is told to do and what it stopped, hour by hour, in a public log: names of sites and \
                 numbers, never who wanted to go there. Each entry is sealed with those before it, so that nothing can be changed or \
                 taken back without everybody seeing it. This page only reads that log."
            }
            p {
                "A site that is not listed here and still does not open has another trouble: the site itself, your device, or another \
                 network on the way."
            }
        }
    };
    layout(&frame, Place::Ask, "What is blocked here", &doc.log, body)
}

/// Whether the filter runs, and what it was refused.
fn filter(doc: &OverviewDoc) -> Markup {
    html! {
        @match &doc.filter {
            Some(Running::Stopped { since, why }) => {
                aside.warning role="note" {
                    h2 { "The filter does not run" }
                    p { "Nothing has been blocked since " (parts::time(*since)) ". It was stopped: " (why) "." }
                }
            }
            // The page's top says that.
            Some(Running::Running { .. }) if doc.log.silent_since.is_some() => {}
            Some(Running::Running { since, .. }) => p.state { span.dot {} "The filter has been running since " (parts::time(*since)) "." },
            None => {}
        }
        @if let Some(refused) = &doc.refused {
            aside.warning role="note" {
                h2 { "A new policy was not accepted" }
                p {
                    "On " (parts::time(refused.at)) " the filter was to load the policy “" (refused.policy) "”, and could not. What was in \
                     force stays so. The reason: " (refused.why)
                }
            }
        }
    }
}

fn card(rule: &RuleDoc) -> Markup {
    html! {
        article.card {
            header { (parts::action(rule.action)) h3 { a href=(rule.url) { (rule.rule) } } }
            p.reason { (rule.reason) }
            (parts::facts(rule))
            @if rule.action.blocks() || rule.last_day.flows > 0 {
                div.day {
                    (parts::plot(&rule.hours))
                    p { b { (parts::number(rule.last_day.flows)) } " stopped in the last 24 hours" }
                }
            }
        }
    }
}
