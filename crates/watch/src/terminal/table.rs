//! Tables of names with their amounts, as several views have them.

use super::canvas::Canvas;
use super::theme::sign;
use crate::board::{Amount, Kind, Measure, Top};
use crate::text::{fit_host, left, right};
use crate::units::{bits_per_s, percent, short};

/// Columns of a value with its unit: `999 Mbit/s`.
pub(crate) const VALUE: usize = 11;
/// Columns of a share: `100 %`.
pub(crate) const SHARE: usize = 6;

/// An amount of a window, as people think of it: so much a second, but of flows how many there were.
pub(crate) fn value(amount: Amount, by: Measure, covered_s: u32) -> String {
    let seconds = u64::from(covered_s.max(1));
    match by {
        Measure::Bytes => bits_per_s(amount.bytes.saturating_mul(8) / seconds),
        Measure::Packets => format!("{} pkt/s", short(amount.packets / seconds)),
        Measure::Flows if amount.flows == 1 => "1 flow".into(),
        Measure::Flows => format!("{} flows", short(amount.flows)),
    }
}

/// A name in a column: of one that doesn't fit, a host name keeps its end, everything else its beginning.
pub(crate) fn name(kind: Kind, text: &str, columns: usize) -> String {
    if kind == Kind::Hosts { left(&fit_host(text, columns), columns) } else { left(text, columns) }
}

/// A small table: a heading, and rows as there is room.
pub(crate) fn small(canvas: &mut Canvas<'_>, kind: Kind, top: &Top, covered_s: u32) {
    let theme = canvas.theme;
    let title = match kind {
        Kind::Protocols => "Protocols",
        Kind::Applications => "Applications",
        Kind::Categories => "Categories",
        Kind::Hosts => "Hosts",
        Kind::Talkers => "Talkers",
        Kind::Servers => "Servers",
        Kind::Risks => "Risks",
    };
    let names = canvas.width().saturating_sub(VALUE + SHARE);
    canvas.put(0, 0, title, theme.strong());
    if top.rows.is_empty() {
        canvas.put(0, 1, if kind == Kind::Risks { "none found" } else { "–" }, theme.faint());
    }
    let whole = top.total.of(top.by);
    for (i, row) in top.rows.iter().take(canvas.height().saturating_sub(1)).enumerate() {
        let y = i + 1;
        let sign = if kind == Kind::Risks { sign(row.severity) } else { "" };
        let x = canvas.put(0, y, sign, theme.severity(row.severity));
        canvas.put(x, y, &name(kind, &row.name, names - x), theme.severity(row.severity));
        canvas.put(names, y, &right(&value(row.amount, top.by, covered_s), VALUE), theme.plain());
        let share = percent(row.amount.of(top.by), whole);
        canvas.put(names + VALUE, y, &right(&share, SHARE), theme.faint());
    }
}
