//! Making a bundle of a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use signed_note::{Note, Signer as _, StandardSigner};

use super::manifest::{Entry, Manifest};
use super::{BundleError, MANIFEST, SIGNATURE, Scrub, scrub, unsafe_path};
use crate::rows::{RuleSetName, hex};

/// How hard zstd tries; part of what makes the same bytes.
const ZSTD_LEVEL: i32 = 12;
/// No file of a bundle is larger, as it is held in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What was put into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// How many files.
    pub files: usize,
    /// How many bytes, before compression.
    pub bytes: u64,
    /// SHA-256 of the manifest, in hexadecimal: names the bundle's contents.
    pub manifest_sha256: String,
    /// The key that signed, as name and id; nothing if none did.
    pub signed_by: Option<String>,
}

/// Makes a bundle of all files in a folder. `rules` are those that judged what is in it. `key` is a private key's text
/// (`PRIVATE+KEY+name+id+key`, as in the key file of a public log).
///
/// # Errors
/// If a file can't be read or has a path that a bundle can't hold, a capture can't be rewritten, the key is none, or
/// writing fails.
pub fn write(
    folder: &Path,
    out: impl Write,
    rules: &[RuleSetName],
    scrubbed: &Scrub,
    key: Option<&str>,
) -> Result<Bundled, BundleError> {
    let signer = key
        .map(|text| StandardSigner::new(text.trim()))
        .transpose()
        .map_err(|error| BundleError::Key { what: "the private key", why: format!("{error:?}") })?;
    let files =
        crate::study::files(folder).map_err(|error| BundleError::NotABundle { why: error.to_string() })?;
    let own = own_addresses(&files, scrubbed)?;
    let mut manifest = Manifest { rules: rules.to_vec(), ..Manifest::default() };
    // Twice through the files, so that the manifest comes first and no more than one is in memory.
    let mut bytes = 0;
    for path in &files {
        let (name, contents) = load(folder, path, own.as_ref())?;
        if let Some(why) = unsafe_path(&name) {
            return Err(BundleError::Path { path: name, why });
        }
        if name == MANIFEST || name == SIGNATURE {
            return Err(BundleError::Path {
                path: name,
                why: "the bundle's own file is called that; rename it",
            });
        }
        let entry = Entry { size: contents.len() as u64, sha256: Sha256::digest(&contents).into() };
        bytes += entry.size;
        if manifest.files.insert(name.clone(), entry).is_some() {
            return Err(BundleError::Path {
                path: name,
                why: "two captures would have the same name; rename one",
            });
        }
    }
    let text = manifest.to_text();
    let hash = hex(&Sha256::digest(text.as_bytes()));
    let zstd =
        zstd::stream::write::Encoder::new(out, ZSTD_LEVEL).map_err(BundleError::io("write", "the bundle"))?;
    let mut tar = tar::Builder::new(zstd);
    append(&mut tar, MANIFEST, text.as_bytes())?;
    let mut signed_by = None;
    if let Some(signer) = signer {
        let note = signed(&hash, &signer)?;
        append(&mut tar, SIGNATURE, &note)?;
        signed_by = Some(format!("{}+{:08x}", signer.name(), signer.key_id()));
    }
    for path in &files {
        let (name, contents) = load(folder, path, own.as_ref())?;
        append(&mut tar, &name, &contents)?;
    }
    let finish = BundleError::io("write", "the bundle");
    tar.into_inner().and_then(|zstd| zstd.finish()).and_then(|mut out| out.flush()).map_err(finish)?;
    Ok(Bundled { files: files.len(), bytes, manifest_sha256: hash, signed_by })
}

/// The text that is signed: what it is, and the manifest's hash.
pub(super) fn signed_text(manifest_sha256: &str) -> String {
    format!("daylight evidence bundle 1\nmanifest {manifest_sha256}\n")
}

fn signed(hash: &str, signer: &StandardSigner) -> Result<Vec<u8>, BundleError> {
    let error =
        |error: signed_note::NoteError| BundleError::Key { what: "the private key", why: error.to_string() };
    let mut note = Note::new(signed_text(hash).as_bytes(), &[]).map_err(error)?;
    note.add_sigs(&[signer]).map_err(error)?;
    Ok(note.to_bytes())
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, contents: &[u8]) -> Result<(), BundleError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, contents).map_err(BundleError::io("write", name))
}

fn is_capture(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    [".pcap", ".pcapng", ".cap"].iter().any(|ending| name.ends_with(ending))
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    let mut contents = Vec::new();
    let file = fs::File::open(path).map_err(BundleError::io("read", path))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut contents).map_err(BundleError::io("read", path))?;
    if contents.len() as u64 > FILE_BYTES_MAX {
        return Err(BundleError::TooLarge { limit: FILE_BYTES_MAX, what: "bytes in a file" });
    }
    Ok(contents)
}

/// The probe's addresses; nothing if none are to be taken out.
fn own_addresses(
    files: &[PathBuf],
    scrubbed: &Scrub,
) -> Result<Option<BTreeSet<std::net::IpAddr>>, BundleError> {
    let Scrub::Own(given) = scrubbed else { return Ok(None) };
    let mut own: BTreeSet<_> = given.iter().copied().collect();
    for path in files.iter().filter(|path| !is_capture(path)) {
        if let Ok(text) = std::str::from_utf8(&read(path)?) {
            own.extend(scrub::named_in(text));
        }
    }
    Ok(Some(own))
}

/// A file's name in the bundle and its contents, without addresses if `own` says which.
fn load(
    folder: &Path,
    path: &Path,
    own: Option<&BTreeSet<std::net::IpAddr>>,
) -> Result<(String, Vec<u8>), BundleError> {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    let name = relative.to_str().map(|name| name.replace(std::path::MAIN_SEPARATOR, "/"));
    let Some(name) = name else {
        return Err(BundleError::Path { path: relative.display().to_string(), why: "its name is not UTF-8" });
    };
    let Some(own) = own else { return Ok((name, read(path)?)) };
    if is_capture(path) {
        let contents =
            scrub::capture(path, own).map_err(|why| BundleError::Capture { path: path.to_owned(), why })?;
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        return Ok((format!("{stem}.pcapng"), contents));
    }
    let contents = read(path)?;
    Ok(match String::from_utf8(contents) {
        Ok(text) => (name, scrub::text(&text, own).into_bytes()),
        Err(bytes) => (name, bytes.into_bytes()),
    })
}
