//! What the terminal shows, and how keys change it. Nothing here draws, waits or reads a clock.

use std::sync::Arc;

use crossterm::event::{Event, KeyEvent, KeyEventKind};
use daylight_expr::Program;

use super::edit::{Edited, Editor, quoted};
use super::keys::{Command, command, is_interrupt};
use crate::board::{
    Board, FlowDetail, FlowQuery, Frozen, Kind, MINUTES_MAX, Measure, Query, ROWS_MAX, SECONDS_MAX, Snapshot,
    Sort, Which, Window,
};

/// The views, in the order of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Now,
    Traffic,
    Flows,
    Risks,
    History,
    Health,
}

impl View {
    pub(crate) const ALL: [Self; 6] =
        [Self::Now, Self::Traffic, Self::Flows, Self::Risks, Self::History, Self::Health];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Traffic => "Traffic",
            Self::Flows => "Flows",
            Self::Risks => "Risks",
            Self::History => "History",
            Self::Health => "Health",
        }
    }
}

/// A row that is chosen among many, and the part of them that is on the screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) chosen: usize,
    pub(crate) top: usize,
    /// Rows on the screen; set by who draws them.
    pub(crate) visible: usize,
    /// What the chosen row is called, so that it stays chosen where it moves to. Not for the first: who is there wants to see what
    /// comes.
    name: Option<String>,
}

impl List {
    /// Moves as a key says, among so many rows.
    fn go(&mut self, command: Command, rows: usize) {
        let page = self.visible.saturating_sub(1).max(1);
        let last = rows.saturating_sub(1);
        self.chosen = match command {
            Command::Up => self.chosen.saturating_sub(1),
            Command::Down => self.chosen + 1,
            Command::PageUp => self.chosen.saturating_sub(page),
            Command::PageDown => self.chosen + page,
            Command::First => 0,
            Command::Last => last,
            _ => self.chosen,
        }
        .min(last);
    }

    /// Keeps the row chosen that was, wherever it is now.
    fn follow<'a>(&mut self, mut names: impl Iterator<Item = &'a str> + Clone, rows: usize) {
        let at = self.name.as_deref().and_then(|name| names.position(|other| other == name));
        self.chosen = at.unwrap_or(self.chosen).min(rows.saturating_sub(1));
    }

    fn remember<'a>(&mut self, mut names: impl Iterator<Item = &'a str>) {
        self.name = if self.chosen == 0 { None } else { names.nth(self.chosen).map(str::to_owned) };
    }

    /// Brings the chosen row onto a screen of so many rows, and says which is the first.
    pub(crate) fn show(&mut self, visible: usize, rows: usize) -> usize {
        self.visible = visible;
        self.top = self.top.min(self.chosen).min(rows.saturating_sub(visible));
        if visible > 0 && self.chosen >= self.top + visible {
            self.top = self.chosen + 1 - visible;
        }
        self.top
    }
}

/// One flow's fields.
pub(crate) struct Detail {
    uid: String,
    /// What was known of it last: it may be forgotten while it is looked at.
    pub(crate) known: Option<FlowDetail>,
    pub(crate) is_gone: bool,
    pub(crate) scroll: usize,
    /// Lines, and lines on the screen; set by who draws them.
    pub(crate) lines: usize,
    pub(crate) visible: usize,
}

/// What the terminal shows.
pub(crate) struct App {
    pub(crate) view: View,
    pub(crate) window: Window,
    pub(crate) by: Measure,
    pub(crate) kind: Kind,
    /// A day of minutes rather than a quarter of an hour of seconds.
    pub(crate) is_day: bool,
    pub(crate) traffic: List,
    pub(crate) flows: List,
    pub(crate) risks: List,
    pub(crate) health: List,
    pub(crate) which: Which,
    pub(crate) sort: Sort,
    pub(crate) is_reversed: bool,
    pub(crate) filter: Option<Arc<Program>>,
    pub(crate) editor: Option<Editor>,
    pub(crate) detail: Option<Detail>,
    pub(crate) is_help: bool,
    frozen: Option<Box<Frozen>>,
    pub(crate) snapshot: Snapshot,
    /// Columns of the screen: so many seconds are asked for.
    pub(crate) columns: usize,
    pub(crate) is_over: bool,
}

