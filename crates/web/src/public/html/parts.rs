//! What several pages have in common.

use daylight_policy::Match;
use daylight_policy::audit::{Action, Otherwise, Standing, Timestamp};
use maud::{Markup, html};

use super::super::document::{HourDoc, RuleDoc, proof_path};

/// A moment: for people, and for programs.
pub(super) fn time(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (shown(time, "%-d %B %Y, %H:%M\u{a0}UTC")) } }
}

fn shown(time: Timestamp, form: &str) -> String {
    jiff::Timestamp::from_second(time.unix_s())
        .map_or_else(|_| time.to_string(), |time| time.strftime(form).to_string())
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A text that may be a URL or a mail address. Only kinds of links that can't do anything become one.
pub(super) fn linked(text: &str) -> Markup {
    let is_link = ["https://", "http://", "mailto:", "tel:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        && !text.contains(char::is_whitespace);
    let label = text.strip_prefix("mailto:").or_else(|| text.strip_prefix("tel:")).unwrap_or(text);
    html! {
        @if is_link { a href=(text) rel="external nofollow noreferrer" { (label) } } @else { (text) }
    }
}

/// The form to ask with.
pub(super) fn search(input: &str, is_main: bool) -> Markup {
    html! {
        form.ask.main[is_main] action="/is-blocked" method="get" role="search" {
            label for="host" { "Name or link of a site" }
            div.row {
                input #host name="host" type="text" value=(input) placeholder="example.org" required maxlength="2048"
                    inputmode="url" autocapitalize="none" autocomplete="off" autocorrect="off" spellcheck="false";
                button type="submit" { "Ask" }
            }
        }
    }
}

/// What a rule does, in a word.
pub(super) fn action(action: Action) -> Markup {
    let (word, class) = match action {
        Action::Reject => ("Refused", "stop"),
        Action::Drop => ("Dropped", "stop"),
        Action::Limit => ("Slowed down", "slow"),
        Action::Log => ("Noted only", "note"),
        Action::Allow => ("Let through", "pass"),
    };
    html! { span.tag.(class) { (word) } }
}

/// What a rule does, in a sentence's end.
pub(super) fn deed(action: Action) -> &'static str {
    match action {
        Action::Reject => "refuses it, and says so",
        Action::Drop => "drops it in silence",
        Action::Limit => "slows it down",
        Action::Log => "notes it, and lets it through",
        Action::Allow => "lets it through",
    }
}

/// Which of several rules has the say: a sentence.
pub(super) fn order(matching: Match) -> &'static str {
    match matching {
        Match::First => "Where several rules hold, the first of them has the say, in the order of the file.",
        Match::All => {
            "Where several rules hold, the strictest has the say, and of equally strict ones the first."
        }
    }
}

/// What becomes of the rest, in a sentence's end.
pub(super) fn otherwise(otherwise: Otherwise) -> &'static str {
    match otherwise {
        Otherwise::Allow => "is let through",
    }
}

/// Whether a rule is in force, if it is not.
pub(super) fn standing(standing: Standing) -> Markup {
    html! {
        @match standing {
            Standing::InForce => {}
            Standing::Expired => { span.tag.over { "Over" } }
            Standing::Halted { .. } => { span.tag.over { "Filter stopped" } }
            Standing::Withdrawn { .. } => { span.tag.over { "Withdrawn" } }
        }
    }
}

/// Who answers for a rule, and for how long.
pub(super) fn facts(rule: &RuleDoc) -> Markup {
    html! {
        dl.facts {
            div { dt { "Decided by" } dd { (rule.authority) } }
            div { dt { "On what basis" } dd { (sentence(rule.basis.words())) } }
            div { dt { "Since" } dd { (time(rule.since)) } }
            @match rule.standing {
                Standing::Withdrawn { at } => { div { dt { "Withdrawn" } dd { (time(at)) } } }
                Standing::Expired => { div { dt { "Ended" } dd { (time(rule.expires)) } } }
                Standing::Halted { at } => { div { dt { "Filter stopped" } dd { (time(at)) } } }
                Standing::InForce => { div { dt { "Until" } dd { (time(rule.expires)) } } }
            }
            @if let Some(schedule) = &rule.schedule { div { dt { "At these hours" } dd { (schedule) @if !rule.in_hours { ": not now" } } } }
            div {
                dt { "Where to object" }
                dd { @match &rule.appeal { Some(appeal) => { (linked(appeal.as_str())) } None => { "The rule names nobody" } } }
            }
        }
    }
}

/// With a capital at its beginning.
fn sentence(words: &str) -> String {
    let mut rest = words.chars();
    rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
}

/// What a rule stopped, hour by hour: a small plot.
pub(super) fn plot(hours: &[HourDoc]) -> Markup {
    const HEIGHT: u64 = 40;
    let most = hours.iter().map(|hour| hour.counts.flows).max().unwrap_or(0).max(1);
    let total: u64 = hours.iter().map(|hour| hour.counts.flows).fold(0, u64::saturating_add);
    let height = |flows: u64| {
        let height = u128::from(flows) * u128::from(HEIGHT) / u128::from(most);
        if flows == 0 { 1 } else { u64::try_from(height).unwrap_or(HEIGHT).max(3) }
    };
    html! {
        figure.plot {
            svg viewBox={ "0 0 " (hours.len() * 10) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label={ "Stopped in the last " (hours.len()) " hours: " (number(total)) ", at most " (number(most)) " in an hour" } {
                @for (at, hour) in hours.iter().enumerate() {
                    @let height = height(hour.counts.flows);
                    rect.none[hour.counts.flows == 0] x=(at * 10 + 1) y=(HEIGHT - height) width="8" height=(height) {
                        title { (shown(hour.hour.start(), "%H:%M UTC")) ": " (number(hour.counts.flows)) }
                    }
                }
            }
            figcaption { span { "24 hours ago" } span { "now" } }
        }
    }
}

/// Links to the proofs of entries.
pub(super) fn proofs(entries: &[u64]) -> Markup {
    html! {
        @for (at, entry) in entries.iter().enumerate() {
            @if at > 0 { ", " }
            a href=(proof_path(*entry)) { "entry " (number(*entry)) }
        }
    }
}

/// The sun of the head.
pub(super) fn sun() -> Markup {
    html! {
        svg.sun viewBox="0 0 32 32" aria-hidden="true" {
            circle cx="16" cy="16" r="7" {}
            path d="M16 2v4M16 26v4M2 16h4M26 16h4M6.1 6.1l2.8 2.8M23.1 23.1l2.8 2.8M6.1 25.9l2.8-2.8M23.1 8.9l2.8-2.8" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
        assert_eq!(counted(1, "rule", "rules"), "1 rule");
    }

    #[test]
    fn only_harmless_links_become_links() {
        for text in ["https://a.example/x", "mailto:a@b.example", "HTTP://a.example", "tel:+12"] {
            assert!(linked(text).into_string().starts_with("<a href="), "{text}");
        }
        for text in ["javascript:alert(1)", "data:text/html,x", " https://a", "the office", "https", "é"] {
            assert!(!linked(text).into_string().contains("<a"), "{text}");
        }
        assert!(!linked("https://a.example/\"><script>").into_string().contains("\"><script"));
    }

    #[test]
    fn times_are_readable() {
        let at = Timestamp::parse("2026-01-05T07:04:59Z").unwrap();
        assert_eq!(
            time(at).into_string(),
            "<time datetime=\"2026-01-05T07:04:59Z\">5 January 2026, 07:04\u{a0}UTC</time>"
        );
    }
}
