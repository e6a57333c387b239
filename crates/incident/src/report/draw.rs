//! What all drawings share: colours, patterns, axes.
//!
//! Colours are Okabe and Ito's (2008), which the colour-blind tell apart; and none stands alone: layers also differ in
//! their pattern, states in their glyph.

use std::fmt::Write as _;

use daylight_verdict::record::{Layer, State};

use crate::when::{self, DAY_S, HOUR_S};

/// How wide drawings are, in their own units.
pub(crate) const WIDTH: f64 = 1000.0;

/// The patterns of layers, to be put into a drawing once.
pub(crate) const PATTERNS: &str = concat!(
    "<defs>",
    "<pattern id=\"dns\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#0072B2\"/><rect width=\"2\" height=\"6\" fill=\"#fff\" fill-opacity=\".55\"/></pattern>",
    "<pattern id=\"tcp\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect width=\"6\" height=\"6\" fill=\"#454b55\"/><circle cx=\"3\" cy=\"3\" r=\"1.3\" fill=\"#fff\" fill-opacity=\".75\"/></pattern>",
    "<pattern id=\"tls\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect width=\"6\" height=\"6\" fill=\"#D55E00\"/></pattern>",
    "<pattern id=\"http\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\"><rect width=\"5\" height=\"5\" fill=\"#E69F00\"/><rect width=\"5\" height=\"1.6\" fill=\"#fff\" fill-opacity=\".65\"/></pattern>",
    "<pattern id=\"quic\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect width=\"6\" height=\"6\" fill=\"#CC79A7\"/><path d=\"M0 0L6 6M6 0L0 6\" stroke=\"#fff\" stroke-opacity=\".6\"/></pattern>",
    "<pattern id=\"none\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\"><rect width=\"4\" height=\"4\" fill=\"#777\"/></pattern>",
    "</defs>"
);

/// The pattern of a layer.
pub(crate) fn pattern(layer: Option<Layer>) -> &'static str {
    layer.map_or("none", Layer::as_str)
}

/// A state's glyph.
pub(crate) fn glyph(state: State) -> &'static str {
    match state {
        State::Ok => "·",
        State::Blocked => "✕",
        State::LikelyBlocked => "?",
        State::Impaired => "~",
        State::Down => "↓",
        State::Insufficient => "–",
    }
}

/// Text that is safe in SVG.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// Text that fits: cut in the middle, as names differ at both ends.
pub(crate) fn fit(text: &str, chars_max: usize) -> String {
    let count = text.chars().count();
    if count <= chars_max {
        return text.to_owned();
    }
    let head = chars_max * 2 / 3;
    let tail = chars_max.saturating_sub(head + 1);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

/// Times along a drawing.
pub(crate) struct Axis {
    from: i64,
    until: i64,
    left: f64,
    right: f64,
}

impl Axis {
    pub(crate) fn new(period: (i64, i64), left: f64, right: f64) -> Self {
        Self { from: period.0, until: period.1.max(period.0 + 60), left, right }
    }

    /// Where a time lies; times outside lie at the ends.
    pub(crate) fn x(&self, at: i64) -> f64 {
        let share = (at - self.from) as f64 / (self.until - self.from) as f64;
        self.left + (self.right - self.left) * share.clamp(0.0, 1.0)
    }

    /// Lines at round times from `top` to `bottom`, with their labels above.
    pub(crate) fn draw(&self, svg: &mut String, top: f64, bottom: f64) {
        let span = self.until - self.from;
        let steps = [
            HOUR_S,
            3 * HOUR_S,
            6 * HOUR_S,
            12 * HOUR_S,
            DAY_S,
            2 * DAY_S,
            7 * DAY_S,
            14 * DAY_S,
            30 * DAY_S,
            91 * DAY_S,
            365 * DAY_S,
        ];
        let step = steps.into_iter().find(|step| span / step <= 9).unwrap_or(span / 9 + 1);
        let label = |at: i64| match step {
            step if step < DAY_S => when::format(at, "%-d %b %H:%M"),
            step if step < 91 * DAY_S => when::format(at, "%-d %b"),
            _ => when::format(at, "%b %Y"),
        };
        let mut at = self.from.div_euclid(step) * step;
        if at < self.from {
            at += step;
        }
        while at <= self.until {
            let x = self.x(at);
            let anchor = if x > self.right - 30.0 { "end" } else { "middle" };
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                top - 6.0,
                label(at)
            );
            at += step;
        }
    }

    /// The times between which a place of `buckets` lies.
    pub(crate) fn bucket(&self, i: usize, buckets: usize) -> (i64, i64) {
        let span = self.until - self.from;
        let at = |i: usize| self.from + span * i as i64 / buckets as i64;
        (at(i), at(i + 1))
    }

    /// Which of `buckets` a time lies in.
    pub(crate) fn bucket_of(&self, at: i64, buckets: usize) -> usize {
        let span = self.until - self.from;
        let i = (at - self.from).clamp(0, span - 1) as i128 * buckets as i128 / i128::from(span);
        i as usize
    }
}
