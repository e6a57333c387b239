//! What goes on now: throughput, and the largest of everything.

use super::app::App;
use super::canvas::Canvas;
use super::graph::{columns, nice};
use super::table;
use crate::board::{Kind, Sample};
use crate::units::bits_per_s;

const KINDS: [Kind; 6] =
    [Kind::Protocols, Kind::Applications, Kind::Hosts, Kind::Risks, Kind::Talkers, Kind::Servers];

pub(crate) fn draw(app: &App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let (width, height) = (canvas.width(), canvas.height());
    let snapshot = &app.snapshot;
    let graph_height = (height / 6).clamp(3, 8);
    throughput(&snapshot.seconds, &mut canvas.part(1, 0, width - 2, graph_height + 1));

    let tops = &snapshot.tops;
    let y = graph_height + 2;
    // What a window covers so far, where that is less than it will.
    let covered = if tops.covered_s + 5 < app.window.seconds() {
        format!("last {} s of {}", tops.covered_s, app.window.name())
    } else {
        format!("last {}", app.window.name())
    };
    canvas.put_right(y - 1, &format!("{covered}, by {} ", app.by.name()), theme.faint());

    let across = if width >= 114 { 3 } else { 2 };
    let (gap, down) = (2, KINDS.len() / across);
    let table_width = (width - 2 - gap * (across - 1)) / across;
    let table_height = (height - y) / down;
    for (i, kind) in KINDS.into_iter().enumerate() {
        let (x, y) = (1 + i % across * (table_width + gap), y + i / across * table_height);
        // A blank line between tables that stand on each other, where there is room for one.
        let blank = usize::from(table_height > 5 && i / across + 1 < down);
        let mut part = canvas.part(x, y, table_width, table_height - blank);
        table::small(&mut part, kind, tops.of(kind), tops.covered_s);
    }
}

/// Bits a second, a column each second, with the seconds in which packets were dropped marked.
fn throughput(seconds: &[Sample], canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let (width, height) = (canvas.width(), canvas.height() - 1);
    let seconds = &seconds[seconds.len().saturating_sub(width)..];
    let bits: Vec<u64> = seconds.iter().map(|second| second.bytes.saturating_mul(8)).collect();
    let peak = bits.iter().copied().max().unwrap_or(0);
    let scale = nice(peak.max(1000));
    let x = canvas.put(0, 0, "Throughput", theme.strong());
    canvas.put(x + 2, 0, &format!("last {width} s, peak {}", bits_per_s(peak)), theme.faint());
    canvas.put_right(0, &format!("full height {}", bits_per_s(scale)), theme.faint());
    for (y, row) in columns(&bits, scale, width, height).into_iter().enumerate() {
        canvas.put(0, y + 1, &row, theme.bar());
    }
    let blank = width - seconds.len();
    let dropped = seconds.iter().enumerate().filter(|(_, second)| second.dropped > 0);
    for (i, _) in dropped {
        canvas.put(blank + i, 1, "!", theme.bad());
    }
}
