//! `daylight probe packets`

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use daylight_injection::{
    Analysis, Counters, Finding, Foreign, Report, SIGNATURES_BYTES_MAX, Signatures, Verdict, dissect, title,
};
use daylight_packet::SourceEnd;
use serde_json::json;

use super::args::Packets;
use super::{DAMAGED, text};
use crate::term::fit;

/// Nothing that is written to be read is wider.
const COLUMNS: usize = 80;
/// Bytes of a packet that are shown.
const BYTES_SHOWN: usize = 256;

pub(super) fn run(args: &Packets) -> Result<ExitCode> {
    let signatures = signatures(args.signatures.as_deref())?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut damaged = false;
    for path in &args.files {
        let name =
            if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
        let (report, end) = look(path, &signatures)?;
        let shown = if args.json { lines(&name, &report)? } else { table(&name, &report, args.hex) };
        match out.write_all(shown.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            other => other.context("can't write")?,
        }
        if args.json {
            let _ = writeln!(io::stderr(), "{name}: {}", summary(&report));
        }
        if let SourceEnd::Damaged { offset, reason } = end {
            damaged = true;
            let _ =
                writeln!(io::stderr(), "{name}: at byte {offset}: {reason}; what came before was looked at");
        }
    }
    Ok(ExitCode::from(if damaged { DAMAGED } else { 0 }))
}

fn signatures(file: Option<&Path>) -> Result<Signatures> {
    let Some(path) = file else { return Ok(Signatures::own()?) };
    let length = std::fs::metadata(path).with_context(|| format!("can't read {}", path.display()))?.len();
    if length > SIGNATURES_BYTES_MAX {
        anyhow::bail!("{} has {length} bytes: no file of signatures is that long", path.display());
    }
    Ok(Signatures::parse(&text(path)?, &path.display().to_string())?)
}

fn look(path: &Path, signatures: &Signatures) -> Result<(Report, SourceEnd)> {
    let mut source = daylight_capture::open(path)?;
    let mut analysis = Analysis::new();
    analysis.read(source.as_mut(), u64::MAX)?;
    Ok((analysis.finish(signatures), source.end()))
}

/// A line of JSON for each finding.
fn lines(name: &str, report: &Report) -> Result<String> {
    let mut text = String::new();
    for finding in &report.findings {
        let mut value = serde_json::to_value(finding).context("can't write down a finding")?;
        if let Some(object) = value.as_object_mut() {
            object.insert("file".to_owned(), json!(name));
        }
        let _ = writeln!(text, "{value}");
    }
    Ok(text)
}

fn summary(report: &Report) -> String {
    let Counters { frames, connections, left_out, .. } = report.counters;
    let of = |verdict: Verdict| report.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let mut text = format!(
        "{frames} packets, {connections} connections: {} with injected packets, {} with suspect ones",
        of(Verdict::Injected),
        of(Verdict::Suspect)
    );
    if left_out > 0 {
        let _ = write!(text, "; {left_out} packets were too many to be looked at");
    }
    text
}

fn table(name: &str, report: &Report, hex: bool) -> String {
    let mut text = String::new();
    wrapped(&mut text, "", &format!("{name}: {}", summary(report)));
    for finding in &report.findings {
        text.push('\n');
        connection(&mut text, finding);
        for packet in &finding.packets {
            told(&mut text, packet);
            if hex {
                dump(&mut text, packet);
            }
        }
        for one in &finding.signatures {
            let named = one.vendor.as_deref().map_or_else(
                || format!("class: {} ({}, {})", one.class, one.id, one.features.join(" ")),
                |vendor| format!("equipment: {vendor} ({}, {})", one.id, one.features.join(" ")),
            );
            wrapped(&mut text, "  ", &named);
            wrapped(&mut text, "    ", &one.source);
        }
    }
    text
}

fn connection(text: &mut String, finding: &Finding) {
    let step = serde_json::to_value(finding.step).ok();
    let step = step.as_ref().and_then(|step| step.as_str()).unwrap_or_default();
    let name = finding.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let line = format!("{}: {} → {}, {step}{name}", finding.verdict.as_str(), finding.client, finding.server);
    let _ = writeln!(text, "{}", fit(&line, COLUMNS));
    if let Some((ttl, number)) = finding.server_ttl {
        let _ = writeln!(text, "  the server is known by packet {number}, TTL {ttl}");
    }
}

fn told(text: &mut String, packet: &Foreign) {
    let mut line = format!(
        "{:>8}  {:<9} {:<10} TTL {:<3}",
        packet.number,
        packet.verdict.as_str(),
        packet.kind.as_str(),
        packet.ip_ttl
    );
    if let Some(id) = packet.ip_id {
        let df = if packet.dont_fragment == Some(true) { "DF" } else { "--" };
        let _ = write!(line, " id {id:#06x} {df}");
    }
    if let Some(window) = packet.window {
        let _ = write!(line, " win {window}");
    }
    if let Some(ms) = packet.after_ms {
        let _ = write!(line, " +{ms:.1} ms");
    }
    let _ = writeln!(text, "{}", fit(line.trim_end(), COLUMNS));
    for told in &packet.tells {
        let witnesses: Vec<String> =
            told.witnesses.iter().take(6).map(|number| format!("#{number}")).collect();
        let by = if witnesses.is_empty() { String::new() } else { format!(" [{}]", witnesses.join(" ")) };
        let causes: Vec<&str> = told.benign.iter().map(|cause| cause.as_text()).collect();
        let but = if causes.is_empty() { String::new() } else { format!("; or {}", causes.join(", or ")) };
        wrapped(text, "          ", &format!("{}: {}{by}{but}", told.tell.as_str(), told.values));
    }
}

/// The packet's bytes, sixteen a line, and its fields, those with a star that speak against it.
fn dump(text: &mut String, packet: &Foreign) {
    let bytes = packet.bytes.get(..packet.bytes.len().min(BYTES_SHOWN)).unwrap_or_default();
    let _ = writeln!(text, "    {}", title(&packet.bytes));
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain: String =
            chunk.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect();
        let _ = writeln!(text, "    {:04x}  {:<47}  {plain}", line * 16, hex.join(" "));
    }
    if bytes.len() < packet.bytes.len() {
        let _ = writeln!(text, "    … and {} bytes more", packet.bytes.len() - bytes.len());
    }
    for field in dissect(bytes) {
        let against = packet.tells.iter().filter_map(|told| told.tell.field());
        let name = if field.name == "Hop Limit" { "Time to Live" } else { field.name };
        let mark = if against.into_iter().any(|against| against == name) { '*' } else { ' ' };
        let place = format!("{:04x}-{:04x}", field.from, field.to.saturating_sub(1));
        let _ = writeln!(text, "  {mark} {place}  {:<22} {}", field.name, field.value);
    }
}

/// Words in lines of at most 80 columns, the first and all others after `indent`.
fn wrapped(text: &mut String, indent: &str, words: &str) {
    let mut line = String::new();
    let clean = fit(words, usize::MAX);
    for word in clean.split_whitespace() {
        let length = indent.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > COLUMNS {
            let _ = writeln!(text, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{indent}{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_the_page() {
        let mut text = String::new();
        wrapped(&mut text, "    ", &"word and more ".repeat(30));
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= COLUMNS));
        assert!(text.lines().all(|line| line.starts_with("    word") || line.starts_with("    ")));
    }
}
