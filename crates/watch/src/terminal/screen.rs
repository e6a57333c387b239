//! The whole screen: what stands above and below every view.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::app::{App, View};
use super::canvas::Canvas;
use super::theme::Theme;
use super::{detail, flows, health, help, history, now, risks, traffic};
use crate::board::Snapshot;
use crate::units::{bits_per_s, clock, short};

/// What the views are made for. On less there is only a line.
pub(crate) const WIDTH_MIN: usize = 80;
/// As [`WIDTH_MIN`].
pub(crate) const HEIGHT_MIN: usize = 24;

/// Draws what the terminal shows. Gives the place of the cursor, where there is one.
pub(crate) fn draw(app: &mut App, buffer: &mut Buffer, theme: Theme) -> Option<(u16, u16)> {
    let area: Rect = buffer.area;
    let mut canvas = Canvas { buffer, area, theme };
    let (width, height) = (canvas.width(), canvas.height());
    if width < WIDTH_MIN || height < HEIGHT_MIN {
        small(app, &mut canvas);
        return None;
    }
    head(app, &mut canvas);
    let mut body = canvas.part(0, 3, width, height - 4);
    let mut cursor = None;
    if app.is_help {
        help::draw(&mut body);
    } else if app.detail.is_some() {
        detail::draw(app, &mut body);
    } else {
        match app.view {
            View::Now => now::draw(app, &mut body),
            View::Traffic => traffic::draw(app, &mut body),
            View::Flows => cursor = flows::draw(app, &mut body),
            View::Risks => risks::draw(app, &mut body),
            View::History => history::draw(app, &mut body),
            View::Health => health::draw(app, &mut body),
        }
    }
    foot(app, &mut canvas);
    cursor
}

/// Too little room for tables: what matters most.
fn small(app: &App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let size =
        format!("{}×{} is too small: {WIDTH_MIN}×{HEIGHT_MIN} is needed", canvas.width(), canvas.height());
    canvas.put(0, 0, &size, theme.strong());
    let rates = app.snapshot.rates;
    let rates = format!("{}, {} packets/s", bits_per_s(rates.bits_per_s), short(rates.packets_per_s));
    canvas.put(0, 1, &rates, theme.plain());
    let lost = lost(&app.snapshot);
    if lost > 0 {
        canvas.put(0, 2, &format!("! {} lost in the last minute", short(lost)), theme.bad());
    }
    canvas.put(0, 3, "q quits", theme.faint());
}

/// How much was lost in the last minute.
fn lost(snapshot: &Snapshot) -> u64 {
    snapshot.losses.iter().map(|loss| loss.last_minute).sum()
}

fn head(app: &App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let mut x = 0;
    for (i, view) in View::ALL.into_iter().enumerate() {
        let style =
            if view == app.view { theme.chosen().add_modifier(Modifier::BOLD) } else { theme.plain() };
        x = canvas.put(x, 0, &format!(" {} {} ", i + 1, view.name()), style);
    }
    let snapshot = &app.snapshot;
    let time = snapshot.now_ns.map(|ns| format!("{} UTC ", clock(ns))).unwrap_or_default();
    canvas.put_right(0, &time, theme.faint());

    let rates = snapshot.rates;
    let x = canvas.put_all(
        1,
        1,
        &[
            (&bits_per_s(rates.bits_per_s), theme.strong()),
            ("   ", theme.plain()),
            (&short(rates.packets_per_s), theme.strong()),
            (" packets/s   ", theme.plain()),
            (&short(rates.flows_per_s), theme.strong()),
            (" new flows/s", theme.plain()),
        ],
    );
    let (state, style) = state(app, theme);
    let room = canvas.width().saturating_sub(x + state.len() + 4);
    let names: Vec<_> = snapshot.gauges.interfaces.iter().map(|i| i.name.as_str()).collect();
    // Cut to nothing they would say nothing.
    if room >= 8 {
        canvas.part(x + 3, 1, room, 1).put(0, 0, &names.join(" "), theme.faint());
    }
    canvas.put_right(1, &state, style);
}

/// What has to be known in every view: that the display stands still, that something is lost.
fn state(app: &App, theme: Theme) -> (String, Style) {
    let snapshot = &app.snapshot;
    if app.is_paused() {
        return (" PAUSED, p goes on ".into(), theme.chosen());
    }
    let lost = lost(snapshot);
    if lost > 0 {
        return (format!("! {} lost in a minute: see 6 ", short(lost)), theme.bad());
    }
    if let Some(down) = snapshot.gauges.interfaces.iter().find(|interface| !interface.is_up) {
        return (format!("! {} is down ", crate::text::fit(&down.name, 16)), theme.bad());
    }
    if let Some(tight) = snapshot.budgets.iter().find(|budget| budget.is_tight()) {
        return (format!("* {} nearly full: see 6 ", tight.name), theme.warn());
    }
    match snapshot.now_ns {
        Some(_) => ("nothing lost ".into(), theme.good()),
        None => ("waiting for packets ".into(), theme.faint()),
    }
}

fn foot(app: &App, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    let window = format!("w {}", app.window.name());
    let by = format!("b {}", app.by.name());
    let span = if app.is_day { "w a day" } else { "w 15 min" };
    let hints: Vec<&str> = if app.is_help {
        vec!["any key closes this"]
    } else if app.editor.is_some() {
        vec!["Enter applies", "Esc leaves it", "Ctrl-U clears"]
    } else if app.detail.is_some() {
        vec!["Esc back", "↑↓ scroll", "p pause", "? help"]
    } else {
        match app.view {
            View::Now => vec!["/ filter flows", &window, &by, "p pause", "? help"],
            View::Traffic => vec!["←→ kind", "Enter its flows", &window, &by, "p pause", "? help"],
            View::Flows => vec!["/ filter", "Enter detail", "s S sort", "o open/ended", "p pause", "? help"],
            View::Risks => vec!["Enter its flow", &window, "p pause", "? help"],
            View::History => vec![span, "p pause", "? help"],
            View::Health => vec!["↑↓ scroll", "p pause", "? help"],
        }
    };
    let y = canvas.height() - 1;
    canvas.put(1, y, &format!("q quit  {}", hints.join("  ")), theme.faint());
}
