//! Networks on which connecting takes longer than usual.
//!
//! How long it takes depends on the target above all, so what is looked at is by what factor each measurement differs from
//! the target's own median on that network; and of an hour the median of those. A factor of 1.2 is taken for the least
//! deviation that says something, however steady a network is.

use std::collections::BTreeMap;

use super::adaptive::{Direction, shift_steps};
use super::baseline::median;
use super::cusum::segments;
use super::interference::end_of;
use super::{Change, Kind, Parameters};
use crate::rows::{Row, Rows};
use crate::when::HOUR_S;

/// No baseline before so many hours were seen.
const HISTORY_HOURS_MIN: usize = 24;
/// The least deviation, as a logarithm: a factor of 1.2.
const SCALE_MIN: f64 = 0.182;
/// An hour with fewer measurements says nothing.
const MEASUREMENTS_MIN: usize = 3;

pub(super) fn detect(rows: &Rows, until: i64, parameters: &Parameters) -> Vec<Change> {
    // By network: hour, factor as a logarithm, probe.
    let mut factors: BTreeMap<u32, Vec<(u32, f64, u32)>> = BTreeMap::new();
    for pair in rows.pairs() {
        let known: Vec<&Row> = pair.iter().filter(|row| row.connect_ms > 0.0).collect();
        let Some(usual) = median(known.iter().map(|row| f64::from(row.connect_ms)).collect()) else {
            continue;
        };
        if let Some(network) = pair.first().map(|row| row.network) {
            let logarithms =
                known.iter().map(|row| (row.hour(), (f64::from(row.connect_ms) / usual).ln(), row.probe));
            factors.entry(network).or_default().extend(logarithms);
        }
    }
    let mut changes = Vec::new();
    for (network, mut all) in factors {
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        let hours: Vec<&[(u32, f64, u32)]> =
            all.chunk_by(|a, b| a.0 == b.0).filter(|hour| hour.len() >= MEASUREMENTS_MIN).collect();
        let series: Vec<(i64, f64)> = hours
            .iter()
            .filter_map(|hour| {
                let at = i64::from(hour.first()?.0) * HOUR_S;
                Some((at, median(hour.iter().map(|(_, factor, _)| *factor).collect())?))
            })
            .collect();
        let (steps, _) =
            shift_steps(&series, HOUR_S, Direction::Up, HISTORY_HOURS_MIN, &|_| SCALE_MIN, parameters);
        for segment in segments(&steps, parameters.series) {
            let Some(inside) = hours.get(segment.first..segment.past).filter(|i| !i.is_empty()) else {
                continue;
            };
            let mut probes: Vec<u32> = inside.iter().flat_map(|h| h.iter().map(|(_, _, p)| *p)).collect();
            let measurements = probes.len() as u32;
            probes.sort_unstable();
            probes.dedup();
            let values = |range: &[(i64, f64)]| median(range.iter().map(|(_, value)| *value).collect());
            let within = series.get(segment.first..segment.past).and_then(values).unwrap_or(0.0);
            let before = series.get(..segment.first).and_then(values).unwrap_or(0.0);
            let last = series.last().map_or(0, |(at, _)| *at);
            changes.push(Change {
                kind: Kind::Slowness,
                target: None,
                network,
                layer: None,
                resolver: None,
                onset: segment.onset,
                alarm: steps.get(segment.alarm).map_or(0, |step| step.until),
                end: end_of(&segment, last, until, parameters),
                share: (within - before).exp(),
                probes: probes.len() as u32,
                measurements,
                mechanisms: Vec::new(),
            });
        }
    }
    changes
}
