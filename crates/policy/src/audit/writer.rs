//! The one who appends.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use super::disk::{Disk, Folder, Item};
use super::entry::KeyRotation;
use super::recover::{CHECKPOINT, CHECKPOINT_NEW, State, TILES, recover};
use super::tile::{Edge, Kind, Tile, WIDTH, hash_bytes, push_entry};
use super::{AuditError, Checkpoint, Entry, Event, Hash, SignedCheckpoint, Signer, Timestamp, VerifierKey};

/// Appends to a log. There is one at a time: the folder is locked.
///
/// When [`Writer::append`] returns, the entries are on the disk for good, and the checkpoint that covers them is
/// published. A crash at any moment leaves either the old checkpoint or the new one, each with all that it covers.
pub struct Writer {
    disk: Box<dyn Disk>,
    signer: Signer,
    state: State,
    /// Something failed, and the state on the disk could not be found out since.
    stale: bool,
}

impl Writer {
    /// Starts a log in a new or empty folder, and signs the checkpoint of no entries.
    ///
    /// # Errors
    /// [`AuditError::Exists`] if there is a log, [`AuditError::Locked`] if another process writes here, and whatever
    /// writing can give.
    pub fn create(folder: &Path, signer: Signer) -> Result<Self, AuditError> {
        Self::create_on(Box::new(Folder::writing(folder)?), signer)
    }

    /// Goes on with a log, after a crash too: what was interrupted is finished or taken back.
    ///
    /// # Errors
    /// If there is no log here, if another process writes it, if it is of another key, or if its files are damaged.
    pub fn open(folder: &Path, signer: Signer) -> Result<Self, AuditError> {
        if !folder.is_dir() {
            let why = "there is no such folder: create the log first".to_owned();
            return Err(AuditError::File { path: folder.to_owned(), why });
        }
        Self::open_on(Box::new(Folder::writing(folder)?), signer)
    }

    pub(super) fn create_on(mut disk: Box<dyn Disk>, signer: Signer) -> Result<Self, AuditError> {
        if disk.read(CHECKPOINT)?.is_some() || !disk.list(TILES)?.is_empty() {
            return Err(AuditError::Exists { path: disk.path("") });
        }
        let empty = Edge::default();
        let signed = sign(&empty, &[&signer]);
        publish(&mut *disk, &signed)?;
        let state = State { signed, edge: empty, bundle: Vec::new(), last: None };
        Ok(Self { disk, signer, state, stale: false })
    }

    pub(super) fn open_on(mut disk: Box<dyn Disk>, signer: Signer) -> Result<Self, AuditError> {
        let state = recover(&mut *disk, signer.verifier_key())?;
        Ok(Self { disk, signer, state, stale: false })
    }

    /// Appends entries, all or none, under one new checkpoint, and says which indices they have. This takes about ten
    /// syncs of the disk, however many entries there are: append what belongs together at once.
    ///
    /// # Errors
    /// [`AuditError::BackDated`] if a time goes back; [`AuditError::Entry`] if one is too long; whatever writing can
    /// give, such as [`AuditError::DiskFull`]. The log is as it was then, and goes on; only if [`Writer::len`] has
    /// grown (the last sync failed) are the entries in it nevertheless, and must not be appended again.
    pub fn append(&mut self, entries: &[Entry]) -> Result<Range<u64>, AuditError> {
        self.refresh()?;
        let first = self.state.edge.size;
        if entries.is_empty() {
            return Ok(first..first);
        }
        let signers = [&self.signer];
        let plan = Plan::make(&self.state, entries, &signers)?;
        let done = plan.carry_out(&mut *self.disk);
        self.settled(done, plan)?;
        Ok(first..self.state.edge.size)
    }

    /// Goes over to a new key of the same name: appends an entry in which the old key names the new one, under a
    /// checkpoint that both sign. From here on only the new key signs; the old key's file can be destroyed.
    ///
    /// # Errors
    /// As [`Writer::append`]; and if the new key has another name. The old key stays in force then, unless
    /// [`Writer::len`] has grown.
    pub fn rotate(&mut self, time: Timestamp, new: Signer) -> Result<(), AuditError> {
        self.refresh()?;
        let (old_name, new_key) = (self.signer.verifier_key().name(), new.verifier_key());
        if old_name != new_key.name() {
            let why = format!("its name must be {old_name:?}, that of the log");
            return Err(AuditError::Key { what: format!("new key {}", new_key.label()), why });
        }
        let rotation = KeyRotation::sign(self.state.edge.size, &self.signer, new_key);
        let entry = Entry { time, event: Event::KeyRotated(rotation) };
        let plan = Plan::make(&self.state, &[entry], &[&self.signer, &new])?;
        let done = plan.carry_out(&mut *self.disk);
        match done {
            Ok(()) => {
                self.state = plan.state;
                self.signer = new;
            }
            Err(_) => {
                self.stale = true;
                // The new key's signature is only under the new checkpoint: this succeeds if that is in force.
                if let Ok(state) = recover(&mut *self.disk, new.verifier_key()) {
                    self.state = state;
                    self.signer = new;
                    self.stale = false;
                } else {
                    let _ = self.refresh();
                }
            }
        }
        done
    }

