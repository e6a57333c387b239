//! Amounts over time, one on another.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{COLOURS, marks, raw, short};
use crate::locale::Locale;
use crate::range::{Range, rfc3339};

const HEIGHT: f64 = 200.0;
const WIDTH: f64 = 1000.0;

/// Something over time.
pub(crate) struct Series {
    /// As people see it.
    pub(crate) name: String,
    /// The page about it.
    pub(crate) href: Option<String>,
    /// What is left of all others.
    pub(crate) is_rest: bool,
    /// One a step.
    pub(crate) values: Vec<f64>,
}

/// The class of a series' colour.
pub(crate) fn colour(index: usize, is_rest: bool) -> String {
    if is_rest || index >= COLOURS { "s-rest".to_owned() } else { format!("s{index}") }
}

/// A picture, its legend, and its table.
pub(crate) fn time_chart(
    locale: &Locale,
    range: &Range,
    series: &[Series],
    text: impl Fn(f64) -> String,
) -> (Markup, Markup, Markup) {
    let (first, last) = range.steps();
    let steps = usize::try_from(last - first + 1).unwrap_or(1);
    let step_ns = range.step_s() * 1_000_000_000;
    let sums: Vec<f64> =
        (0..steps).map(|i| series.iter().filter_map(|one| one.values.get(i)).sum::<f64>()).collect();
    let marks = marks(sums.iter().copied().fold(0.0, f64::max));
    let top = marks.last().copied().unwrap_or(1.0);
    let time_of = |i: usize| (first + i as i64).saturating_mul(step_ns);
    let picture = html! {
        svg.timechart role="img" aria-label=(locale.get("chart-see-table")) width="100%" height="240" {
            @for mark in &marks {
                @let y = short(10.0 + HEIGHT - mark / top * HEIGHT);
                line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
            }
            svg x="0" y="10" width="100%" height=(HEIGHT) viewBox=(format!("0 0 {WIDTH} {HEIGHT}"))
                preserveAspectRatio="none" data-area {
                @for (index, area) in areas(series, steps, top).into_iter().enumerate() {
                    @let is_rest = series.get(index).is_some_and(|one| one.is_rest);
                    path class={ "area " (colour(index, is_rest)) } d=(raw(area)) {}
                }
            }
            line.axis x1="0" x2="100%" y1="210" y2="210" {}
            @for mark in &marks {
                text.mark x="4" y=(short(6.0 + HEIGHT - mark / top * HEIGHT)) { (round(&text(*mark), locale)) }
            }
            @for quarter in 0..5usize {
                @let at = quarter * steps.saturating_sub(1) / 4;
                @let anchor = match quarter { 0 => "start", 4 => "end", _ => "middle" };
                @let class = if quarter % 2 == 1 { "tick wide" } else { "tick" };
                text class=(class) x={ (quarter * 25) "%" } y="230" text-anchor=(anchor) {
                    (locale.tick(time_of(at), range.seconds()))
                }
            }
        }
    };
    let legend = html! {
        @if series.len() > 1 {
            ul.legend {
                @for (index, one) in series.iter().enumerate() {
                    li {
                        span class={ "swatch " (colour(index, one.is_rest)) } {}
                        @match &one.href {
                            Some(href) => a href=(href) { bdi { (one.name) } },
                            None => bdi { (one.name) },
                        }
                    }
                }
            }
        }
    };
    let table = html! {
        table data-values {
            thead { tr {
                th scope="col" { (locale.get("column-time")) }
                @for one in series { th.number scope="col" { bdi { (one.name) } } }
            } }
            tbody {
                @for i in 0..steps {
                    tr {
                        th scope="row" { time datetime=(rfc3339(time_of(i))) { (locale.time(time_of(i))) } }
                        @for one in series { td.number { (text(one.values.get(i).copied().unwrap_or_default())) } }
                    }
                }
            }
        }
    };
    (picture, legend, table)
}

/// A mark's text: it is a round number, and needs no zero behind the point.
fn round(text: &str, locale: &Locale) -> String {
    text.replace(&format!("{}0\u{a0}", locale.get("number-point")), "\u{a0}")
}

/// The outline of each series, standing on those before it.
fn areas(series: &[Series], steps: usize, top: f64) -> Vec<String> {
    let mut below = vec![0.0; steps];
    let x = |i: usize| short(i as f64 / steps.saturating_sub(1).max(1) as f64 * WIDTH);
    let y = |value: f64| short(HEIGHT - value / top * HEIGHT);
    let area = |one: &Series| {
        let above: Vec<f64> = below
            .iter()
            .enumerate()
            .map(|(i, base)| base + one.values.get(i).copied().unwrap_or_default())
            .collect();
        let mut path = String::new();
        for (i, value) in above.iter().enumerate() {
            let _ = write!(path, "{}{} {}", if i == 0 { "M" } else { "L" }, x(i), y(*value));
        }
        for (i, value) in below.iter().enumerate().rev() {
            let _ = write!(path, "L{} {}", x(i), y(*value));
        }
        path.push('Z');
        below = above;
        path
    };
    series.iter().map(area).collect()
}
