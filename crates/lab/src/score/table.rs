//! A score as a table, within 80 columns.

use std::fmt::Write;

use super::{Score, SubjectScore};
use crate::adversary::active_probe::compare::DELAY_SIGNIFICANCE;
use crate::adversary::detect::{DETECTORS, Finding};

/// Columns of the detectors' names.
const NAME_WIDTH: usize = 17;
/// Columns of each subject.
const CELL_WIDTH: usize = 11;
/// Subjects beside each other: more get a further table.
const SUBJECTS_PER_TABLE: usize = 4;

/// The whole score. A `!` marks an excess over the control.
pub fn render(score: &Score) -> String {
    let mut text =
        format!("{} connections of the control, ordinary HTTPS by {}\n", score.connections, score.visitor);
    let (skipped, scored): (Vec<_>, Vec<_>) = score.subjects.iter().partition(|s| s.skipped.is_some());
    for subjects in scored.chunks(SUBJECTS_PER_TABLE) {
        text.push('\n');
        table(&mut text, subjects);
    }
    text.push_str("\n! more than the control, p < 0.01 (probes: told apart; delays: p < 0.05)\n");
    for subject in &scored {
        let purpose = match subject.found_by.as_slice() {
            [] => format!("is to pass {} detectors and all probes", subject.passes.len()),
            names => format!("is to be found by {}", names.join(", ")),
        };
        let held = match (subject.found_by.is_empty(), subject.holds()) {
            (true, true) => "and does",
            (true, false) => "and does NOT",
            (false, true) => "and is",
            (false, false) => "and is NOT",
        };
        let _ = writeln!(text, "{:<10} {}; {purpose}, {held}", subject.name, subject.about);
        if let Some(probes) = subject.probes.as_ref().filter(|probes| !probes.told_apart.is_empty()) {
            let shown: Vec<&str> = probes.told_apart.iter().take(4).map(String::as_str).collect();
            let more = probes.told_apart.len() - shown.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = writeln!(text, "           told apart by {}{more}", shown.join(", "));
        }
    }
    for subject in skipped {
        let _ = writeln!(
            text,
            "{:<10} skipped: {}",
            subject.name,
            subject.skipped.as_deref().unwrap_or_default()
        );
    }
    text
}

fn table(text: &mut String, subjects: &[&SubjectScore]) {
    let row = |text: &mut String, name: &str, cells: &mut dyn Iterator<Item = (String, bool)>| {
        let mut line = format!("{name:<NAME_WIDTH$}");
        for (cell, excess) in cells {
            let _ = write!(line, "{cell:>width$}{}", if excess { '!' } else { ' ' }, width = CELL_WIDTH - 1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let heads = subjects.iter().map(|s| (s.name.clone(), false));
    row(text, "", &mut [("control".to_owned(), false)].into_iter().chain(heads));
    for detector in DETECTORS {
        let findings: Vec<Option<&Finding>> =
            subjects.iter().map(|s| s.findings.get(detector.name)).collect();
        let control = findings.iter().flatten().next().map_or_else(nothing, |finding| control_cell(finding));
        let cells = findings.iter().map(|finding| match finding {
            Some(finding) => (cell(finding), finding.is_excess()),
            None => (nothing(), false),
        });
        row(text, detector.name, &mut [(control, false)].into_iter().chain(cells));
    }
    if subjects.iter().any(|s| s.probes.is_some()) {
        let probes = |cell: fn(&super::ProbeScore) -> (String, bool)| {
            let cells =
                subjects.iter().map(move |s| s.probes.as_ref().map_or_else(|| (nothing(), false), cell));
            [(nothing(), false)].into_iter().chain(cells)
        };
        row(
            text,
            "probes",
            &mut probes(|p| (format!("{}/{}", p.told_apart.len(), p.sent), !p.told_apart.is_empty())),
        );
        row(
            text,
            "probe-delays",
            &mut probes(|p| (p_value(p.delay_p_value), p.delay_p_value <= DELAY_SIGNIFICANCE)),
        );
    }
}

/// What stands where there is nothing to judge by.
fn nothing() -> String {
    "–".into()
}

fn cell(finding: &Finding) -> String {
    match *finding {
        Finding::Rate { hits, total, .. } => format!("{hits}/{total}"),
        Finding::Difference { p_value: p } => p_value(p),
        Finding::Count { value, .. } => value.to_string(),
    }
}

fn control_cell(finding: &Finding) -> String {
    match *finding {
        Finding::Rate { control_hits, control_total, .. } => format!("{control_hits}/{control_total}"),
        Finding::Difference { .. } => "p 1".into(),
        Finding::Count { control, .. } => control.to_string(),
    }
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "p <0.001".into() } else { format!("p {p:.3}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::score::ProbeScore;

    fn subject(name: &str, found_by: &[&str]) -> SubjectScore {
        SubjectScore {
            name: name.into(),
            about: "one TLS connection for each inner one, by a relay of some length".into(),
            skipped: None,
            found_by: found_by.iter().map(|&name| name.into()).collect(),
            passes: vec!["fully-encrypted".into()],
            connections: 1000,
            findings: BTreeMap::from([
                ("fully-encrypted".into(), Finding::rate((1000, 1000), (0, 1000))),
                ("first-sizes".into(), Finding::Difference { p_value: 0.0421 }),
                ("connection-count".into(), Finding::Count { value: 12, control: 6, limit: 6 }),
            ]),
            probes: Some(ProbeScore {
                sent: 46,
                told_apart: vec!["imc20 R1 0".into(); 9],
                delay_p_value: 0.4,
            }),
        }
    }

    #[test]
    fn fits_80_columns_and_marks_an_excess() {
        let mut subjects: Vec<SubjectScore> =
            ["one", "two", "three", "four", "tls-relay"].iter().map(|n| subject(n, &[])).collect();
        subjects[0].found_by = vec!["fully-encrypted".into()];
        subjects.push(SubjectScore { skipped: Some("socat is missing".into()), ..subject("gone", &[]) });
        let text = render(&Score { visitor: "curl".into(), connections: 1000, subjects });
        for line in text.lines().take_while(|line| !line.starts_with('!')) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(row("fully-encrypted").matches("1000/1000!").count(), 4);
        assert!(row("first-sizes").contains("p 0.042") && !row("first-sizes").contains('!'));
        assert!(row("connection-count").contains("12!") && row("entropy").contains('–'));
        assert!(text.contains("is to be found by fully-encrypted, and is\n"), "{text}");
        assert!(
            text.contains("is to pass 1 detectors and all probes, and does NOT")
                && text.contains("gone       skipped: socat is missing")
        );
        assert!(text.contains("told apart by imc20 R1 0, imc20 R1 0, imc20 R1 0, imc20 R1 0 and 5 more"));
    }
}
