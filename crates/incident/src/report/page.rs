//! The page: one file, nothing from elsewhere, no script; for screens of any width, and for A4.

use daylight_verdict::record::{Layer, State};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::draw::{PATTERNS, glyph};
use super::{heat, path, timeline, words};
use crate::detect::Kind;
use crate::incident::Incident;
use crate::packets::{Capture, Shown};
use crate::rows::hex;
use crate::series::outage::{ioda_rule, ioda_score};
use crate::study::Study;
use crate::when;

const STYLE: &str = include_str!("style.css");
/// So many incidents have a section of their own; all are in the tables.
const INCIDENTS_MAX: usize = 12;
/// So many rows of a table are on the page; all are in the files beside it.
pub(crate) const TABLE_MAX: usize = 100;

/// The report as HTML.
pub(crate) fn html(study: &Study, title: &str) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(study, title))
                    (charts(study))
                    @for (i, incident) in study.incidents.iter().take(INCIDENTS_MAX).enumerate() {
                        (one_incident(study, incident, i + 1))
                    }
                    @if study.incidents.len() > INCIDENTS_MAX { (further(study)) }
                    (mechanisms(study))
                    (signals(study))
                    (evidence(study))
                    (method(study))
                    footer.small.soft {
                        "Made by Daylight " (env!("CARGO_PKG_VERSION")) " from " (words::count(study.rows.rows.len(), "verdict"))
                        ". The tables beside this page (CSV) hold everything that is drawn here. All times are UTC."
                    }
                }
            }
        }
    }
    .into_string()
}

fn head(study: &Study, title: &str) -> Markup {
    let rows = &study.rows;
    let networks = rows.networks.len();
    let (from, until) = study.period;
    html! {
        p.kicker { "Interference report · " (when::day(from)) " to " (when::day(until)) }
        h1 { (title) }
        @for incident in super::leading(study) {
            p.lead { (words::lead(study, incident)) }
        }
        @if study.incidents.is_empty() { p.lead { (nothing(study)) } }
        div.facts {
            div { b { (words::thousands(rows.rows.len() as u64)) } span { "measurements" } }
            div { b { (words::thousands(rows.targets.len() as u64)) } span { "targets" } }
            div { b { (networks) } span { "networks" } }
            div { b { (study.incidents.len()) } span { "incidents" } }
            div { b { (study.series.len()) } span { "series of others" } }
        }
        @if let Some(first) = super::leading(study).first() {
            div.two {
                div {
                    h3 { "What is known" }
                    ul.said { @for part in first.networks.iter().take(8) { li { (words::known(study, part)) } } }
                    @if first.networks.len() > 8 { p.small.soft { "and " (first.networks.len() - 8) " more networks, in the tables" } }
                }
                div {
                    h3 { "What is not known" }
                    ul.said { @for line in words::unknown(study, first) { li { (line) } } }
                }
            }
        }
    }
}

/// What to say when there is no incident.
pub(crate) fn nothing(study: &Study) -> String {
    if study.rows.rows.is_empty() {
        return if study.series_changes.is_empty() {
            "There are no verdicts here, and nothing changed in the series of others.".to_owned()
        } else {
            "There are no verdicts here; what changed in the series of others is below.".to_owned()
        };
    }
    let conclusive = study.rows.rows.iter().filter(|row| row.state == State::Ok || row.interferes()).count();
    format!(
        "No incident was found. That is not the same as no interference: {} of {} measurements could say something, and an incident needs several probes or hours that agree.",
        words::thousands(conclusive as u64),
        words::thousands(study.rows.rows.len() as u64)
    )
}

fn charts(study: &Study) -> Markup {
    let line = timeline::draw(study);
    let map = heat::draw(study);
    html! {
        @if !line.is_empty() {
            h2 { "When" }
            figure { div.scroll { (PreEscaped(line)) }
                (layers_legend(study))
                figcaption {
                    "Red bars are incidents; the whisker shows between which times it began, with a probability of 95 %; an arrow means that it had not ended. "
                    "A strip's filled height is the share of measurements that met interference; grey was measured and fine, white was not measured."
                }
            }
        }
        @if !map.parts.is_empty() {
            h2 { "What, and on which network" }
            figure { @for part in &map.parts { div.scroll.whole { (PreEscaped(part)) } }
                (states_legend())
                figcaption {
                    "Each square is a target on a network: the most frequent verdict since an interference began that has not ended, else of the last week that it was measured in. The filling shows the layer, the glyph the state."
                    @if map.more != (0, 0) { " " (map.more.0) " more targets and " (map.more.1) " more networks, with less interference or none, are in mechanisms.csv." }
                }
            }
        }
    }
}

