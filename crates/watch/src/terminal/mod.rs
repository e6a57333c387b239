//! The board in a terminal: throughput, the largest of everything, flows with filter and sort, one flow, risks, losses.
//!
//! [`run`] takes the terminal, draws when a second has passed or a key was pressed, and gives the terminal back on the
//! way out: by `q`, by the stop flag, by an error, or by a panic. What it shows and how keys change that is in `app`; how
//! it is drawn, in one file a view, on a canvas that lets nothing through that a terminal would obey.

mod app;
mod canvas;
mod detail;
mod edit;
mod flows;
mod graph;
mod guard;
mod health;
mod help;
mod history;
pub mod keys;
mod now;
mod risks;
mod screen;
mod table;
#[cfg(test)]
mod tests;
mod theme;
mod traffic;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use crossterm::{event, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::board::Board;
use app::App;
use guard::Guard;
use theme::Theme;

/// How long the stop flag and a new second may go unseen.
const LOOK_MS: u64 = 100;
/// Between two times that keys are drawn for; what comes meanwhile is drawn together.
const KEYS_MS: u64 = 40;
/// Between two times that news is drawn.
const NEWS_MS: u64 = 250;

/// True if there is a terminal to draw on and to take keys from; if not, [`lines`](crate::lines) are for it.
pub fn is_usable() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

/// Shows the board until the user leaves or `stop` is set, and sets `stop` then: who runs the engine may end it. Colours are
/// left out if `NO_COLOR` is set. Call it from a thread that does nothing else; it takes up to a tenth of a second to see
/// the flag.
///
/// # Errors
/// If the terminal can't be taken, written to or read from. It is given back in any case.
pub fn run(board: Arc<Board>, stop: Arc<AtomicBool>) -> io::Result<()> {
    let result = show(&board, &stop);
    stop.store(true, Ordering::SeqCst);
    result
}

fn show(board: &Board, stop: &AtomicBool) -> io::Result<()> {
    let guard = Guard::take()?;
    let theme = Theme::from_environment();
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut app = App::new();
    let mut seen_ticks = None;
    let mut drawn = Instant::now();
    let mut is_changed = true;
    while !app.is_over && !stop.load(Ordering::SeqCst) {
        let ticks = board.ticks();
        let is_news = seen_ticks != Some(ticks) && !app.is_paused();
        let gone = drawn.elapsed();
        let due = |ms: u64| seen_ticks.is_none() || gone >= Duration::from_millis(ms);
        if (is_changed && due(KEYS_MS)) || (is_news && due(NEWS_MS)) {
            app.columns = terminal.size()?.width.into();
            app.refresh(board);
            // A terminal that knows this shows a frame when it is whole; the others pass over it.
            execute!(io::stdout(), BeginSynchronizedUpdate)?;
            terminal.draw(|frame| {
                if let Some(cursor) = screen::draw(&mut app, frame.buffer_mut(), theme) {
                    frame.set_cursor_position(cursor);
                }
            })?;
            execute!(io::stdout(), EndSynchronizedUpdate)?;
            (seen_ticks, drawn, is_changed) = (Some(ticks), Instant::now(), false);
        }
        wait_for_keys(if is_changed { KEYS_MS } else { LOOK_MS })?;
        // What is there already is drawn together.
        while !app.is_over && event::poll(Duration::ZERO)? {
            is_changed |= app.event(&event::read()?, board);
        }
    }
    drop(terminal);
    drop(guard);
    Ok(())
}

/// Waits for a key, a signal, or the end of the time. It is waited here and not in crossterm, which reads a terminal that
/// has hung up again and again for ever.
fn wait_for_keys(at_most_ms: u64) -> io::Result<()> {
    let stdin = io::stdin();
    let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
    let at_most = Timespec { tv_sec: 0, tv_nsec: at_most_ms as i64 * 1_000_000 };
    match rustix::event::poll(&mut keys, Some(&at_most)) {
        // Such as that the size has changed.
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let has_gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    if keys.iter().any(|keys| keys.revents().intersects(has_gone)) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal has hung up"));
    }
    Ok(())
}
