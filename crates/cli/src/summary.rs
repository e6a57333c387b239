//! The summary on the screen.

use std::fmt::Display;
use std::io::{self, Write};

use daylight_inspect::RunStats;
use daylight_inspect::summary::{Amount, Summary, Top};
use daylight_packet::SourceEnd;
use daylight_protocols::{ProtocolId, Severity};

use crate::term::{Style, bits_per_second, bytes, duration, fit, grouped};

/// A capture that was read, and what became of it.
pub(crate) struct Read {
    pub(crate) name: String,
    pub(crate) stats: RunStats,
}

/// Prints the tables.
pub(crate) fn print(
    out: &mut dyn Write,
    summary: &Summary,
    captures: &[Read],
    rows: usize,
    style: Style,
) -> io::Result<()> {
    heading(out, summary, captures, style)?;
    let total = summary.total();
    if total.flows > 0 {
        let top = summary.protocols(rows);
        table(out, "Protocols", &top, total, style, |(id, known)| {
            (
                protocol_name(*id),
                if *known || *id == ProtocolId::Unknown { "" } else { "by port or other flows" }.into(),
            )
        })?;
        let top = summary.applications(rows);
        table(out, "Applications", &top, total, style, |(name, category)| {
            ((*name).into(), (*category).into())
        })?;
        let top = summary.hosts(rows);
        table(out, "Hosts", &top, total, style, |host| ((*host).into(), String::new()))?;
        let top = summary.talkers(rows);
        table(out, "Talkers", &top, total, style, |ip| (ip.to_string(), String::new()))?;
        risks(out, summary, style)?;
    }
    notes(out, captures, style)
}

fn protocol_name(id: ProtocolId) -> String {
    id.name().into()
}

fn heading(out: &mut dyn Write, summary: &Summary, captures: &[Read], style: Style) -> io::Result<()> {
    let title = match captures {
        [one] => one.name.clone(),
        many => format!("{} captures", many.len()),
    };
    writeln!(out, "{}", style.bold(fit(&title, style.width)))?;
    let mut frames = daylight_inspect::FrameCounters::default();
    captures.iter().for_each(|c| frames += c.stats.frames);
    let span = captures.iter().filter_map(|c| c.stats.span_ns).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    if let Some((first, last)) = span {
        let seconds = last.saturating_sub(first) as f64 / 1e9;
        let rate = if seconds > 0.0 {
            format!(", {}", bits_per_second(frames.bytes as f64 * 8.0 / seconds))
        } else {
            String::new()
        };
        writeln!(out, "{} to {}  ({}{rate})", time(first), time(last), duration(seconds))?;
    }
    let flows = summary.total().flows;
    writeln!(
        out,
        "{} packets, {}, {} flow{}",
        grouped(frames.frames),
        bytes(frames.bytes),
        grouped(flows),
        if flows == 1 { "" } else { "s" }
    )
}

fn time(ns: i64) -> impl Display {
    jiff::Timestamp::from_nanosecond(ns.into())
        .map_or_else(|_| "?".to_owned(), |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A table of amounts with bars.
fn table<K>(
    out: &mut dyn Write,
    title: &str,
    top: &Top<K>,
    total: Amount,
    style: Style,
    name: impl Fn(&K) -> (String, String),
) -> io::Result<()> {
    if top.rows.is_empty() {
        return Ok(());
    }
    // flows, bytes, share and bar stand to the right of the name.
    const NUMBERS: usize = 12 + 11 + 6;
    let bar_width = (style.width / 5).min(24);
    let name_width = style.width.saturating_sub(NUMBERS + bar_width + 3).max(12);
    writeln!(out)?;
    writeln!(
        out,
        "{}{}",
        style.bold(format!("{title:<name_width$}")),
        style.dim(format!("{:>12}{:>11}{:>6}", "flows", "bytes", "%"))
    )?;
    let most = top.rows.first().map_or(1, |(_, a)| a.bytes.max(1));
    for (key, amount) in &top.rows {
        let (name, note) = name(key);
        let shown = fit(&name, name_width - 2);
        let room = name_width - 2 - shown.chars().count();
        let note = if note.is_empty() || room < 8 { String::new() } else { fit(&note, room - 2) };
        let pad = " ".repeat(room.saturating_sub(if note.is_empty() { 0 } else { note.chars().count() + 2 }));
        let share = amount.bytes as f64 * 100.0 / total.bytes.max(1) as f64;
        let gap = if note.is_empty() { "" } else { "  " };
        writeln!(
            out,
            "  {shown}{gap}{}{pad}{:>12}{:>11}{:>6}  {}",
            style.dim(note),
            grouped(amount.flows),
            bytes(amount.bytes),
            format!("{share:.1}"),
            style.paint("36", bar(amount.bytes as f64 / most as f64, bar_width)).to_string().trim_end()
        )?;
    }
    if top.others > 0 {
        writeln!(out, "  {}", style.dim(format!("and {} more", grouped(top.others))))?;
    }
    Ok(())
}

/// A bar in eighths of a character.
fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * width as f64 * 8.0).round().max(1.0) as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(EIGHTHS[eighths % 8]);
    bar
}

