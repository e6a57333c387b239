//! Running a scenario: starts its world, passes on what it says, and ends it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::LabError;
use crate::play::{Job, KEEP, Message, STOP};
use crate::record::Record;
use crate::scenario::Scenario;
use crate::world::registry::{self, State};
use crate::world::stage::Privilege;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Command line of this program that calls [`stage::outer`](crate::world::stage::outer); the words `root` or `user
    /// namespace` follow.
    pub outer: Vec<String>,
    /// What it may do.
    pub privilege: Privilege,
    /// Capture every link.
    pub capture: bool,
    /// Leave the world standing.
    pub keep: bool,
    /// Open a shell on this host while the timeline is played.
    pub shell: Option<String>,
    /// Where the report, the captures and the services' logs go; nowhere without it.
    pub report: Option<PathBuf>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The record.
    pub record: Record,
    /// The run's name, if it was kept.
    pub kept: Option<String>,
    /// Where its page lies, if a report was asked for.
    pub page: Option<PathBuf>,
}

/// Runs one scenario. `interrupted` is looked at ten times a second; once it is true, the timeline is cut short and what was
/// seen until then is recorded. `tell` gets what happens as it happens.
///
/// Several may run at once, each on a thread of its own.
///
/// # Errors
/// If the scenario is wrong, the world could not be built, a service doesn't answer, or the record can't be written.
pub fn run(
    text: &str,
    path: &Path,
    options: &Options,
    interrupted: &AtomicBool,
    mut tell: impl FnMut(&Message),
) -> Result<Outcome, LabError> {
    let file = path.display().to_string();
    let scenario = Scenario::parse(text, &file)?;
    let folder = new_folder(path)?;
    let mut world = Running::start(&folder, options)?;
    let result = world.follow(&scenario, text, path, options, interrupted, &mut tell);
    let kept = options.keep && result.is_ok();
    if !kept {
        world.end();
    }
    let result = result.and_then(|()| {
        let at = folder.join("report.json");
        let text = fs::read_to_string(&at).map_err(LabError::file("read", &at))?;
        let record: Record = serde_json::from_str(&text)
            .map_err(|e| LabError::Ended(format!("its record can't be read: {e}")))?;
        let page =
            options.report.as_ref().map(|to| crate::report::write(&record, &folder, to)).transpose()?;
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned());
        Ok(Outcome { record, kept: name.filter(|_| kept), page })
    });
    if !kept {
        // What could not be removed is left to `lab clean`.
        let _ = fs::remove_dir_all(&folder);
    }
    result
}

