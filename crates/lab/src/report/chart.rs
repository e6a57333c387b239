//! What clients saw over time as SVG: a strip of outcomes for each client, and its latencies.

use std::fmt::Write;

use jiff::tz::TimeZone;

use super::{escape, short};
use crate::expect::median;
use crate::record::{AdversaryRecord, ClientRecord, Observation, Record};
use crate::scenario::model::Outcome;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 210.0;
const STRIP: f64 = 20.0;
const BAR: f64 = 14.0;

/// Where a time lies.
fn x(record: &Record, at_s: f64) -> f64 {
    LEFT + (WIDTH - LEFT - 6.0) * (at_s / record.duration_s.max(1e-9)).clamp(0.0, 1.0)
}

/// A time as the timeline's clock says it.
pub(super) fn clock(record: &Record, at_s: f64) -> String {
    let Some(clock) = record.clock else { return format!("{} s", (at_s * 10.0).round() / 10.0) };
    let at = clock.start_unix_s as f64 + at_s * clock.factor;
    let format = if clock.factor >= 60.0 { "%-d %b %H:%M" } else { "%H:%M:%S" };
    jiff::Timestamp::from_second(at as i64)
        .map(|t| t.to_zoned(TimeZone::UTC).strftime(format).to_string())
        .unwrap_or_default()
}

/// Steps of the axis: round numbers, six to twelve of them; days where the clock counts them.
fn ticks(record: &Record) -> Vec<f64> {
    let step = match record.clock {
        Some(clock) if clock.factor * record.duration_s > 2.0 * 86_400.0 => 86_400.0 / clock.factor,
        _ => {
            let rough = record.duration_s / 8.0;
            let power = 10_f64.powf(rough.log10().floor());
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough)
        }
    };
    let mut at = 0.0;
    let mut all = Vec::new();
    while at <= record.duration_s + 1e-9 && all.len() < 40 {
        all.push(at);
        at += step.max(1e-6);
    }
    all
}

fn axis(svg: &mut String, record: &Record, top: f64, bottom: f64) {
    for at in ticks(record) {
        let x = x(record, at);
        let label = match record.clock {
            Some(clock) if clock.factor * record.duration_s > 2.0 * 86_400.0 => clock_day(record, at),
            _ => clock_text(record, at),
        };
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/><text class=\"range\" x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"{}\">{}</text>",
            top - 6.0,
            if at <= 0.0 {
                "start"
            } else if at >= record.duration_s {
                "end"
            } else {
                "middle"
            },
            escape(&label)
        );
    }
}

fn clock_text(record: &Record, at: f64) -> String {
    clock(record, at)
}

fn clock_day(record: &Record, at: f64) -> String {
    clock(record, at).rsplit_once(' ').map_or_else(String::new, |(day, _)| day.to_owned())
}

/// All adversaries, in the order of the networks that they stand in or beside.
fn adversaries(record: &Record) -> Vec<&AdversaryRecord> {
    let network_of = |end: &str| {
        record.hosts.iter().find(|h| h.name == end).map_or_else(|| end.to_owned(), |h| h.network.clone())
    };
    record
        .networks
        .iter()
        .flat_map(|network| {
            let beside = record.links.iter().filter(|l| network_of(&l.ends[0]) == network.name);
            beside.flat_map(|l| &l.adversaries).chain(&network.adversaries)
        })
        .collect()
}