fn risks(out: &mut dyn Write, summary: &Summary, style: Style) -> io::Result<()> {
    let risks = summary.risks();
    if risks.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let name_width = 34;
    writeln!(
        out,
        "{}{}",
        style.bold(format!("{:<1$}", "Risks", name_width)),
        style.dim(format!("{:>9}  {:<6}  {:>9}", "severity", "side", "flows"))
    )?;
    for seen in risks {
        let colour = match seen.risk.severity {
            Severity::Severe => "1;31",
            Severity::High => "31",
            Severity::Medium => "33",
            Severity::Low => "34",
        };
        writeln!(
            out,
            "  {:<w$}{}  {:<6}  {:>9}",
            seen.risk.name,
            style.paint(colour, format!("{:>9}", seen.risk.severity.name())),
            seen.risk.side.name(),
            grouped(seen.flows),
            w = name_width - 2
        )?;
        writeln!(out, "    {}", style.dim(fit(&seen.example, style.width - 4)))?;
    }
    Ok(())
}

/// What could not be read or kept, and where a capture stopped.
fn notes(out: &mut dyn Write, captures: &[Read], style: Style) -> io::Result<()> {
    let mut lines = Vec::new();
    for Read { name, stats } in captures {
        if let SourceEnd::Damaged { offset, reason } = &stats.end {
            lines.push(format!("{name}: stopped at byte {}: {reason}", grouped(*offset)));
        }
        if stats.stopped {
            lines.push(format!("{name}: stopped before the end, on request"));
        }
        if let Some(link) = stats.unknown_link {
            lines.push(format!("{name}: {link} is a link type that daylight does not read"));
        }
        let mut count = |n: u64, what: &str| {
            if n > 0 {
                lines.push(format!("{name}: {} {what}", grouped(n)));
            }
        };
        let frames = stats.frames;
        count(frames.not_ip, "frames carry no IP (ARP, STP, LLDP …)");
        count(frames.broken, "frames have headers that can't be read");
        count(frames.snapped, "frames were cut short when they were captured (snap length)");
        let fragments = stats.fragments;
        count(fragments.fragments, "IP fragments");
        count(fragments.overlaps, "of the fragments overlap");
        count(fragments.timed_out, "fragmented packets never became whole");
        count(fragments.evicted, "fragmented packets were given up: over the budget");
        let reassembly = stats.shards.reassembly;
        count(reassembly.held, "TCP segments came too early and were put in order");
        count(reassembly.gaps, "holes in TCP streams were given up");
        count(reassembly.conflicts, "TCP segments came again with another content");
        count(
            reassembly.over_budget,
            "TCP segments found no room in the reassembly budget (--max-reassembly)",
        );
        count(stats.shards.flows_over_budget, "flows were ended early: the table was over --max-flows");
        count(stats.facts_forgotten, "names or expected flows were forgotten: over the budget");
        count(stats.shards.parser_panics, "parsers failed: please report this capture");
    }
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{}", style.bold("Notes"))?;
    const LINES_MAX: usize = 40;
    for line in lines.iter().take(LINES_MAX) {
        wrapped(out, line, style)?;
    }
    if lines.len() > LINES_MAX {
        writeln!(out, "  {}", style.dim(format!("and {} more", lines.len() - LINES_MAX)))?;
    }
    Ok(())
}

fn wrapped(out: &mut dyn Write, text: &str, style: Style) -> io::Result<()> {
    let text = fit(text, 1000);
    let (mut line, mut first) = (String::new(), true);
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > style.width - 4 {
            writeln!(out, "{}{line}", if first { "  " } else { "    " })?;
            line.clear();
            first = false;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{}{line}", if first { "  " } else { "    " })
}
