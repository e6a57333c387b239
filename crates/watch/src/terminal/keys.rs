//! What keys do. One table: the terminal obeys it, its help shows it, and the guide repeats it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Leave.
    Quit,
    /// Show or hide the keys.
    Help,
    /// To the view of that number, from 0 on.
    View(usize),
    /// To the next view.
    NextView,
    /// To the view before.
    PreviousView,
    /// Write a filter.
    Filter,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// To the kind, or the sorting, to the left.
    Left,
    /// To the right.
    Right,
    /// Show more of the row.
    Open,
    /// Back to where one came from.
    Back,
    /// Sort by something else.
    Sort,
    /// Sort the other way round.
    Reverse,
    /// Take tops over another time.
    Window,
    /// Measure by bytes, packets or flows.
    Measure,
    /// Show open flows, ended ones, or both.
    Which,
    /// Stop or go on showing what is new.
    Pause,
}

/// A line of the table.
pub struct Line {
    /// The keys, as they are called.
    pub keys: &'static str,
    /// What they do.
    pub does: &'static str,
    codes: &'static [(KeyCode, Command)],
}

use KeyCode::{BackTab, Char, Down, End, Enter, Esc, F, Home, Left, PageDown, PageUp, Right, Tab, Up};

/// All keys, by what people look for first.
pub const KEYS: &[Line] = &[
    Line {
        keys: "1–6, Tab, Shift-Tab",
        does: "the views, as they are named at the top",
        codes: &[
            (Char('1'), Command::View(0)),
            (Char('2'), Command::View(1)),
            (Char('3'), Command::View(2)),
            (Char('4'), Command::View(3)),
            (Char('5'), Command::View(4)),
            (Char('6'), Command::View(5)),
            (Tab, Command::NextView),
            (BackTab, Command::PreviousView),
        ],
    },
    Line {
        keys: "↑ ↓, k j",
        does: "one row up or down",
        codes: &[
            (Up, Command::Up),
            (Down, Command::Down),
            (Char('k'), Command::Up),
            (Char('j'), Command::Down),
        ],
    },
    Line {
        keys: "PgUp PgDn, Home End, g G",
        does: "one screen up or down, the first row, the last",
        codes: &[
            (PageUp, Command::PageUp),
            (PageDown, Command::PageDown),
            (Home, Command::First),
            (End, Command::Last),
            (Char('g'), Command::First),
            (Char('G'), Command::Last),
        ],
    },
    Line {
        keys: "← →, h l",
        does: "in Traffic: what is counted; in Flows: sorting",
        codes: &[
            (Left, Command::Left),
            (Right, Command::Right),
            (Char('h'), Command::Left),
            (Char('l'), Command::Right),
        ],
    },
    Line {
        keys: "Enter",
        does: "one flow in full; in Traffic: the flows of a name",
        codes: &[(Enter, Command::Open)],
    },
    Line { keys: "Esc", does: "back; in Flows, no filter any more", codes: &[(Esc, Command::Back)] },
    Line {
        keys: "/",
        does: "filter flows, such as: tls && dst_port != 443",
        codes: &[(Char('/'), Command::Filter)],
    },
    Line {
        keys: "s, S",
        does: "sort flows by the next column; the other way round",
        codes: &[(Char('s'), Command::Sort), (Char('S'), Command::Reverse)],
    },
    Line {
        keys: "o",
        does: "flows that are open, that have ended, or all",
        codes: &[(Char('o'), Command::Which)],
    },
    Line {
        keys: "w",
        does: "over 10 s, 1 min, 15 min; in History: or a day",
        codes: &[(Char('w'), Command::Window)],
    },
    Line { keys: "b", does: "measure by bytes, packets or flows", codes: &[(Char('b'), Command::Measure)] },
    Line {
        keys: "p, Space",
        does: "pause: the display stands still, counting goes on",
        codes: &[(Char('p'), Command::Pause), (Char(' '), Command::Pause)],
    },
    Line { keys: "?, F1", does: "this help", codes: &[(Char('?'), Command::Help), (F(1), Command::Help)] },
    Line { keys: "q, Ctrl-C", does: "quit", codes: &[(Char('q'), Command::Quit)] },
];

/// What a key asks for, outside of a line of text.
pub(crate) fn command(key: KeyEvent) -> Option<Command> {
    if is_interrupt(key) {
        return Some(Command::Quit);
    }
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return None;
    }
    let mut codes = KEYS.iter().flat_map(|line| line.codes);
    codes.find(|(code, _)| *code == key.code).map(|(_, command)| *command)
}

/// Ctrl-C. In raw mode it is a key like any other.
pub(crate) fn is_interrupt(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, Char('c' | 'C'))
}
