//! The evidence bundle: everything a report rests on in one file, which anybody can verify without a network.
//!
//! A bundle is a tar archive under zstd. Its first entry, `manifest.txt`, names every other file with its size and SHA-256.
//! The second, `manifest.sig`, if the bundle is signed, is a signed note (C2SP signed-note, Ed25519) over the manifest's
//! hash; keys have the format of Daylight's public logs. The same files give the same bytes: entries are sorted, and
//! carry neither times nor owners.
//!
//! [`write()`] makes one of a folder, and takes the probe's own addresses out unless told otherwise; [`verify()`] reads one as
//! a stream, and writes nothing to disk.

mod manifest;
mod scrub;
mod verify;
mod write;

use std::path::PathBuf;

pub use scrub::Scrub;
pub use verify::{Difference, Limits, Verified, verify};
pub use write::{Bundled, write};

/// The name of the first entry.
const MANIFEST: &str = "manifest.txt";
/// The name of the entry with the signature.
const SIGNATURE: &str = "manifest.sig";
/// No manifest is longer.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// No path in a bundle is longer: what the header of a tar entry holds for certain.
const PATH_BYTES_MAX: usize = 100;

/// Why a bundle can't be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Reading or writing failed.
    #[error("can't {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A path can't be in a bundle.
    #[error("`{path}` can't be in a bundle: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// A capture can't be rewritten without the probe's addresses.
    #[error("{path}: {why}; leave it out, or keep addresses if they may be known")]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What was given is no bundle.
    #[error("not an evidence bundle: {why}")]
    NotABundle {
        /// Why not.
        why: String,
    },
    /// A bundle is too large to be read.
    #[error("the bundle holds more than {limit} {what}; raise the limit if it is to be trusted")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// A key can't be used.
    #[error("{what} is no key: {why}")]
    Key {
        /// Which key.
        what: &'static str,
        /// Why not.
        why: String,
    },
}

impl BundleError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a path is not safe to be unpacked by anybody, if it isn't.
fn unsafe_path(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        Some("a path in a bundle has 1 to 100 bytes")
    } else if path.starts_with('/') || path.contains('\\') || path.contains(':') {
        Some("a path in a bundle is relative, with slashes, and without colons")
    } else if path.chars().any(char::is_control) {
        Some("a path in a bundle has no control characters")
    } else if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        Some("a path in a bundle doesn't lead out of it")
    } else {
        None
    }
}
