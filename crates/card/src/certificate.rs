//! A root's word for an issuer's key.
//!
//! ```text
//! 4: key    32 bytes, Ed25519
//! ```

use crate::PublicKey;
use crate::cbor::Value;
use crate::error::Result;
use crate::signed::{Body, Fields, Kind, Signed};

const KEY: u64 = 4;

/// A signed certificate; its signer is the root.
pub type Certificate = Signed<Issuer>;

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The issuer's key.
    pub key: PublicKey,
}

impl Body for Issuer {
    const KIND: Kind = Kind::Certificate;
    const BYTES_MAX: usize = 512;

    fn read(fields: &mut Fields) -> Result<Self> {
        Ok(Self { key: PublicKey(fields.array(KEY, "key")?) })
    }

    fn write(&self) -> Vec<(u64, Value)> {
        vec![(KEY, Value::Bytes(self.key.0.to_vec()))]
    }
}
