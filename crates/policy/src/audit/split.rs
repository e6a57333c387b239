//! Split views: a log that shows different people different histories, and the evidence of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AuditError, ConsistencyProof, Log, SignedCheckpoint, VerifierKey};

/// The `format` of the evidence's file.
pub(super) const FORMAT: &str = "daylight-split-view@v1";

/// The evidence that a log has split: a signed checkpoint, and the proof from another signed checkpoint that at the
/// same size its history has another root. Anybody who has the log's key can check it, and the operator can't deny it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitView {
    one: SignedCheckpoint,
    other: ConsistencyProof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    one: String,
    other: String,
}

impl SplitView {
    pub(super) fn new(one: SignedCheckpoint, other: ConsistencyProof) -> Self {
        Self { one, other }
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.one.checkpoint().origin
    }

    /// The two signed checkpoints.
    pub fn checkpoints(&self) -> [&SignedCheckpoint; 2] {
        [&self.one, self.other.checkpoint()]
    }

    /// Verifies the evidence: both checkpoints are signed by the key, and they contradict each other.
    ///
    /// # Errors
    /// What is wrong with a signature or the proof; [`AuditError::Proof`] if there is no contradiction.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), AuditError> {
        let one = self.one.verify(key)?;
        self.other.verify(key)?;
        if one.size == self.other.old_size() && one.root != self.other.old_root() {
            return Ok(());
        }
        Err(AuditError::proof("split view", "the two checkpoints don't contradict each other"))
    }
}

impl fmt::Display for SplitView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The proof is held as text and not as JSON in JSON: so it stays, byte for byte, a file of its own.
        let file =
            File { format: FORMAT.to_owned(), one: self.one.to_string(), other: self.other.to_string() };
        writeln!(f, "{}", serde_json::to_string_pretty(&file).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for SplitView {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bad = |why: String| AuditError::proof("split view", why);
        let file: File = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if file.format != FORMAT {
            return Err(bad(format!("format must be {FORMAT}")));
        }
        let view = Self { one: file.one.parse()?, other: file.other.parse()? };
        if view.to_string() != text {
            return Err(bad("not in its canonical form (spaces, order or escapes)".to_owned()));
        }
        Ok(view)
    }
}

/// What holding two views of a log against each other gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Comparison {
    /// One continues the other.
    Consistent,
    /// They contradict each other.
    Split(Box<SplitView>),
    /// Both are signed, but they have different sizes, and only the tiles of the longer one could tell.
    Unknown,
}

/// Holds two checkpoints of one log against each other. With nothing but checkpoints, only those of one size can be
/// told apart; [`compare_with_log`] and [`compare_logs`] can do more.
///
/// # Errors
/// If one of them is not signed by this key.
pub fn compare_checkpoints(
    one: &SignedCheckpoint,
    other: &SignedCheckpoint,
    key: &VerifierKey,
) -> Result<Comparison, AuditError> {
    let (a, b) = (one.verify(key)?, other.verify(key)?);
    if a.size != b.size {
        return Ok(if a.size.min(b.size) == 0 { Comparison::Consistent } else { Comparison::Unknown });
    }
    if a.root == b.root {
        return Ok(Comparison::Consistent);
    }
    let other = ConsistencyProof::new(b.size, b.root, Vec::new(), other.clone());
    Ok(Comparison::Split(Box::new(SplitView::new(one.clone(), other))))
}

/// Holds a checkpoint that somebody kept, or got elsewhere, against a log.
///
/// # Errors
/// If the checkpoint is not signed by the log's key, or the log's files are not those of its own checkpoint.
pub fn compare_with_log(kept: &SignedCheckpoint, log: &Log) -> Result<Comparison, AuditError> {
    let kept_size = kept.verify(log.key())?.size;
    if kept_size > log.len() {
        return compare_checkpoints(kept, log.checkpoint(), log.key());
    }
    match log.prove_consistency(kept_size)?.continues(kept, log.key()) {
        Ok(()) => Ok(Comparison::Consistent),
        Err(AuditError::SplitView(view)) => Ok(Comparison::Split(view)),
        Err(error) => Err(error),
    }
}

/// Holds two copies of a log against each other, such as one's own and one that somebody else was shown.
///
/// # Errors
/// As [`compare_with_log`].
pub fn compare_logs(one: &Log, other: &Log) -> Result<Comparison, AuditError> {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    compare_with_log(short.checkpoint(), long)
}
