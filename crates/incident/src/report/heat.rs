//! Targets × networks: what each network does to each target.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use daylight_verdict::record::{Layer, State};

use super::draw::{PATTERNS, escape, fit, glyph, pattern};
use crate::detect::{End, Kind};
use crate::rows::Row;
use crate::study::Study;
use crate::when::DAY_S;

/// So many are drawn; the rest is in `mechanisms.csv`.
const TARGETS_MAX: usize = 200;
const NETWORKS_MAX: usize = 40;
/// What is shown of a pair that no change is known of: its last week.
const LAST_S: i64 = 7 * DAY_S;

/// What a square shows.
#[derive(Clone, Copy)]
struct Square {
    state: State,
    layer: Option<Layer>,
    measurements: u32,
}

/// The state of each pair: of a change that has not ended, or else of the last week that it was measured in, the most
/// frequent.
fn squares(study: &Study) -> BTreeMap<(u32, u32), Square> {
    let mut open: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    for change in &study.detected.changes {
        if let (Kind::Interference, Some(target)) = (change.kind, change.target)
            && !matches!(change.end, End::At(_))
        {
            let since = open.entry((target, change.network)).or_insert(change.onset.best);
            *since = (*since).min(change.onset.best);
        }
    }
    let mut all = BTreeMap::new();
    for pair in study.rows.pairs() {
        let (Some(first), Some(last)) = (pair.first(), pair.last()) else { continue };
        let key = (first.target, first.network);
        let since = open.get(&key).copied().unwrap_or_else(|| i64::from(last.time) - LAST_S);
        let within = pair.iter().filter(|row| i64::from(row.time) >= since);
        if let Some(square) = most_frequent(within) {
            all.insert(key, Square { measurements: pair.len() as u32, ..square });
        }
    }
    all
}

fn most_frequent<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<Square> {
    let mut counts: BTreeMap<(State, Option<Layer>), u32> = BTreeMap::new();
    for row in rows {
        let layer = if row.interferes() { row.layer } else { None };
        *counts.entry((row.state, layer)).or_default() += 1;
    }
    // Insufficient measurements are shown only where there is nothing else.
    let conclusive = |state: State| state != State::Insufficient;
    let best = counts
        .iter()
        .max_by_key(|((state, _), count)| (conclusive(*state), **count, std::cmp::Reverse(*state)));
    best.map(|((state, layer), count)| Square { state: *state, layer: *layer, measurements: *count })
}

/// The heat map; empty if nothing was measured.
pub(crate) fn draw(study: &Study) -> String {
    let squares = squares(study);
    if squares.is_empty() {
        return String::new();
    }
    let bad = |square: &Square| {
        matches!(square.state, State::Blocked | State::LikelyBlocked | State::Impaired) as usize
    };
    let mut by_target: BTreeMap<u32, usize> = BTreeMap::new();
    let mut by_network: BTreeMap<u32, usize> = BTreeMap::new();
    for ((target, network), square) in &squares {
        *by_target.entry(*target).or_default() += bad(square);
        *by_network.entry(*network).or_default() += bad(square);
    }
    let order = |counts: BTreeMap<u32, usize>, max: usize| {
        let mut all: Vec<(usize, u32)> = counts.into_iter().map(|(id, count)| (count, id)).collect();
        all.sort_by_key(|(count, id)| (std::cmp::Reverse(*count), *id));
        let rest = all.len().saturating_sub(max);
        all.truncate(max);
        (all.into_iter().map(|(_, id)| id).collect::<Vec<u32>>(), rest)
    };
    let (targets, more_targets) = order(by_target, TARGETS_MAX);
    let (networks, more_networks) = order(by_network, NETWORKS_MAX);
    // Squares as large as the room allows.
    let left = 240.0;
    let side = (740.0 / networks.len().max(1) as f64).clamp(17.0, 30.0);
    let row = if targets.len() > 60 { 15.0 } else { 21.0 };
    let labels: Vec<String> = networks.iter().map(|n| study.rows.network_label(*n)).collect();
    let longest = labels.iter().map(|label| label.chars().count().min(34)).max().unwrap_or(0) as f64;
    let top = 16.0 + longest * 5.1;
    let width = (left + side * networks.len() as f64 + longest * 3.6 + 10.0).max(700.0);
    let height = top + row * targets.len() as f64 + 24.0;
    let mut svg = format!(
        "<svg class=\"heat\" viewBox=\"0 0 {width:.0} {height:.0}\" style=\"max-width:{width:.0}px\" role=\"img\" aria-label=\"Targets by network\">{PATTERNS}"
    );
    for (i, label) in labels.iter().enumerate() {
        let x = left + side * (i as f64 + 0.5) + 4.0;
        let _ = write!(
            svg,
            "<text transform=\"translate({x:.1} {:.1}) rotate(-55)\">{}<title>{}</title></text>",
            top - 6.0,
            escape(&fit(label, 34)),
            escape(label)
        );
    }
    for (j, target) in targets.iter().enumerate() {
        let y = top + row * j as f64;
        let name = study.rows.target(*target);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}<title>{}</title></text>",
            left - 8.0,
            y + row * 0.7,
            escape(&fit(name, 36)),
            escape(name)
        );
        for (i, network) in networks.iter().enumerate() {
            let x = left + side * i as f64;
            let (w, h) = (side - 2.0, row - 2.0);
            let Some(square) = squares.get(&(*target, *network)) else {
                let _ = write!(
                    svg,
                    "<rect class=\"unmeasured\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"/>"
                );
                continue;
            };
            let interferes = bad(square) == 1;
            let (class, fill) = if interferes {
                (" class=\"bad\"", format!(" fill=\"url(#{})\"", pattern(square.layer)))
            } else {
                (
                    match square.state {
                        State::Ok => " class=\"fine\"",
                        State::Down => " class=\"down\"",
                        _ => " class=\"unsure\"",
                    },
                    String::new(),
                )
            };
            let _ = write!(
                svg,
                "<rect{class} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"{fill}><title>{}, {}: {}{} ({} measurements)</title></rect>",
                escape(name),
                escape(labels.get(i).map_or("", String::as_str)),
                square.state,
                square.layer.map_or(String::new(), |layer| format!(" at {layer}")),
                square.measurements
            );
            let (cx, cy) = (x + w / 2.0, y + h / 2.0);
            if interferes {
                let _ = write!(
                    svg,
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{:.1}\" fill=\"#fff\"/>",
                    (h / 2.0 - 1.0).min(7.5)
                );
            }
            let _ = write!(
                svg,
                "<text class=\"glyph\" x=\"{cx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                cy + 4.0,
                glyph(square.state)
            );
        }
    }
    if more_targets + more_networks > 0 {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{left}\" y=\"{:.1}\">and {more_targets} more targets, {more_networks} more networks, with less interference, in mechanisms.csv</text>",
            height - 6.0
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The layers that any square shows, for the legend.
pub(crate) fn layers(study: &Study) -> BTreeSet<Layer> {
    study.rows.rows.iter().filter(|row| row.interferes()).filter_map(|row| row.layer).collect()
}
