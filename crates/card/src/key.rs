//! Ed25519 keys: the root, which lies in a drawer, and the issuers', which it vouches for and which work for a short time.
//!
//! Their files are PEM as `openssl` makes and reads them (RFC 8410), so that what they signed can be checked without us.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::error::{Error, Result};

/// What stands before the seed in a PKCS #8 file of an Ed25519 key (RFC 8410 §7).
const PRIVATE_DER: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What stands before the key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410 §4).
const PUBLIC_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";
/// No key file is longer than this.
const FILE_BYTES_MAX: u64 = 4096;

/// The first eight bytes of a SHA-256: which key, card, list. Written as 16 hexadecimal digits.
///
/// It tells things apart and protects nothing by itself: what it names is always checked by a signature too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 8]);

impl Id {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut id = [0; 8];
        let hash = digest(&SHA256, &parts.concat());
        id.copy_from_slice(&hash.as_ref()[..8]);
        Self(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no id: it has 16 hexadecimal digits");
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| wrong())?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Fills an array from the system's random numbers.
///
/// # Errors
/// If the system has none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Key {
        what: "new key".to_owned(),
        why: "the system has no random numbers".to_owned(),
    })?;
    Ok(bytes)
}

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Which key it is.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::of(&[&self.0])
    }

    /// Whether `signature` is this key's of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    /// The key as PEM, for `openssl pkeyutl -verify -pubin -inkey`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem(PUBLIC_LABEL, &[&PUBLIC_DER[..], &self.0].concat())
    }

    /// Reads [`Self::to_pem`]'s text.
    ///
    /// # Errors
    /// If it is not the PEM of an Ed25519 public key.
    pub fn from_pem(text: &str) -> Result<Self> {
        of_pem(text, PUBLIC_LABEL, &PUBLIC_DER)
            .map(Self)
            .map_err(|why| Error::Key { what: "public key".to_owned(), why })
    }

    /// Reads a file with [`Self::to_pem`]'s text.
    ///
    /// # Errors
    /// If it can't be read, or is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let text = read(path)?;
        of_pem(&text, PUBLIC_LABEL, &PUBLIC_DER)
            .map(Self)
            .map_err(|why| Error::Key { what: format!("public key {}", path.display()), why })
    }
}

/// An Ed25519 private key.
pub struct SecretKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SecretKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn generate() -> Result<Self> {
        Self::from_seed(random()?)
    }

    /// The key of a seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// Never, for a seed of 32 bytes; the library has it so.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|why| Error::Key { what: "private key".to_owned(), why: why.to_string() })?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { seed, pair, public: PublicKey(public) })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    /// Writes the key to a new file that only its owner may read (mode 0600).
    ///
    /// # Errors
    /// If the file exists (a key is never overwritten), or can't be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_private(path, pem(PRIVATE_LABEL, &[&PRIVATE_DER[..], &self.seed].concat()).as_bytes())
    }

    /// Reads a key file: [`Self::save`]'s, or one of `openssl genpkey -algorithm ed25519`.
    ///
    /// # Errors
    /// If others than the owner may read or write it, or if it holds no such key.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |why: String| Error::Key { what: format!("private key {}", path.display()), why };
        let mode = fs::metadata(path).map_err(Error::io("read", path))?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(bad(format!(
                "others may use it (mode {mode:04o}); set it to 0600, or make a new key"
            )));
        }
        Self::from_seed(of_pem(&read(path)?, PRIVATE_LABEL, &PRIVATE_DER).map_err(bad)?)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public.id())
    }
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(Error::io("read", path))?;
    Ok(text)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn of_pem(text: &str, label: &str, prefix: &[u8]) -> Result<[u8; 32], String> {
    let form = || format!("must be the PEM of an Ed25519 {}", label.to_lowercase());
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let inner = text.trim().strip_prefix(&begin).and_then(|rest| rest.strip_suffix(&end)).ok_or_else(form)?;
    let der = STANDARD.decode(inner.split_whitespace().collect::<String>()).map_err(|_| form())?;
    der.strip_prefix(prefix).and_then(|key| key.try_into().ok()).ok_or_else(form)
}
