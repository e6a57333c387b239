//! A program that stands in the way: in a link or in a router, with a log of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Namespace;
use crate::LabError;

/// How long a program may take to end once it was asked to.
const END_MAX: Duration = Duration::from_secs(5);
/// How much of a log an error shows.
const LOG_LINES: usize = 8;

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a command in a namespace; what it says goes to `log`.
    pub(crate) fn start(namespace: &Namespace, command: &[String], log: &Path) -> Result<Self, LabError> {
        let failed = |what: &str, message: String| LabError::Failed { what: what.to_owned(), message };
        let Some((program, arguments)) = command.split_first() else {
            return Err(failed("a program", "its command is empty".into()));
        };
        let out = File::create(log).map_err(LabError::file("write", log))?;
        let errors = out.try_clone().map_err(LabError::file("write", log))?;
        let mut start = Command::new(program);
        start.args(arguments).stdin(Stdio::null()).stdout(out).stderr(errors);
        let child = namespace.spawn(start).map_err(|e| failed(program, e.to_string()))?;
        Ok(Self { name: program.clone(), child, log: log.to_owned() })
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// If the program ends before, or that takes longer than `patience`.
    pub(crate) fn wait(&mut self, patience: Duration, mut is: impl FnMut() -> bool) -> Result<(), LabError> {
        let end = Instant::now() + patience;
        while !is() {
            if let Ok(Some(status)) = self.child.try_wait() {
                let message = format!("it ended with {status}:\n{}", self.log_end());
                return Err(LabError::Failed { what: self.name.clone(), message });
            }
            if Instant::now() > end {
                let waited_s = patience.as_secs();
                return Err(LabError::NotReady { service: self.name.clone(), waited_s, log: self.log_end() });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The end of its log.
    fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }

    /// What went wrong by itself: asked once, before it is ended.
    pub(crate) fn trouble(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        (!status.success()).then(|| format!("its program ended by itself: {status}; see its log"))
    }

    /// Asks it to end, and kills it if it doesn't.
    pub(crate) fn end(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let end = Instant::now() + END_MAX;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
