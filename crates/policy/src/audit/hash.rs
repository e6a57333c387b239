//! Hashes of the Merkle tree: SHA-256 with the domain separation of RFC 6962 §2.1.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};

/// The length of a hash in bytes.
pub const HASH_BYTES: usize = 32;

/// A hash in the Merkle tree: of a leaf, of a node, or of nothing. Its text is base64, as checkpoints have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The root of the tree without leaves: SHA-256 of nothing.
    pub fn empty() -> Self {
        Self::from_ring(digest(&SHA256, &[]).as_ref())
    }

    /// The hash of a leaf: `SHA-256(0x00 || data)`.
    pub fn leaf(data: &[u8]) -> Self {
        Self::parts(&[&[0], data])
    }

    /// The hash of a node: `SHA-256(0x01 || left || right)`.
    pub fn node(left: Self, right: Self) -> Self {
        Self::parts(&[&[1], &left.0, &right.0])
    }

    /// Reads the base64 of a hash: 44 characters, and only the one way of writing it.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn parts(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        Self::from_ring(context.finish().as_ref())
    }

    fn from_ring(bytes: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(bytes);
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
