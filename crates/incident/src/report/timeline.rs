//! One axis of time: incidents, networks, how much was measured, and the series of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use daylight_verdict::record::{Layer, State};

use super::draw::{Axis, PATTERNS, WIDTH, escape, fit, pattern};
use crate::study::Study;
use crate::when;

const LEFT: f64 = 232.0;
const BUCKETS: usize = 128;
/// So many networks and series are drawn; the rest is in the tables.
const NETWORKS_MAX: usize = 14;
const INCIDENTS_MAX: usize = 12;
const SERIES_MAX: usize = 8;

#[derive(Default, Clone)]
struct Bucket {
    good: u32,
    by_layer: BTreeMap<Option<Layer>, u32>,
}

/// The timeline; empty if there is nothing to draw.
pub(crate) fn draw(study: &Study) -> String {
    if study.rows.rows.is_empty() && study.series.is_empty() {
        return String::new();
    }
    let axis = Axis::new(study.period, LEFT, WIDTH - 8.0);
    let mut body = String::new();
    let mut y = 30.0;
    incidents(&mut body, study, &axis, &mut y);
    let bottom_of_incidents = y;
    networks(&mut body, study, &axis, &mut y);
    volume(&mut body, study, &axis, &mut y);
    series(&mut body, study, &axis, &mut y);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Timeline of incidents, networks, measurements and series\">{PATTERNS}",
        y + 6.0
    );
    axis.draw(&mut svg, 20.0, y);
    // Where incidents begin, through everything below them.
    for incident in study.incidents.iter().take(INCIDENTS_MAX) {
        let x = axis.x(incident.onset.best);
        let _ = write!(svg, "<path class=\"onset\" d=\"M{x:.1} {bottom_of_incidents:.1}V{y:.1}\"/>");
    }
    svg.push_str(&body);
    svg.push_str("</svg>");
    svg
}

fn group(svg: &mut String, y: &mut f64, title: &str) {
    *y += 12.0;
    let _ = write!(svg, "<text class=\"group\" x=\"0\" y=\"{:.1}\">{}</text>", *y + 10.0, escape(title));
    *y += 18.0;
}

fn label(svg: &mut String, y: f64, text: &str) {
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"{y:.1}\">{}<title>{}</title></text>",
        escape(&fit(text, 36)),
        escape(text)
    );
}

fn incidents(svg: &mut String, study: &Study, axis: &Axis, y: &mut f64) {
    if study.incidents.is_empty() {
        return;
    }
    group(svg, y, "Incidents");
    for (i, incident) in study.incidents.iter().take(INCIDENTS_MAX).enumerate() {
        label(svg, *y + 11.0, &format!("{}. {}", i + 1, super::words::heading(study, incident)));
        let (from, to) = (axis.x(incident.onset.best), axis.x(incident.end.known_until(study.period.1)));
        let open = !matches!(incident.end, crate::detect::End::At(_));
        let low = axis.x(incident.onset.earliest.unwrap_or(study.period.0));
        let high = axis.x(incident.onset.latest);
        let middle = *y + 7.0;
        let _ = write!(
            svg,
            "<rect class=\"incident\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" rx=\"2\"><title>{}</title></rect>",
            *y + 1.0,
            (to - from).max(2.0),
            escape(&super::words::lead(study, incident))
        );
        if open {
            let _ =
                write!(svg, "<path class=\"incident\" d=\"M{:.1} {:.1}l7 6l-7 6z\"/>", to - 2.0, *y + 1.0);
        }
        if high - low > 3.0 {
            let _ = write!(
                svg,
                "<path class=\"whisker\" d=\"M{low:.1} {:.1}v8M{low:.1} {middle:.1}H{high:.1}M{high:.1} {:.1}v8\"/>",
                middle - 4.0,
                middle - 4.0
            );
        }
        *y += 20.0;
    }
    if study.incidents.len() > INCIDENTS_MAX {
        let more = study.incidents.len() - INCIDENTS_MAX;
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"0\" y=\"{:.1}\">and {more} more, in the tables below</text>",
            *y + 10.0
        );
        *y += 18.0;
    }
}