/// Makes the run's folder: the scenario's name, this process, and a number.
pub(crate) fn new_folder(path: &Path) -> Result<PathBuf, LabError> {
    let base = registry::folder()?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let stem: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(30).collect();
    let stem = if stem.is_empty() { "run".to_owned() } else { stem };
    for n in 0..1000 {
        let folder = base.join(format!("{stem}-{}-{n}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(LabError::File { what: "make", path: folder, source: error }),
        }
    }
    Err(LabError::Ended("it found no free name for its folder".into()))
}

struct Running {
    child: Child,
    orders: Option<ChildStdin>,
    folder: PathBuf,
}

impl Running {
    fn start(folder: &Path, options: &Options) -> Result<Self, LabError> {
        let failed = || LabError::file("start", "the world");
        let (program, arguments) = options
            .outer
            .split_first()
            .ok_or_else(|| LabError::Ended("it has no program to start".into()))?;
        let log = fs::File::create(folder.join("world.txt")).map_err(failed())?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(options.privilege.argument())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for us, who then tell the world to stop.
            .process_group(0)
            .spawn()
            .map_err(failed())?;
        let orders = child.stdin.take();
        Ok(Self { child, orders, folder: folder.to_owned() })
    }

    fn order(&mut self, line: &str) -> Result<(), LabError> {
        let sent = self.orders.as_mut().map(|orders| writeln!(orders, "{line}"));
        match sent {
            Some(Err(_)) | None => Err(self.early()),
            Some(Ok(())) => Ok(()),
        }
    }

    /// Why it is over already.
    fn early(&self) -> LabError {
        let log = fs::read_to_string(self.folder.join("world.txt")).unwrap_or_default();
        let last = log.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
        LabError::Ended(last.trim_start_matches("daylight: ").to_owned())
    }

    fn follow(
        &mut self,
        scenario: &Scenario,
        text: &str,
        path: &Path,
        options: &Options,
        interrupted: &AtomicBool,
        tell: &mut dyn FnMut(&Message),
    ) -> Result<(), LabError> {
        let pid = self.child.id().cast_signed();
        let state = State {
            title: scenario.title.clone(),
            file: path.display().to_string(),
            started: jiff::Timestamp::now().to_string(),
            pid,
            ticks: registry::ticks(pid).unwrap_or(0),
            keep: options.keep,
        };
        registry::write(&self.folder, &state)?;
        let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let job = Job {
            text: text.to_owned(),
            file: path.display().to_string(),
            base: full.parent().map(Path::to_owned).unwrap_or_default(),
            folder: self.folder.clone(),
            capture_all: options.capture,
            privilege: options.privilege.name().to_owned(),
        };
        let line = serde_json::to_string(&job)
            .map_err(|e| LabError::Failed { what: "writing the job".into(), message: e.to_string() })?;
        self.order(&line)?;
        if options.keep {
            self.order(KEEP)?;
        }
        let (give, take) = channel();
        if let Some(out) = self.child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if let Ok(message) = serde_json::from_str::<Message>(&line)
                        && give.send(message).is_err()
                    {
                        return;
                    }
                }
            });
        }
        let mut stopped = false;
        let mut shell: Option<Child> = None;
        loop {
            match take.recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Failed { message }) => {
                    return Err(LabError::Failed { what: scenario.title.clone(), message });
                }
                Ok(message) => {
                    tell(&message);
                    match message {
                        Message::Done => break,
                        Message::Ready { .. } => {
                            shell = options.shell.as_deref().map(|host| self.shell(host)).transpose()?;
                        }
                        _ => {}
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Err(self.early()),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            }
            if let Some(running) = &mut shell
                && !matches!(running.try_wait(), Ok(None))
            {
                shell = None;
                self.order(STOP)?;
            }
            if interrupted.load(Ordering::Relaxed) && !stopped && shell.is_none() {
                stopped = true;
                self.order(STOP)?;
            }
        }
        if let Some(mut shell) = shell {
            let _ = shell.wait();
        }
        Ok(())
    }

    /// Opens a shell on a host.
    fn shell(&self, host: &str) -> Result<Child, LabError> {
        let mut command = shell_command(&self.folder, self.child.id().cast_signed(), host)?;
        command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => LabError::Missing {
                program: "nsenter".into(),
                needs: "--shell".into(),
                package: "util-linux",
            },
            _ => LabError::Failed { what: "nsenter".into(), message: e.to_string() },
        })
    }

    /// Ends the world: its input is closed, it has three seconds to leave, and is then killed.
    fn end(&mut self) {
        drop(self.orders.take());
        for _ in 0..300 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Dropping the input ends a world that is not kept; this only collects its process.
        let _ = self.child.try_wait();
    }
}

/// Opens a shell on a host, or in a network's router, of a run that stands, and waits for its end.
///
/// # Errors
/// If the run has ended, there is no such host, or no shell can be started.
pub fn enter(run: &registry::Run, host: &str) -> Result<ExitStatus, LabError> {
    let state = run.state.as_ref().filter(|_| run.is_alive());
    let pid = state.map(|s| s.pid).ok_or_else(|| LabError::Ended(format!("{} is over", run.name)))?;
    shell_command(&run.folder, pid, host)?
        .status()
        .map_err(|e| LabError::Failed { what: "nsenter".into(), message: e.to_string() })
}

/// A shell in the namespaces of a host: first into the world, then into the host's thread.
fn shell_command(folder: &Path, outer: i32, host: &str) -> Result<Command, LabError> {
    let failed = |message: String| LabError::Failed { what: format!("a shell on {host:?}"), message };
    let file = folder.join("namespaces.json");
    let text = fs::read_to_string(&file).map_err(LabError::file("read", &file))?;
    let threads: std::collections::BTreeMap<String, i32> =
        serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    let thread = threads.get(host).ok_or_else(|| {
        failed(format!(
            "there is no such host; there are {}",
            threads.keys().cloned().collect::<Vec<_>>().join(", ")
        ))
    })?;
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
    let inner: i32 = children
        .split_whitespace()
        .next()
        .and_then(|c| c.parse().ok())
        .ok_or_else(|| failed("it has ended".into()))?;
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={inner}")).args(["--mount", "--pid"]);
    if Privilege::of_process() == Privilege::UserNamespace {
        command.args(["--user", "--preserve-credentials"]);
    }
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    command
        .args(["--", "nsenter", &format!("--target={thread}"), "--mount", "--net", "--", &shell])
        .env("PS1", format!("{host}# "));
    Ok(command)
}