    /// The number of entries.
    pub fn len(&self) -> u64 {
        self.state.edge.size
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The checkpoint in force.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.state.signed
    }

    /// The key that signs now.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    /// The given time, or that of the last entry if that is later: what to date an entry with when the system's clock
    /// was set back.
    pub fn no_earlier(&self, now: Timestamp) -> Timestamp {
        self.state.last.map_or(now, |last| last.max(now))
    }

    fn refresh(&mut self) -> Result<(), AuditError> {
        if self.stale {
            self.state = recover(&mut *self.disk, self.signer.verifier_key())?;
            self.stale = false;
        }
        Ok(())
    }

    fn settled(&mut self, done: Result<(), AuditError>, plan: Plan) -> Result<(), AuditError> {
        match done {
            Ok(()) => self.state = plan.state,
            Err(_) => {
                // What failed decides nothing; what is on the disk does.
                self.stale = true;
                let _ = self.refresh();
            }
        }
        done
    }
}

fn sign(edge: &Edge, signers: &[&Signer]) -> SignedCheckpoint {
    let origin = signers.first().map_or_else(String::new, |signer| signer.verifier_key().name().to_owned());
    SignedCheckpoint::sign(Checkpoint { origin, size: edge.size, root: edge.root() }, signers)
}

/// Brings a checkpoint into force; `recover.rs` says why in these steps.
fn publish(disk: &mut dyn Disk, signed: &SignedCheckpoint) -> Result<(), AuditError> {
    disk.write(CHECKPOINT_NEW, signed.to_string().as_bytes())?;
    disk.sync_folder("")?;
    disk.rename(CHECKPOINT_NEW, CHECKPOINT)?;
    disk.sync_folder("")
}

/// What an append writes, and the state after it.
struct Plan {
    files: Vec<(String, Vec<u8>)>,
    /// Tiles that become full: their partial ones go away.
    filled: Vec<Tile>,
    state: State,
}

impl Plan {
    fn make(before: &State, entries: &[Entry], signers: &[&Signer]) -> Result<Self, AuditError> {
        let mut state = before.clone();
        let (mut files, mut filled) = (Vec::new(), Vec::new());
        for entry in entries {
            let index = state.edge.size;
            if let Some(last) = state.last.filter(|last| *last > entry.time) {
                return Err(AuditError::BackDated { index, time: entry.time, last });
            }
            state.last = Some(entry.time);
            let bytes = entry.encode()?;
            push_entry(&mut state.bundle, &bytes);
            state.edge.push(Hash::leaf(&bytes), &mut |tile, hashes| {
                files.push((tile.to_string(), hash_bytes(hashes)));
                filled.push(tile);
            });
            if state.edge.size.is_multiple_of(WIDTH as u64) {
                let tile = Tile { kind: Kind::Entries, index: index >> 8, width: WIDTH };
                files.push((tile.to_string(), std::mem::take(&mut state.bundle)));
                filled.push(tile);
            }
        }
        for (tile, hashes) in state.edge.partials().filter(|(tile, _)| tile.width > 0) {
            // A partial tile that did not grow is there already, and no file that a checkpoint covers is written twice.
            if tile.width_at(before.edge.size) != tile.width {
                files.push((tile.to_string(), hash_bytes(hashes)));
            }
        }
        if !state.bundle.is_empty() {
            let width = (state.edge.size % WIDTH as u64) as usize;
            let tile = Tile { kind: Kind::Entries, index: state.edge.size >> 8, width };
            files.push((tile.to_string(), state.bundle.clone()));
        }
        state.signed = sign(&state.edge, signers);
        Ok(Self { files, filled, state })
    }

    fn carry_out(&self, disk: &mut dyn Disk) -> Result<(), AuditError> {
        // All folders on the way are synced, also those that were there: a process that died may have made them.
        let mut folders = BTreeSet::new();
        for (name, _) in &self.files {
            folders.extend(name.match_indices('/').filter_map(|(at, _)| name.get(..at)));
        }
        for folder in &folders {
            disk.create_folder(folder)?;
        }
        for (name, bytes) in &self.files {
            disk.write(name, bytes)?;
        }
        for folder in folders.iter().rev() {
            disk.sync_folder(folder)?;
        }
        disk.sync_folder("")?;
        publish(disk, &self.state.signed)?;
        for tile in &self.filled {
            // What stays behind is swept up when the log is next opened; nothing depends on it.
            let _ = remove_partials(disk, *tile);
        }
        Ok(())
    }
}

fn remove_partials(disk: &mut dyn Disk, tile: Tile) -> Result<(), AuditError> {
    let folder = tile.partials();
    let items = disk.list(&folder)?;
    if items.is_empty() {
        return Ok(());
    }
    for item in items {
        if let Item::File(name) = item {
            disk.remove(&Item::File(format!("{folder}/{name}")))?;
        }
    }
    disk.remove(&Item::Folder(folder))
}
