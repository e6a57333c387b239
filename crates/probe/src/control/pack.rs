//! Control packs: what a helper saw of a list of targets, signed, to be used where helpers are blocked.
//!
//! A pack is a text of lines, each a JSON object:
//!
//! ```text
//! {"format":"daylight-control-pack","version":1,"made":"2026-11-23T12:00:00Z","entries":2}
//! {"input":"https://example.org/","control":{…}}
//! {"input":"https://example.com/","control":{…}}
//! {"key":"…","signature":"…"}
//! ```
//!
//! `control` is a helper's answer. The signature is Ed25519's (RFC 8032) of the words `daylight control-pack v1`, a line feed
//! and all lines before the last with their line feeds; key and signature are base64. The key only says which one it was:
//! those that are believed are the reader's own.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use daylight_verdict::ooni::Control;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

/// No pack is longer.
pub const PACK_BYTES_MAX: usize = 64 << 20;
const FORMAT: &str = "daylight-control-pack";
const VERSION: u32 = 1;
const CONTEXT: &[u8] = b"daylight control-pack v1\n";
/// What stands before the key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a helper saw of many targets.
#[derive(Clone, Debug)]
pub struct Pack {
    /// When it was made.
    pub made: Timestamp,
    controls: HashMap<String, Control>,
}

/// What a helper saw of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The target's URL.
    pub input: String,
    /// The helper's answer.
    pub control: Control,
}

/// What is wrong with a pack, or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// It is longer than [`PACK_BYTES_MAX`].
    #[error("the control pack has more than 64 MiB; make it of a shorter list")]
    TooLong,
    /// It has another form.
    #[error("line {line} of the control pack is not what it should be: {why}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// No believed key signed it.
    #[error("no key that you trust signed this control pack; have its maker's public key, or don't use it")]
    Signature,
    /// The helper that makes it.
    #[error("the helper can't be started: {0}")]
    Start(String),
    /// A key file.
    #[error("{0} is no Ed25519 key as PEM; make one with: openssl genpkey -algorithm ed25519")]
    Key(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    /// RFC 3339.
    made: String,
    entries: usize,
}

#[derive(Serialize, Deserialize)]
struct Foot {
    key: String,
    signature: String,
}

/// A key that signs packs.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// From the PEM of a PKCS #8 key.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PackError> {
        let wrong = || PackError::Key("the private key");
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| wrong())?;
        // OpenSSL's files don't hold the public key.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map(Self).map_err(|_| wrong())
    }

    /// A new one, which is not kept.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn ephemeral() -> Result<Self, PackError> {
        let wrong = |_| PackError::Key("a new key");
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(wrong)?;
        Ed25519KeyPair::from_pkcs8(der.as_ref()).map(Self).map_err(|_| PackError::Key("a new key"))
    }

    /// Who checks what it signs.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier(self.0.public_key().as_ref().to_vec())
    }
}

/// A key that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier(Vec<u8>);

impl Verifier {
    /// From the PEM of a public key.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PackError> {
        let der =
            SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| PackError::Key("the public key"))?;
        match der.as_ref().strip_prefix(&SPKI) {
            Some(key) if key.len() == 32 => Ok(Self(key.to_vec())),
            _ => Err(PackError::Key("the public key")),
        }
    }
}

