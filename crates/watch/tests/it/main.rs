//! The demo, as a person uses it: in a terminal of its own, looked at through an emulator; and where there is none.
#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers are tests too

mod pty;

use std::process::{Command, Stdio};

use daylight_watch::lines::Second;
use pty::{Session, capture, demo};
use rustix::process::Signal;
use rustix::termios::{InputModes, LocalModes, OutputModes, tcgetattr};

const STILL: &str = r#"exec "$demo" "$capture" --speed 0"#;

/// What a screen should never have: a line that goes on in the next one, a byte that nobody understood.
#[track_caller]
fn is_in_order(session: &Session) {
    let screen = session.emulator.screen();
    let (rows, columns) = screen.size();
    assert!((0..rows).all(|row| !screen.row_wrapped(row)), "a line wraps:\n{}", session.screen());
    assert!(screen.rows(0, columns).all(|row| !row.chars().any(char::is_control)));
    assert!(!session.screen().contains('\u{fffd}'));
}

#[test]
fn every_view_at_two_sizes() {
    for (columns, rows) in [(80, 24), (200, 60)] {
        let Some(mut session) = Session::start(STILL, columns, rows, &[]) else { return };
        // The last record is in when all 275 frames are.
        session.press("6").sees("275");
        // Each with what no other view has.
        let views = [
            ("1", "Throughput  last"),
            ("2", "bit rate"),
            ("3", "by last"),
            ("4", "Found"),
            ("5", "Dropped packets"),
            ("6", "Budgets"),
            ("?", "any key closes this"),
        ];
        for (key, text) in views {
            session.press(key).sees(text);
            is_in_order(&session);
            let key = if key == "?" { "help" } else { key };
            insta::assert_snapshot!(format!("view_{key}_{columns}x{rows}"), session.screen());
        }
        session.press("xq");
        assert!(session.end().success());
    }
}

#[test]
fn keys_and_filters() {
    let Some(mut session) = Session::start(STILL, 80, 24, &[]) else { return };
    session.press("6").sees("275").press("3").sees("31 flows");
    // By bytes, one row down, one flow in full, and back.
    session
        .press("s")
        .sees("bytes▾")
        .press("\x1b[B")
        .until("the second row", |screen| screen.rows(0, 80).nth(7).is_some_and(|row| row.starts_with('›')));
    session.press("\r").sees("duration_s").press("\x1b").sees("bytes▾");
    // A filter that is wrong says where; put right, it filters.
    session.press("/tls && dst_prt == 443").sees("did you mean `dst_port`?");
    session.until("the caret under its place", |screen| {
        let rows: Vec<_> = screen.rows(0, 80).collect();
        rows[3].find("dst_prt") == rows[4].find("^^^^^^^")
    });
    assert!(!session.emulator.screen().hide_cursor());
    is_in_order(&session);
    // The end of the line, six to the left, behind `p`.
    session.press("\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Do").sees("dst_port == 443");
    session.press("\r").sees("2 of 31 flows");
    session.until("no cursor", |screen| screen.hide_cursor());
    // What is pasted is text, whatever it holds.
    session.press("/").sees("Enter applies").press("\x15\x1b[200~quic\rq\x1b[201~").sees("quic q");
    session.press("\x1b").sees("2 of 31 flows");
    // Esc alone, and not as the beginning of the next key.
    session.press("\x1b").until("all flows", |screen| !screen.contents().contains(" of 31 "));
    // The end of the list, and its beginning.
    session
        .press("\x1b[F")
        .until("the last row", |screen| screen.rows(0, 80).nth(22).is_some_and(|row| row.starts_with('›')));
    session
        .press("p")
        .sees("PAUSED")
        .press("\x1b[H")
        .until("the first row", |screen| screen.rows(0, 80).nth(6).is_some_and(|row| row.starts_with('›')));
    session.press("p").sees("nothing lost").press("\x03");
    assert!(session.end().success());
}

#[test]
fn another_size() {
    let Some(mut session) = Session::start(STILL, 80, 24, &[]) else { return };
    session.press("6").sees("275").press("3").sees("31 flows");
    session.resize(200, 60).sees("duration").sees("state");
    is_in_order(&session);
    session.resize(40, 10).sees("40×10 is too small: 80×24 is needed");
    is_in_order(&session);
    session.resize(80, 24).sees("31 flows").press("q");
    is_in_order(&session);
    assert!(session.end().success());
}

