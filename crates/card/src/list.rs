//! A list: the cards of one channel, and all it takes to check them.
//!
//! ```text
//! 4: channel        8 bytes, see `channel`; missing if the list is of none
//! 5: cards          [ bytes, … ]
//! 6: certificates   [ bytes, … ]
//! 7: revocations    [ bytes, … ]
//! ```

use crate::cbor::Value;
use crate::error::Result;
use crate::signed::{Body, Fields, Kind, Signed, bytes_of};
use crate::{Card, Certificate, Id, Revocation};

const CHANNEL: u64 = 4;
const CARDS: u64 = 5;
const CERTIFICATES: u64 = 6;
const REVOCATIONS: u64 = 7;
/// So many of each kind are the most.
const ITEMS_MAX: usize = 1024;
/// No list is longer.
pub const LIST_BYTES_MAX: usize = 256 * 1024;

/// A signed list; its signer is an issuer or the root.
pub type List = Signed<Cards>;

/// What a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cards {
    /// Whose it is.
    pub channel: Option<Id>,
    /// The cards; at most 1024.
    pub cards: Vec<Card>,
    /// The certificates of the cards' issuers and of the list's; at most 1024.
    pub certificates: Vec<Certificate>,
    /// What was revoked; at most 1024.
    pub revocations: Vec<Revocation>,
}

impl Body for Cards {
    const KIND: Kind = Kind::List;
    const BYTES_MAX: usize = LIST_BYTES_MAX;

    fn read(fields: &mut Fields) -> Result<Self> {
        let channel = match fields.take(CHANNEL) {
            None => None,
            Some(Value::Bytes(bytes)) => {
                let id = bytes.try_into().map_err(|_| fields.wrong("channel", "must have 8 bytes"))?;
                Some(Id(id))
            }
            Some(_) => return Err(fields.wrong("channel", "is not a byte string")),
        };
        Ok(Self {
            channel,
            cards: fields.signed(CARDS, "cards", ITEMS_MAX)?,
            certificates: fields.signed(CERTIFICATES, "certificates", ITEMS_MAX)?,
            revocations: fields.signed(REVOCATIONS, "revocations", ITEMS_MAX)?,
        })
    }

    fn write(&self) -> Vec<(u64, Value)> {
        let mut fields = vec![(CARDS, bytes_of(&self.cards))];
        if let Some(channel) = self.channel {
            fields.push((CHANNEL, Value::Bytes(channel.0.to_vec())));
        }
        if !self.certificates.is_empty() {
            fields.push((CERTIFICATES, bytes_of(&self.certificates)));
        }
        if !self.revocations.is_empty() {
            fields.push((REVOCATIONS, bytes_of(&self.revocations)));
        }
        fields
    }
}
