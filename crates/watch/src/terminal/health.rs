//! What is lost, what is nearly full, and what to do about it.

use ratatui::style::Style;

use super::app::App;
use super::canvas::Canvas;
use super::graph::bar;
use super::theme::Theme;
use crate::board::{Budget, Snapshot};
use crate::text::{left, right, wrap};
use crate::units::{bytes, percent, short};

/// A line of texts in their styles.
type Line = Vec<(String, Style)>;

pub(crate) fn draw(app: &mut App, canvas: &mut Canvas<'_>) {
    let lines = lines(&app.snapshot, canvas.theme, canvas.width() - 2);
    let height = canvas.height();
    let last = lines.len().saturating_sub(height);
    app.health.chosen = app.health.chosen.min(last);
    (app.health.top, app.health.visible) = (last, height);
    for (y, line) in lines.iter().skip(app.health.chosen).take(height).enumerate() {
        line.iter().fold(1, |x, (text, style)| canvas.put(x, y, text, *style));
    }
}

fn lines(snapshot: &Snapshot, theme: Theme, width: usize) -> Vec<Line> {
    let heading = |text: &str| vec![(text.to_owned(), theme.strong())];
    let mut lines = vec![heading("Losses")];
    if snapshot.losses.is_empty() {
        lines.push(vec![("  nothing is lost".into(), theme.good())]);
    }
    for loss in &snapshot.losses {
        let style = if loss.is_going_on() { theme.bad() } else { theme.warn() };
        let sign = if loss.is_going_on() { "! " } else { "* " };
        let amount = format!("{} in a minute, {} in all", short(loss.last_minute), short(loss.total));
        lines.push(vec![(sign.into(), style), (left(&loss.what, 44), style), (amount, theme.plain())]);
        for line in wrap(&loss.advice, width.saturating_sub(4)) {
            lines.push(vec![(format!("    {line}"), theme.faint())]);
        }
    }
    lines.push(Vec::new());
    lines.push(heading(&format!(
        "{}{}{}{}{}{}",
        left("Interfaces", 20),
        left("", 8),
        right("received", 12),
        right("kernel", 12),
        right("card", 12),
        right("engine", 12)
    )));
    if snapshot.gauges.interfaces.is_empty() {
        lines.push(vec![("  none".into(), theme.faint())]);
    }
    for interface in &snapshot.gauges.interfaces {
        let (state, style) = if interface.is_up { ("up", theme.good()) } else { ("down", theme.bad()) };
        let mut line = vec![
            (left(&format!("  {}", interface.name), 20), theme.plain()),
            (left(state, 8), style),
            (right(&short(interface.received), 12), theme.plain()),
        ];
        for dropped in [interface.dropped_by_kernel, interface.dropped_by_card, interface.dropped_by_engine] {
            let style = if dropped > 0 { theme.bad() } else { theme.plain() };
            line.push((right(&short(dropped), 12), style));
        }
        lines.push(line);
    }
    lines.push(Vec::new());
    lines.push(heading("Budgets"));
    lines.extend(snapshot.budgets.iter().map(|each| budget(each, theme, width)));
    if !snapshot.gauges.counters.is_empty() {
        lines.push(Vec::new());
        lines.push(heading("Counters"));
    }
    for counter in &snapshot.gauges.counters {
        let style = if counter.is_bad && counter.value > 0 { theme.bad() } else { theme.plain() };
        let value = counter.value.to_string();
        lines.push(vec![
            (left(&format!("  {}", counter.name), 44), theme.plain()),
            (right(&value, 20), style),
        ]);
    }
    let board = snapshot.board;
    let own = [
        ("reports of open flows put off", board.reports_deferred),
        ("flows given up after an hour unheard of", board.flows_stale),
        ("jumps of the clock", board.clock_jumps),
    ];
    if own.iter().any(|(_, count)| *count > 0) {
        lines.push(Vec::new());
        lines.push(heading("This view"));
    }
    for (name, count) in own.into_iter().filter(|(_, count)| *count > 0) {
        lines.push(vec![
            (left(&format!("  {name}"), 44), theme.plain()),
            (right(&short(count), 20), theme.plain()),
        ]);
    }
    lines
}

fn budget(budget: &Budget, theme: Theme, width: usize) -> Line {
    let number = |number| if budget.unit == "bytes" { bytes(number) } else { short(number) };
    let (sign, style) = if budget.is_tight() { ("* ", theme.warn()) } else { ("  ", theme.plain()) };
    let mut line = vec![(sign.into(), style), (left(budget.name, 18), style)];
    if budget.max == 0 {
        line.push((format!("{} {}", number(budget.now), budget.unit), theme.plain()));
        return line;
    }
    let bar_width = width.saturating_sub(60).clamp(10, 40);
    line.push((bar(budget.now, budget.max, bar_width), if budget.is_tight() { style } else { theme.bar() }));
    line.push((right(&percent(budget.now, budget.max), 7), style));
    let unit = if budget.unit == "bytes" { "" } else { budget.unit };
    let of = format!("   {} of {} {unit}", number(budget.now), number(budget.max));
    line.push((of, theme.faint()));
    line
}
