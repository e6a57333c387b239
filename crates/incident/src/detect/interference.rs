//! Targets that begin, or cease, to be interfered with on a network.
//!
//! A stream is a target on a network at a layer; where names are interfered with, also by the resolver's network, as a
//! resolver elsewhere may give other answers. In each hour each probe has one vote: whether more than half of its
//! measurements met interference at that layer. A measurement that failed at an earlier layer says nothing of a later
//! one, and none that is `down` or `insufficient` says anything.

use std::collections::BTreeMap;

use daylight_verdict::record::{Layer, State};

use super::cusum::{Segment, Step, date_again, segments};
use super::likelihood::Shares;
use super::{Change, Detected, End, Kind, Parameters, Seen};
use crate::rows::{Row, Rows};

/// No change is taken to be more complete than this, as some probes always get through.
const SHARE_MAX: f64 = 0.95;

/// What a row says of a layer: interference, none, or nothing.
fn vote(row: &Row, layer: Layer) -> Option<bool> {
    if row.state == State::Ok {
        return Some(false);
    }
    let at = row.layer.filter(|_| row.interferes())?;
    if at == layer {
        return Some(true);
    }
    // A visit passes names, connections, handshakes and pages in this order. QUIC is beside them, after names.
    let passed = match at {
        Layer::Quic => layer == Layer::Dns,
        _ => layer != Layer::Quic && at > layer,
    };
    passed.then_some(false)
}

pub(super) fn detect(rows: &Rows, until: i64, parameters: &Parameters) -> Detected {
    let mut detected = Detected::default();
    for pair in rows.pairs() {
        for layer in Layer::ALL {
            if !pair.iter().any(|row| row.interferes() && row.layer == Some(layer)) {
                continue;
            }
            if layer == Layer::Dns {
                let mut by_resolver: BTreeMap<u32, Vec<&Row>> = BTreeMap::new();
                for row in pair {
                    by_resolver.entry(row.resolver).or_default().push(row);
                }
                for (resolver, of) in by_resolver {
                    stream(&of, layer, Some(resolver), until, parameters, &mut detected);
                }
            } else {
                let all: Vec<&Row> = pair.iter().collect();
                stream(&all, layer, None, until, parameters, &mut detected);
            }
        }
    }
    detected
}

/// Finds the changes of one stream, whose rows are in the order of time.
fn stream(
    rows: &[&Row],
    layer: Layer,
    resolver: Option<u32>,
    until: i64,
    parameters: &Parameters,
    detected: &mut Detected,
) {
    let rows: Vec<(&Row, bool)> =
        rows.iter().filter_map(|row| vote(row, layer).map(|vote| (*row, vote))).collect();
    let mut steps = Vec::new();
    let mut counts = Vec::new();
    let mut starts = Vec::new();
    let mut at = 0;
    for hour in rows.chunk_by(|(a, _), (b, _)| a.hour() == b.hour()) {
        let (blocked, probes) = votes(hour);
        let time = |row: Option<&(&Row, bool)>| row.map_or(0, |(row, _)| i64::from(row.time));
        let llr = parameters.shares.llr(blocked, probes);
        steps.push(Step { at: time(hour.first()), until: time(hour.last()), llr });
        counts.push((blocked, probes));
        starts.push(at);
        at += hour.len();
        detected.probe_hours += u64::from(probes);
    }
    starts.push(at);
    detected.streams += 1;
    for mut segment in segments(&steps, parameters.interference) {
        let sharper = sharper(&steps, &counts, &segment, parameters);
        date_again(&mut segment, &sharper);
        let from = starts.get(segment.first).copied().unwrap_or(0);
        let to = starts.get(segment.past).copied().unwrap_or(at);
        let Some(inside) = rows.get(from..to).filter(|inside| !inside.is_empty()) else { continue };
        let last = rows.last().map_or(0, |(row, _)| i64::from(row.time));
        let end = end_of(&segment, last, until, parameters);
        detected.changes.push(change(inside, layer, resolver, &segment, &steps, end));
    }
}

