//! The topology and the timeline as text, 80 columns wide: what `--dry-run` shows.

use std::fmt::Write;

use toml::Spanned;

use super::model::{Client, Event, Link};
use super::{Scenario, adversary};

const WIDTH: usize = 80;

/// Draws a scenario.
pub fn draw(scenario: &Scenario) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", scenario.title);
    for line in wrap(&scenario.about, WIDTH) {
        let _ = writeln!(out, "{line}");
    }
    topology(&mut out, scenario);
    timeline(&mut out, scenario);
    clients(&mut out, scenario);
    out
}

fn topology(out: &mut String, scenario: &Scenario) {
    let _ = writeln!(out, "\nNetworks");
    let mut networks: Vec<_> = scenario.network.iter().collect();
    networks.sort_by_key(|(name, _)| name.span().start);
    for (name, network) in networks {
        let ranges: Vec<String> =
            network.ipv4.iter().chain(&network.ipv6).map(|p| p.get_ref().to_string()).collect();
        line(out, "", &format!("{}  {}", name.get_ref(), ranges.join("  ")));
        let mut leaves: Vec<(String, String)> = Vec::new();
        leaves.extend(
            adversary::named(&network.adversary).map(|flag| (adversary::flag(flag), "in the router".into())),
        );
        if let Some(what) = network.middlebox() {
            leaves.push((what, "in the router".into()));
        }
        let mut hosts: Vec<_> =
            scenario.host.iter().filter(|(_, h)| h.network.get_ref() == name.get_ref()).collect();
        hosts.sort_by_key(|(name, _)| name.span().start);
        for (host, of) in hosts {
            let mut services: Vec<String> = scenario
                .service
                .iter()
                .filter(|(_, s)| s.host.get_ref() == host.get_ref())
                .map(|(_, s)| {
                    let names: Vec<&str> = s.names.iter().map(|n| n.get_ref().as_str()).collect();
                    [s.kind.get_ref().name()].into_iter().chain(names).collect::<Vec<_>>().join(" ")
                })
                .collect();
            if let Some(resolver) = &of.resolver {
                services.push(format!("asks {}", resolver.get_ref()));
            }
            leaves.push((host.get_ref().clone(), services.join(", ")));
        }
        for link in &scenario.link {
            let ends = [link.between[0].get_ref(), link.between[1].get_ref()];
            // Each link is shown once, at its side a.
            if ends[0] == name.get_ref() && scenario.network.contains_key(ends[1].as_str()) {
                leaves.push((format!("══ {}", ends[1]), describe(link)));
            }
        }
        let last = leaves.len().saturating_sub(1);
        for (i, (head, tail)) in leaves.iter().enumerate() {
            let (branch, under) = if i == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let text = if tail.is_empty() { head.clone() } else { format!("{head}: {tail}") };
            for (n, part) in wrap(&text, WIDTH - 5).iter().enumerate() {
                line(out, if n == 0 { branch } else { under }, part);
            }
        }
    }
    let access: Vec<&Link> = scenario
        .link
        .iter()
        .filter(|l| l.between.iter().any(|e| scenario.host.contains_key(e.get_ref().as_str())))
        .collect();
    if !access.is_empty() {
        let _ = writeln!(out, "\nAccess lines");
        for link in access {
            line(
                out,
                "",
                &format!(
                    "{} ══ {}: {}",
                    link.between[0].get_ref(),
                    link.between[1].get_ref(),
                    describe(link)
                ),
            );
        }
    }
}

/// A link's properties in words.
pub fn describe(link: &Link) -> String {
    let mut parts = Vec::new();
    for (value, unit) in [
        (&link.delay_ms, "ms"),
        (&link.jitter_ms, "ms jitter"),
        (&link.loss_percent, "% loss"),
        (&link.rate_mbit, "Mbit/s"),
        (&link.queue_kb, "kB queue"),
    ] {
        if let Some(value) = value {
            parts.push(format!("{} {unit}", value.get_ref()));
        }
    }
    parts.extend(adversary::named(&link.adversary).map(adversary::flag));
    if let Some(program) = &link.program {
        parts.push(program.get_ref().join(" "));
    }
    if link.capture {
        parts.push("captured".into());
    }
    if parts.is_empty() { "plain".into() } else { parts.join(", ") }
}

