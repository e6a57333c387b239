//! The documents as pages for people. What comes from outside gets into them as text alone: the templates escape it.

pub(super) mod answer;
pub(super) mod home;
pub(super) mod log;
mod parts;
pub(super) mod rules;

use maud::{DOCTYPE, Markup, html};

use super::document::{LogDoc, LogState};
use super::follow::TroubleKind;

/// The one style sheet.
pub(super) const STYLE: &str = include_str!("style.css");
/// The picture in a browser's tab.
pub(super) const ICON: &str = include_str!("icon.svg");

/// What stands around every page.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Who runs the filter.
    pub(super) operator: Option<String>,
    /// Where they can be reached.
    pub(super) contact: Option<String>,
}

/// Which of the places in the head a page is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Ask,
    Rules,
    Log,
    Elsewhere,
}

fn layout(frame: &Frame, place: Place, title: &str, log: &LogDoc, body: Markup) -> Markup {
    let operator = frame.operator.as_deref();
    let link = |path: &str, name: &str, of: Place| {
        let current = (place == of).then_some("page");
        html! { a href=(path) aria-current=[current] { (name) } }
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) @if let Some(operator) = operator { " · " (operator) } }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
            }
            body {
                a.skip href="#content" { "To the content" }
                header.top {
                    div.inside {
                        a.brand href="/" {
                            (parts::sun())
                            span { b { "What is blocked here" } @if let Some(operator) = operator { small { (operator) } } }
                        }
                        nav aria-label="Pages" {
                            (link("/", "Ask", Place::Ask)) (link("/rules", "Rules", Place::Rules)) (link("/log", "Log", Place::Log))
                        }
                    }
                }
                main #content {
                    (warning(log))
                    (body)
                }
                footer {
                    div.inside {
                        p { "This page sets no cookies, runs no scripts, and keeps neither who asked nor what was asked." }
                        p {
                            "What it says is read from a public log that can’t be changed unnoticed. "
                            a href="/log" { "How to check that" } "."
                            @if let Some(contact) = &frame.contact { " Contact: " (parts::linked(contact)) "." }
                        }
                    }
                }
            }
        }
    }
}

/// What must be known of the log before anything on the page is believed.
fn warning(log: &LogDoc) -> Markup {
    let had = log.root.is_some();
    let (head, text) = match log.state {
        LogState::Sound if log.silent_since.is_some() => {
            return html! {
                aside.warning role="note" {
                    h2 { "The filter seems not to run" }
                    @if let Some(since) = log.silent_since {
                        p {
                            "It has not been running since about " (parts::time(since)) ": it gives no sign of life, and the log does not say \
                             that it was stopped. What is said here of what is blocked may not be so now."
                        }
                    }
                }
            };
        }
        LogState::Sound if log.stale => {
            let text = "A filter that stops nothing writes nothing; but it may also have ended, or no longer tell what it does.";
            return html! {
                aside.warning role="note" {
                    h2 { "Nothing was written into the log for long" }
                    @if let Some(last) = log.last_entry { p { "The last entry is of " (parts::time(last)) ". " (text) } }
                }
            };
        }
        LogState::Sound => return html! {},
        LogState::Reading => ("The log is being read", "Ask again in a moment."),
        LogState::Troubled(TroubleKind::Damaged) => {
            ("The public log is damaged, or was changed", "It is not what the operator’s key has signed.")
        }
        LogState::Troubled(TroubleKind::Split) => (
            "The public log contradicts itself",
            "The operator’s key has signed two histories of which only one can be true. Whoever has seen the one was not told the other.",
        ),
        LogState::Troubled(TroubleKind::Unreadable) => {
            ("The public log can’t be read", "It may be back soon.")
        }
        LogState::Troubled(TroubleKind::WrongKey) => {
            ("The public log is signed by another key", "It is not the log that this page is meant to show.")
        }
    };
    html! {
        aside.warning.bad[log.state != LogState::Reading] role="alert" {
            h2 { (head) }
            p {
                (text)
                @if had && log.state != LogState::Reading {
                    " What you read below was verified before, and ends with entry " (parts::number(log.entries.saturating_sub(1))) "."
                }
            }
            @if let Some(why) = &log.why {
                p { "What was found" @if let Some(since) = log.wrong_since { " (" (parts::time(since)) ")" } ": " code { (why) } }
            }
            @if let Some(evidence) = log.evidence { p { a href=(evidence) { "The evidence" } ", which anybody can check with the key." } }
        }
    }
}
