//! Signed notes (C2SP signed-note) and the keys that verify them (the format of Go's `golang.org/x/mod/sumdb/note`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{AuditError, Hash, Signer};

/// A note longer than this is refused.
const NOTE_BYTES_MAX: usize = 64 * 1024;
/// A note with more signatures than this is refused.
const SIGNATURES_MAX: usize = 100;
/// The signature type of Ed25519 in key ids and encoded keys.
pub(super) const ED25519_TYPE: u8 = 1;

/// Whether a name can name a key: not empty, no spaces, no control characters, no plus sign.
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// A key's id: the first four bytes of SHA-256 over name, newline, type and public key.
pub(super) fn key_id(name: &str, key: &[u8; 32]) -> u32 {
    let [a, b, c, d, ..] = Hash::parts(&[name.as_bytes(), b"\n", &[ED25519_TYPE], key]).0;
    u32::from_be_bytes([a, b, c, d])
}

/// A public key that verifies notes. Its text, `<name>+<id>+<base64>`, is what an operator publishes.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: [u8; 32],
}

impl VerifierKey {
    pub(super) fn new(name: String, key: [u8; 32]) -> Self {
        let id = key_id(&name, &key);
        Self { name, id, key }
    }

    /// The key's name: the log's origin, such as `filter.example.org/log`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name and the id in hexadecimal, as errors and pages show a key.
    pub fn label(&self) -> String {
        label(&self.name, self.id)
    }

    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Result<(), AuditError> {
        UnparsedPublicKey::new(&ED25519, self.key)
            .verify(text.as_bytes(), signature)
            .map_err(|_| AuditError::Signature { key: self.label() })
    }
}

fn label(name: &str, id: u32) -> String {
    format!("{name}+{id:08x}")
}

impl FromStr for VerifierKey {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bad = |why: &str| AuditError::Key { what: format!("verifier key {text:?}"), why: why.to_owned() };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("must be <name>+<id>+<key>"));
        };
        if !is_key_name(name) {
            return Err(bad("the name is empty or has a space in it"));
        }
        let key = STANDARD.decode(key).map_err(|_| bad("the part after the second + is not base64"))?;
        let Some((&ED25519_TYPE, key)) = key.split_first() else {
            return Err(bad("not an Ed25519 key (type 1)"));
        };
        let key = key.try_into().map_err(|_| bad("an Ed25519 key has 32 bytes"))?;
        let made = Self::new(name.to_owned(), key);
        if format!("{:08x}", made.id) != id {
            return Err(bad(&format!("the id must be {:08x}: a character was changed or lost", made.id)));
        }
        Ok(made)
    }
}

impl TryFrom<String> for VerifierKey {
    type Error = AuditError;

    fn try_from(text: String) -> Result<Self, AuditError> {
        text.parse()
    }
}

impl From<VerifierKey> for String {
    fn from(key: VerifierKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<u8> = std::iter::once(ED25519_TYPE).chain(self.key).collect();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NoteSignature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// A text with the signatures under it. Reading one does not verify it: see [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text, which must end with a newline and hold no other control characters.
    pub(super) fn sign(text: String, signers: &[&Signer]) -> Self {
        debug_assert!(text.ends_with('\n'));
        let signatures = signers
            .iter()
            .map(|signer| NoteSignature {
                name: signer.verifier_key().name.clone(),
                id: signer.verifier_key().id,
                bytes: signer.sign(text.as_bytes()),
            })
            .collect();
        Self { text, signatures }
    }

    /// The text, up to and with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this key's signature is under the text, and right. Signatures of other keys are not looked at.
    ///
    /// # Errors
    /// [`AuditError::WrongKey`] if this key did not sign, [`AuditError::Signature`] if its signature is wrong.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), AuditError> {
        let mut signed = false;
        for signature in self.signatures.iter().filter(|s| s.name == key.name && s.id == key.id) {
            key.verify(&self.text, &signature.bytes)?;
            signed = true;
        }
        if signed {
            return Ok(());
        }
        let found: Vec<String> = self.signatures.iter().map(|s| label(&s.name, s.id)).collect();
        Err(AuditError::WrongKey { wanted: key.label(), found: found.join(", ") })
    }
}

impl FromStr for Note {
    type Err = AuditError;

    fn from_str(note: &str) -> Result<Self, AuditError> {
        let bad = |line: usize, why: &str| AuditError::Note { line, why: why.to_owned() };
        let line_at = |at: usize| note.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1;
        if note.len() > NOTE_BYTES_MAX {
            return Err(bad(1, "longer than 64 KiB"));
        }
        if let Some(at) = note.find(|c: char| c.is_ascii_control() && c != '\n') {
            return Err(bad(line_at(at), "has a control character in it"));
        }
        let Some(at) = note.rfind("\n\n") else {
            return Err(bad(1, "has no empty line between the text and its signatures"));
        };
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        let first = line_at(at) + 2;
        if !signatures.ends_with('\n') {
            return Err(bad(line_at(note.len()), "the last line is not ended: the note was cut short"));
        }
        let mut read = Vec::new();
        for (number, line) in signatures.lines().enumerate() {
            let signature = read_signature(line).ok_or_else(|| {
                bad(first + number, "not a signature (— <key name> <base64 of id and signature>)")
            })?;
            read.push(signature);
            if read.len() > SIGNATURES_MAX {
                return Err(bad(first + number, "more than 100 signatures"));
            }
        }
        Ok(Self { text: text.to_owned(), signatures: read })
    }
}

fn read_signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (id, bytes) = blob.split_first_chunk::<4>()?;
    let fits = is_key_name(name) && !bytes.is_empty();
    fits.then(|| NoteSignature { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let blob = [&signature.id.to_be_bytes(), signature.bytes.as_slice()].concat();
            writeln!(f, "— {} {}", signature.name, STANDARD.encode(blob))?;
        }
        Ok(())
    }
}