fn timeline(out: &mut String, scenario: &Scenario) {
    let end = scenario.duration.get_ref();
    let _ = writeln!(out, "\nTimeline: {end}");
    let mut events: Vec<&Event> = scenario.event.iter().collect();
    events.sort_by(|a, b| a.at.get_ref().seconds.total_cmp(&b.at.get_ref().seconds));
    // A ruler with a mark for each event.
    let ruler = WIDTH - 4;
    let mut marks = vec!['─'; ruler];
    for event in &events {
        let at = event.at.get_ref().seconds / end.seconds.max(f64::MIN_POSITIVE);
        let at = ((at * (ruler - 1) as f64) as usize).min(ruler - 1);
        if let Some(mark) = marks.get_mut(at) {
            *mark = '┼';
        }
    }
    let _ = writeln!(out, "  {}▶", marks.into_iter().collect::<String>());
    for event in events {
        let when = format!("{:>8}  ", event.at.get_ref().to_string());
        for (n, part) in wrap(&event_title(event), WIDTH - 12).iter().enumerate() {
            let _ = writeln!(out, "  {}{part}", if n == 0 { when.as_str() } else { "          " });
        }
    }
}

/// What an event does, in words.
pub fn event_title(event: &Event) -> String {
    if let Some(title) = &event.title {
        return title.clone();
    }
    let mut parts = Vec::new();
    let mut of = |verb: &str, names: &[Spanned<String>]| {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(|n| n.get_ref().as_str()).collect();
            parts.push(format!("{verb} {}", names.join(", ")));
        }
    };
    of("enable", &event.enable);
    of("disable", &event.disable);
    of("cut", &event.cut);
    of("mend", &event.mend);
    of("start", &event.start);
    of("stop", &event.stop);
    for name in event.change.keys() {
        parts.push(format!("change {}", name.get_ref()));
    }
    if let Some(run) = &event.run {
        parts.push(format!("run {} on {}", run.program.get_ref().join(" "), run.host.get_ref()));
    }
    if parts.is_empty() { "nothing".into() } else { parts.join("; ") }
}

fn clients(out: &mut String, scenario: &Scenario) {
    let _ = writeln!(out, "\nClients");
    for client in &scenario.client {
        let every = client.every.as_ref().map_or(String::new(), |t| format!(" every {}", t.get_ref()));
        let made = client.name.is_none();
        let name = client.name();
        let what =
            if made { String::new() } else { format!(": {} on {}", client.what(), client.host.get_ref()) };
        for (n, part) in wrap(&format!("{name}{what}{every}"), WIDTH - 4).iter().enumerate() {
            line(out, if n == 0 { "" } else { "  " }, part);
        }
        for text in expectations(client) {
            for (n, part) in wrap(&text, WIDTH - 6).iter().enumerate() {
                line(out, if n == 0 { "  ✓ " } else { "    " }, part);
            }
        }
    }
}

fn expectations(client: &Client) -> Vec<String> {
    client.expect.iter().map(crate::expect::describe).collect()
}

fn line(out: &mut String, head: &str, text: &str) {
    let _ = writeln!(out, "  {head}{text}");
}

/// Breaks a text into lines of at most so many characters, at spaces where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for word in text.split_whitespace() {
        let room = width.saturating_sub(current.chars().count() + 1);
        if !current.is_empty() && word.chars().count() > room {
            lines.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        for c in word.chars() {
            if current.chars().count() >= width {
                lines.push(std::mem::take(&mut current));
            }
            current.push(c);
        }
    }
    if !current.is_empty() {
        lines.push(current);
    }
    lines
}