/// The strips of all clients, grouped by network, with events and adversaries over them.
pub(super) fn strips(record: &Record) -> String {
    let mut body = String::new();
    let mut y = 34.0;
    let adversaries = adversaries(record);
    for (i, adversary) in adversaries.iter().enumerate() {
        if i == 0 {
            let _ = write!(body, "<text class=\"group\" x=\"0\" y=\"{:.1}\">Adversaries</text>", y + 11.0);
            y += STRIP;
        }
        let _ = write!(
            body,
            "<text x=\"10\" y=\"{:.1}\">{}</text>",
            y + 11.0,
            escape(&short(&adversary.name, 28))
        );
        for (from, until) in &adversary.on {
            let (a, b) = (x(record, *from), x(record, *until));
            let _ = write!(
                body,
                "<rect class=\"{}\" x=\"{a:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"3\"><title>{}, {} to {}{}\
                 </title></rect>",
                if adversary.enacted { "on" } else { "on absent" },
                (b - a).max(1.0),
                escape(&adversary.kind),
                escape(&clock(record, *from)),
                escape(&clock(record, *until)),
                if adversary.enacted { "" } else { " (not enacted)" }
            );
        }
        y += STRIP;
    }
    for network in &record.networks {
        let mine: Vec<&ClientRecord> = record.clients.iter().filter(|c| c.network == network.name).collect();
        if mine.is_empty() {
            continue;
        }
        y += 8.0;
        let _ = write!(
            body,
            "<text class=\"group\" x=\"0\" y=\"{:.1}\">{}</text>",
            y + 11.0,
            escape(&network.title)
        );
        y += STRIP;
        for client in mine {
            strip(&mut body, record, client, y);
            y += STRIP;
        }
    }
    let mut svg = format!(
        "<svg class=\"strips\" viewBox=\"-2 0 {} {}\" role=\"img\" aria-label=\"Outcomes over time\">",
        WIDTH + 4.0,
        y + 18.0
    );
    axis(&mut svg, record, 24.0, y);
    svg.push_str(&body);
    for (i, event) in record.events.iter().enumerate() {
        let x = x(record, event.at_s);
        let _ = write!(
            svg,
            "<g class=\"event\"><path d=\"M{x:.1} 26V{y:.1}\"/><circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"7\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><title>{}: {}</title></g>",
            y + 8.0,
            y + 11.5,
            i + 1,
            escape(&clock(record, event.at_s)),
            escape(&event.title)
        );
    }
    svg.push_str("</svg>");
    svg
}

fn strip(svg: &mut String, record: &Record, client: &ClientRecord, y: f64) {
    let mine: Vec<&Observation> = record.observations.iter().filter(|o| o.client == client.name).collect();
    // What the group's heading says already need not stand in each line.
    let title = record.networks.iter().find(|n| n.name == client.network).map(|n| n.title.as_str());
    let name = client
        .name
        .split_once(": ")
        .filter(|(head, _)| *head == client.host || Some(*head) == title)
        .map_or(client.name.as_str(), |(_, rest)| rest);
    let _ = write!(
        svg,
        "<text x=\"10\" y=\"{:.1}\">{}<title>{}</title></text><rect class=\"rail\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" \
         height=\"{BAR}\" rx=\"3\"/>",
        y + 11.0,
        escape(&short(name, 28)),
        escape(&client.what),
        WIDTH - LEFT - 6.0
    );
    for (i, observation) in mine.iter().enumerate() {
        let a = x(record, observation.at_s);
        let next = mine.get(i + 1).map_or(record.duration_s, |n| n.at_s);
        let typical = record.duration_s / 30.0;
        let b = x(record, next.min(observation.at_s + typical));
        let _ = write!(
            svg,
            "<rect class=\"o {}\" x=\"{a:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"><title>{}: {}, {:.0} ms\n{}</title></rect>",
            class(observation.outcome),
            (b - a - 0.6).max(1.2),
            escape(&clock(record, observation.at_s)),
            observation.outcome.name(),
            observation.elapsed_ms,
            escape(&short(&observation.detail, 160))
        );
    }
}

/// Outcomes are coloured by what they have in common.
pub(super) fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::DnsNxdomain | Outcome::DnsForged | Outcome::DnsRefused | Outcome::DnsBlocked => "dns",
        Outcome::DnsTimeout | Outcome::Timeout | Outcome::Unreachable => "silent",
        Outcome::Reset | Outcome::Refused | Outcome::Closed => "reset",
        Outcome::BlockPage | Outcome::Http451 | Outcome::HttpError => "page",
        Outcome::TlsCertificate | Outcome::TlsError => "tls",
        Outcome::Failed => "other",
    }
}

