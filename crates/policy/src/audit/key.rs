//! The key that signs a log, and the file it lies in.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::AuditError;
use super::note::{ED25519_TYPE, VerifierKey, is_key_name};

/// What a private key's text begins with, as in Go's `golang.org/x/mod/sumdb/note`.
const PREFIX: &str = "PRIVATE+KEY+";
/// No key file is longer than this.
const FILE_BYTES_MAX: u64 = 4096;

/// The private key that signs a log's checkpoints. Its name is the log's origin.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

impl Signer {
    /// Makes a new key and writes it to a new file that only its owner may read (mode 0600). The name is the origin of
    /// the log: a URL without its scheme, such as `filter.example.org/log`.
    ///
    /// # Errors
    /// If the name has spaces or plus signs, if the file exists (a key is never overwritten), or can't be written.
    pub fn generate(path: &Path, name: &str) -> Result<Self, AuditError> {
        if !is_key_name(name) {
            return Err(AuditError::Key {
                what: format!("key name {name:?}"),
                why: "must not be empty and have no spaces or plus signs; use a name like filter.example.org/log"
                    .to_owned(),
            });
        }
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| AuditError::Key {
            what: "new key".to_owned(),
            why: "the system has no random numbers".to_owned(),
        })?;
        let signer = Self::from_seed(name, &seed)?;
        let io = |action| move |source| AuditError::io(action, path.to_owned(), source);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(io("create the key file"))?;
        let text = format!("{}\n", encode(&signer.public, &seed));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write the key file"))?;
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("keep the key file"))?;
        Ok(signer)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// If others than the owner may read or write the file, or if it holds no key.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let io = |source| AuditError::io("read the key file", path.to_owned(), source);
        let bad = |why: String| AuditError::Key { what: format!("key file {}", path.display()), why };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(bad(format!(
                "others may use it (mode {mode:04o}); set it to 0600, or make a new key"
            )));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        Self::parse(text.strip_suffix('\n').unwrap_or(&text)).map_err(bad)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let form = "must be one line of PRIVATE+KEY+<name>+<id>+<key>";
        let mut parts = text.strip_prefix(PREFIX).ok_or(form)?.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form.to_owned());
        };
        let key = STANDARD.decode(key).map_err(|_| form)?;
        let Some((&ED25519_TYPE, seed)) = key.split_first() else {
            return Err("not an Ed25519 key (type 1)".to_owned());
        };
        let seed: &[u8; 32] = seed.try_into().map_err(|_| "an Ed25519 key has 32 bytes")?;
        if !is_key_name(name) {
            return Err(form.to_owned());
        }
        let signer = Self::from_seed(name, seed).map_err(|error| error.to_string())?;
        if signer.public.label() != format!("{name}+{id}") {
            return Err("the id does not fit the key: a character was changed or lost".to_owned());
        }
        Ok(signer)
    }

    fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, AuditError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|why| AuditError::Key {
            what: format!("private key of {name}"),
            why: why.to_string(),
        })?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public: VerifierKey::new(name.to_owned(), public) })
    }

    /// The public key, to be published: all that is needed to verify the log.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }
}

fn encode(public: &VerifierKey, seed: &[u8; 32]) -> String {
    let key: Vec<u8> = std::iter::once(ED25519_TYPE).chain(*seed).collect();
    format!("{PREFIX}{}+{}", public.label(), STANDARD.encode(key))
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public.label())
    }
}

#[cfg(test)]
impl Signer {
    pub(super) fn of_text(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    /// A signer from a seed of which every byte is this one.
    pub(super) fn of_seed(name: &str, byte: u8) -> Self {
        Self::from_seed(name, &[byte; 32]).unwrap()
    }
}
