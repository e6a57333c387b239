//! The report as text, for mail, tickets and repositories.

use std::fmt::Write as _;

use super::page::{self, TABLE_MAX};
use super::words;
use crate::detect::Kind;
use crate::rows::hex;
use crate::study::Study;
use crate::when;

/// So many incidents have a section of their own; all are in `incidents.csv`.
const INCIDENTS_MAX: usize = 50;

/// Text that can't change the layout.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#' | '\\' => vec!['\\', c],
            c if c.is_control() => vec![' '],
            c => vec![c],
        })
        .collect()
}

/// The report as Markdown.
pub(crate) fn markdown(study: &Study, title: &str) -> String {
    let mut text = format!("# {}\n\n", plain(title));
    let _ = writeln!(
        text,
        "{} to {}, UTC. {}.\n",
        when::day(study.period.0),
        when::day(study.period.1),
        words::count(study.rows.rows.len(), "measurement")
    );
    for incident in super::leading(study) {
        let _ = writeln!(text, "{}\n", plain(&words::lead(study, incident)));
    }
    if study.incidents.is_empty() {
        let _ = writeln!(text, "{}\n", page::nothing(study));
    }
    for (i, incident) in study.incidents.iter().take(INCIDENTS_MAX).enumerate() {
        let _ = writeln!(text, "## Incident {}: {}\n", i + 1, plain(&words::heading(study, incident)));
        let _ = writeln!(
            text,
            "Severity: {} ({:.1} target-network-days). Began {}; {}.\n",
            incident.severity.level.as_str(),
            incident.severity.target_network_days,
            words::began(&incident.onset),
            words::ended(&incident.end)
        );
        text.push_str("| network | mechanism | targets | share | probes | began | end |\n|---|---|---:|---:|---:|---|---|\n");
        for part in &incident.networks {
            let share = if incident.kind == Kind::Slowness {
                format!("×{:.1}", part.share)
            } else {
                words::percent(part.share)
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {share} | {} | {} | {} |",
                plain(&study.rows.network_label(part.network)),
                part.mechanisms.first().map_or("", |seen| words::term(study, seen)),
                part.targets.len(),
                part.probes,
                words::began(&part.onset),
                words::ended(&part.end)
            );
        }
        text.push_str("\nWhat is not known:\n\n");
        for line in words::unknown(study, incident) {
            let _ = writeln!(text, "- {}", plain(&line));
        }
        for (network, place, count) in words::places(study, incident) {
            let of = place.of_hops.map_or(String::new(), |of| format!(" of {of}"));
            let _ = writeln!(
                text,
                "\n{}: hop {}{of}, {} ({}).",
                plain(&study.rows.network_label(network)),
                place.hop,
                words::position(place.position),
                words::count(count, "measurement")
            );
        }
        text.push('\n');
    }
    if let Some(more) = study.incidents.len().checked_sub(INCIDENTS_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "{more} more incidents are in incidents.csv.\n");
    }
    let rows = super::tables::mechanism_rows(study);
    if !rows.is_empty() {
        text.push_str("## Mechanisms\n\n| network | target | mechanism | n | probes | first seen | last seen | witness |\n|---|---|---|---:|---:|---|---|---|\n");
        for row in rows.iter().take(TABLE_MAX) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                plain(&study.rows.network_label(row.network)),
                plain(study.rows.target(row.target)),
                words::term(study, &row.seen),
                row.seen.measurements,
                row.seen.probes,
                when::short(i64::from(row.seen.first)),
                when::short(i64::from(row.seen.last)),
                hex(&row.seen.witness).get(..12).unwrap_or_default()
            );
        }
        if rows.len() > TABLE_MAX {
            let _ = writeln!(text, "\nThe first {TABLE_MAX} of {}; all are in mechanisms.csv.", rows.len());
        }
        text.push('\n');
    }
    if !study.series_changes.is_empty() {
        text.push_str("## Series of others\n\n| series | of | usual | then | began | end |\n|---|---|---:|---:|---|---|\n");
        for change in &study.series_changes {
            let Some(series) = study.series.get(change.series) else { continue };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                plain(&series.name),
                plain(series.entity.as_deref().unwrap_or("")),
                super::timeline::number(change.usual),
                super::timeline::number(change.level),
                words::began(&change.onset),
                words::ended(&change.end)
            );
        }
        text.push('\n');
    }
    text.push_str("## What would make this wrong\n\n");
    for line in words::caveats(study) {
        let _ = writeln!(text, "- {line}");
    }
    text.push('\n');
    for rules in &study.rows.rule_sets {
        let _ = writeln!(text, "Rules, version {}: `{}`\n", plain(&rules.version), plain(&rules.sha256));
    }
    if study.problem_count > 0 {
        let _ = writeln!(
            text,
            "Passed over: {}. First: {}",
            words::count(study.problem_count as usize, "line or file"),
            study.problems.first().map_or(String::new(), |p| plain(&p.to_string()))
        );
    }
    text
}
