//! Cards, and issuers' keys, that are good no longer.
//!
//! ```text
//! 4: cards   [ id, … ]   8 bytes each, ascending
//! 5: keys    [ id, … ]   only where the root signed
//! ```
//! An issuer revokes what it issued; the root revokes any card and any issuer's key. What was revoked once stays so:
//! revocations add up. The last day only says until when they must be handed on, which is as long as the last of their
//! cards would be good.

use std::collections::BTreeSet;

use crate::Id;
use crate::cbor::Value;
use crate::error::Result;
use crate::signed::{Body, Fields, Kind, Signed, arrays_of};

const CARDS: u64 = 4;
const KEYS: u64 = 5;
/// So many ids of each kind are the most.
pub const REVOKED_MAX: usize = 4096;

/// A signed revocation.
pub type Revocation = Signed<Revoked>;

/// What a revocation names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// The ids of cards; at most [`REVOKED_MAX`].
    pub cards: BTreeSet<Id>,
    /// The ids of issuers' keys; at most [`REVOKED_MAX`].
    pub keys: BTreeSet<Id>,
}

impl Body for Revoked {
    const KIND: Kind = Kind::Revocation;
    const BYTES_MAX: usize = 96 * 1024;

    fn read(fields: &mut Fields) -> Result<Self> {
        let mut ids = |key, name| -> Result<BTreeSet<Id>> {
            let ids = fields.arrays(key, name, REVOKED_MAX)?;
            if ids.is_sorted_by(|a, b| a < b) {
                Ok(ids.into_iter().map(Id).collect())
            } else {
                Err(fields.wrong(name, "are not in order"))
            }
        };
        Ok(Self { cards: ids(CARDS, "cards")?, keys: ids(KEYS, "keys")? })
    }

    fn write(&self) -> Vec<(u64, Value)> {
        let ids = |ids: &BTreeSet<Id>| arrays_of(ids.iter().map(|id| id.0));
        let parts = [(CARDS, &self.cards), (KEYS, &self.keys)];
        parts.into_iter().filter(|(_, set)| !set.is_empty()).map(|(key, set)| (key, ids(set))).collect()
    }
}