/// The steps as they are if the share after the change is what was seen, rather than the least that is to be found.
fn sharper(steps: &[Step], counts: &[(u32, u32)], segment: &Segment, parameters: &Parameters) -> Vec<Step> {
    let inside = counts.get(segment.first..segment.past).unwrap_or_default();
    let sum = |part: fn(&(u32, u32)) -> u32| inside.iter().map(|c| f64::from(part(c))).sum::<f64>();
    let share = sum(|(blocked, _)| *blocked) / sum(|(_, probes)| *probes).max(1.0);
    let least = parameters.shares.after;
    let shares = Shares { after: share.clamp(least, SHARE_MAX.max(least)), ..parameters.shares };
    steps
        .iter()
        .zip(counts)
        .map(|(step, (blocked, probes))| Step { llr: shares.llr(*blocked, *probes), ..*step })
        .collect()
}

/// How many probes voted for interference, and how many voted.
fn votes(rows: &[(&Row, bool)]) -> (u32, u32) {
    let mut by_probe: Vec<(u32, bool)> = rows.iter().map(|(row, vote)| (row.probe, *vote)).collect();
    by_probe.sort_unstable();
    let mut blocked = 0;
    let mut probes = 0;
    for one in by_probe.chunk_by(|a, b| a.0 == b.0) {
        probes += 1;
        blocked += u32::from(one.iter().filter(|(_, vote)| *vote).count() * 2 > one.len());
    }
    (blocked, probes)
}

/// How a segment ended, if the last measurement was at `last` and the data reach to `until`.
pub(crate) fn end_of(segment: &Segment, last: i64, until: i64, parameters: &Parameters) -> End {
    match segment.end {
        Some(moment) => End::At(moment),
        None if until - last > parameters.unmeasured_s => End::NotMeasuredSince(last),
        None => End::Continues,
    }
}

fn change(
    inside: &[(&Row, bool)],
    layer: Layer,
    resolver: Option<u32>,
    segment: &Segment,
    steps: &[Step],
    end: End,
) -> Change {
    let mut probes: Vec<u32> = inside.iter().map(|(row, _)| row.probe).collect();
    probes.sort_unstable();
    probes.dedup();
    let mut hours = (0_u64, 0_u64);
    for hour in inside.chunk_by(|(a, _), (b, _)| a.hour() == b.hour()) {
        let (blocked, voted) = votes(hour);
        hours = (hours.0 + u64::from(blocked), hours.1 + u64::from(voted));
    }
    let first = inside.first().map(|(row, _)| **row);
    Change {
        kind: Kind::Interference,
        target: first.map(|row| row.target),
        network: first.map_or(0, |row| row.network),
        layer: Some(layer),
        resolver,
        onset: segment.onset,
        alarm: steps.get(segment.alarm).map_or(0, |step| step.until),
        end,
        share: hours.0 as f64 / hours.1.max(1) as f64,
        probes: probes.len() as u32,
        measurements: inside.len() as u32,
        mechanisms: seen(inside.iter().filter(|(_, vote)| *vote).map(|(row, _)| *row)),
    }
}

/// The mechanisms of rows, the most frequent first.
pub(crate) fn seen<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Seen> {
    let mut all: BTreeMap<u32, (Seen, Vec<u32>)> = BTreeMap::new();
    for row in rows {
        let (seen, probes) = all.entry(row.mechanism).or_insert_with(|| {
            let seen = Seen {
                mechanism: row.mechanism,
                state: row.state,
                measurements: 0,
                probes: 0,
                first: row.time,
                last: row.time,
                witness: row.hash,
            };
            (seen, Vec::new())
        });
        seen.measurements += 1;
        // States are in the order ok, blocked, likely-blocked, impaired: the least is the strongest.
        seen.state = seen.state.min(row.state);
        if (row.time, row.hash) < (seen.first, seen.witness) {
            (seen.first, seen.witness) = (row.time, row.hash);
        }
        seen.last = seen.last.max(row.time);
        probes.push(row.probe);
    }
    let mut all: Vec<Seen> = all
        .into_values()
        .map(|(mut seen, mut probes)| {
            probes.sort_unstable();
            probes.dedup();
            seen.probes = probes.len() as u32;
            seen
        })
        .collect();
    all.sort_by_key(|seen| (std::cmp::Reverse(seen.measurements), seen.mechanism));
    all
}