impl App {
    pub(crate) fn new() -> Self {
        Self {
            view: View::Now,
            window: Window::default(),
            by: Measure::default(),
            kind: Kind::Protocols,
            is_day: false,
            traffic: List::default(),
            flows: List::default(),
            risks: List::default(),
            health: List::default(),
            which: Which::default(),
            sort: Sort::default(),
            is_reversed: false,
            filter: None,
            editor: None,
            detail: None,
            is_help: false,
            frozen: None,
            snapshot: Snapshot::default(),
            columns: 80,
            is_over: false,
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// Kinds that the Traffic view goes through. Risks have a view of their own.
    pub(crate) const KINDS: [Kind; 6] =
        [Kind::Protocols, Kind::Applications, Kind::Categories, Kind::Hosts, Kind::Talkers, Kind::Servers];

    /// What the view needs to know.
    fn query(&self) -> Query {
        let base = Query {
            window: self.window,
            by: self.by,
            kinds: Vec::new(),
            rows: 64,
            seconds: 1,
            uid: self.detail.as_ref().map(|detail| detail.uid.clone()),
            ..Query::default()
        };
        match self.view {
            _ if self.detail.is_some() => base,
            View::Now => Query { kinds: Kind::ALL.to_vec(), seconds: self.columns, ..base },
            View::Traffic => Query { kinds: vec![self.kind], rows: ROWS_MAX, ..base },
            View::Flows => {
                let flows = FlowQuery {
                    which: self.which,
                    filter: self.filter.clone(),
                    sort: self.sort,
                    reverse: self.is_reversed,
                    offset: 0,
                    rows: ROWS_MAX,
                };
                Query { flows: Some(flows), ..base }
            }
            View::Risks => Query { kinds: vec![Kind::Risks], risks: ROWS_MAX, ..base },
            View::History => Query { seconds: SECONDS_MAX, minutes: MINUTES_MAX, ..base },
            View::Health => base,
        }
    }

    /// Looks at the board again, or at what was kept of it when the display was stopped.
    pub(crate) fn refresh(&mut self, board: &Board) {
        let query = self.query();
        self.snapshot = match &self.frozen {
            Some(frozen) => frozen.snapshot(&query),
            None => board.snapshot(&query),
        };
        if let Some(detail) = &mut self.detail {
            detail.is_gone = self.snapshot.flow.is_none();
            detail.known = self.snapshot.flow.take().or_else(|| detail.known.take());
        }
        let snapshot = &self.snapshot;
        let traffic = snapshot.tops.of(self.kind);
        match self.view {
            View::Traffic => {
                self.traffic.follow(traffic.rows.iter().map(|row| row.name.as_str()), traffic.rows.len());
            }
            View::Flows => {
                if let Some(page) = snapshot.flows.as_ref() {
                    self.flows.follow(page.rows.iter().map(|row| row.uid.as_str()), page.rows.len());
                }
            }
            View::Risks => {
                let names: Vec<_> = snapshot.risks.iter().map(|row| row.number.to_string()).collect();
                self.risks.follow(names.iter().map(String::as_str), names.len());
            }
            _ => {}
        }
    }

    /// Takes in a key or a paste; true if something may look different now.
    pub(crate) fn event(&mut self, event: &Event, board: &Board) -> bool {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                self.key(*key, board);
                true
            }
            Event::Paste(text) => self.editor.as_mut().map(|editor| editor.insert(text)).is_some(),
            Event::Resize(..) => true,
            _ => false,
        }
    }

    fn key(&mut self, key: KeyEvent, board: &Board) {
        if let Some(editor) = self.editor.as_mut().filter(|_| !is_interrupt(key)) {
            match editor.key(key) {
                Edited::Yet => {}
                Edited::Applied(filter) => self.set_filter(filter),
                Edited::Left => self.editor = None,
            }
            return;
        }
        let command = command(key);
        if self.is_help && command != Some(Command::Quit) {
            // Any key closes it.
            self.is_help = false;
            return;
        }
        let Some(command) = command else { return };
        self.obey(command, board);
    }

    fn set_filter(&mut self, filter: Option<Arc<Program>>) {
        (self.filter, self.editor, self.flows) = (filter, None, List::default());
    }

