//! From the files of a log, whatever interrupted its writer, to the state from which it goes on.
//!
//! The writer's order is: tiles and bundles, synced with their folders; `checkpoint.new`, synced with its folder; the
//! renaming to `checkpoint`, and the folder again. So
//! - whatever `checkpoint` covers is on the disk for good, and so is whatever `checkpoint.new` covers once it is whole;
//! - a `checkpoint.new` that is not whole was never shown to anybody, and goes away;
//! - one that is whole may have been shown as `checkpoint` before a power cut took the renaming back. It must come into
//!   force: another checkpoint of the same size would be a split view.

use super::disk::{Disk, Item, walk};
use super::tile::{Edge, Kind, Tile, WIDTH, read_bundle, read_hashes};
use super::{AuditError, Entry, Event, Hash, SignedCheckpoint, Timestamp, VerifierKey};

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const CHECKPOINT_NEW: &str = "checkpoint.new";
pub(crate) const TILES: &str = "tile";

/// All that the writer needs to know of the log to go on with it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) signed: SignedCheckpoint,
    pub(crate) edge: Edge,
    /// The unfinished bundle of entries.
    pub(crate) bundle: Vec<u8>,
    /// The time of the last entry.
    pub(crate) last: Option<Timestamp>,
}

/// Finds the state, finishes or takes back what was interrupted, and removes its remains.
pub(crate) fn recover(disk: &mut dyn Disk, key: &VerifierKey) -> Result<State, AuditError> {
    settle(disk, key)?;
    let Some(text) = disk.read(CHECKPOINT)? else {
        let why = "missing: create a log here, or bring the file back if there was one".to_owned();
        return Err(AuditError::File { path: disk.path(CHECKPOINT), why });
    };
    let signed = SignedCheckpoint::verified(&utf8(disk, CHECKPOINT, &text)?, key)?;
    let state = load(disk, signed)?;
    check_successor(disk, &state, key)?;
    sweep(disk, state.edge.size)?;
    Ok(state)
}

/// Puts a whole `checkpoint.new` in place, and removes one that is not whole.
fn settle(disk: &mut dyn Disk, key: &VerifierKey) -> Result<(), AuditError> {
    let Some(text) = disk.read(CHECKPOINT_NEW)? else { return Ok(()) };
    let read = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<SignedCheckpoint>().ok());
    let whole = match read.map(|signed| signed.verify(key).map(|_| signed.clone())) {
        Some(Ok(signed)) => signed,
        // Whole, but another key's: to remove it would be to take back what that key signed.
        Some(Err(error @ AuditError::WrongKey { .. })) => return Err(error),
        Some(Err(_)) | None => return disk.remove(&Item::File(CHECKPOINT_NEW.to_owned())),
    };
    if let Some(text) = disk.read(CHECKPOINT)? {
        let current: SignedCheckpoint = utf8(disk, CHECKPOINT, &text)?.parse()?;
        if whole.checkpoint().size <= current.checkpoint().size {
            return disk.remove(&Item::File(CHECKPOINT_NEW.to_owned()));
        }
    }
    load(disk, whole)?;
    // A process may have died between writing and syncing: only what is surely on the disk is shown.
    disk.write(CHECKPOINT_NEW, &text)?;
    disk.sync_folder("")?;
    disk.rename(CHECKPOINT_NEW, CHECKPOINT)?;
    disk.sync_folder("")
}

fn utf8(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<String, AuditError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| AuditError::File { path: disk.path(name), why: "not UTF-8".to_owned() })
}

