//! Pictures, drawn by the server as SVG: they are there without scripts, sharp on every screen, and read out as a table.
//!
//! Widths are percentages, so that a picture fits a telephone and letters keep their size. Colours are classes: a page has no
//! style in it.

mod time;
mod treemap;

use maud::{Markup, PreEscaped, html};

pub(crate) use time::{Series, colour, time_chart};
pub(crate) use treemap::{Tile, treemap};

/// Colours that can be told apart, by those too who see few; what comes after them is "other".
pub(crate) const COLOURS: usize = 6;

/// A number for an attribute.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A line in a row of a table.
pub(crate) fn sparkline(values: &[f64]) -> Markup {
    let most = values.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 || values.len() < 2 {
        return html! {};
    }
    let last = (values.len() - 1) as f64;
    let mut line = String::new();
    for (i, value) in values.iter().enumerate() {
        let (x, y) = (i as f64 / last * 96.0, 22.0 - value / most * 20.0);
        line.push_str(&format!("{}{} {}", if i == 0 { "M" } else { "L" }, short(x), short(y)));
    }
    let area = format!("{line}L96 24L0 24Z");
    html! {
        svg.spark viewBox="0 0 96 24" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            path.spark-area d=(area) {}
            path.spark-line d=(line) {}
        }
    }
}

/// A bar behind a number: how much of the largest.
pub(crate) fn bar(share: f64) -> Markup {
    let width = format!("{}%", short((share * 100.0).clamp(0.0, 100.0)));
    html! {
        svg.bar aria-hidden="true" focusable="false" { rect x="0" y="0" width=(width) height="100%" rx="2" {} }
    }
}

/// Round marks up to at least this much: 1, 2 or 5 of a power of ten.
fn marks(most: f64) -> Vec<f64> {
    if most <= 0.0 || !most.is_finite() {
        return Vec::new();
    }
    let rough = most / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(most);
    let count = (most / step).ceil() as u32;
    (1..=count.min(10)).map(|i| step * f64::from(i)).collect()
}

/// A picture with its title and what can be done with it. `table` stands for it where nothing is seen.
pub(crate) fn figure(
    title: &str,
    id: &str,
    picture: &Markup,
    legend: &Markup,
    table: &Markup,
    actions: &[(&str, &str)],
    words: [&str; 2],
) -> Markup {
    html! {
        figure.card.chart id=(id) data-chart data-title=(title) {
            figcaption {
                h2 { (title) }
                div.actions {
                    @for (label, href) in actions { a.button.small href=(href) download { (label) } }
                    button.small type="button" data-png hidden { (words[0]) }
                }
            }
            div.plot data-plot { (picture) }
            (legend)
            details.data { summary { (words[1]) } div.scroll tabindex="0" role="region" aria-label=(title) { (table) } }
        }
    }
}

/// Markup that this crate has put together itself from numbers.
fn raw(text: String) -> PreEscaped<String> {
    PreEscaped(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        assert_eq!(marks(7.0), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(marks(1000.0), [500.0, 1000.0]);
        assert!(marks(0.0).is_empty() && marks(f64::NAN).is_empty());
        for most in [0.001, 3.3, 99.0, 1e18] {
            let marks = marks(most);
            assert!(marks.last().is_some_and(|last| *last >= most) && marks.len() <= 6, "{most}: {marks:?}");
        }
    }
}
