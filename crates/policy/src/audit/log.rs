//! Reading a log: its checkpoint, its tiles, and proofs from them.

use std::path::Path;

use super::disk::{Disk, Folder};
use super::merkle::{self, Nodes};
use super::recover::CHECKPOINT;
use super::tile::{Kind, Tile, WIDTH, read_bundle, read_hashes};
use super::verify::verify_on;
use super::{AuditError, ConsistencyProof, Entry, Hash, InclusionProof, SignedCheckpoint, Tail, VerifierKey};

/// A log as one checkpoint shows it. Reading needs no lock, and a log may be read while it grows.
pub struct Log {
    disk: Box<dyn Disk>,
    signed: SignedCheckpoint,
    key: VerifierKey,
}

impl Log {
    /// Opens a log at its present checkpoint. If the key was rotated out since, the whole log is verified to find the
    /// key that is in force.
    ///
    /// # Errors
    /// If there is no log, if its checkpoint is not signed by this key or by a successor of it, or if it can't be read.
    pub fn open(folder: &Path, key: &VerifierKey) -> Result<Self, AuditError> {
        Self::open_on(Box::new(Folder::reading(folder)), key)
    }

    pub(super) fn open_on(disk: Box<dyn Disk>, key: &VerifierKey) -> Result<Self, AuditError> {
        let signed = read_checkpoint(&*disk)?;
        match signed.verify(key) {
            Ok(_) => Ok(Self { disk, signed, key: key.clone() }),
            Err(AuditError::WrongKey { .. }) => {
                let verified = verify_on(&*disk, key)?;
                Ok(Self { disk, signed: verified.checkpoint, key: verified.key })
            }
            Err(error) => Err(error),
        }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The key that signed the checkpoint: the one given, or its successor.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The number of entries.
    pub fn len(&self) -> u64 {
        self.signed.checkpoint().size
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An entry, with the proof that it is in the log.
    ///
    /// # Errors
    /// [`AuditError::OutOfRange`] if there is no such entry; [`AuditError::Proof`] or [`AuditError::File`] if the files
    /// are not those of the checkpoint.
    pub fn prove_inclusion(&self, index: u64) -> Result<InclusionProof, AuditError> {
        if index >= self.len() {
            return Err(AuditError::OutOfRange { asked: index, size: self.len() });
        }
        let bundle = self.tile(Tile { kind: Kind::Entries, index: index >> 8, width: WIDTH })?;
        let entry = read_bundle(&bundle)
            .and_then(|entries| entries.get((index % WIDTH as u64) as usize).map(|entry| entry.to_vec()))
            .ok_or_else(|| AuditError::Entry {
                index: Some(index),
                why: "its bundle is damaged".to_owned(),
            })?;
        let path = merkle::inclusion(self, index, self.len())?;
        let proof = InclusionProof::new(index, entry, path, self.signed.clone());
        proof.verify(&self.key)?;
        Ok(proof)
    }

    /// The proof that the log of `old` entries is a prefix of this one.
    ///
    /// # Errors
    /// As [`Log::prove_inclusion`].
    pub fn prove_consistency(&self, old: u64) -> Result<ConsistencyProof, AuditError> {
        let old_root = self.root_at(old)?;
        let path = merkle::consistency(self, old, self.len())?;
        let proof = ConsistencyProof::new(old, old_root, path, self.signed.clone());
        proof.verify(&self.key)?;
        Ok(proof)
    }

    /// The root of the first `size` entries, from the tiles as they are; [`Log::prove_consistency`] proves it.
    pub(super) fn root_at(&self, size: u64) -> Result<Hash, AuditError> {
        if size > self.len() {
            return Err(AuditError::OutOfRange { asked: size, size: self.len() });
        }
        merkle::subtree(self, 0, size)
    }

    /// An entry, proven to be in the log.
    ///
    /// # Errors
    /// As [`Log::prove_inclusion`].
    pub fn entry(&self, index: u64) -> Result<Entry, AuditError> {
        let proof = self.prove_inclusion(index)?;
        Entry::decode(proof.entry()).map_err(|error| of_entry(error, index))
    }

    /// Follows the log from entry `from` on; see [`Tail`].
    ///
    /// # Errors
    /// As [`Log::prove_inclusion`].
    pub fn tail(self, from: u64) -> Result<Tail, AuditError> {
        Tail::new(self, from)
    }

    /// The encoded entries from `from` up to the end of `from`'s bundle, as they lie there.
    pub(super) fn bundle_from(&self, from: u64) -> Result<Vec<Vec<u8>>, AuditError> {
        let tile = Tile { kind: Kind::Entries, index: from >> 8, width: WIDTH };
        let bundle = self.tile(tile)?;
        let skip = (from % WIDTH as u64) as usize;
        let width = tile.width_at(self.len());
        let entries = read_bundle(&bundle).filter(|entries| entries.len() >= width);
        let entries = entries.ok_or_else(|| AuditError::File {
            path: self.disk.path(&tile.to_string()),
            why: format!("does not hold the {width} entries that the checkpoint covers: damaged"),
        })?;
        Ok(entries.iter().take(width).skip(skip).map(|entry| entry.to_vec()).collect())
    }

    /// The same log at its newest checkpoint.
    pub(super) fn refreshed(&self) -> Result<SignedCheckpoint, AuditError> {
        read_checkpoint(&*self.disk)
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn advance(&mut self, signed: SignedCheckpoint, key: VerifierKey) {
        (self.signed, self.key) = (signed, key);
    }

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, AuditError> {
        read_tile(&*self.disk, tile, self.len())
    }
}

pub(super) fn read_checkpoint(disk: &dyn Disk) -> Result<SignedCheckpoint, AuditError> {
    let bad = |why: &str| AuditError::File { path: disk.path(CHECKPOINT), why: why.to_owned() };
    let bytes = disk.read(CHECKPOINT)?.ok_or_else(|| bad("missing: there is no log here"))?;
    String::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?.parse()
}

/// The bytes of a tile in a log of this size: of the partial one of the right width, or of the full one that has taken
/// its place since, of which the first part is the same.
pub(super) fn read_tile(disk: &dyn Disk, tile: Tile, size: u64) -> Result<Vec<u8>, AuditError> {
    let wanted = Tile { width: tile.width_at(size), ..tile };
    if let Some(bytes) = disk.read(&wanted.to_string())? {
        return Ok(bytes);
    }
    let full = if wanted.width < WIDTH { disk.read(&wanted.full().to_string())? } else { None };
    full.ok_or_else(|| AuditError::File {
        path: disk.path(&wanted.to_string()),
        why: "missing, though the checkpoint covers it".to_owned(),
    })
}

impl Nodes for Log {
    type Error = AuditError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, AuditError> {
        // The lowest level that tiles have is multiples of 8; within a tile, 2^(level mod 8) hashes make the node.
        let within = level % 8;
        let first = index << within;
        let tile = Tile { kind: Kind::Hashes(level / 8), index: first >> 8, width: WIDTH };
        let hashes = read_hashes(&self.tile(tile)?).unwrap_or_default();
        let start = (first % WIDTH as u64) as usize;
        hashes.get(start..start + (1 << within)).map(merkle::root_of).ok_or_else(|| AuditError::File {
            path: self.disk.path(&tile.to_string()),
            why: "has fewer hashes than the checkpoint covers: damaged".to_owned(),
        })
    }
}

pub(super) fn of_entry(error: AuditError, at: u64) -> AuditError {
    match error {
        AuditError::Entry { index: None, why } => AuditError::Entry { index: Some(at), why },
        other => other,
    }
}