fn layers_legend(study: &Study) -> Markup {
    let layers = heat::layers(study);
    html! {
        @if !layers.is_empty() {
            ul.legend { @for layer in &layers { li { (swatch(&format!("fill=\"url(#{layer})\""))) (layer_words(*layer)) } } }
        }
    }
}

fn layer_words(layer: Layer) -> &'static str {
    match layer {
        Layer::Dns => "names (DNS)",
        Layer::Tcp => "addresses and connections (IP, TCP)",
        Layer::Tls => "handshakes (TLS)",
        Layer::Http => "requests and pages (HTTP)",
        Layer::Quic => "QUIC, UDP",
    }
}

fn states_legend() -> Markup {
    html! {
        ul.legend {
            @for state in State::ALL { li { b { (glyph(state)) } " " (state.as_str()) } }
            li { (swatch("fill=\"#fff\" stroke=\"#c5c9cf\" stroke-dasharray=\"2 2\"")) "not measured" }
        }
    }
}

fn swatch(attributes: &str) -> Markup {
    PreEscaped(format!(
        "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\">{PATTERNS}<rect x=\"1\" y=\"1\" width=\"14\" height=\"14\" {attributes}/></svg>"
    ))
}

fn one_incident(study: &Study, incident: &Incident, number: usize) -> Markup {
    let drawn = path::draw(study, incident);
    let severity = &incident.severity;
    html! {
        h2 { "Incident " (number) ": " (words::heading(study, incident)) }
        p {
            span class={"level " (severity.level.as_str())} { (severity.level.as_str()) }
            "Began " (words::began(&incident.onset)) "; " (words::ended(&incident.end)) "."
            @if incident.kind != Kind::Slowness {
                " Size: " (format!("{:.1}", severity.target_network_days)) " target-network-days, on "
                (severity.networks) " of " (severity.networks_measured) " networks measured in " (words::country(&incident.country)) "."
            }
            (score(study, incident))
        }
        div.scroll { table {
            thead { tr {
                th { "Network" }
                @if incident.kind == Kind::Interference { th { "Mechanism" } th.n { "Targets" } }
                th.n { (match incident.kind { Kind::Interference => "Share of probes", Kind::Silence => "Probes missing", Kind::Slowness => "Slower by" }) }
                @if incident.kind != Kind::Silence { th.n { "Probes" } }
                th { "Began (95 %)" } th { "End" }
            } }
            tbody { @for part in incident.networks.iter().take(TABLE_MAX) { tr {
                td.name { (study.rows.network_label(part.network)) }
                @if incident.kind == Kind::Interference {
                    td {
                        @for seen in part.mechanisms.iter().take(4) {
                            div { code { (words::term(study, seen)) } span.soft.small { " " (seen.state) ", " (seen.measurements) "×" } }
                        }
                        @if part.mechanisms.is_empty() { span.soft { "fell silent" } }
                        @else { small { (words::mechanism(part.mechanisms.first().map_or("", |seen| words::term(study, seen)))) } }
                    }
                    td.n { (part.targets.len()) }
                }
                td.n { (if incident.kind == Kind::Slowness { format!("×{:.1}", part.share) } else { words::percent(part.share) }) }
                @if incident.kind != Kind::Silence { td.n { (part.probes) } }
                td { (words::began(&part.onset)) }
                td { (words::ended(&part.end)) }
            } } }
        } }
        @if !drawn.is_empty() {
            h3 { "Where on the path" }
            figure.whole { div.scroll { (PreEscaped(drawn)) }
                figcaption { "Hops from the probe, by TTL-limited probes. The red diamond is the device that interferes: on the line if packets go through it, above the line if it only watches and injects. A dashed line: how far the target is was not found." }
            }
        }
    }
}

/// IODA's score over the series of the country, if several sources saw an outage meanwhile.
fn score(study: &Study, incident: &Incident) -> Markup {
    let outages: Vec<_> = study
        .series
        .iter()
        .zip(&study.outages)
        .filter(|(series, _)| series.entity.as_deref() == Some(incident.country.as_str()))
        .flat_map(|(series, outages)| outages.iter().map(|outage| (series.signal, *outage)))
        .collect();
    let until = incident.end.known_until(study.period.1).max(incident.onset.best + 1);
    let (product, sources) = ioda_score(&outages, incident.onset.best, until);
    html! {
        @if sources >= 2 {
            " Outage seen by " (sources) " independent sources meanwhile; their severities (percent × minutes) multiply to " (format!("{product:.2e}")) "."
        }
    }
}

fn further(study: &Study) -> Markup {
    html! {
        h2 { "Further incidents" }
        div.scroll { table {
            thead { tr { th.n { "No." } th { "What" } th { "Severity" } th { "Began" } th { "End" } } }
            tbody { @for (i, incident) in study.incidents.iter().enumerate().skip(INCIDENTS_MAX).take(TABLE_MAX) { tr {
                td.n { (i + 1) }
                td.name { (words::heading(study, incident)) }
                td { (incident.severity.level.as_str()) }
                td { (words::began(&incident.onset)) }
                td { (words::ended(&incident.end)) }
            } } }
        } }
    }
}

