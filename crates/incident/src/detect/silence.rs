//! Missing data as a signal: networks from which fewer probes measure than usual.
//!
//! A shutdown, or probes that are frightened or blocked, show as nothing at all. What is counted is probes in an hour, not
//! measurements, as one probe's run makes many at once. The usual number is that of the hour of the week before the
//! silence began; it stands still while the silence lasts.

use std::collections::BTreeMap;

use super::adaptive;
use super::cusum::segments;
use super::interference::end_of;
use super::likelihood::count_llr;
use super::{Change, Kind, Parameters};
use crate::rows::Rows;
use crate::when::{HOUR_S, hour_of};

/// No baseline before so many hours were seen.
const HISTORY_HOURS_MIN: usize = 72;
/// A network with fewer probe-hours a day than this is silent too often for its silence to say something.
const PROBE_HOURS_PER_DAY_MIN: f64 = 4.0;

pub(super) fn detect(rows: &Rows, until: i64, parameters: &Parameters) -> Vec<Change> {
    let mut probes_at: BTreeMap<u32, BTreeMap<u32, Vec<u32>>> = BTreeMap::new();
    for row in &rows.rows {
        probes_at.entry(row.network).or_default().entry(row.hour()).or_default().push(row.probe);
    }
    let last_hour = hour_of(until.max(0));
    let mut changes = Vec::new();
    for (network, mut hours) in probes_at {
        let mut all: Vec<u32> = Vec::new();
        for probes in hours.values_mut() {
            probes.sort_unstable();
            probes.dedup();
            all.extend(probes.iter());
        }
        all.sort_unstable();
        all.dedup();
        if (all.len() as u32) < parameters.silence_probes_min {
            continue;
        }
        let Some(first_hour) = hours.keys().next().copied() else { continue };
        let counts: Vec<(i64, f64)> = (first_hour..=last_hour)
            .map(|hour| {
                (i64::from(hour) * HOUR_S, hours.get(&hour).map_or(0.0, |probes| probes.len() as f64))
            })
            .collect();
        changes.extend(network_silences(network, &counts, until, parameters));
    }
    changes
}

fn network_silences(network: u32, counts: &[(i64, f64)], until: i64, parameters: &Parameters) -> Vec<Change> {
    let (steps, expected) =
        adaptive::steps(counts, HOUR_S, HISTORY_HOURS_MIN, parameters.series, &|baseline, at, count| {
            if baseline.per_day() < PROBE_HOURS_PER_DAY_MIN {
                return 0.0;
            }
            let expected = baseline.expected_count(at);
            count_llr(count, expected, parameters.silence_fraction, parameters.step_max)
        });
    let mut changes = Vec::new();
    for segment in segments(&steps, parameters.series) {
        let range = segment.first..segment.past;
        let Some(inside) = counts.get(range.clone()).filter(|inside| !inside.is_empty()) else { continue };
        let observed: f64 = inside.iter().map(|(_, count)| count).sum();
        let usual: f64 = expected.get(range).unwrap_or_default().iter().flatten().sum();
        changes.push(Change {
            kind: Kind::Silence,
            target: None,
            network,
            layer: None,
            resolver: None,
            onset: segment.onset,
            alarm: steps.get(segment.alarm).map_or(0, |step| step.until),
            // Silence is told by there being nothing: it is never "not measured".
            end: end_of(&segment, until, until, parameters),
            share: if usual > 0.0 { (1.0 - observed / usual).clamp(0.0, 1.0) } else { 0.0 },
            probes: 0,
            measurements: observed as u32,
            mechanisms: Vec::new(),
        });
    }
    changes
}
