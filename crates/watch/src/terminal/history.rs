//! The last quarter of an hour by the second, or the last day by the minute.

use super::app::App;
use super::canvas::Canvas;
use super::graph::{columns, condensed, nice};
use crate::board::{MINUTES_MAX, SECONDS_MAX, Sample};
use crate::units::{bits_per_s, short};

/// What of a sample is shown.
type Value<'a> = &'a dyn Fn(&Sample) -> u64;

pub(crate) fn draw(app: &App, canvas: &mut Canvas<'_>) {
    let snapshot = &app.snapshot;
    let (samples, step_s, since_start, max) = if app.is_day {
        (&snapshot.minutes, 60, snapshot.running_s / 60, MINUTES_MAX)
    } else {
        (&snapshot.seconds, 1, snapshot.running_s, SECONDS_MAX)
    };
    let (width, height) = (canvas.width() - 2, canvas.height());
    let each = height / 4;
    let series: [(&str, Value<'_>); 4] = [
        ("Throughput", &|sample| sample.bytes.saturating_mul(8) / step_s),
        ("Packets", &|sample| sample.packets / step_s),
        ("New flows", &|sample| sample.flows_begun / step_s),
        ("Dropped packets", &|sample| sample.dropped),
    ];
    for (i, (title, value)) in series.into_iter().enumerate() {
        let mut part = canvas.part(1, i * each, width, each);
        let theme = part.theme;
        let values: Vec<u64> = samples.iter().map(value).collect();
        // Drops are shown as they are: the mean of one in a quarter of an hour would be nothing.
        let is_drops = i == 3;
        let peak = values.iter().copied().max().unwrap_or(0);
        let now = values.last().copied().unwrap_or(0);
        let (values, group) = condensed(&values, since_start, width, is_drops);
        let top = values.iter().copied().max().unwrap_or(0);
        let scale = nice(top.max(if i == 0 { 1000 } else { 1 }));
        let text = |number| match i {
            0 => bits_per_s(number),
            1 | 2 => format!("{}/s", short(number)),
            _ => short(number),
        };
        let x = part.put(0, 0, title, theme.strong());
        let style = if is_drops && peak > 0 { theme.bad() } else { theme.faint() };
        part.put(x + 2, 0, &format!("now {}, peak {}", text(now), text(peak)), style);
        part.put_right(0, &format!("full height {}", text(scale)), theme.faint());
        let style = if is_drops { theme.bad() } else { theme.bar() };
        for (y, row) in columns(&values, scale, width, each.saturating_sub(2)).into_iter().enumerate() {
            part.put(0, y + 1, &row, style);
        }
        if i == 3 {
            let time = |count: usize| match (count as u64).saturating_mul(step_s) {
                s @ ..120 => format!("{s} s"),
                s @ 120..7200 => format!("{} min", s / 60),
                s => format!("{} h", s / 3600),
            };
            let note = format!("{} ago to now, {} a column", time((width * group).min(max)), time(group));
            part.put(0, each.saturating_sub(1), &note, theme.faint());
        }
    }
}
