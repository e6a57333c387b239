//! What can be wrong with a card, a list, a share, a drive.

use std::path::{Path, PathBuf};

use crate::cbor::Malformed;
use crate::{Day, Id, Kind};

/// What is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not in the format.
    #[error("this is no {kind}, or a damaged one: {malformed}; take it again from where it came from")]
    Malformed {
        /// What it should be.
        kind: Kind,
        /// What is wrong, and where.
        malformed: Malformed,
    },
    /// A field is missing, or holds what it may not.
    #[error("{kind}: {field} {why}")]
    Field {
        /// Of what.
        kind: Kind,
        /// Its name.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It is longer than it may be.
    #[error("the {what} has {len} bytes; {max} is the most")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// It is past its last day.
    #[error("{kind} {id} has expired: its last day was {last}, today is {today}; ask for a new one")]
    Expired {
        /// Of what.
        kind: Kind,
        /// Which.
        id: Id,
        /// The last day on which it was good.
        last: Day,
        /// Today.
        today: Day,
    },
    /// Its first day is still to come.
    #[error(
        "{kind} {id} is from the future: its first day is {first}, today is {today}; is this machine's clock right?"
    )]
    Future {
        /// Of what.
        kind: Kind,
        /// Which.
        id: Id,
        /// The first day on which it is good.
        first: Day,
        /// Today.
        today: Day,
    },
    /// The signature is wrong.
    #[error("{kind} {id} was changed, or is forged: its signature by {signer} is wrong; do not use it")]
    Signature {
        /// Of what.
        kind: Kind,
        /// Which.
        id: Id,
        /// Whose signature it says it has.
        signer: Id,
    },
    /// The key that signed it isn't known.
    #[error(
        "{kind} {id} is signed by {signer}, which nobody known vouches for; give its certificate or root"
    )]
    UnknownSigner {
        /// Of what.
        kind: Kind,
        /// Which.
        id: Id,
        /// Whose signature it says it has.
        signer: Id,
    },
    /// It says it is good when its issuer's key is not.
    #[error(
        "{kind} {id} ({first} to {last}) is good beyond its issuer's certificate ({from} to {to}); do not use it"
    )]
    Outlives {
        /// Of what.
        kind: Kind,
        /// Which.
        id: Id,
        /// Its first day.
        first: Day,
        /// Its last day.
        last: Day,
        /// The certificate's first day.
        from: Day,
        /// The certificate's last day.
        to: Day,
    },
    /// It was revoked.
    #[error("{kind} {id} was revoked; ask for another one")]
    Revoked {
        /// Of what.
        kind: Kind,
        /// Which.
        id: Id,
    },
    /// A line of text can't be read.
    #[error(transparent)]
    Line(#[from] crate::line::LineError),
    /// A key can't be read or made.
    #[error("{what}: {why}")]
    Key {
        /// Which key.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Shares don't open a list.
    #[error("{0}")]
    Share(String),
    /// Frames don't make a list.
    #[error("{0}")]
    Frame(String),
    /// A code, picture or flier can't be drawn.
    #[error("{0}")]
    Drawing(String),
    /// A drive isn't as it should be.
    #[error("{}: {why}", path.display())]
    Drive {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file can't be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn field(kind: Kind, field: &'static str, why: impl Into<String>) -> Self {
        Self::Field { kind, field, why: why.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn drive(path: &Path, why: impl Into<String>) -> Self {
        Self::Drive { path: path.to_owned(), why: why.into() }
    }
}

/// What this crate's functions give.
pub type Result<T, E = Error> = std::result::Result<T, E>;