/// However it ends, the terminal is as it was: what stood there stands there, keys are echoed, the cursor is seen.
#[test]
fn the_terminal_is_given_back() {
    fn press(keys: &'static str) -> impl Fn(&mut Session) {
        move |session| {
            session.press(keys);
        }
    }
    type End = Box<dyn Fn(&mut Session)>;
    let ways: [(&str, &str, End); 4] = [
        ("q", "", Box::new(press("q"))),
        ("Ctrl-C", "", Box::new(press("\x03"))),
        ("SIGTERM", "", Box::new(|session| session.signal(Signal::TERM))),
        ("a failure", "--fail", Box::new(|_| {})),
    ];
    for (way, option, end) in ways {
        let demo = format!(r#""$demo" "$capture" --speed 0 {option}"#);
        // A signal must be the demo's, not its shell's.
        let script = match way {
            "SIGTERM" => format!("echo before; exec {demo}"),
            _ => format!(r#"echo before; {demo}; echo "after $?""#),
        };
        let Some(mut session) = Session::start(&script, 80, 24, &[]) else { return };
        let modes = tcgetattr(&session.inside).unwrap();
        assert!(modes.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        session.until("the other screen", |screen| screen.alternate_screen());
        if option.is_empty() {
            session.sees("Throughput");
            assert!(session.emulator.screen().hide_cursor());
        }
        end(&mut session);
        session.end();
        let screen = session.emulator.screen();
        let text = session.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste(), "{way}");
        assert!(text.starts_with("before"), "{way}:\n{text}");
        assert_eq!(text.contains("after "), way != "SIGTERM", "{way}:\n{text}");
        assert_eq!(
            text.contains("the engine has failed, as it was told to"),
            !option.is_empty(),
            "{way}:\n{text}"
        );
        let after = tcgetattr(&session.inside).unwrap();
        assert_eq!(after.local_modes, modes.local_modes, "{way}");
        let bits = |modes: &rustix::termios::Termios| (modes.input_modes, modes.output_modes);
        assert_eq!(bits(&after), bits(&modes), "{way}");
        assert!(
            after.input_modes.contains(InputModes::ICRNL) && after.output_modes.contains(OutputModes::OPOST)
        );
    }
}

/// Whoever was connected has gone, and nothing is left that runs for nobody, also where the signal is not heeded.
#[test]
fn a_terminal_that_goes_away() {
    for script in [STILL.to_owned(), format!("trap '' HUP; {STILL}")] {
        let Some(status) = pty::hang_up(&script, "Throughput") else { return };
        assert!(status.code().is_some(), "{status}");
    }
}

#[test]
fn no_colour_where_none_is_wanted() {
    let has_colour = |session: &Session| {
        let screen = session.emulator.screen();
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        let cells: Vec<_> = cells.filter_map(|(row, column)| screen.cell(row, column)).collect();
        assert!(cells.iter().all(|cell| cell.bgcolor() == vt100::Color::Default));
        cells.iter().any(|cell| cell.fgcolor() != vt100::Color::Default)
    };
    for (value, is_coloured) in [("1", false), ("", true)] {
        let Some(mut session) = Session::start(STILL, 80, 24, &[("NO_COLOR", value)]) else { return };
        session.press("6").sees("275").press("4").sees("clear-text-credentials");
        assert_eq!(has_colour(&session), is_coloured);
        session.press("q");
        assert!(session.end().success());
    }
}

#[test]
fn lines_where_there_is_no_terminal() {
    let run = |options: &[&str]| {
        let mut command = Command::new(demo());
        let output = command.arg(capture()).args(["--speed", "0"]).args(options).stdin(Stdio::null());
        let output = output.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&["--lines", "text"]);
    assert!(
        text.lines().last().is_some_and(|line| line.contains(" packets/s ") && line.contains(" http ")),
        "{text}"
    );
    assert!(!text.contains('\x1b'));
    // Told or not, without a terminal there is no other way.
    assert!(run(&[]).contains(" packets/s "));
    let jsonl = run(&["--lines", "jsonl"]);
    let seconds: Vec<Second> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = seconds.last().unwrap();
    assert!(
        last.time.starts_with("2026-11-22T18:19:1") && last.bits_per_s > 0 && last.dropped == 0,
        "{jsonl}"
    );
    assert_eq!(seconds.iter().map(|second| second.new_risks).sum::<u64>(), 16);
}

/// `head` takes what it wants and goes: that is no error.
#[test]
fn a_reader_may_go() {
    let script = r#"set -o pipefail 2>/dev/null; "$0" "$1" --speed 1 --times 3 --lines text | head -n 1"#;
    let output = Command::new("bash").args(["-c", script]).arg(demo()).arg(capture()).output();
    let Ok(output) = output else {
        eprintln!("skipped: needs bash");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    assert!(output.stderr.is_empty(), "{output:?}");
}
