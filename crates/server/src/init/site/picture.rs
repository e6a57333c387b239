//! A picture for the head of a site, and its icon: SVG, drawn by chance in the site's colours.

use std::fmt::Write as _;

use rand::{Rng, RngExt as _};
use serde::Deserialize;

use super::style::Style;

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 360;

/// What a picture shows.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Picture {
    Blocks,
    Circles,
    Hills,
    Stars,
    Waves,
}

impl Picture {
    pub(super) fn draw(self, style: &Style, random: &mut impl Rng) -> String {
        let Style { hue, accent, .. } = *style;
        let (sky, shapes) = match self {
            Self::Blocks => (88, blocks(hue, accent, random)),
            Self::Circles => (92, circles(hue, accent, random)),
            Self::Hills => (90, hills(hue, accent, random)),
            Self::Stars => (12, stars(hue, random)),
            Self::Waves => (93, waves(hue, accent, random)),
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\">
<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"hsl({hue},40%,{sky}%)\"/>
{shapes}</svg>
"
        )
    }
}

/// A row of houses.
fn blocks(hue: u32, accent: u32, random: &mut impl Rng) -> String {
    let (mut svg, mut left) = (String::new(), 0);
    while left < WIDTH {
        let (width, height) = (random.random_range(50..130), random.random_range(90..260));
        let (top, light) = (HEIGHT - height, random.random_range(42..70));
        let (roof, left_half) = (random.random_range(15..50), width / 2);
        let right_half = width - left_half;
        line(
            &mut svg,
            format!(
                "<path d=\"M{left} {HEIGHT}v-{height}l{left_half} -{roof}l{right_half} {roof}V{HEIGHT}z\" fill=\"hsl({hue},28%,{light}%)\"/>"
            ),
        );
        for row in (top + 20..HEIGHT - 25).step_by(45) {
            for column in (left + 14..(left + width).saturating_sub(20)).step_by(30) {
                let light = if random.random_ratio(1, 6) { 75 } else { light - 15 };
                line(
                    &mut svg,
                    format!(
                        "<rect x=\"{column}\" y=\"{row}\" width=\"12\" height=\"18\" fill=\"hsl({accent},35%,{light}%)\"/>"
                    ),
                );
            }
        }
        left += width;
    }
    svg
}

/// Rings, as of wheels.
fn circles(hue: u32, accent: u32, random: &mut impl Rng) -> String {
    let mut svg = String::new();
    for at in 0..random.random_range(7..12_u32) {
        let (x, y) = (random.random_range(0..WIDTH), random.random_range(60..HEIGHT));
        let (radius, width) = (random.random_range(40..150), random.random_range(4..18));
        let (hue, light) = (if at % 3 == 0 { accent } else { hue }, random.random_range(45..75));
        line(
            &mut svg,
            format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"none\" stroke=\"hsl({hue},40%,{light}%)\" stroke-width=\"{width}\"/>"
            ),
        );
    }
    svg
}

/// Hills behind one another, and a sun.
fn hills(hue: u32, accent: u32, random: &mut impl Rng) -> String {
    let (x, y, radius) =
        (random.random_range(150..1050), random.random_range(60..140), random.random_range(30..60));
    let mut svg = format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"hsl({accent},70%,78%)\"/>\n");
    for layer in 0..4 {
        let base = 150 + 55 * layer;
        line(
            &mut svg,
            format!(
                "<path d=\"{}\" fill=\"hsl({hue},{}%,{}%)\"/>",
                curve(base, 45, random),
                30 + 4 * layer,
                70 - 12 * layer
            ),
        );
    }
    svg
}

/// A night sky over a dark edge.
fn stars(hue: u32, random: &mut impl Rng) -> String {
    let mut svg = String::new();
    for _ in 0..random.random_range(120..220) {
        let (x, y) = (random.random_range(0..WIDTH), random.random_range(0..HEIGHT));
        let (tenths, light) = (random.random_range(5..24), random.random_range(60..98));
        line(
            &mut svg,
            format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}.{}\" fill=\"hsl({hue},30%,{light}%)\"/>",
                tenths / 10,
                tenths % 10
            ),
        );
    }
    line(&mut svg, format!("<path d=\"{}\" fill=\"hsl({hue},30%,6%)\"/>", curve(290, 30, random)));
    svg
}

/// Lines that rise and fall.
fn waves(hue: u32, accent: u32, random: &mut impl Rng) -> String {
    let mut svg = String::new();
    for row in 0..random.random_range(6..10_u32) {
        let (hue, light) = (if row % 4 == 1 { accent } else { hue }, random.random_range(50..78));
        let path = curve(60 + row * 30, 40, random);
        line(
            &mut svg,
            format!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"hsl({hue},45%,{light}%)\" stroke-width=\"{}\"/>",
                random.random_range(2..7)
            ),
        );
    }
    svg
}

/// A smooth line from the left to the right around a height, closed below the picture.
fn curve(base: u32, swing: u32, random: &mut impl Rng) -> String {
    let mut height = || base.saturating_sub(swing) + random.random_range(0..=2 * swing);
    let mut path = format!("M-10 {}", height());
    for x in (150..=1350).step_by(150) {
        let _ = write!(path, " S{} {} {x} {}", x - 60, height(), height());
    }
    path + &format!(" V{} H-10z", HEIGHT + 10)
}

/// The site's icon.
pub(super) fn icon(style: &Style, random: &mut impl Rng) -> String {
    let Style { hue, accent, .. } = style;
    let (x, y, radius) =
        (random.random_range(20..44), random.random_range(20..44), random.random_range(10..20));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><rect width=\"64\" height=\"64\" rx=\"{}\" fill=\"hsl({hue},45%,40%)\"/><circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"hsl({accent},60%,80%)\"/></svg>\n",
        random.random_range(0..24)
    )
}

fn line(svg: &mut String, element: String) {
    svg.push_str(&element);
    svg.push('\n');
}
