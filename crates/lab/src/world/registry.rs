//! Which runs there are: a folder for each, with its process and what it left.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde::{Deserialize, Serialize};

use crate::LabError;

/// What a run's folder says of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct State {
    /// The scenario's title.
    pub title: String,
    /// The scenario's file.
    pub file: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// The outer process; everything ends with it.
    pub pid: i32,
    /// When that process started, in the kernel's ticks: a PID alone may be somebody else's by now.
    pub ticks: u64,
    /// It stays when the timeline is over.
    pub keep: bool,
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run's name: that of its folder.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// What it says, if it can be read.
    pub state: Option<State>,
}

impl Run {
    /// Whether its process lives.
    pub fn is_alive(&self) -> bool {
        self.state.as_ref().is_some_and(|s| s.ticks != 0 && ticks(s.pid) == Some(s.ticks))
    }

    /// Ends its process, if it lives, and removes its folder.
    ///
    /// # Errors
    /// If either fails.
    pub fn remove(&self) -> Result<(), LabError> {
        if let Some(state) = self.state.as_ref().filter(|_| self.is_alive()) {
            let failed = |e: nix::Error| LabError::Failed {
                what: format!("ending {}", self.name),
                message: e.to_string(),
            };
            kill(Pid::from_raw(state.pid), Signal::SIGKILL).map_err(failed)?;
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LabError::File { what: "remove", path: self.folder.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// The folder of all runs of this user; only he can look into it. It is made if it isn't there.
///
/// # Errors
/// If it can't be made, or belongs to somebody else.
pub fn folder() -> Result<PathBuf, LabError> {
    // A world has a /run of its own, so nothing of it could be written there.
    let mut base = std::env::temp_dir();
    if base.starts_with("/run") {
        base = "/tmp".into();
    }
    let folder = base.join(format!("daylight-lab-{}", geteuid()));
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(LabError::File { what: "make", path: folder, source: error });
        }
        _ => {}
    }
    let about = fs::symlink_metadata(&folder).map_err(LabError::file("look at", &folder))?;
    if !about.is_dir() || about.uid() != geteuid().as_raw() || about.mode() & 0o077 != 0 {
        let source = io::Error::other("it is not a folder of this user alone; remove it, or set TMPDIR");
        return Err(LabError::File { what: "use", path: folder, source });
    }
    Ok(folder)
}

/// All runs, the oldest first.
///
/// # Errors
/// If the folder can't be read.
pub fn list() -> Result<Vec<Run>, LabError> {
    let folder = folder()?;
    let mut runs: Vec<Run> = fs::read_dir(&folder)
        .map_err(LabError::file("read", &folder))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            let text = fs::read_to_string(entry.path().join("state.json")).unwrap_or_default();
            Run {
                name: entry.file_name().to_string_lossy().into_owned(),
                folder: entry.path(),
                state: serde_json::from_str(&text).ok(),
            }
        })
        .collect();
    runs.sort_by_key(|r| (r.state.as_ref().map(|s| s.started.clone()), r.name.clone()));
    Ok(runs)
}

/// Writes what is to be known of a run.
pub(crate) fn write(folder: &Path, state: &State) -> Result<(), LabError> {
    let file = folder.join("state.json");
    let text = serde_json::to_vec_pretty(state)
        .map_err(|e| LabError::Failed { what: "writing state.json".into(), message: e.to_string() })?;
    fs::write(&file, text).map_err(LabError::file("write", &file))
}

/// When a process started, in clock ticks since boot; nothing if there is no such process, or it is over.
pub(crate) fn ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
