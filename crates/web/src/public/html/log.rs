//! The log's page: what it is, how to verify it, its last entries.

use daylight_policy::audit::{Event, Target};
use maud::{Markup, html};

use super::super::document::{EntryDoc, LogDoc, LogPageDoc, LogState};
use super::{Frame, Place, layout, parts};

/// The page.
pub(in super::super) fn page(frame: &Frame, doc: &LogPageDoc) -> Markup {
    let log = &doc.log;
    let body = html! {
        h1 { "The public log" }
        p.lead {
            "Everything on these pages comes from this log. It only grows; each entry is sealed with all before it; and whoever keeps a copy \
             of one short text, the checkpoint, can prove it if history is rewritten."
        }
        (state(log))
        section {
            h2 { "Check it yourself" }
            ol.steps {
                li {
                    "Get the operator’s public key from a place that you trust, such as a notice on paper. This page goes by this one:"
                    pre { code { (log.key) } }
                }
                li {
                    "Copy the log: " a href="/log/checkpoint" { "the checkpoint" } " and the files that it covers, below " code { "/log/tile/" }
                    ". They are in the form of C2SP tlog-tiles, which other tools read too."
                }
                li { "Verify the copy, or a proof from these pages, without trusting this page:" pre { code { "daylight audit verify COPY --key KEY" } } }
                li { "Keep the checkpoint, and compare with others: who is shown another history has it in writing." }
            }
            @if let Some(checkpoint) = &doc.checkpoint {
                h3 { "The checkpoint" }
                pre.checkpoint { code { (checkpoint) } }
            }
            p.quiet {
                "The log proves what the operator said and when it was said first, not that it is true or complete. What is blocked without being \
                 told is found by measuring and comparing with it."
            }
        }
        section {
            h2 { "Last entries" }
            @if doc.latest.is_empty() { p { "None yet." } } @else {
                ol.entries {
                    @for entry in &doc.latest { (line(entry)) }
                }
            }
            p { a href="/log.json" { "This page as data" } " (JSON)" }
        }
    };
    layout(frame, Place::Log, "The public log", log, body)
}

fn state(log: &LogDoc) -> Markup {
    html! {
        dl.facts.wide {
            div { dt { "State" } dd { @if log.state == LogState::Sound { span.tag.pass { "Sound" } } @else { span.tag.stop { "Not sound" } } } }
            div { dt { "Name" } dd { (log.origin) } }
            div { dt { "Entries" } dd { (parts::number(log.entries)) } }
            @if let Some(last) = log.last_entry { div { dt { "Last entry" } dd { (parts::time(last)) } } }
            @if let Some(read) = log.read_at { div { dt { "Looked for news" } dd { (parts::time(read)) } } }
            @if let Some(audit) = &log.verified {
                div {
                    dt { "Every byte verified" }
                    dd { (parts::time(audit.at)) " (" (parts::counted(audit.entries, "entry", "entries")) " in " (parts::counted(audit.files, "file", "files")) ")" }
                }
            }
        }
    }
}

fn line(entry: &EntryDoc) -> Markup {
    html! {
        li {
            a href=(entry.proof) title="The proof" { (parts::number(entry.index)) }
            span.when { (parts::time(entry.entry.time)) }
            span { (told(&entry.entry.event)) }
        }
    }
}

/// An entry in words.
fn told(event: &Event) -> Markup {
    html! {
        @match event {
            Event::FilterStarted { software } => { "The filter started (" (software) ")" },
            Event::FilterStopped { why } => { "The filter stopped: " (why) },
            Event::KeyRotated(rotation) => { "The log went over to the key " code { (rotation.new_key().label()) } },
            Event::List(list) => { "List “" (list.list) "”, " (parts::counted(list.entries, "entry", "entries")) },
            Event::PolicyLoaded { policy, rules, .. } => {
                "The policy “" (policy) "” came into force, with " (parts::counted(u64::from(*rules), "rule", "rules"))
            },
            Event::PolicyRefused { policy, why, .. } => { "The policy “" (policy) "” was refused: " (why) },
            Event::Rule(rule) => { "Rule " b { (rule.rule) } ": " (rule.reason) },
            Event::Totals(totals) => {
                b { (totals.rule) } " stopped " (parts::counted(totals.counts.flows, "attempt", "attempts"))
                @match &totals.target {
                    Target::Host(host) => { " at " code { (host) } },
                    Target::ListName { name, .. } => { " at " code { (name) } },
                    Target::ListLine { list, line, .. } => { " at line " (line) " of the list “" (list) "”" },
                    Target::Rest => " at other places",
                    Target::Rule => {},
                }
                ", in the hour from " (parts::time(totals.hour.start()))
            },
            other => { (other.kind()) },
        }
    }
}
