//! Screens as they are drawn, and keys as they are pressed.

use std::net::IpAddr;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use daylight_inspect::{FlowRecord, RecordSink};
use daylight_protocols::{ProtocolId, RiskFound, Value, common, risk};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::app::{App, View};
use super::*;
use crate::board::{Counter, Gauges, Interface};
use crate::text::width;

const SECOND: i64 = 1_000_000_000;
/// 2026-01-01T12:00:00Z.
const NOON: i64 = 1_767_268_800 * SECOND;

/// Host names as a stranger might choose them.
const NAMES: [Option<&str>; 8] = [
    Some("www.example.org"),
    Some("cdn.a-rather-long-name-for-a-server.eu-central-1.storage.example.net"),
    None,
    Some("\x1b[2J\x1b[1;31mowned\x07.example"),
    Some("пример.бел"),
    Some("例え例え例え例え例え例え例え.jp"),
    Some("gro.elpmaxe\u{202e}moc.knab\u{2066}"),
    Some("a\u{300}\u{301}\u{302}\u{303}\u{200b}z\r\n.example"),
];

fn record(number: u64, bytes: u64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(number);
    let i = number as usize;
    record.ends.src_ip = if number.is_multiple_of(3) {
        IpAddr::from([0x2001, 0xdb8, 0xaaaa, 0xbbbb, 0xcccc, 0xdddd, 0xeeee, number as u16])
    } else {
        IpAddr::from([192, 0, 2, number as u8])
    };
    record.src.bytes = bytes / 10;
    record.dst.bytes = bytes - bytes / 10;
    record.src.packets = bytes / 1000;
    record.dst.packets = bytes / 700;
    record.start_ns = NOON + (number as i64 % 60) * SECOND;
    record.end_ns = record.start_ns + number as i64 * 37_000_000;
    let protocols =
        [ProtocolId::Tls, ProtocolId::Dns, ProtocolId::Http, ProtocolId::Quic, ProtocolId::Unknown];
    record.protocol = protocols[i % protocols.len()];
    record.application = [Some("youtube"), None, Some("wikipedia"), Some("microsoft-365")][i % 4];
    record.category = record.application.map(|_| "video");
    if let Some(name) = NAMES[i % NAMES.len()] {
        record.found.fields.push((common::HOSTNAME, Value::Str(name.into())));
    }
    if number.is_multiple_of(4) {
        let evidence = format!("user_agent=\x1b]0;title\x07{}", "x".repeat(120));
        record.found.risks.push(RiskFound { risk: &risk::CLEAR_TEXT_CREDENTIALS, evidence: evidence.into() });
    }
    if number.is_multiple_of(5) {
        record.found.risks.push(RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "offset=17".into() });
    }
    Box::new(record)
}

/// A minute and a half of traffic, the same on every run.
fn board(dropped: u64) -> Arc<Board> {
    let board = Board::new();
    let mut feed = Board::feed(&board);
    let mut bytes = 0;
    for second in 0..=90_u64 {
        let now_ns = NOON + second as i64 * SECOND;
        bytes += 40_000 + (second * second * 7919) % 900_000;
        if second % 2 == 1 {
            feed.flow(record(second, 1000 + second * 4321));
        }
        feed.progress(record(200 + second % 5, second * 50_000));
        let interface = Interface {
            name: "eth0\x1b[5m".into(),
            is_up: true,
            received: second * 500,
            dropped_by_kernel: if second > 80 { dropped } else { 0 },
            ..Interface::default()
        };
        let counter = Counter { name: "records written".into(), value: second * 3, ..Counter::default() };
        let gauges = Gauges {
            packets: second * 500,
            bytes,
            interfaces: vec![interface],
            flows_open: 1200,
            flows_max: 2_000_000,
            reassembly_bytes: 60 << 20,
            reassembly_bytes_max: 64 << 20,
            fragment_bytes_max: 16 << 20,
            counters: vec![counter],
            ..Gauges::default()
        };
        feed.tick(now_ns, gauges);
    }
    board
}

/// What a person sees who presses these keys one after the other.
struct Person {
    app: App,
    board: Arc<Board>,
    terminal: Terminal<TestBackend>,
    /// What was drawn last.
    drawn: ratatui::buffer::Buffer,
    theme: Theme,
}