impl Pack {
    /// Writes a pack.
    ///
    /// # Errors
    /// If it would be too long.
    pub fn write(made: Timestamp, entries: &[Entry], signer: &Signer) -> Result<Vec<u8>, PackError> {
        let form = |line: usize, error: &serde_json::Error| PackError::Form { line, why: error.to_string() };
        let head = Head {
            format: FORMAT.to_owned(),
            version: VERSION,
            made: made.to_string(),
            entries: entries.len(),
        };
        let mut text = serde_json::to_vec(&head).map_err(|error| form(1, &error))?;
        text.push(b'\n');
        for (n, entry) in entries.iter().enumerate() {
            serde_json::to_writer(&mut text, entry).map_err(|error| form(n + 2, &error))?;
            text.push(b'\n');
            if text.len() > PACK_BYTES_MAX {
                return Err(PackError::TooLong);
            }
        }
        let signature = signer.0.sign(&[CONTEXT, &text].concat());
        let foot = Foot {
            key: STANDARD.encode(signer.0.public_key()),
            signature: STANDARD.encode(signature.as_ref()),
        };
        serde_json::to_writer(&mut text, &foot).map_err(|error| form(entries.len() + 2, &error))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a pack, and checks that one of these keys signed it, before anything else in it is looked at.
    ///
    /// # Errors
    /// If none did, or it has another form.
    pub fn read(text: &[u8], believed: &[Verifier]) -> Result<Self, PackError> {
        if text.len() > PACK_BYTES_MAX {
            return Err(PackError::TooLong);
        }
        let body = text.strip_suffix(b"\n").unwrap_or(text);
        let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (signed, foot) = body.split_at(start);
        let lines = || signed.split(|byte| *byte == b'\n').count();
        let foot: Foot = serde_json::from_slice(foot)
            .map_err(|error| PackError::Form { line: lines(), why: format!("no signature: {error}") })?;
        let signature = STANDARD.decode(&foot.signature).map_err(|_| PackError::Signature)?;
        let message = [CONTEXT, signed].concat();
        let good = believed
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, &key.0).verify(&message, &signature).is_ok());
        if !good {
            return Err(PackError::Signature);
        }
        Self::parse(signed)
    }

    /// Reads the lines that are signed, without the signature: for whoever has checked that in another way.
    ///
    /// # Errors
    /// If they have another form.
    pub fn parse(signed: &[u8]) -> Result<Self, PackError> {
        let form = |line: usize, why: String| PackError::Form { line, why };
        let mut lines = signed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).zip(1..);
        let (head, _) = lines.next().ok_or_else(|| form(1, "it is empty".to_owned()))?;
        let head: Head = serde_json::from_slice(head).map_err(|error| form(1, error.to_string()))?;
        if head.format != FORMAT || head.version != VERSION {
            let why = format!(
                "it is {:?} version {}; this program reads version {VERSION}",
                head.format, head.version
            );
            return Err(form(1, why));
        }
        let made = head.made.parse().map_err(|error: jiff::Error| form(1, format!("made: {error}")))?;
        let mut controls = HashMap::new();
        for (line, n) in lines {
            let entry: Entry = serde_json::from_slice(line).map_err(|error| form(n, error.to_string()))?;
            controls.insert(entry.input, entry.control);
        }
        Ok(Self { made, controls })
    }

    /// What the helper saw of a target.
    #[must_use]
    pub fn control(&self, input: &str) -> Option<&Control> {
        self.controls.get(input)
    }

    /// How many targets it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.controls.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.controls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(signer: &Signer) -> Vec<u8> {
        let mut control = Control::default();
        control.dns.addrs.push("192.0.2.1".to_owned());
        let entries = [Entry { input: "https://a.example/".to_owned(), control }];
        Pack::write("2026-11-23T12:00:00Z".parse().unwrap(), &entries, signer).unwrap()
    }

    #[test]
    fn what_was_signed_is_read() {
        let signer = Signer::ephemeral().unwrap();
        let pack = Pack::read(&pack(&signer), &[signer.verifier()]).unwrap();
        assert_eq!(pack.control("https://a.example/").unwrap().dns.addrs, ["192.0.2.1"]);
        assert!(pack.control("https://b.example/").is_none());
        assert_eq!((pack.len(), pack.made.to_string().as_str()), (1, "2026-11-23T12:00:00Z"));
    }

    #[test]
    fn no_byte_can_be_changed() {
        let signer = Signer::ephemeral().unwrap();
        let good = pack(&signer);
        for at in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            // The key beside the signature is a hint, and is not signed.
            let in_hint = good[..at].windows(8).any(|window| window == b"{\"key\":\"")
                && !good[..at].windows(12).any(|window| window == b"\"signature\":");
            if !in_hint {
                assert!(Pack::read(&bad, &[signer.verifier()]).is_err(), "byte {at}");
            }
        }
        let other = Signer::ephemeral().unwrap();
        assert_eq!(Pack::read(&good, &[other.verifier()]).unwrap_err(), PackError::Signature);
        assert!(Pack::read(b"", &[other.verifier()]).is_err());
    }
}
