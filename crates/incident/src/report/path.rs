//! Where on the path it is done: the hops from a probe to its targets, with the one that interferes.

use std::fmt::Write as _;

use daylight_verdict::record::{Place, Position};

use super::draw::{WIDTH, escape, fit};
use super::words;
use crate::incident::Incident;
use crate::study::Study;

const LEFT: f64 = 232.0;
const LANE: f64 = 74.0;

/// The paths of an incident's networks; empty if none was located.
pub(crate) fn draw(study: &Study, incident: &Incident) -> String {
    let places = words::places(study, incident);
    if places.is_empty() {
        return String::new();
    }
    let most = places.iter().map(|(_, place, _)| hops(place)).max().unwrap_or(2);
    let step = (WIDTH - LEFT - 110.0) / f64::from(most);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Where on the path it is done\">",
        LANE * places.len() as f64 + 8.0
    );
    for (i, (network, place, count)) in places.iter().enumerate() {
        lane(&mut svg, study, LANE * i as f64 + 40.0, step, *network, place, *count);
    }
    svg.push_str("</svg>");
    svg
}

/// How many hops a lane has: to the target, or as far as is known.
fn hops(place: &Place) -> u8 {
    place.of_hops.unwrap_or_else(|| place.hop.saturating_add(2)).max(place.hop).max(1)
}

fn lane(svg: &mut String, study: &Study, y: f64, step: f64, network: u32, place: &Place, count: usize) {
    let last = hops(place);
    let x = |hop: u8| LEFT + step * f64::from(hop);
    let label = study.rows.network_label(network);
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"{:.1}\">{}<title>{}</title></text><text class=\"tick\" x=\"0\" y=\"{:.1}\">{}</text>",
        y,
        escape(&fit(&label, 34)),
        escape(&label),
        y + 15.0,
        words::count(count, "measurement")
    );
    let end = if place.of_hops.is_some() { "" } else { " dashed" };
    let _ = write!(
        svg,
        "<path class=\"wire\" d=\"M{:.1} {y:.1}H{:.1}\"/><path class=\"wire{end}\" d=\"M{:.1} {y:.1}H{:.1}\"/>",
        x(0),
        x(place.hop),
        x(place.hop),
        x(last)
    );
    let _ = write!(
        svg,
        "<rect class=\"end\" x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">probe</text>",
        x(0) - 6.0,
        y - 6.0,
        x(0),
        y + 21.0
    );
    for hop in 1..last {
        if hop != place.hop {
            let _ = write!(svg, "<circle class=\"hop\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>", x(hop));
        }
    }
    let _ = write!(
        svg,
        "<rect class=\"end\" x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">target</text>",
        x(last) - 6.0,
        y - 6.0,
        x(last),
        y + 21.0
    );
    let at = x(place.hop);
    match place.position {
        // Beside the path: drawn beside it.
        Position::OnPath => {
            let _ = write!(
                svg,
                "<circle class=\"hop\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"3.5\"/><path class=\"tap\" d=\"M{at:.1} {y:.1}V{:.1}\"/><path class=\"box\" d=\"M{at:.1} {:.1}l9 9l-9 9l-9 -9z\"/>",
                y - 14.0,
                y - 30.0
            );
        }
        _ => {
            let _ = write!(svg, "<path class=\"box\" d=\"M{at:.1} {:.1}l10 10l-10 10l-10 -10z\"/>", y - 10.0);
        }
    }
    let of = place.of_hops.map_or(String::new(), |of| format!(" of {of}"));
    let address = place.address.as_ref().map_or(String::new(), |address| format!(", {address}"));
    // Beside the middle, so that it stays within the drawing.
    let (anchor, shift) = if at > WIDTH * 0.6 { ("end", -16.0) } else { ("start", 16.0) };
    let _ = write!(
        svg,
        "<text class=\"where\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">hop {}{of}{}: {}</text>",
        at + shift,
        y - 16.0,
        place.hop,
        escape(&address),
        words::position(place.position)
    );
}