impl Person {
    fn new(columns: u16, rows: u16, dropped: u64) -> Self {
        let terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let mut app = App::new();
        app.columns = columns.into();
        let mut person =
            Self { app, board: board(dropped), terminal, drawn: Default::default(), theme: Theme::new(true) };
        person.look();
        person
    }

    fn look(&mut self) {
        self.app.refresh(&self.board);
        let (app, theme) = (&mut self.app, self.theme);
        let drawn = self.terminal.draw(|frame| {
            if let Some(cursor) = screen::draw(app, frame.buffer_mut(), theme) {
                frame.set_cursor_position(cursor);
            }
        });
        self.drawn = drawn.unwrap().buffer.clone();
    }

    fn press(&mut self, code: KeyCode) -> &mut Self {
        let key = Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        self.app.event(&key, &self.board);
        self.look();
        self
    }

    fn types(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
        self
    }

    /// What a person sees.
    fn screen(&self) -> String {
        let cells: Vec<_> = self.drawn.content.iter().map(|cell| cell.symbol()).collect();
        let rows = cells.chunks(self.drawn.area.width.into());
        rows.map(|row| row.concat().trim_end().to_owned() + "\n").collect()
    }

    /// The row that is chosen.
    fn chosen(&self) -> String {
        let screen = self.screen();
        let line = screen.lines().find(|line| line.contains('›')).unwrap_or_default();
        line.to_owned()
    }
}

macro_rules! screens {
    ($($name:ident: $columns:literal by $rows:literal, $dropped:literal, $keys:literal;)*) => {
        $(#[test]
        fn $name() {
            let mut person = Person::new($columns, $rows, $dropped);
            person.types($keys);
            insta::assert_snapshot!(stringify!($name), person.screen());
        })*
    };
}

screens! {
    now_80: 80 by 24, 0, "1";
    now_120: 120 by 40, 0, "1";
    now_200: 200 by 60, 1234, "1";
    traffic_80: 80 by 24, 0, "2lll";
    traffic_120: 120 by 40, 0, "2bb";
    flows_80: 80 by 24, 0, "3";
    flows_200: 200 by 60, 0, "3ss";
    filter_error_80: 80 by 24, 0, "/tls && dst_prt != 443";
    risks_80: 80 by 24, 0, "4j";
    risks_120: 120 by 40, 0, "4j";
    history_80: 80 by 24, 7, "5";
    health_80: 80 by 24, 1234, "6";
    help_80: 80 by 24, 0, "?";
    too_small: 60 by 20, 9, "3";
}

#[test]
fn a_flow_in_full() {
    let mut person = Person::new(80, 24, 0);
    person.types("/risks").press(KeyCode::Enter).press(KeyCode::Enter);
    insta::assert_snapshot!("detail_80", person.screen());
    let first = person.screen();
    assert_ne!(person.press(KeyCode::End).screen(), first);
    assert_eq!(person.press(KeyCode::Home).screen(), first);
    person.press(KeyCode::Esc);
    assert!(person.app.detail.is_none() && person.app.filter.is_some());
    person.press(KeyCode::Esc);
    assert!(person.app.filter.is_none());
}

