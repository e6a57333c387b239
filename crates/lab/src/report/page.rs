//! The page: one file, nothing from elsewhere, no script.

use std::fmt::Write;

use super::chart::{COLOURS, class, clock, groups, latency, strips};
use super::{escape, topology};
use crate::record::Record;
use crate::scenario::model::Outcome;

const STYLE: &str = include_str!("page.css");

/// The report of a run as HTML.
pub fn html(record: &Record) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\">\n<title>{0}</title>\n<style>{STYLE}</style>\n<main>\n<h1>{0}</h1>\n",
        escape(&record.title)
    );
    if !record.about.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", escape(&record.about));
    }
    facts(&mut page, record);
    let _ = writeln!(page, "<h2>Where</h2>\n<figure>{}</figure>", topology::draw(record));
    let _ = writeln!(page, "<h2>What clients saw, and when</h2>\n<figure>{}</figure>", strips(record));
    legend(&mut page, record);
    events(&mut page, record);
    expectations(&mut page, record);
    let plot = latency(record);
    if !plot.is_empty() {
        let _ = writeln!(page, "<h2>How long it took, when it went well</h2>\n<figure>{plot}</figure>");
        series(&mut page, record);
    }
    packets(&mut page, record);
    if !record.warnings.is_empty() {
        page.push_str("<h2>What was not as the scenario asks</h2>\n<ul class=\"warn\">");
        for warning in &record.warnings {
            let _ = write!(page, "<li>{}</li>", escape(warning));
        }
        page.push_str("</ul>\n");
    }
    if !record.sources.is_empty() {
        page.push_str("<h2>Sources</h2>\n<ul class=\"warn\">");
        for source in &record.sources {
            let _ = write!(page, "<li>{}</li>", escape(source));
        }
        page.push_str("</ul>\n");
    }
    let _ = write!(
        page,
        "<footer>Daylight lab, run at {} as {}. Everything here happened inside one machine, between network namespaces; \
         nothing reached the internet.</footer>\n</main>\n</html>\n",
        escape(record.started.get(..19).unwrap_or_default()),
        escape(&record.privilege)
    );
    page
}

fn facts(page: &mut String, record: &Record) {
    let held = record.expectations.iter().filter(|v| v.holds).count();
    let all = record.expectations.len();
    let went_well = record.observations.iter().filter(|o| o.outcome == Outcome::Ok).count();
    let class = if record.holds() { "good" } else { "bad" };
    let _ = writeln!(
        page,
        "<div class=\"facts\"><div><b class=\"{class}\">{held} of {all}</b><span>expectations held</span></div><div><b>{}</b>\
         <span>actions of {} clients</span></div><div><b>{went_well}</b><span>ended well</span></div><div><b>{} s</b><span>of {} s \
         played{}</span></div><div><b>{:.0} ms</b><span>to build {} namespaces</span></div></div>",
        record.observations.len(),
        record.clients.len(),
        (record.played_s * 10.0).round() / 10.0,
        record.duration_s,
        record.clock.map_or(String::new(), |c| format!(", one for {} min", (c.factor / 6.0).round() / 10.0)),
        record.build_ms,
        record.networks.len() + record.hosts.len()
    );
}

fn legend(page: &mut String, record: &Record) {
    page.push_str("<ul class=\"legend\">");
    for outcome in Outcome::ALL {
        let count = record.observations.iter().filter(|o| o.outcome == outcome).count();
        if count > 0 {
            let _ = write!(
                page,
                "<li><i class=\"{}\"></i>{} <span class=\"soft\">{count}</span></li>",
                class(outcome),
                outcome.name()
            );
        }
    }
    page.push_str("</ul>\n");
}

fn events(page: &mut String, record: &Record) {
    if record.events.is_empty() {
        return;
    }
    page.push_str("<ol class=\"events\">");
    for (i, event) in record.events.iter().enumerate() {
        let _ = write!(
            page,
            "<li><b>{}</b><time>{}</time><span>{}</span></li>",
            i + 1,
            escape(&clock(record, event.at_s)),
            escape(&event.title)
        );
    }
    page.push_str("</ol>\n");
}

fn expectations(page: &mut String, record: &Record) {
    if record.expectations.is_empty() {
        return;
    }
    page.push_str(
        "<h2>What was expected, and what was seen</h2>\n<table class=\"verdicts\"><thead><tr><th></th><th>Client</th>\
         <th>Expected</th><th>Observed</th></tr></thead><tbody>\n",
    );
    let mut last = "";
    for verdict in &record.expectations {
        let client = if verdict.client == last { "" } else { verdict.client.as_str() };
        last = &verdict.client;
        let because =
            verdict.because.as_ref().map_or(String::new(), |b| format!("<small>{}</small>", escape(b)));
        let (class, mark) = if verdict.holds { ("good", "✓") } else { ("bad", "✗") };
        let _ = writeln!(
            page,
            "<tr><td class=\"{class}\">{mark}</td><td>{}</td><td>{}{because}</td><td>{}</td></tr>",
            escape(client),
            escape(&verdict.expected),
            escape(&verdict.observed)
        );
    }
    page.push_str("</tbody></table>\n");
}

fn series(page: &mut String, record: &Record) {
    page.push_str("<ul class=\"legend\">");
    for (i, (name, _)) in groups(record).iter().enumerate() {
        let colour =
            ["accent", "ok", "page", "dns", "tls", "silent"].get(i % COLOURS).copied().unwrap_or("accent");
        let _ = write!(page, "<li><i style=\"background:var(--{colour})\"></i>{}</li>", escape(name));
    }
    page.push_str("</ul>\n");
}

fn packets(page: &mut String, record: &Record) {
    if record.packets.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Packets of interest</h2>\n<div class=\"scroll\"><table><thead><tr><th></th><th>When</th><th>Link</th><th>From → \
         to</th><th>What</th><th>Packet</th></tr></thead><tbody>\n",
    );
    for packet in &record.packets {
        let count = if packet.count > 1 {
            format!(" <span class=\"soft\">× {}</span>", packet.count)
        } else {
            String::new()
        };
        let _ = writeln!(
            page,
            "<tr><td></td><td>{}</td><td>{}</td><td>{}</td><td>{}{count}</td><td>{}</td></tr>",
            escape(&clock(record, packet.at_s)),
            escape(&packet.link),
            escape(&packet.who),
            escape(&packet.what),
            packet.number
        );
    }
    page.push_str("</tbody></table></div>\n");
}
