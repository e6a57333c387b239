//! What can go wrong.

use std::path::{Path, PathBuf};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder can't be read or written.
    #[error("can't {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nothing in the folder is of use.
    #[error(
        "{path} holds nothing to report on: put verdict records (.jsonl), series (.csv, .json) or captures (.pcap, .pcapng) into it"
    )]
    NothingThere {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a series can't be read.
    #[error(transparent)]
    Series(#[from] crate::series::SeriesError),
    /// A bundle can't be made.
    #[error(transparent)]
    Bundle(#[from] crate::bundle::BundleError),
}

impl Error {
    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Something in the input that was passed over: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 if it is about the whole file.
    pub line: u64,
    /// The column, from 1; 0 if it is about the whole line.
    pub column: u64,
    /// What was wrong.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.file, self.what),
            (line, 0) => write!(f, "{}:{line}: {}", self.file, self.what),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.what),
        }
    }
}