fn mechanisms(study: &Study) -> Markup {
    let rows = super::tables::mechanism_rows(study);
    html! {
        @if !rows.is_empty() {
            h2 { "Mechanisms, by network and target" }
            p.small.soft { "One row for each network, target and mechanism. The witness is the SHA-256 of the first measurement it was seen in: look it up in the evidence bundle." }
            div.scroll { table {
                thead { tr { th { "Network" } th { "Target" } th { "Mechanism" } th.n { "n" } th.n { (if study.rows.probes_named { "Probes" } else { "Reports" }) } th { "First seen" } th { "Last seen" } th { "Witness" } } }
                tbody { @for row in rows.iter().take(TABLE_MAX) { tr {
                    td.name { (study.rows.network_label(row.network)) }
                    td.name { (study.rows.target(row.target)) }
                    td { code { (words::term(study, &row.seen)) } small { (row.seen.state) } }
                    td.n { (row.seen.measurements) }
                    td.n { (row.seen.probes) }
                    td { (when::short(i64::from(row.seen.first))) }
                    td { (when::short(i64::from(row.seen.last))) }
                    td { code { (hex(&row.seen.witness).get(..12).unwrap_or_default()) "…" } }
                } } }
            } }
            @if rows.len() > TABLE_MAX { p.small.soft { "The first " (TABLE_MAX) " of " (words::thousands(rows.len() as u64)) " rows; all are in mechanisms.csv." } }
            (vendors(study))
        }
    }
}

/// Equipment that records name, with what they name it on.
fn vendors(study: &Study) -> Markup {
    let mut named: Vec<(u32, u32, usize)> = Vec::new();
    for row in study.rows.rows.iter().filter(|row| (row.vendors as usize) < study.rows.vendors.len()) {
        match named
            .iter_mut()
            .find(|(network, vendors, _)| (*network, *vendors) == (row.network, row.vendors))
        {
            Some((_, _, count)) => *count += 1,
            None => named.push((row.network, row.vendors, 1)),
        }
    }
    html! {
        @if !named.is_empty() {
            h3 { "Equipment whose marks were seen" }
            ul.said { @for (network, vendors, count) in named.iter().take(40) {
                @for vendor in study.rows.vendors.get(*vendors as usize).into_iter().flatten() {
                    li { (study.rows.network_label(*network)) ": " (vendor.name) ", on " (vendor.features.join(", ")) " (" (words::count(*count, "measurement")) ")" }
                }
            } }
        }
    }
}

fn signals(study: &Study) -> Markup {
    let outages: Vec<_> = study
        .series
        .iter()
        .zip(&study.outages)
        .flat_map(|(series, outages)| outages.iter().map(move |outage| (series, outage)))
        .collect();
    html! {
        @if !study.series.is_empty() {
            h2 { "Series of others" }
            @if study.series_changes.is_empty() { p { "Nothing in them left what is usual." } }
            @else { div.scroll { table {
                thead { tr { th { "Series" } th { "Of" } th.n { "Usual" } th.n { "Then" } th.n { "Change" } th { "Began (95 %)" } th { "End" } } }
                tbody { @for change in study.series_changes.iter().take(TABLE_MAX) {
                    @if let Some(series) = study.series.get(change.series) { tr {
                        td.name { (series.name) small { (series.signal.as_str()) ", " (series.file) } }
                        td { (series.entity.as_deref().unwrap_or("")) }
                        td.n { (timeline::number(change.usual)) }
                        td.n { (timeline::number(change.level)) }
                        td.n { (change.relative().map_or_else(|| "new".to_owned(), relative)) }
                        td { (words::began(&change.onset)) }
                        td { (words::ended(&change.end)) }
                    } }
                } }
            } } }
            @if !outages.is_empty() {
                h3 { "By IODA's rules" }
                div.scroll { table {
                    thead { tr { th { "Series" } th { "Of" } th { "Alert" } th.n { "Lowest" } th.n { "Severity" } th { "From" } th { "Until" } } }
                    tbody { @for (series, outage) in outages.iter().take(TABLE_MAX) { tr {
                        td.name { (series.name) @if let Some(rule) = ioda_rule(series.signal) { small { "below " (words::percent(rule.warning)) " of the median of " (when::span(rule.history_s)) } } }
                        td { (series.entity.as_deref().unwrap_or("")) }
                        td { (if outage.critical { "critical" } else { "warning" }) }
                        td.n { (words::percent(outage.lowest)) }
                        td.n { (words::thousands(outage.severity.round() as u64)) }
                        td { (when::minute(outage.from)) }
                        td { (when::minute(outage.until)) }
                    } } }
                } }
            }
        }
    }
}