fn networks(svg: &mut String, study: &Study, axis: &Axis, y: &mut f64) {
    // Those of incidents first, then the most measured.
    let mut order: Vec<u32> = Vec::new();
    let mut known: BTreeSet<u32> = BTreeSet::new();
    for part in study.incidents.iter().flat_map(|incident| &incident.networks) {
        if known.insert(part.network) {
            order.push(part.network);
        }
    }
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for row in &study.rows.rows {
        *counts.entry(row.network).or_default() += 1;
    }
    let mut rest: Vec<(usize, u32)> =
        counts.iter().filter(|(n, _)| !known.contains(n)).map(|(n, count)| (*count, *n)).collect();
    rest.sort_by_key(|(count, network)| (std::cmp::Reverse(*count), *network));
    order.extend(rest.iter().map(|(_, network)| *network));
    let total = order.len();
    order.truncate(NETWORKS_MAX);
    if order.is_empty() {
        return;
    }
    let mut buckets: BTreeMap<u32, Vec<Bucket>> =
        order.iter().map(|n| (*n, vec![Bucket::default(); BUCKETS])).collect();
    for row in &study.rows.rows {
        let at = axis.bucket_of(i64::from(row.time), BUCKETS);
        let Some(bucket) = buckets.get_mut(&row.network).and_then(|all| all.get_mut(at)) else { continue };
        if row.interferes() {
            *bucket.by_layer.entry(row.layer).or_default() += 1;
        } else if row.state == State::Ok {
            bucket.good += 1;
        }
    }
    group(svg, y, "Share of measurements that met interference, by network and layer");
    const HEIGHT: f64 = 26.0;
    for network in &order {
        label(svg, *y + 17.0, &study.rows.network_label(*network));
        let base = *y + HEIGHT;
        for (i, bucket) in buckets.get(network).into_iter().flatten().enumerate() {
            let bad: u32 = bucket.by_layer.values().sum();
            if bad + bucket.good == 0 {
                continue;
            }
            let (from, to) = axis.bucket(i, BUCKETS);
            let (left, right) = (axis.x(from), axis.x(to));
            let width = (right - left).max(0.8);
            let _ = write!(
                svg,
                "<rect class=\"measured\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\"/>",
                *y
            );
            let mut top = base;
            for (layer, count) in &bucket.by_layer {
                let height = HEIGHT * f64::from(*count) / f64::from(bad + bucket.good);
                top -= height;
                let _ = write!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"url(#{})\"><title>{}: {} of {} at {}</title></rect>",
                    pattern(*layer),
                    when::short(from),
                    count,
                    bad + bucket.good,
                    layer.map_or("an unknown layer", Layer::as_str)
                );
            }
        }
        *y += HEIGHT + 6.0;
    }
    if total > order.len() {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"0\" y=\"{:.1}\">and {} more networks, in the tables below</text>",
            *y + 10.0,
            total - order.len()
        );
        *y += 16.0;
    }
}

fn volume(svg: &mut String, study: &Study, axis: &Axis, y: &mut f64) {
    if study.rows.rows.is_empty() {
        return;
    }
    let mut counts = vec![0_u32; BUCKETS];
    for row in &study.rows.rows {
        if let Some(count) = counts.get_mut(axis.bucket_of(i64::from(row.time), BUCKETS)) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    const HEIGHT: f64 = 34.0;
    group(svg, y, "How much was measured");
    label(svg, *y + 20.0, "measurements");
    let (from, to) = axis.bucket(0, BUCKETS);
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"0\" y=\"{:.1}\">at most {} in {}</text>",
        *y + 34.0,
        super::words::thousands(u64::from(most)),
        when::span(to - from)
    );
    for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = axis.bucket(i, BUCKETS);
        let height = (HEIGHT * f64::from(*count) / f64::from(most)).max(0.8);
        let _ = write!(
            svg,
            "<rect class=\"volume\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}: {count}</title></rect>",
            axis.x(from),
            *y + HEIGHT - height,
            (axis.x(to) - axis.x(from) - 0.5).max(0.6),
            when::short(from)
        );
    }
    *y += HEIGHT + 6.0;
}

