//! Verifying a bundle: what is in it against what its manifest says, and who signed that.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use sha2::{Digest as _, Sha256};
use signed_note::{Note, NoteError, StandardVerifier, VerifierList};

use super::manifest::{FILES_MAX, Manifest};
use super::write::signed_text;
use super::{BundleError, MANIFEST, MANIFEST_BYTES_MAX, SIGNATURE, unsafe_path};
use crate::rows::{RuleSetName, hex};

/// The largest window that zstd may ask for, as a power of two.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// No signature is longer.
const SIGNATURE_BYTES_MAX: u64 = 64 << 10;

/// How large a bundle may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes_max: u64,
}

impl Default for Limits {
    /// 16 GiB.
    fn default() -> Self {
        Self { bytes_max: 16 << 30 }
    }
}

/// In what a bundle differs from what its manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The manifest names a file that isn't there.
    Missing(String),
    /// There is a file that the manifest doesn't name.
    Extra(String),
    /// A file is there twice.
    Twice(String),
    /// A file's bytes are others.
    Changed {
        /// Its path.
        path: String,
        /// The hash that the manifest has.
        expected: String,
        /// The hash of what is there.
        found: String,
    },
    /// A path that leads out of the folder a bundle is unpacked in, or is otherwise not to be trusted.
    UnsafePath {
        /// The path.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A link, a device or the like.
    NotAFile(String),
    /// The signature is not right, or is over another manifest.
    Signature(String),
    /// There is no signature, or none of a key that was given.
    Unsigned(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path}: named in the manifest, but not there"),
            Self::Extra(path) => write!(f, "{path}: not named in the manifest"),
            Self::Twice(path) => write!(f, "{path}: there twice"),
            Self::Changed { path, expected, found } => {
                write!(f, "{path}: changed; its SHA-256 is {found}, the manifest has {expected}")
            }
            Self::UnsafePath { path, why } => write!(f, "{path:?}: {why}; do not unpack this bundle"),
            Self::NotAFile(path) => write!(f, "{path:?}: not a plain file; do not unpack this bundle"),
            Self::Signature(why) | Self::Unsigned(why) => f.write_str(why),
        }
    }
}

/// What was found in a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many files are as the manifest says.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// SHA-256 of the manifest, in hexadecimal.
    pub manifest_sha256: String,
    /// The keys, of those given, that signed it, as name and id.
    pub signed_by: Vec<String>,
    /// The rule sets that the manifest names.
    pub rules: Vec<RuleSetName>,
    /// In what it differs; nothing if all is well.
    pub differences: Vec<Difference>,
}

