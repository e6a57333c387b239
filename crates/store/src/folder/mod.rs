//! A store: a folder of Parquet files that records are added to for as long as there is room for them.
//!
//! [`StoreWriter`] takes records on any thread and hands them to one of its own, which replaces addresses by pseudonyms
//! (see [`Privacy`]), sorts the records into the hours in which their flows ended, and writes each hour's as a file when it
//! is a minute old, or before that when it has got large. A file is encoded in memory, written under a name that no reader
//! takes, made durable, and then renamed: there is never half a file, and a crash loses what the open minute held.
//!
//! [`Keeper`] does the housekeeping: it merges the small files of an hour that is over into few large ones, and removes
//! hours that are too old or too much. [`hours`] and [`files`] tell a reader what there is.

mod columns;
mod image;
mod keeper;
mod layout;
mod lock;
mod merge;
mod sink;
#[cfg(test)]
mod tests;
mod work;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::pseudonym::{KeyError, Networks};
pub use columns::columns;
pub use keeper::{Keeper, KeeperOptions, Kept, Running};
pub use layout::{DataFile, Hour, files, hours};
pub use sink::{StoreHandle, StoreWriter};

/// How a store is written.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The store's folder; it is made if it isn't there.
    pub folder: PathBuf,
    /// Which sensor this is: 1 to 64 letters, digits, hyphens and underscores.
    pub sensor: String,
    /// What becomes of the addresses of clients.
    pub privacy: Privacy,
    /// A file holds the records of so long a time. Default: a minute.
    pub file_every: Duration,
    /// What happens to records that come faster than they can be written.
    pub behind: Behind,
    /// What happens when nothing can be written.
    pub failing: Failing,
}

impl StoreOptions {
    /// A store in this folder, with pseudonyms under keys in the file `FOLDER.key` beside it.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let privacy = Privacy::Pseudonyms(Pseudonymity::new(key_file(&folder)));
        Self {
            folder,
            sensor: "main".into(),
            privacy,
            file_every: Duration::from_secs(60),
            behind: Behind::Wait,
            failing: Failing::Stop,
        }
    }
}

/// The file of a store's keys: beside its folder, so that a copy of the folder is without them.
pub fn key_file(store: &std::path::Path) -> PathBuf {
    // The last component's own name: `.` and `..` have none, nor has a path that ends with them.
    let named = match store.file_name() {
        Some(_) => store.to_owned(),
        None => std::fs::canonicalize(store).unwrap_or_else(|_| store.to_owned()),
    };
    let mut name = named.file_name().unwrap_or_else(|| "store".as_ref()).to_owned();
    name.push(".key");
    named.with_file_name(name)
}

/// What becomes of the addresses of clients.
#[derive(Clone, Debug)]
pub enum Privacy {
    /// They are replaced by pseudonyms.
    Pseudonyms(Pseudonymity),
    /// They stay as they are.
    KeepAddresses,
}

/// How pseudonyms are given.
#[derive(Clone, Debug)]
pub struct Pseudonymity {
    /// The file of keys; it is made if it isn't there.
    pub key_file: PathBuf,
    /// After so long, a new key is used. Default: 30 days.
    pub rotate_every: Duration,
    /// Where clients are. Addresses there are replaced wherever they stand; the client of a flow always is.
    pub networks: Networks,
}

impl Pseudonymity {
    /// With keys in this file, a new one every 30 days, for clients in private networks.
    pub fn new(key_file: PathBuf) -> Self {
        Self { key_file, rotate_every: Duration::from_secs(30 * 86_400), networks: Networks::default() }
    }
}

/// What happens to records that come faster than they can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Whoever brings them waits: for captures in files.
    Wait,
    /// They are lost and counted: for a link, which doesn't wait.
    Lose,
}

/// What happens when nothing can be written, for want of room or of permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// The writer closes: for captures in files, which can be read again.
    Stop,
    /// It goes on. Files that could not be written are held up to 64 MiB and tried again with every tick; then records are
    /// lost and counted.
    GoOn,
}

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder can't be made or read.
    #[error("can't use {} as a store: {cause}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A sensor's name has other characters.
    #[error("{0:?} can't be a sensor's name: it has 1 to 64 letters, digits, hyphens and underscores")]
    Sensor(String),
    /// The keys can't be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A file can't be merged with others.
    #[error("can't merge {}: {cause}", path.display())]
    Merge {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// Another process does the housekeeping.
    #[error("another process is at work on {}: try again when it is done", path.display())]
    Busy {
        /// Which folder.
        path: PathBuf,
    },
}

impl FolderError {
    pub(crate) fn folder(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Folder { path, cause }
    }
}

/// What a writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Files that are written whole.
    pub files: u64,
    /// Records in them.
    pub rows: u64,
    /// Their size.
    pub bytes: u64,
    /// Records that are lost: there was no room for them, or no time.
    pub rows_lost: u64,
    /// Times that a file could not be written.
    pub errors: u64,
}

#[derive(Default)]
struct Counting {
    files: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_lost: AtomicU64,
    errors: AtomicU64,
}

impl Counting {
    fn look(&self) -> StoreCounters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounters {
            files: of(&self.files),
            rows: of(&self.rows),
            bytes: of(&self.bytes),
            rows_lost: of(&self.rows_lost),
            errors: of(&self.errors),
        }
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// Nanoseconds since 1970 by the system's clock.
fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}
