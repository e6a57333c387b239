//! The demo in a pseudo-terminal, and an emulator that shows what it writes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long anything may take before a test gives up: a machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program; built with the tests.
pub(crate) fn demo() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    target.join("examples/board")
}

pub(crate) fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tour.pcap")
}

/// A program in a terminal.
pub(crate) struct Session {
    child: Child,
    terminal: File,
    /// The program's side, kept open so that what it wrote can be read when it has ended.
    pub(crate) inside: OwnedFd,
    output: Receiver<Vec<u8>>,
    pub(crate) emulator: vt100::Parser,
    /// The beginning of a frame that is not whole.
    pending: Vec<u8>,
}

impl Session {
    /// Starts `sh -c` with a script in which `$demo` is the demo on the capture; `None`, with a word about it, where
    /// there is no `setsid`.
    pub(crate) fn start(script: &str, columns: u16, rows: u16, environment: &[(&str, &str)]) -> Option<Self> {
        let (child, master, inside) = spawn(script, columns, rows, environment)?;
        let terminal = File::from(master);
        let mut reader = terminal.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 16384];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let emulator = vt100::Parser::new(rows, columns, 100);
        Some(Self { child, terminal, inside, output, emulator, pending: Vec::new() })
    }

    pub(crate) fn press(&mut self, keys: &str) -> &mut Self {
        self.terminal.write_all(keys.as_bytes()).unwrap();
        self
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) -> &mut Self {
        self.emulator.screen_mut().set_size(rows, columns);
        resize(&self.terminal, columns, rows);
        self
    }

    /// The screen as text, without blanks at the ends of lines.
    pub(crate) fn screen(&self) -> String {
        self.emulator.screen().contents().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) -> &mut Self {
        let end = Instant::now() + PATIENCE;
        loop {
            self.take_in(Duration::from_millis(20));
            if is_so(self.emulator.screen()) {
                return self;
            }
            assert!(Instant::now() < end, "not seen: {what}, in\n{}", self.screen());
        }
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> &mut Self {
        self.until(text, |screen| screen.contents().contains(text))
    }

    fn take_in(&mut self, patience: Duration) {
        match self.output.recv_timeout(patience) {
            Ok(bytes) => {
                self.pending.extend(bytes);
                self.show();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(patience),
        }
    }

    /// Shows frames that are whole, as terminals do that know of them: no test sees half a screen.
    fn show(&mut self) {
        let last = |marker: &[u8]| self.pending.windows(marker.len()).rposition(|bytes| bytes == marker);
        let (begins, ends) = (last(b"\x1b[?2026h"), last(b"\x1b[?2026l"));
        let whole = begins.filter(|begin| ends.is_none_or(|end| end < *begin)).unwrap_or(self.pending.len());
        let whole: Vec<u8> = self.pending.drain(..whole).collect();
        self.emulator.process(&whole);
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and for what it wrote last.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            self.take_in(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                (0..5).for_each(|_| self.take_in(Duration::from_millis(20)));
                return status;
            }
            assert!(Instant::now() < end, "it goes on:\n{}", self.screen());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Of a test that failed; one that has ended is not hit.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: impl AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

/// Starts a script in a terminal; gives its other side, and the program's.
fn spawn(
    script: &str,
    columns: u16,
    rows: u16,
    environment: &[(&str, &str)],
) -> Option<(Child, OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    resize(&master, columns, rows);
    // A terminal of its own, as a login gives: so that it hears of a new size.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "sh", "-c", script]).env_remove("NO_COLOR").env("TERM", "xterm-256color");
    command.env("demo", demo()).env("capture", capture()).envs(environment.iter().copied());
    let end = || std::process::Stdio::from(inside.try_clone().unwrap());
    let child = match command.stdin(end()).stdout(end()).stderr(end()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: needs setsid(1): {error}");
            return None;
        }
    };
    Some((child, master, inside))
}

/// Starts a script, waits until a text is written, takes the terminal away, and waits for the end; `None` where there is
/// no `setsid`.
pub(crate) fn hang_up(script: &str, text: &str) -> Option<ExitStatus> {
    let (mut child, master, inside) = spawn(script, 80, 24, &[])?;
    let (mut terminal, mut written, mut buffer) = (File::from(master), Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&written).contains(text) {
        let count = terminal.read(&mut buffer).unwrap();
        written.extend(&buffer[..count]);
    }
    drop((terminal, inside));
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it goes on without a terminal");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