#[test]
fn keys_do_what_they_say() {
    let mut person = Person::new(100, 30, 0);
    for (i, view) in View::ALL.into_iter().enumerate() {
        person.types(&(i + 1).to_string());
        assert_eq!(person.app.view, view);
    }
    assert_eq!(person.press(KeyCode::Tab).app.view, View::Now);
    assert_eq!(person.press(KeyCode::BackTab).app.view, View::Health);
    // Rows.
    person.types("3S");
    let first = person.chosen();
    assert_ne!(person.press(KeyCode::Down).chosen(), first);
    assert_eq!(person.types("jk").press(KeyCode::Up).chosen(), first);
    let page = person.press(KeyCode::PageDown).app.flows.chosen;
    assert_eq!(page, person.app.flows.visible - 1);
    person.press(KeyCode::End);
    let rows = person.app.snapshot.flows.as_ref().unwrap().rows.len();
    assert_eq!(person.app.flows.chosen, rows - 1);
    assert!(person.screen().contains('›'));
    assert_eq!(person.press(KeyCode::Home).chosen(), first);
    // A row stays chosen where sorting puts it, if it was chosen at all.
    let chosen = person.types("jjj").chosen();
    assert_eq!(person.types("S").chosen(), chosen);
    // A risk too, though two come in above it.
    let chosen = person.types("4jjj").chosen();
    let mut feed = Board::feed(&person.board);
    feed.flow(record(240, 100));
    person.look();
    assert_eq!((person.chosen(), person.app.risks.chosen), (chosen, 5));
    // From a name to its flows.
    person.types("2").press(KeyCode::Enter);
    assert_eq!(person.app.view, View::Flows);
    let name = person.app.filter.as_ref().map(|filter| filter.source().to_owned()).unwrap();
    assert!(name.starts_with("protocol == \""), "{name}");
    // The rest.
    let (sort, by, window) = (person.app.sort, person.app.by, person.app.window);
    person.types("sbw");
    assert!(person.app.sort != sort && person.app.by != by && person.app.window != window);
    person.types("o");
    assert!(person.screen().contains("open flows"));
    assert!(person.types("?").screen().contains("Ctrl-C"));
    assert!(!person.types("x").app.is_help);
    assert!(person.types("q").app.is_over);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut person = Person::new(80, 24, 0);
    person.types("/tls");
    person.app.event(&Event::Key(control_c), &person.board);
    assert!(person.app.is_over);
}

#[test]
fn a_pause_stops_the_display_and_nothing_else() {
    let mut person = Person::new(80, 24, 0);
    let before = person.types("p").screen();
    assert!(before.contains("PAUSED"));
    let mut feed = Board::feed(&person.board);
    feed.flow(record(250, 9_999_999));
    feed.tick(NOON + 91 * SECOND, Gauges::default());
    person.look();
    assert_eq!(person.screen(), before);
    // What was there can still be looked at.
    person.types("3/src_bytes > 900000").press(KeyCode::Enter);
    assert!(person.screen().contains("0 of "), "{}", person.screen());
    person.types("p");
    assert!(person.screen().contains(" 1 of "), "{}", person.screen());
}

#[test]
fn every_kind_of_name_leads_to_its_flows() {
    let mut person = Person::new(120, 40, 0);
    for kind in App::KINDS {
        person.types("2");
        let rows = person.app.snapshot.tops.of(kind).rows.len();
        assert!(rows > 0, "{kind:?}");
        for row in 0..rows {
            person.types("2").press(KeyCode::Home);
            for _ in 0..row {
                person.press(KeyCode::Down);
            }
            person.press(KeyCode::Enter);
            let page = person.app.snapshot.flows.as_ref().unwrap();
            assert!(
                person.app.view == View::Flows && page.matching > 0,
                "{kind:?} {row}: {}",
                person.screen()
            );
        }
        person.types("2").press(KeyCode::Right);
    }
}

