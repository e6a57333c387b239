//! Checkpoints (C2SP tlog-checkpoint): how many entries a log has, and their root, signed.

use std::fmt;
use std::str::FromStr;

use super::tile::number;
use super::{AuditError, Hash, Note, Signer, VerifierKey};

/// What a checkpoint states about a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note. Lines after the third are extensions, and are not looked at.
    fn parse(text: &str) -> Result<Self, AuditError> {
        let bad = |line, why: &str| AuditError::Checkpoint { line, why: why.to_owned() };
        let mut lines = text.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let origin = origin.ok_or_else(|| bad(1, "the origin is missing"))?.to_owned();
        let size = lines.next().and_then(number);
        let size = size.ok_or_else(|| bad(2, "the size must be a decimal number without leading zeros"))?;
        let root = lines.next().and_then(Hash::from_base64);
        let root = root.ok_or_else(|| bad(3, "the root must be the base64 of 32 bytes"))?;
        if let Some(empty) = lines.position(str::is_empty) {
            return Err(bad(4 + empty, "an extension line is empty"));
        }
        Ok(Self { origin, size, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

/// A checkpoint with the note that it came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    pub(super) fn sign(checkpoint: Checkpoint, signers: &[&Signer]) -> Self {
        let note = Note::sign(checkpoint.to_string(), signers);
        Self { checkpoint, note }
    }

    /// Reads a checkpoint from a file of the log or from anywhere else, and verifies it.
    ///
    /// # Errors
    /// If it is not a checkpoint, or not signed by this key, or of another origin than the key's name.
    pub fn verified(text: &str, key: &VerifierKey) -> Result<Self, AuditError> {
        let read: Self = text.parse()?;
        read.verify(key)?;
        Ok(read)
    }

    /// Verifies the signature, and that the checkpoint is of the log that the key is named after.
    ///
    /// # Errors
    /// As [`Note::verify`]; and if the origin is not the key's name.
    pub fn verify(&self, key: &VerifierKey) -> Result<&Checkpoint, AuditError> {
        self.note.verify(key)?;
        if self.checkpoint.origin != key.name() {
            let why = format!("of {:?}, but the key is that of {:?}", self.checkpoint.origin, key.name());
            return Err(AuditError::Checkpoint { line: 1, why });
        }
        Ok(&self.checkpoint)
    }

    /// What it states. Trust this only after it was verified.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

impl FromStr for SignedCheckpoint {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let note: Note = text.parse()?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