/// Latency over time, one line a client, on a logarithmic scale; of actions that ended well.
pub(super) fn latency(record: &Record) -> String {
    const HEIGHT: f64 = 220.0;
    let good: Vec<&Observation> =
        record.observations.iter().filter(|o| o.outcome == Outcome::Ok && o.elapsed_ms > 0.0).collect();
    let (Some(least), Some(most)) = (
        good.iter().map(|o| o.elapsed_ms).min_by(f64::total_cmp),
        good.iter().map(|o| o.elapsed_ms).max_by(f64::total_cmp),
    ) else {
        return String::new();
    };
    // Between round numbers: 1, 2 and 5 of each power of ten.
    let lines = rounds(least, most);
    let (low, high) =
        (lines.first().copied().unwrap_or(1.0).log10(), lines.last().copied().unwrap_or(10.0).log10());
    let y = |ms: f64| 30.0 + (HEIGHT - 40.0) * (1.0 - (ms.log10() - low) / (high - low));
    let mut svg = format!(
        "<svg class=\"latency\" viewBox=\"-2 0 {} {HEIGHT}\" role=\"img\" aria-label=\"Latency\">",
        WIDTH + 4.0
    );
    axis(&mut svg, record, 24.0, HEIGHT - 8.0);
    for ms in lines {
        let at = y(ms);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{WIDTH}\"/><text class=\"range\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} \
             ms</text>",
            LEFT - 8.0,
            at + 4.0,
            ms
        );
    }
    for (i, (name, clients)) in groups(record).iter().enumerate() {
        let mine: Vec<&&Observation> = good.iter().filter(|o| clients.contains(&o.client.as_str())).collect();
        let middle = median(mine.iter().map(|o| o.elapsed_ms).collect());
        let _ = write!(
            svg,
            "<g class=\"series s{}\"><title>{}: median {:.1} ms</title>",
            i % COLOURS,
            escape(name),
            middle.unwrap_or_default()
        );
        for o in mine {
            let (x, y) = (x(record, o.at_s), y(o.elapsed_ms));
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\"/>");
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

/// Series that have a colour of their own.
pub(super) const COLOURS: usize = 6;

/// What the plot of latencies tells apart: clients, or their networks where there are more clients than colours. Each with
/// the names of its clients.
pub(super) fn groups(record: &Record) -> Vec<(&str, Vec<&str>)> {
    let went_well =
        |c: &ClientRecord| record.observations.iter().any(|o| o.client == c.name && o.outcome == Outcome::Ok);
    let clients: Vec<&ClientRecord> = record.clients.iter().filter(|c| went_well(c)).collect();
    if clients.len() <= COLOURS {
        return clients.iter().map(|c| (c.name.as_str(), vec![c.name.as_str()])).collect();
    }
    let of =
        |network: &str| clients.iter().filter(|c| c.network == network).map(|c| c.name.as_str()).collect();
    let networks = record.networks.iter().map(|n| (n.title.as_str(), of(&n.name)));
    networks.filter(|(_, clients): &(&str, Vec<&str>)| !clients.is_empty()).collect()
}

/// Round numbers from below the least to above the most; at least two.
fn rounds(least: f64, most: f64) -> Vec<f64> {
    let powers = least.log10().floor() as i32..=most.log10().ceil() as i32 + 1;
    let all: Vec<f64> = powers.flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(p))).collect();
    let from = all.iter().rposition(|line| *line <= least).unwrap_or(0);
    let to = all.iter().position(|line| *line >= most).unwrap_or(from).max(from + 1);
    all.get(from..=to).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_enclose_what_was_measured() {
        assert_eq!(rounds(130.0, 1100.0), [100.0, 200.0, 500.0, 1000.0, 2000.0]);
        assert_eq!(rounds(0.3, 0.4), [0.2, 0.5]);
        assert_eq!(rounds(10.0, 10.0), [10.0, 20.0]);
    }
}
