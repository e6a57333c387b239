//! Shares as areas: squarified, after Bruls, Huizing and van Wijk (2000).

use maud::{Markup, html};

use super::short;

/// Drawn in a box of this shape, and stretched to the page's.
const WIDTH: f64 = 100.0;
const HEIGHT: f64 = 42.0;
/// The picture's height in pixels.
const PIXELS: f64 = 420.0;

/// A share.
pub(crate) struct Tile {
    pub(crate) name: String,
    /// The second line.
    pub(crate) note: String,
    /// Everything, for who points at it.
    pub(crate) title: String,
    pub(crate) href: Option<String>,
    /// Its colour's class.
    pub(crate) class: String,
    pub(crate) value: f64,
}

#[derive(Clone, Copy, Debug)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Largest first: so they come.
pub(crate) fn treemap(tiles: &[Tile], label: &str) -> Markup {
    let areas = squarify(&tiles.iter().map(|tile| tile.value).collect::<Vec<_>>());
    html! {
        svg.treemap role="group" aria-label=(label) width="100%" height=(PIXELS) {
            @for (tile, area) in tiles.iter().zip(areas) {
                @let (x, width) = (format!("{}%", short2(area.x)), format!("{}%", short2(area.width)));
                @let (y, height) = (short(area.y / HEIGHT * PIXELS), short(area.height / HEIGHT * PIXELS));
                svg x=(x) y=(y) width=(width) height=(height) {
                    @let content = html! {
                        rect class={ "tile " (tile.class) } x="0" y="0" width="100%" height="100%" {}
                        @if area.width > 6.0 && area.height > 4.0 {
                            text.tile-name x="8" y="20" { (tile.name) }
                            @if area.height > 7.0 { text.tile-note x="8" y="38" { (tile.note) } }
                        }
                        title { (tile.title) }
                    };
                    @match &tile.href {
                        Some(href) => a href=(href) aria-label=(tile.title) { (content) },
                        None => g { (content) },
                    }
                }
            }
        }
    }
}

fn short2(number: f64) -> String {
    format!("{number:.3}")
}

/// Areas in proportion to the values, as near to squares as may be; nothing for what is not above 0.
fn squarify(values: &[f64]) -> Vec<Area> {
    let values: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0 && value.is_finite()).collect();
    let total: f64 = values.iter().sum();
    let mut left = Area { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
    let scale = WIDTH * HEIGHT / total.max(f64::MIN_POSITIVE);
    let sizes: Vec<f64> = values.iter().map(|value| value * scale).collect();
    let mut areas = Vec::with_capacity(sizes.len());
    let mut rest = sizes.as_slice();
    while !rest.is_empty() {
        let side = left.width.min(left.height).max(1e-9);
        let mut taken = 1;
        while taken < rest.len() && worst(rest.get(..taken + 1), side) <= worst(rest.get(..taken), side) {
            taken += 1;
        }
        let (row, after) = rest.split_at(taken);
        let thickness = row.iter().sum::<f64>() / side;
        let mut at = 0.0;
        for size in row {
            let length = size / thickness.max(1e-9);
            areas.push(if left.width >= left.height {
                Area { x: left.x, y: left.y + at, width: thickness, height: length }
            } else {
                Area { x: left.x + at, y: left.y, width: length, height: thickness }
            });
            at += length;
        }
        if left.width >= left.height {
            (left.x, left.width) = (left.x + thickness, (left.width - thickness).max(0.0));
        } else {
            (left.y, left.height) = (left.y + thickness, (left.height - thickness).max(0.0));
        }
        rest = after;
    }
    areas
}

/// The least square one of a row along a side.
fn worst(row: Option<&[f64]>, side: f64) -> f64 {
    let row = row.unwrap_or_default();
    let sum: f64 = row.iter().sum();
    let (most, least) =
        row.iter().fold((0.0f64, f64::MAX), |(most, least), size| (most.max(*size), least.min(*size)));
    (side * side * most / (sum * sum)).max(sum * sum / (side * side * least))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn areas_are_in_proportion_and_within(values in prop::collection::vec(1.0f64..1e12, 1..60)) {
            let mut values = values;
            values.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = values.iter().sum();
            let areas = squarify(&values);
            prop_assert_eq!(areas.len(), values.len());
            for (area, value) in areas.iter().zip(&values) {
                let share = area.width * area.height / (WIDTH * HEIGHT);
                prop_assert!((share - value / total).abs() < 1e-6);
                prop_assert!(area.x >= -1e-6 && area.x + area.width <= WIDTH + 1e-6);
                prop_assert!(area.y >= -1e-6 && area.y + area.height <= HEIGHT + 1e-6);
            }
        }
    }
}