fn series(svg: &mut String, study: &Study, axis: &Axis, y: &mut f64) {
    if study.series.is_empty() {
        return;
    }
    // Those in which something changed first.
    let changed: BTreeSet<usize> = study.series_changes.iter().map(|change| change.series).collect();
    let mut order: Vec<usize> = (0..study.series.len()).collect();
    order.sort_by_key(|i| (!changed.contains(i), *i));
    let total = order.len();
    order.truncate(SERIES_MAX);
    group(svg, y, "Series of others");
    const HEIGHT: f64 = 42.0;
    for i in order {
        let Some(one) = study.series.get(i) else { continue };
        let of = one.entity.as_ref().map_or(String::new(), |entity| format!(", {entity}"));
        label(svg, *y + 16.0, &format!("{}{of}", one.name));
        let values = one.points.iter().map(|(_, value)| *value);
        let high = values.clone().fold(f64::MIN, f64::max);
        let low = values.fold(0.0, f64::min);
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"0\" y=\"{:.1}\">{}, 0 to {}</text>",
            *y + 30.0,
            one.signal.as_str(),
            number(high)
        );
        let place = |value: f64| *y + HEIGHT - HEIGHT * ((value - low) / (high - low).max(f64::MIN_POSITIVE));
        // A long series is thinned to what a drawing can show: the least and the most of each place.
        let mut path = String::new();
        let mut last: Option<i64> = None;
        let buckets = (one.points.len() / 1500).max(1);
        for chunk in one.points.chunks(buckets) {
            let extremes = [
                chunk.iter().min_by(|a, b| a.1.total_cmp(&b.1)),
                chunk.iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| chunk.len() > 1),
            ];
            let mut extremes: Vec<&(i64, f64)> = extremes.into_iter().flatten().collect();
            extremes.sort_by_key(|(at, _)| *at);
            for (at, value) in extremes {
                // A gap in the series is a gap in the line.
                let gap = last.is_none_or(|last| at - last > (buckets as i64 + 1) * one.step_s);
                let letter = if gap { 'M' } else { 'L' };
                let _ = write!(path, "{letter}{:.1} {:.1}", axis.x(*at + one.step_s / 2), place(*value));
                last = Some(*at);
            }
        }
        let _ = write!(
            svg,
            "<path class=\"zero\" d=\"M{LEFT} {:.1}H{:.1}\"/><path class=\"line\" d=\"{path}\"/>",
            *y + HEIGHT,
            WIDTH - 8.0
        );
        for change in study.series_changes.iter().filter(|change| change.series == i) {
            let (from, to) = (axis.x(change.onset.best), axis.x(change.end.known_until(study.period.1)));
            let _ = write!(
                svg,
                "<rect class=\"changed\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>changed {}</title></rect>",
                *y - 2.0,
                (to - from).max(1.5),
                HEIGHT + 2.0,
                escape(&super::words::began(&change.onset))
            );
        }
        *y += HEIGHT + 14.0;
    }
    if total > SERIES_MAX {
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"0\" y=\"{:.1}\">and {} more series, in the tables below</text>",
            *y + 6.0,
            total - SERIES_MAX
        );
        *y += 12.0;
    }
}

/// A value with as many digits as say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.1} million", value / 1e6),
        v if v >= 1000.0 => super::words::thousands(v.round() as u64),
        v if v >= 10.0 || v == 0.0 || v.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}