fn load(disk: &dyn Disk, signed: SignedCheckpoint) -> Result<State, AuditError> {
    let size = signed.checkpoint().size;
    let mut levels = Vec::new();
    for level in 0.. {
        let count = Tile::count(level, size);
        if count == 0 {
            break;
        }
        let width = (count % WIDTH as u64) as usize;
        let tile = Tile { kind: Kind::Hashes(level), index: count >> 8, width };
        let hashes = if width == 0 { Vec::new() } else { required_hashes(disk, tile)? };
        levels.push(hashes);
    }
    let leaves = levels.first().cloned().unwrap_or_default();
    let edge = Edge::new(size, levels);
    let (found, signed_root) = (edge.root(), signed.checkpoint().root);
    if found != signed_root {
        return Err(AuditError::Root { size, found, signed: signed_root });
    }
    let width = leaves.len();
    let tile = Tile { kind: Kind::Entries, index: size >> 8, width };
    let bundle = if width == 0 { Vec::new() } else { required(disk, tile)? };
    let entries = read_bundle(&bundle).unwrap_or_default();
    if entries.iter().map(|entry| Hash::leaf(entry)).ne(leaves) {
        let why = "its entries are not those that the tree has: damaged or changed".to_owned();
        return Err(AuditError::File { path: disk.path(&tile.to_string()), why });
    }
    let last = match entries.last() {
        Some(entry) => Some(Entry::decode(entry)?.time),
        None => last_of_full(disk, size)?,
    };
    Ok(State { signed, edge, last, bundle })
}

/// The time of the last entry, if it closed its bundle.
fn last_of_full(disk: &dyn Disk, size: u64) -> Result<Option<Timestamp>, AuditError> {
    let Some(index) = (size >> 8).checked_sub(1) else { return Ok(None) };
    let tile = Tile { kind: Kind::Entries, index, width: WIDTH };
    let bundle = required(disk, tile)?;
    let last = read_bundle(&bundle).filter(|entries| entries.len() == WIDTH).unwrap_or_default().pop();
    let Some(last) = last else {
        let why = "must hold 256 entries: damaged".to_owned();
        return Err(AuditError::File { path: disk.path(&tile.to_string()), why });
    };
    Entry::decode(last).map(|entry| Some(entry.time))
}

/// The old key must not go on after the log went over to another.
fn check_successor(disk: &dyn Disk, state: &State, key: &VerifierKey) -> Result<(), AuditError> {
    let last = match read_bundle(&state.bundle).and_then(|mut entries| entries.pop()) {
        Some(entry) => entry.to_vec(),
        None => {
            let Some(index) = (state.edge.size >> 8).checked_sub(1) else { return Ok(()) };
            let bundle = required(disk, Tile { kind: Kind::Entries, index, width: WIDTH })?;
            read_bundle(&bundle).and_then(|mut entries| entries.pop()).unwrap_or_default().to_vec()
        }
    };
    match Entry::decode(&last)?.event {
        Event::KeyRotated(rotation) if rotation.new_key() != key => {
            Err(AuditError::WrongKey { wanted: key.label(), found: rotation.new_key().label() })
        }
        _ => Ok(()),
    }
}

/// A file of the log that must be there.
pub(crate) fn required(disk: &dyn Disk, tile: Tile) -> Result<Vec<u8>, AuditError> {
    let name = tile.to_string();
    disk.read(&name)?.ok_or_else(|| AuditError::File {
        path: disk.path(&name),
        why: "missing, though the checkpoint covers it".to_owned(),
    })
}

fn required_hashes(disk: &dyn Disk, tile: Tile) -> Result<Vec<Hash>, AuditError> {
    let bytes = required(disk, tile)?;
    read_hashes(&bytes).filter(|hashes| hashes.len() == tile.width).ok_or_else(|| AuditError::File {
        path: disk.path(&tile.to_string()),
        why: format!("has {} bytes, not the {} of its hashes: damaged", bytes.len(), 32 * tile.width),
    })
}

/// Removes tiles that no checkpoint covers, and partial tiles of which the full one is there.
fn sweep(disk: &mut dyn Disk, size: u64) -> Result<(), AuditError> {
    for name in walk(disk, TILES)? {
        let Some(tile) = Tile::parse(&name) else { continue };
        let width = tile.width_at(size);
        if tile.width > width || (tile.width < WIDTH && width == WIDTH) {
            disk.remove(&Item::File(name))?;
        }
    }
    Ok(())
}