    fn obey(&mut self, command: Command, board: &Board) {
        match command {
            Command::Quit => self.is_over = true,
            Command::Help => self.is_help = true,
            Command::View(number) => self.go_to(View::ALL.get(number).copied().unwrap_or(self.view)),
            Command::NextView => self.go_to(neighbour(&View::ALL, self.view, 1)),
            Command::PreviousView => self.go_to(neighbour(&View::ALL, self.view, -1)),
            Command::Filter => {
                self.go_to(View::Flows);
                self.editor = Some(Editor::new(self.filter.as_ref().map_or("", |filter| filter.source())));
            }
            Command::Open => self.open(),
            Command::Back if self.detail.is_some() => self.detail = None,
            Command::Back if self.view == View::Flows && self.filter.is_some() => self.set_filter(None),
            Command::Back => self.go_to(View::Now),
            Command::Left => self.sideways(-1),
            Command::Right => self.sideways(1),
            Command::Sort => {
                self.sort = neighbour(&Sort::ALL, self.sort, 1);
                self.flows = List::default();
            }
            Command::Reverse => self.is_reversed = !self.is_reversed,
            Command::Which => {
                self.which = neighbour(&[Which::All, Which::Open, Which::Ended], self.which, 1);
                self.flows = List::default();
            }
            Command::Window if self.view == View::History => self.is_day = !self.is_day,
            Command::Window => self.window = neighbour(&Window::ALL, self.window, 1),
            Command::Measure => self.by = neighbour(&Measure::ALL, self.by, 1),
            Command::Pause => {
                let is_paused = self.frozen.take().is_some();
                self.frozen = (!is_paused).then(|| Box::new(board.freeze()));
            }
            _ => self.scroll(command),
        }
    }

    fn go_to(&mut self, view: View) {
        self.view = view;
        self.detail = None;
    }

    fn sideways(&mut self, by: isize) {
        match self.view {
            View::Traffic => {
                self.kind = neighbour(&Self::KINDS, self.kind, by);
                self.traffic = List::default();
            }
            View::Flows => {
                self.sort = neighbour(&Sort::ALL, self.sort, by);
                self.flows = List::default();
            }
            _ => {}
        }
    }

    fn scroll(&mut self, command: Command) {
        if let Some(detail) = &mut self.detail {
            let mut list = List { chosen: detail.scroll, visible: detail.visible, ..List::default() };
            list.go(command, detail.lines.saturating_sub(detail.visible) + 1);
            detail.scroll = list.chosen;
            return;
        }
        let snapshot = &self.snapshot;
        match self.view {
            View::Traffic => {
                let rows = &snapshot.tops.of(self.kind).rows;
                self.traffic.go(command, rows.len());
                self.traffic.remember(rows.iter().map(|row| row.name.as_str()));
            }
            View::Flows => {
                let rows = snapshot.flows.as_ref().map_or(&[][..], |page| &page.rows);
                self.flows.go(command, rows.len());
                self.flows.remember(rows.iter().map(|row| row.uid.as_str()));
            }
            View::Risks => {
                self.risks.go(command, snapshot.risks.len());
                let names: Vec<_> = snapshot.risks.iter().map(|row| row.number.to_string()).collect();
                self.risks.remember(names.iter().map(String::as_str));
            }
            // It has lines, and none is chosen: what moves is the first that is shown, up to the one that is kept as `top`.
            View::Health => {
                let rows = self.health.top + 1;
                self.health.go(command, rows);
            }
            View::Now | View::History => {}
        }
    }

    /// What is behind the chosen row.
    fn open(&mut self) {
        if self.detail.is_some() {
            return;
        }
        let snapshot = &self.snapshot;
        let uid = match self.view {
            View::Flows => {
                snapshot.flows.as_ref().and_then(|page| page.rows.get(self.flows.chosen)).map(|row| &row.uid)
            }
            View::Risks => snapshot.risks.get(self.risks.chosen).map(|row| &row.uid),
            View::Traffic => {
                let row = snapshot.tops.of(self.kind).rows.get(self.traffic.chosen);
                let filter =
                    row.and_then(|row| daylight_inspect::compile(&condition(self.kind, &row.name)).ok());
                if let Some(filter) = filter {
                    self.set_filter(Some(Arc::new(filter)));
                    self.go_to(View::Flows);
                }
                return;
            }
            View::Now | View::History | View::Health => None,
        };
        if let Some(uid) = uid {
            let uid = uid.clone();
            let detail = Detail { uid, known: None, is_gone: false, scroll: 0, lines: 0, visible: 0 };
            self.detail = Some(detail);
        }
    }
}

/// The flows that a name stands for.
fn condition(kind: Kind, name: &str) -> String {
    let column = kind.column();
    match kind {
        Kind::Talkers | Kind::Servers => format!("{column} == {name}"),
        Kind::Hosts => {
            let name = quoted(name);
            format!("{column} == {name} or resolved_name == {name}")
        }
        _ => format!("{column} == {}", quoted(name)),
    }
}

/// The one before or after, around the ends.
fn neighbour<T: Copy + PartialEq>(all: &[T], now: T, by: isize) -> T {
    let at = all.iter().position(|one| *one == now).unwrap_or(0);
    let next = (at as isize + by).rem_euclid(all.len().max(1) as isize) as usize;
    all.get(next).copied().unwrap_or(now)
}
