//! All names of one kind with all their amounts.

use super::app::App;
use super::canvas::Canvas;
use super::graph::bar;
use super::table::{SHARE, VALUE, name, value};
use crate::board::Measure;
use crate::text::right;
use crate::units::{bytes, percent, short};

pub(crate) fn draw(app: &mut App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let width = canvas.width();
    let mut x = 1;
    for kind in App::KINDS {
        let style = if kind == app.kind { theme.chosen() } else { theme.plain() };
        x = canvas.put(x, 0, &format!(" {} ", kind.name()), style);
    }
    let tops = &app.snapshot.tops;
    let top = tops.of(app.kind);
    canvas.put_right(1, &format!("last {}, by {} ", app.window.name(), app.by.name()), theme.faint());

    let bar_width = if width >= 110 { width / 5 } else { 0 };
    let numbers = VALUE + 10 + 9 + 9 + SHARE;
    let names = width - 4 - numbers - if bar_width > 0 { bar_width + 2 } else { 0 };
    let heading = [
        (if app.by == Measure::Packets { "packets" } else { "bit rate" }, VALUE),
        ("bytes", 10),
        ("packets", 9),
        ("flows", 9),
        ("share", SHARE),
    ];
    canvas.put(2, 2, app.kind.column(), theme.strong());
    let mut x = names + 2;
    for (text, columns) in heading {
        x = canvas.put(x, 2, &right(text, columns), theme.strong());
    }

    let visible = canvas.height().saturating_sub(4);
    let first = app.traffic.show(visible, top.rows.len());
    let whole = top.total.of(top.by);
    let rate_by = if app.by == Measure::Packets { Measure::Packets } else { Measure::Bytes };
    for (i, row) in top.rows.iter().enumerate().skip(first).take(visible) {
        let y = i - first + 3;
        let amount = row.amount;
        let is_chosen = i == app.traffic.chosen;
        canvas.put(0, y, if is_chosen { "›" } else { " " }, theme.strong());
        canvas.put(2, y, &name(app.kind, &row.name, names - 1), theme.plain());
        let cells = [
            (value(amount, rate_by, tops.covered_s), VALUE),
            (bytes(amount.bytes), 10),
            (short(amount.packets), 9),
            (short(amount.flows), 9),
            (percent(amount.of(top.by), whole), SHARE),
        ];
        let mut x = names + 2;
        for (text, columns) in cells {
            x = canvas.put(x, y, &right(&text, columns), theme.plain());
        }
        canvas.put(x + 2, y, &bar(amount.of(top.by), whole, bar_width), theme.bar());
        if is_chosen {
            canvas.restyle(y, theme.chosen());
        }
    }
    let y = canvas.height() - 1;
    let note = match (top.rows.len(), top.error) {
        (0, _) => "nothing yet".into(),
        (rows, 0) => format!("{rows} names"),
        // What a scan does to a table of fixed size.
        (rows, error) => {
            let error = value_of(error, top.by);
            format!("{rows} of very many names; each may have up to {error} more than is shown")
        }
    };
    canvas.put(2, y, &note, theme.faint());
}

fn value_of(number: u64, by: Measure) -> String {
    if by == Measure::Bytes { bytes(number) } else { format!("{} {}", short(number), by.name()) }
}
