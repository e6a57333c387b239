//! What can be wrong with an audit log, with a key, or with a proof.

use std::io;
use std::path::PathBuf;

use super::{Hash, SplitView, Timestamp};

/// An error of the audit log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// An entry is older than the one before it.
    #[error("entry {index} is of {time}, but the one before it is of {last}; entries are never back-dated")]
    BackDated {
        /// Index of the entry in the log.
        index: u64,
        /// The time it says.
        time: Timestamp,
        /// The time of the entry before it.
        last: Timestamp,
    },
    /// A checkpoint is no C2SP tlog-checkpoint.
    #[error("checkpoint, line {line}: {why}")]
    Checkpoint {
        /// Line of the note, from 1.
        line: usize,
        /// What is wrong, and what belongs there.
        why: String,
    },
    /// Entries contradict each other or the rules of the log.
    #[error("entry {index}: {why}")]
    Content {
        /// Index of the entry in the log.
        index: u64,
        /// What is wrong.
        why: String,
    },
    /// The disk is full. What was in the log before is whole.
    #[error(
        "the disk that holds {} is full; what the log held before is whole: make room and append again",
        path.display()
    )]
    DiskFull {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// An entry does not decode, or is not in its one canonical encoding.
    #[error("entry{}: {why}", at(*.index))]
    Entry {
        /// Index of the entry in the log, where it is known.
        index: Option<u64>,
        /// What is wrong.
        why: String,
    },
    /// There is a log already where one should be created.
    #[error("{} holds a log already; open it, or choose an empty folder", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the log does not hold what it should.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Reading or writing failed.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A key, or a file that holds one, is not of the right form.
    #[error("{what}: {why}")]
    Key {
        /// Which key or file.
        what: String,
        /// What is wrong, and how to mend it.
        why: String,
    },
    /// Another process writes this log.
    #[error("{} is being written by another process; a log has one writer", path.display())]
    Locked {
        /// The folder of the log.
        path: PathBuf,
    },
    /// A text is no signed note.
    #[error("signed note, line {line}: {why}")]
    Note {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// What was asked for lies outside the log.
    #[error("the log has {size} entries; {asked} is beyond its end")]
    OutOfRange {
        /// The index or size asked for.
        asked: u64,
        /// How many entries the log has.
        size: u64,
    },
    /// A proof is not of the right form, or does not prove what it says.
    #[error("{what}: {why}")]
    Proof {
        /// Which proof.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The entries do not add up to the root that was signed.
    #[error("the {size} entries have the root {found}, but the checkpoint has {signed}: the log was changed")]
    Root {
        /// Number of entries.
        size: u64,
        /// What the entries hash to.
        found: Hash,
        /// What the checkpoint says.
        signed: Hash,
    },
    /// The log is shorter than it was.
    #[error("the log has {now} entries, but {before} were seen before: entries were taken out")]
    Shrunk {
        /// Entries seen before.
        before: u64,
        /// Entries now.
        now: u64,
    },
    /// A signature is wrong.
    #[error("the signature of {key} is wrong: the text was changed, or another key signed it")]
    Signature {
        /// Name and id of the key.
        key: String,
    },
    /// The log shows different people different histories.
    #[error("two signed checkpoints of {} contradict each other: the log has split", .0.origin())]
    SplitView(Box<SplitView>),
    /// A value can't stand in an entry.
    #[error("{what} {value:?}: {why}")]
    Value {
        /// Which kind of value.
        what: &'static str,
        /// The value.
        value: String,
        /// Why not, and what would do.
        why: &'static str,
    },
    /// No signature is by the key that was given.
    #[error("not signed by {wanted}, but by {found}; if the log has gone over to a new key, give that one")]
    WrongKey {
        /// The key that was given.
        wanted: String,
        /// The keys that signed, by name and id.
        found: String,
    },
}

fn at(index: Option<u64>) -> String {
    index.map_or_else(String::new, |index| format!(" {index}"))
}

impl AuditError {
    pub(crate) fn io(action: &'static str, path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn proof(what: &'static str, why: impl Into<String>) -> Self {
        Self::Proof { what, why: why.into() }
    }
}
