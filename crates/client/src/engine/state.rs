//! Where an installation keeps what it learned.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use daylight_browser::Profile;

use crate::memory::{Memory, MemoryError};

/// The state can't be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The folder can't be made, or a file in it can't be read.
    #[error("{path}: {cause} (say --state FOLDER for another place)")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// There is no home to keep it in.
    #[error("neither XDG_STATE_HOME nor HOME is set: say --state FOLDER")]
    Homeless,
    /// The memory can't be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The browser's profile can't be used.
    #[error("{path}: {cause}")]
    Profile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: daylight_browser::Error,
    },
}

/// A folder of the user's alone.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The usual place: `$XDG_STATE_HOME/daylight`, or `~/.local/state/daylight`.
    ///
    /// # Errors
    /// If there is none, or it can't be made.
    pub fn usual() -> Result<Self, StateError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        Self::at(&base.ok_or(StateError::Homeless)?.join("daylight"))
    }

    /// This folder; it is made if it is not there.
    ///
    /// # Errors
    /// If it can't be made, or closed to others.
    pub fn at(path: &Path) -> Result<Self, StateError> {
        let failed = |cause| StateError::Folder { path: path.into(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(Self(path.into()))
    }

    /// What worked on which network.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn memory(&self) -> Result<Memory, StateError> {
        Ok(Memory::open(&self.0.join("networks.json"))?)
    }

    /// The file of the census.
    #[must_use]
    pub fn census(&self) -> PathBuf {
        self.0.join("census")
    }

    /// The browser that this installation looks like: the profile in `browser.toml`, if there is one, by which a newer one
    /// comes without a new program; otherwise the program's own.
    ///
    /// # Errors
    /// If there is a file and it is no profile.
    pub fn profile(&self) -> Result<Profile, StateError> {
        let path = self.0.join("browser.toml");
        match fs::read_to_string(&path) {
            Ok(text) => Profile::parse(&text).map_err(|cause| StateError::Profile { path, cause }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Profile::current()),
            Err(cause) => Err(StateError::Folder { path, cause }),
        }
    }
}