/// Verifies a bundle. `keys` are the public keys that are trusted (`name+id+key`); if there are any, one of them must have
/// signed. Nothing is written to disk, and a file's bytes are never all in memory.
///
/// # Errors
/// If it is no bundle, is larger than the limits, can't be read, or a key is none. What is wrong with a bundle that can be
/// read is no error but in [`Verified::differences`].
pub fn verify(reader: impl Read, keys: &[String], limits: Limits) -> Result<Verified, BundleError> {
    let keys: Vec<StandardVerifier> = keys
        .iter()
        .map(|key| {
            StandardVerifier::new(key.trim())
                .map_err(|error| BundleError::Key { what: "a public key", why: format!("{error:?}") })
        })
        .collect::<Result<_, _>>()?;
    let not = |why: String| BundleError::NotABundle { why };
    let mut zstd = zstd::stream::read::Decoder::new(reader).map_err(|error| not(error.to_string()))?;
    zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| not(error.to_string()))?;
    let mut archive = tar::Archive::new(Counted { inner: zstd, left: limits.bytes_max });
    let failed = |error: std::io::Error| {
        if error.get_ref().is_some_and(|inner| inner.is::<OverLimit>()) {
            BundleError::TooLarge { limit: limits.bytes_max, what: "bytes" }
        } else {
            BundleError::NotABundle { why: error.to_string() }
        }
    };
    let mut found = Verified::default();
    let mut manifest: Option<Manifest> = None;
    let mut signature: Option<Vec<u8>> = None;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    // Raw: names longer than a header holds, and other extensions, are not read into memory but seen as what they are.
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let mut entry = entry.map_err(failed)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            found.differences.push(Difference::NotAFile(path));
            continue;
        }
        if let Some(why) = unsafe_path(&path) {
            found.differences.push(Difference::UnsafePath { path, why });
            continue;
        }
        let Some(known) = &manifest else {
            if path != MANIFEST {
                return Err(not(format!("its first file is `{path}`, not `{MANIFEST}`")));
            }
            let bytes =
                short(&mut entry, MANIFEST_BYTES_MAX, "bytes in its manifest").map_err(|e| e.or(failed))?;
            found.manifest_sha256 = hex(&Sha256::digest(&bytes));
            let text = String::from_utf8(bytes).map_err(|_| not("its manifest is not UTF-8".to_owned()))?;
            let read = Manifest::parse(&text).map_err(not)?;
            found.rules.clone_from(&read.rules);
            manifest = Some(read);
            continue;
        };
        if path == SIGNATURE && seen.is_empty() && signature.is_none() {
            signature = Some(
                short(&mut entry, SIGNATURE_BYTES_MAX, "bytes in its signature").map_err(|e| e.or(failed))?,
            );
            continue;
        }
        let mut hash = Sha256::new();
        let size = std::io::copy(&mut entry, &mut Hashing(&mut hash)).map_err(failed)?;
        let hash: [u8; 32] = hash.finalize().into();
        match known.files.get(&path) {
            None => found.differences.push(Difference::Extra(path.clone())),
            Some(_) if seen.contains(&path) => found.differences.push(Difference::Twice(path.clone())),
            Some(expected) if expected.sha256 != hash || expected.size != size => {
                found.differences.push(Difference::Changed {
                    path: path.clone(),
                    expected: hex(&expected.sha256),
                    found: hex(&hash),
                });
            }
            Some(_) => {
                found.files += 1;
                found.bytes += size;
            }
        }
        seen.insert(path);
        if seen.len() > FILES_MAX {
            return Err(BundleError::TooLarge { limit: FILES_MAX as u64, what: "files" });
        }
    }
    let Some(manifest) = manifest else { return Err(not("it is empty".to_owned())) };
    let missing = manifest.files.keys().filter(|path| !seen.contains(*path));
    found.differences.extend(missing.cloned().map(Difference::Missing));
    check_signature(&mut found, signature.as_deref(), keys);
    Ok(found)
}

/// Why a short file can't be read.
enum Short {
    TooLong(u64, &'static str),
    Io(std::io::Error),
}

impl Short {
    fn or(self, failed: impl Fn(std::io::Error) -> BundleError) -> BundleError {
        match self {
            Self::TooLong(limit, what) => BundleError::TooLarge { limit, what },
            Self::Io(error) => failed(error),
        }
    }
}

fn short(entry: &mut impl Read, limit: u64, what: &'static str) -> Result<Vec<u8>, Short> {
    let mut bytes = Vec::new();
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(Short::Io)?;
    if bytes.len() as u64 > limit { Err(Short::TooLong(limit, what)) } else { Ok(bytes) }
}

fn check_signature(found: &mut Verified, signature: Option<&[u8]>, keys: Vec<StandardVerifier>) {
    let Some(bytes) = signature else {
        if !keys.is_empty() {
            found.differences.push(Difference::Unsigned("the bundle is not signed".to_owned()));
        }
        return;
    };
    let note = match Note::from_bytes(bytes) {
        Ok(note) => note,
        Err(error) => {
            found.differences.push(Difference::Signature(format!("{SIGNATURE}: {error}")));
            return;
        }
    };
    if note.text() != signed_text(&found.manifest_sha256).as_bytes() {
        let why = format!("{SIGNATURE}: the signature is over another manifest");
        found.differences.push(Difference::Signature(why));
        return;
    }
    if keys.is_empty() {
        return;
    }
    let keys = keys.into_iter().map(|key| Box::new(key) as Box<dyn signed_note::Verifier>).collect();
    match note.verify(&VerifierList::new(keys)) {
        Ok((verified, _)) => {
            found.signed_by = verified.iter().map(|one| format!("{}+{:08x}", one.name(), one.id())).collect();
        }
        Err(NoteError::UnverifiedNote) => {
            let why = format!("{SIGNATURE}: none of the keys that were given signed it");
            found.differences.push(Difference::Unsigned(why));
        }
        Err(error) => found.differences.push(Difference::Signature(format!("{SIGNATURE}: {error}"))),
    }
}

/// Reads no more than is left, then fails.
struct Counted<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("over the limit")]
struct OverLimit;

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| std::io::Error::other(OverLimit))?;
        Ok(read)
    }
}

struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