/// A change as people say it: −53 %, or for more than fivefold a factor.
pub(crate) fn relative(change: f64) -> String {
    if change > 4.0 {
        format!("×{:.0}", change + 1.0)
    } else {
        format!("{}{:.0} %", if change < 0.0 { "−" } else { "+" }, (change * 100.0).abs())
    }
}

fn evidence(study: &Study) -> Markup {
    html! {
        @if study.captures.iter().any(|capture| !capture.shown.is_empty()) {
            h2 { "Packets" }
            p.small.soft { "Packets of the captures that came in a server's name and seem not to be its own, with what speaks against each. Underlined bytes are the fields named below them; red ones speak against the packet. Addresses are not written out; they are in the bytes, as they were captured." }
            @for capture in &study.captures { (one_capture(capture)) }
        }
    }
}

fn one_capture(capture: &Capture) -> Markup {
    html! {
        @if !capture.shown.is_empty() {
            h3 { (capture.file) span.soft { " · " (words::count(capture.frames as usize, "packet")) ", " (capture.shown.len()) " shown" } }
            @for shown in &capture.shown { (packet(shown)) }
        }
    }
}

fn packet(shown: &Shown) -> Markup {
    let hot = |name: &str| shown.hot.contains(&name);
    let class = |at: usize| {
        shown.fields.iter().find(|field| (field.from..field.to).contains(&at)).map(|field| hot(field.name))
    };
    html! {
        div.packet {
            div { b { "Packet " (shown.number) } " · " (when::format(shown.ts_ns.div_euclid(1_000_000_000), "%-d %B %Y %H:%M:%S")) " · " (shown.title) }
            @for mark in &shown.marks { div.marks.small { (mark) } }
            pre { @for (line, bytes) in shown.bytes.chunks(16).enumerate() {
                (format!("{:04x}  ", line * 16))
                @for (i, byte) in bytes.iter().enumerate() {
                    @let text = format!("{byte:02x}");
                    @match class(line * 16 + i) {
                        Some(true) => { u.hot { (text) } },
                        Some(false) => { u { (text) } },
                        None => { (text) },
                    }
                    (if i == 7 { "  " } else { " " })
                }
                (" ".repeat((16 - bytes.len()) * 3 + usize::from(bytes.len() < 8)))
                " "
                (bytes.iter().map(|b| if (0x20..0x7f).contains(b) { *b as char } else { '.' }).collect::<String>())
                "\n"
            } }
            dl.fields { @for field in &shown.fields { div { dt { (field.name) } dd { (field.value) } } } }
        }
    }
}

fn method(study: &Study) -> Markup {
    let parameters = &study.parameters;
    let shares = &parameters.shares;
    html! {
        h2 { "Method, and its limits" }
        p {
            "Each measurement was judged by rules, one verdict each. For each target on each network and layer, the probes of an hour vote, at most "
            (shares.probes_per_hour_max) " of them counting; a cumulative sum of the logarithms of likelihood ratios (a share of "
            (words::percent(shares.before)) " before, " (words::percent(shares.after)) " after) tells when that changed, past "
            (parameters.interference.onset) ", and when it changed back, past " (parameters.interference.end)
            ". When a change began is estimated from everything up to the alarm, with the interval that holds it with 95 %. "
            "A lasting share below " (words::percent(shares.least_visible())) " is not seen. Changes that began together in one country and share a network or a target are one incident; mechanisms are told apart by network. "
            "Networks from which fewer probes than usual measure are watched in the same manner."
        }
        p.small {
            "States: blocked means that an artefact shows it; likely-blocked, that it fails here, works elsewhere, and nothing else explains it; impaired, that it works, but worse than it should; down, that it fails everywhere; insufficient, that nothing can be said."
        }
        h3 { "What would make this wrong" }
        ul.said { @for line in words::caveats(study) { li { (line) } } }
        h3 { "What it rests on" }
        ul.said.small {
            @for rules in &study.rows.rule_sets { li { "Rules, version " (rules.version) ": " code { (rules.sha256) } } }
            @if study.rows.duplicates > 0 { li { (words::count(study.rows.duplicates as usize, "verdict")) " on measurements that were there already: left out" } }
            @if study.rows.bad_clocks > 0 { li { (words::count(study.rows.bad_clocks as usize, "verdict")) " with times a month away from all others: left out" } }
            @if study.problem_count > 0 { li {
                (words::count(study.problem_count as usize, "line")) " or files could not be read and were passed over:"
                ul { @for problem in study.problems.iter().take(10) { li { code { (problem) } } } }
            } }
            @if study.rows.rule_sets.is_empty() && study.problem_count == 0 { li { "series and captures alone" } }
        }
    }
}