/// What is on the way to a terminal.
#[derive(Clone, Default)]
struct Wire(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal emulator that is sent what a terminal would be.
struct Emulated {
    person: Person,
    terminal: Terminal<CrosstermBackend<Wire>>,
    sent: Wire,
    emulator: vt100::Parser,
}

impl Emulated {
    fn new(columns: u16, rows: u16) -> Self {
        let area = ratatui::layout::Rect::new(0, 0, columns, rows);
        let options = ratatui::TerminalOptions { viewport: ratatui::Viewport::Fixed(area) };
        let sent = Wire::default();
        let terminal = Terminal::with_options(CrosstermBackend::new(sent.clone()), options).unwrap();
        let person = Person::new(columns, rows, 17);
        Self { person, terminal, sent, emulator: vt100::Parser::new(rows, columns, 0) }
    }

    /// Presses a key; gives what was drawn, and what the emulator shows.
    fn press(&mut self, code: KeyCode) -> (Vec<String>, Vec<String>) {
        self.person.press(code);
        let app = &mut self.person.app;
        let drawn = self
            .terminal
            .draw(|frame| {
                screen::draw(app, frame.buffer_mut(), Theme::new(true));
            })
            .unwrap();
        let columns = usize::from(drawn.area.width);
        let cells: Vec<_> = drawn.buffer.content.iter().map(|cell| cell.symbol().to_owned()).collect();
        let drawn = cells.chunks(columns).map(|row| row.concat().trim_end().to_owned()).collect();
        let sent = std::mem::take(&mut *self.sent.0.lock().unwrap());
        self.emulator.process(&sent);
        let shown = self.emulator.screen().rows(0, columns as u16);
        (drawn, shown.map(|row| row.trim_end().to_owned()).collect())
    }
}

/// Every way of looking at it shows all that matters without a colour: the same text, no colour at all.
#[test]
fn colours_can_be_left_out() {
    for keys in ["1", "2", "3", "4", "5", "6", "/x ==", "?"] {
        let mut plain = Person::new(100, 30, 55);
        plain.theme = Theme::new(false);
        plain.types(keys);
        let mut coloured = Person::new(100, 30, 55);
        coloured.types(keys);
        assert_eq!(plain.screen(), coloured.screen());
        let cells = &plain.drawn.content;
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        // Backgrounds are left to the terminal in any case.
        let cells = &coloured.drawn.content;
        assert!(cells.iter().all(|cell| cell.bg == Color::Reset));
    }
}

#[test]
fn the_guide_has_the_keys() {
    let guide = include_str!("../../../../docs/guide/watch.md");
    for line in keys::KEYS {
        let row = format!("| {} | {} |", line.keys, line.does);
        assert!(guide.contains(&row), "docs/guide/watch.md lacks the line\n{row}");
    }
    let rows = guide.lines().skip_while(|line| !line.starts_with("| key |")).skip(2);
    assert_eq!(rows.take_while(|line| line.starts_with('|')).count(), keys::KEYS.len());
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    use KeyCode::{
        Backspace, Char, Delete, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up,
    };
    let named = vec![
        Backspace,
        Delete,
        Down,
        End,
        Enter,
        Esc,
        Home,
        Left,
        PageDown,
        PageUp,
        Right,
        Tab,
        Up,
        KeyCode::BackTab,
    ];
    prop_oneof![
        prop::sample::select(named),
        prop::sample::select("123456/sSowbp?hjklgG\"=x ".chars().collect::<Vec<_>>()).prop_map(Char),
        any::<char>().prop_map(Char)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// What an emulator shows is what was drawn, wherever one has come from: no leftovers, no line that wraps.
    #[test]
    fn an_emulator_shows_what_is_drawn(
        keys in prop::collection::vec(any_key(), 1..25),
        size in prop::sample::select(vec![(80u16, 24u16), (200, 60), (101, 31)]),
    ) {
        let mut emulated = Emulated::new(size.0, size.1);
        for key in keys {
            let (drawn, shown) = emulated.press(key);
            prop_assert_eq!(drawn, shown, "after {:?}", key);
            let screen = emulated.emulator.screen();
            prop_assert!((0..size.1).all(|row| !screen.row_wrapped(row)));
        }
    }

    /// No keys on a screen of any size make it panic, and nothing that a terminal could obey gets onto it.
    #[test]
    fn whatever_is_pressed(
        keys in prop::collection::vec(any_key(), 0..25),
        sizes in prop::collection::vec((1u16..230, 1u16..70), 1..4),
    ) {
        let mut person = Person::new(80, 24, 3);
        let changes = keys.len() / sizes.len() + 1;
        for (i, key) in keys.iter().filter(|key| **key != KeyCode::Char('q')).enumerate() {
            if i % changes == 0 {
                let (columns, rows) = sizes[i / changes];
                person.terminal.backend_mut().resize(columns, rows);
                person.app.columns = columns.into();
            }
            person.press(*key);
            for cell in &person.drawn.content {
                let symbol = cell.symbol();
                prop_assert!(width(symbol) <= 2 && !symbol.chars().any(char::is_control), "{symbol:?}");
                prop_assert!(!symbol.contains(['\u{202e}', '\u{2066}', '\u{200b}']), "{symbol:?}");
            }
        }
    }
}
