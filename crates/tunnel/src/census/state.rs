//! What a client keeps: the day on which it was counted last. The server has said nothing of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// A date and the end of its line, and some room for an editor's.
const FILE_LEN_MAX: u64 = 64;

/// The file, which no other process uses as long as this lives.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    counted: Option<Date>,
    /// Locked until it is dropped. A file of its own, since the other is replaced.
    _lock: File,
}

/// The client's file of the census can't be used; it is not counted then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It can't be read, written or locked.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Another client is reporting.
    #[error("{path}: another client of yours is using it at the moment")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// It is not what this program writes.
    #[error("{path}: this is not the date of a census; delete it, or give another path")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

impl State {
    /// Opens the file, which need not be there, and locks it (by another beside it).
    ///
    /// # Errors
    /// If it can't be read, is something else, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |cause| StateError::File { path: path.into(), cause };
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(beside(path, ".lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse { path: path.into() }),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let mut text = Vec::new();
        match File::open(path) {
            Ok(file) => drop(file.take(FILE_LEN_MAX).read_to_end(&mut text).map_err(failed)?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.into(), counted: None, _lock: lock });
            }
            Err(cause) => return Err(failed(cause)),
        }
        let date = std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
        let date = date.ok_or_else(|| StateError::Damaged { path: path.into() })?;
        Ok(Self { path: path.into(), counted: Some(date), _lock: lock })
    }

    /// The day on which this client was counted last.
    #[must_use]
    pub fn counted(&self) -> Option<Date> {
        self.counted
    }

    /// Writes down that it was counted on this day. When it returns, a failure of power does not undo it.
    ///
    /// # Errors
    /// If the file can't be written: then it may be the old one or the new one.
    pub fn set_counted(&mut self, day: Date) -> Result<(), StateError> {
        let write = || {
            let new = beside(&self.path, ".new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            writeln!(file, "{day}")?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            // The name is in the folder, which is written by itself.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
        };
        write().map_err(|cause| StateError::File { path: self.path.clone(), cause })?;
        self.counted = Some(day);
        Ok(())
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_date_and_nothing_else_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("census");
        let mut state = State::open(&path).unwrap();
        assert_eq!(state.counted(), None);
        assert!(matches!(State::open(&path), Err(StateError::InUse { .. })), "one at a time");
        state.set_counted(date(2026, 11, 23)).unwrap();
        drop(state);
        assert_eq!(fs::read_to_string(&path).unwrap(), "2026-11-23\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut state = State::open(&path).unwrap();
        assert_eq!(state.counted(), Some(date(2026, 11, 23)));
        state.set_counted(date(2026, 11, 24)).unwrap();
        drop(state);
        assert_eq!(State::open(&path).unwrap().counted(), Some(date(2026, 11, 24)));
    }

    #[test]
    fn what_is_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("census");
        for other in ["", "x", "2026-13-01\n", &"2026-11-23".repeat(9)] {
            fs::write(&path, other).unwrap();
            let error = State::open(&path).unwrap_err();
            assert!(matches!(error, StateError::Damaged { .. }), "{other:?}: {error}");
            assert!(error.to_string().contains("census: ") && error.to_string().contains("delete it"));
        }
        let missing = folder.path().join("missing/census");
        assert!(matches!(State::open(&missing), Err(StateError::File { .. })));
    }
}
