//! Targets × networks: what each network does to each target.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use daylight_verdict::record::{Layer, State};

use super::draw::{PATTERNS, escape, fit, glyph, pattern};
use crate::detect::{End, Kind};
use crate::rows::Row;
use crate::study::Study;
use crate::when::DAY_S;

/// So many that meet interference are drawn; the rest is in `mechanisms.csv`.
const TARGETS_MAX: usize = 200;
const NETWORKS_MAX: usize = 40;
/// So many fit on a page; where fewer meet interference, others fill it.
const ROWS_MAX: usize = 44;
const COLUMNS_MAX: usize = 30;
/// Room for targets' names.
const LEFT: f64 = 240.0;
/// Networks' names: in characters at most, how wide one is in the widest of the fonts, and how they stand.
const LABEL_LEN: usize = 34;
const CHAR_WIDTH: f64 = 7.4;
const SLANT_DEGREES: f64 = 55.0;
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

/// Whether a square shows interference.
fn is_bad(square: &Square) -> bool {
    matches!(square.state, State::Blocked | State::LikelyBlocked | State::Impaired)
}

/// The heat map.
pub(crate) struct Heat {
    /// Drawings that fit on a page each; none if nothing was measured.
    pub(crate) parts: Vec<String>,
    /// Targets and networks that are not drawn.
    pub(crate) more: (usize, usize),
}

/// All of the map, in as many drawings as it needs.
pub(crate) fn draw(study: &Study) -> Heat {
    let squares = squares(study);
    let mut by_target: BTreeMap<u32, usize> = BTreeMap::new();
    let mut by_network: BTreeMap<u32, usize> = BTreeMap::new();
    for ((target, network), square) in &squares {
        let bad = usize::from(is_bad(square));
        *by_target.entry(*target).or_default() += bad;
        *by_network.entry(*network).or_default() += bad;
    }
    let (targets, more_targets) = worst(by_target, ROWS_MAX, TARGETS_MAX);
    let (networks, more_networks) = worst(by_network, COLUMNS_MAX, NETWORKS_MAX);
    let labels = networks.iter().map(|network| study.rows.network_label(*network)).collect();
    let map = Map { study, squares, networks, labels };
    Heat {
        parts: targets.chunks(ROWS_MAX).map(|targets| map.part(targets)).collect(),
        more: (more_targets, more_networks),
    }
}

/// The worst first: all that meet interference, up to `max`, and of the others as many as make `few` of them. How many are
/// left, too.
fn worst(counts: BTreeMap<u32, usize>, few: usize, max: usize) -> (Vec<u32>, usize) {
    let bad = counts.values().filter(|count| **count > 0).count();
    let mut all: Vec<(usize, u32)> = counts.into_iter().map(|(id, count)| (count, id)).collect();
    all.sort_by_key(|(count, id)| (std::cmp::Reverse(*count), *id));
    let shown = bad.max(few).min(max).min(all.len());
    let rest = all.len() - shown;
    all.truncate(shown);
    (all.into_iter().map(|(_, id)| id).collect(), rest)
}

/// What all drawings have in common.
struct Map<'s> {
    study: &'s Study,
    squares: BTreeMap<(u32, u32), Square>,
    networks: Vec<u32>,
    labels: Vec<String>,
}

impl Map<'_> {
    /// The drawing of these targets.
    fn part(&self, targets: &[u32]) -> String {
        // Squares as large as the room allows.
        let side = (740.0 / self.networks.len().max(1) as f64).clamp(17.0, 30.0);
        let row = if targets.len() > 20 { 17.0 } else { 21.0 };
        let longest = self.labels.iter().map(|label| label.chars().count().min(LABEL_LEN)).max();
        let slanted = longest.unwrap_or(0) as f64 * CHAR_WIDTH;
        let (sin, cos) = SLANT_DEGREES.to_radians().sin_cos();
        let top = 20.0 + slanted * sin;
        let width = (LEFT + side * self.networks.len() as f64 + slanted * cos + 10.0).max(700.0);
        let height = top + row * targets.len() as f64 + 4.0;
        let mut svg = format!(
            "<svg class=\"heat\" viewBox=\"0 0 {width:.0} {height:.0}\" style=\"max-width:{width:.0}px\" role=\"img\" aria-label=\"Targets by network\">{PATTERNS}"
        );
        for (i, label) in self.labels.iter().enumerate() {
            let x = LEFT + side * (i as f64 + 0.5) + 4.0;
            let _ = write!(
                svg,
                "<text transform=\"translate({x:.1} {:.1}) rotate(-{SLANT_DEGREES})\">{}<title>{}</title></text>",
                top - 6.0,
                escape(&fit(label, LABEL_LEN)),
                escape(label)
            );
        }
        for (j, target) in targets.iter().enumerate() {
            let y = top + row * j as f64;
            let name = self.study.rows.target(*target);
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}<title>{}</title></text>",
                LEFT - 8.0,
                y + row * 0.7,
                escape(&fit(name, LABEL_LEN)),
                escape(name)
            );
            for (i, (network, label)) in self.networks.iter().zip(&self.labels).enumerate() {
                let place = Place { x: LEFT + side * i as f64, y, width: side - 2.0, height: row - 2.0 };
                let square = self.squares.get(&(*target, *network));
                place.draw(square, &format!("{name}, {label}"), &mut svg);
            }
        }
        svg.push_str("</svg>");
        svg
    }
}

/// Where a square is.
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Place {
    fn draw(&self, square: Option<&Square>, of: &str, svg: &mut String) {
        let Self { x, y, width, height } = self;
        let at = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        let Some(square) = square else {
            let _ = write!(svg, "<rect class=\"unmeasured\" {at}/>");
            return;
        };
        let look = match square.state {
            _ if is_bad(square) => format!("class=\"bad\" fill=\"url(#{})\"", pattern(square.layer)),
            State::Ok => "class=\"fine\"".to_owned(),
            State::Down => "class=\"down\"".to_owned(),
            _ => "class=\"unsure\"".to_owned(),
        };
        let _ = write!(
            svg,
            "<rect {look} {at}><title>{}: {}{} ({} measurements)</title></rect>",
            escape(of),
            square.state,
            square.layer.map_or(String::new(), |layer| format!(" at {layer}")),
            square.measurements
        );
        let (cx, cy) = (x + width / 2.0, y + height / 2.0);
        if is_bad(square) {
            let radius = (height / 2.0 - 1.0).min(7.5);
            let _ = write!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius:.1}\" fill=\"#fff\"/>");
        }
        let _ = write!(
            svg,
            "<text class=\"glyph\" x=\"{cx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            cy + 4.0,
            glyph(square.state)
        );
    }
}

/// The layers that any square shows, for the legend.
pub(crate) fn layers(study: &Study) -> BTreeSet<Layer> {
    study.rows.rows.iter().filter(|row| row.interferes()).filter_map(|row| row.layer).collect()
}
