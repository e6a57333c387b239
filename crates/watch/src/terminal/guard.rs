//! Leaves the terminal as it was found, however the program ends.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::ThreadId;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::style::ResetColor;
use crossterm::terminal::{
    Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};

/// True while the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The thread that draws.
static DRAWS: Mutex<Option<ThreadId>> = Mutex::new(None);
/// What other threads' panics said meanwhile.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Panics that are told of afterwards.
const SAID_MAX: usize = 10;

/// Holds the terminal; gives it back when dropped.
pub(crate) struct Guard(());

impl Guard {
    /// Takes the terminal: another screen, every key as it comes, no cursor.
    pub(crate) fn take() -> io::Result<Self> {
        catch_panics();
        *DRAWS.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        // Dropped where the rest fails.
        let guard = Self(());
        // Cleared here, not by ratatui: that would ask the terminal for its cursor, and not every one answers.
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide, Clear(ClearType::All))?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
        for said in SAID.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Nobody is left to be told that this failed.
            let _ = writeln!(io::stderr(), "{said}");
        }
    }
}

/// Gives the terminal back, once.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // The terminal may be gone; then there is nothing to give back.
        let _ = execute!(
            io::stdout(),
            EndSynchronizedUpdate,
            ResetColor,
            DisableBracketedPaste,
            LeaveAlternateScreen,
            Show
        );
        let _ = disable_raw_mode();
    }
}

/// A panic of the thread that draws gives the terminal back before it says anything. One of another thread may be caught
/// there, as a parser's is: what it has to say would only spoil the screen, and waits.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let draws = *DRAWS.lock().unwrap_or_else(PoisonError::into_inner);
            if TAKEN.load(Ordering::SeqCst) && draws != Some(std::thread::current().id()) {
                let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
                if said.len() < SAID_MAX {
                    said.push(panic.to_string());
                }
                return;
            }
            give_back();
            next(panic);
        }));
    });
}
