//! Proofs as files: each holds all that is needed to check it, but for the key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::merkle::{check_consistency, check_inclusion};
use super::tile::number;
use super::{AuditError, Checkpoint, ENTRY_BYTES_MAX, Hash, SignedCheckpoint, SplitView, VerifierKey};

/// The first line of an inclusion proof (C2SP tlog-proof).
const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
const CONSISTENCY: &str = "daylight-consistency-proof@v1";
/// No proof in a tree of at most 2^64 leaves has more hashes.
const HASHES_MAX: usize = 65;

/// The proof that an entry is in a log. Its text is C2SP tlog-proof, with the entry as the extra data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u64,
    entry: Vec<u8>,
    path: Vec<Hash>,
    signed: SignedCheckpoint,
}

impl InclusionProof {
    pub(super) fn new(index: u64, entry: Vec<u8>, path: Vec<Hash>, signed: SignedCheckpoint) -> Self {
        Self { index, entry, path, signed }
    }

    /// The entry's index in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The encoded entry. Trust it only after the proof was verified.
    pub fn entry(&self) -> &[u8] {
        &self.entry
    }

    /// Verifies the checkpoint's signature, and that the entry is where the proof says.
    ///
    /// # Errors
    /// What is wrong with the signature, or that the proof does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<&Checkpoint, AuditError> {
        let checkpoint = self.signed.verify(key)?;
        if check_inclusion(self.index, checkpoint.size, Hash::leaf(&self.entry), &self.path, checkpoint.root)
        {
            return Ok(checkpoint);
        }
        let why = format!("does not lead from entry {} to the checkpoint's root", self.index);
        Err(AuditError::proof("inclusion proof", why))
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INCLUSION}\nextra {}\nindex {}", STANDARD.encode(&self.entry), self.index)?;
        for hash in &self.path {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.signed)
    }
}

impl FromStr for InclusionProof {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bad =
            |line: usize, why: &str| AuditError::proof("inclusion proof", format!("line {line}: {why}"));
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| bad(1, "has no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(INCLUSION) {
            return Err(bad(1, "must be c2sp.org/tlog-proof@v1"));
        }
        let entry = lines.next().and_then(|line| STANDARD.decode(line.strip_prefix("extra ")?).ok());
        let entry = entry
            .filter(|entry| entry.len() <= ENTRY_BYTES_MAX)
            .ok_or_else(|| bad(2, "must be extra and the base64 of the entry"))?;
        let index = lines.next().and_then(|line| number(line.strip_prefix("index ")?));
        let index = index.ok_or_else(|| bad(3, "must be index and a decimal number"))?;
        let mut path = Vec::new();
        for (at, line) in lines.enumerate() {
            let hash = Hash::from_base64(line).filter(|_| at < HASHES_MAX);
            path.push(hash.ok_or_else(|| bad(4 + at, "must be the base64 of a hash, one of 65 at most"))?);
        }
        Ok(Self { index, entry, path, signed: checkpoint.parse()? })
    }
}

/// The proof that a log with fewer entries is a prefix of one with more: nothing was changed or taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    old_size: u64,
    old_root: Hash,
    path: Vec<Hash>,
    signed: SignedCheckpoint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyFile {
    format: String,
    old_size: u64,
    old_root: String,
    hashes: Vec<String>,
    checkpoint: String,
}

impl ConsistencyProof {
    pub(super) fn new(old_size: u64, old_root: Hash, path: Vec<Hash>, signed: SignedCheckpoint) -> Self {
        Self { old_size, old_root, path, signed }
    }

    /// The size of the log that is a prefix.
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// Its root: what any checkpoint of that size must have.
    pub fn old_root(&self) -> Hash {
        self.old_root
    }

    /// The checkpoint of the log with more entries.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Verifies the checkpoint's signature, and that the old root is that of its first entries.
    ///
    /// # Errors
    /// What is wrong with the signature, or that the proof does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<&Checkpoint, AuditError> {
        let checkpoint = self.signed.verify(key)?;
        if check_consistency(self.old_size, self.old_root, checkpoint.size, checkpoint.root, &self.path) {
            return Ok(checkpoint);
        }
        let why = format!("does not lead from {} entries to {}", self.old_size, checkpoint.size);
        Err(AuditError::proof("consistency proof", why))
    }

    /// Verifies that a checkpoint that was kept from before is continued by the proof's.
    ///
    /// # Errors
    /// As [`ConsistencyProof::verify`]; [`AuditError::SplitView`] with the evidence if the kept checkpoint has another root;
    /// [`AuditError::Proof`] if the proof is for another size.
    pub fn continues(&self, kept: &SignedCheckpoint, key: &VerifierKey) -> Result<(), AuditError> {
        let old = kept.verify(key)?;
        self.verify(key)?;
        if old.size != self.old_size {
            let why = format!("is from {} entries, not from {}", self.old_size, old.size);
            return Err(AuditError::proof("consistency proof", why));
        }
        if old.root != self.old_root {
            let view = SplitView::new(kept.clone(), self.clone());
            return Err(AuditError::SplitView(Box::new(view)));
        }
        Ok(())
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = ConsistencyFile {
            format: CONSISTENCY.to_owned(),
            old_size: self.old_size,
            old_root: self.old_root.to_string(),
            hashes: self.path.iter().map(Hash::to_string).collect(),
            checkpoint: self.signed.to_string(),
        };
        writeln!(f, "{}", serde_json::to_string_pretty(&file).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for ConsistencyProof {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bad = |why: String| AuditError::proof("consistency proof", why);
        let file: ConsistencyFile = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if file.format != CONSISTENCY {
            return Err(bad(format!("format must be {CONSISTENCY}")));
        }
        if file.hashes.len() > HASHES_MAX {
            return Err(bad(format!("has more than {HASHES_MAX} hashes")));
        }
        let hash = |text: &String| Hash::from_base64(text).ok_or_else(|| bad(format!("{text:?} is no hash")));
        let proof = Self {
            old_size: file.old_size,
            old_root: hash(&file.old_root)?,
            path: file.hashes.iter().map(hash).collect::<Result<_, _>>()?,
            signed: file.checkpoint.parse()?,
        };
        if proof.to_string() != text {
            return Err(bad("not in its canonical form (spaces, order or escapes)".to_owned()));
        }
        Ok(proof)
    }
}

/// Any file of proof.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// That the log only grew.
    Consistency(ConsistencyProof),
    /// That an entry is in the log.
    Inclusion(InclusionProof),
    /// That the log showed two histories.
    SplitView(SplitView),
}

impl Proof {
    /// Verifies it with the public key alone.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), AuditError> {
        match self {
            Self::Consistency(proof) => proof.verify(key).map(|_| ()),
            Self::Inclusion(proof) => proof.verify(key).map(|_| ()),
            Self::SplitView(view) => view.verify(key),
        }
    }
}

impl FromStr for Proof {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        if text.starts_with(INCLUSION) {
            return text.parse().map(Self::Inclusion);
        }
        let head = serde_json::from_str::<Head>(text).map(|head| head.format);
        match head.as_deref() {
            Ok(CONSISTENCY) => text.parse().map(Self::Consistency),
            Ok(super::split::FORMAT) => text.parse().map(Self::SplitView),
            _ => Err(AuditError::proof("proof", "neither a tlog-proof nor a proof of Daylight's")),
        }
    }
}
