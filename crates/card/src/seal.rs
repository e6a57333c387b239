//! A list that k of n fliers open: Shamir's sharing of its key, and for each share a commitment, so that a wrong one is
//! named.
//!
//! ```text
//! sealed list   4: set           8 random bytes, also in each share
//!               5: threshold     how many shares open it
//!               6: commitments   [ 16 bytes, … ]; the one of share x stands at place x − 1
//!               7: sealed        the list's bytes in ChaCha20-Poly1305, with the shared key and a nonce of zeros
//! share         { 1: set, 2: threshold, 3: x, 4: y }     x from 1, y of 32 bytes; not signed
//! ```
//! The key is made for one list and used once, which is why the nonce may be zeros. A commitment is the beginning of
//! SHA-256 of `"daylight share v1\n"`, the set, x and y.

use std::collections::BTreeMap;

use blahaj::{Share as Point, Sharks};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};

use crate::cbor::Value;
use crate::error::{Error, Result};
use crate::key::random;
use crate::signed::{Body, Fields, Kind, Signed, arrays_of};
use crate::{Id, LIST_BYTES_MAX, List, SecretKey, Validity};

/// At most so many shares.
pub const SHARES_MAX: usize = 255;
const SET: u64 = 4;
const THRESHOLD: u64 = 5;
const COMMITMENTS: u64 = 6;
const SEALED: u64 = 7;
const TAG_BYTES: usize = 16;

mod share_field {
    pub(super) const SET: u64 = 1;
    pub(super) const THRESHOLD: u64 = 2;
    pub(super) const X: u64 = 3;
    pub(super) const Y: u64 = 4;
}

/// A signed, sealed list.
pub type SealedList = Signed<Sealed>;

/// What a sealed list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which list: its shares say the same.
    pub set: Id,
    /// How many shares open it.
    pub threshold: u8,
    commitments: Vec<[u8; 16]>,
    sealed: Vec<u8>,
}

impl Body for Sealed {
    const KIND: Kind = Kind::Sealed;
    const BYTES_MAX: usize = LIST_BYTES_MAX + 8192;

    fn read(fields: &mut Fields) -> Result<Self> {
        let set = Id(fields.array(SET, "set")?);
        let commitments = fields.arrays(COMMITMENTS, "commitments", SHARES_MAX)?;
        let threshold = threshold(Kind::Sealed, fields.uint(THRESHOLD, "threshold")?, commitments.len())?;
        let sealed = fields.bytes(SEALED, "sealed")?;
        if !(TAG_BYTES..=LIST_BYTES_MAX + TAG_BYTES).contains(&sealed.len()) {
            return Err(fields.wrong("sealed", format!("has {} bytes", sealed.len())));
        }
        Ok(Self { set, threshold, commitments, sealed })
    }

    fn write(&self) -> Vec<(u64, Value)> {
        vec![
            (SET, Value::Bytes(self.set.0.to_vec())),
            (THRESHOLD, Value::Uint(self.threshold.into())),
            (COMMITMENTS, arrays_of(self.commitments.iter().copied())),
            (SEALED, Value::Bytes(self.sealed.clone())),
        ]
    }
}

fn threshold(kind: Kind, threshold: u64, shares: usize) -> Result<u8> {
    let wrong = || Error::field(kind, "threshold", format!("is {threshold} of {shares} shares"));
    u8::try_from(threshold).ok().filter(|k| (1..=shares).contains(&usize::from(*k))).ok_or_else(wrong)
}

/// One of the shares that open a list.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    set: Id,
    threshold: u8,
    x: u8,
    y: [u8; 32],
}

impl Share {
    /// Which list it helps to open.
    #[must_use]
    pub fn set(&self) -> Id {
        self.set
    }

    /// How many are needed.
    #[must_use]
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Which one it is, from 1.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.x
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let map = Value::map([
            (share_field::SET, Value::Bytes(self.set.0.to_vec())),
            (share_field::THRESHOLD, Value::Uint(self.threshold.into())),
            (share_field::X, Value::Uint(self.x.into())),
            (share_field::Y, Value::Bytes(self.y.to_vec())),
        ]);
        map.encode()
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// If they are no share's.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let kind = Kind::Share;
        let map = Value::decode(bytes).map_err(|malformed| Error::Malformed { kind, malformed })?;
        let mut fields = Fields::new(kind, map)?;
        let set = Id(fields.array(share_field::SET, "set")?);
        let threshold = threshold(kind, fields.uint(share_field::THRESHOLD, "threshold")?, SHARES_MAX)?;
        let x = fields.uint(share_field::X, "number")?;
        let x = u8::try_from(x).ok().filter(|x| *x > 0);
        let x = x.ok_or_else(|| fields.wrong("number", "is not from 1 to 255"))?;
        let y = fields.array(share_field::Y, "value")?;
        // Later versions have no business in an unsigned thing.
        if !fields.rest().is_empty() {
            return Err(Error::field(kind, "content", "has fields that shares do not have"));
        }
        Ok(Self { set, threshold, x, y })
    }

    fn commitment(&self) -> [u8; 16] {
        let mut commitment = [0; 16];
        let message = [b"daylight share v1\n".as_slice(), &self.set.0, &[self.x], &self.y].concat();
        commitment.copy_from_slice(&digest(&SHA256, &message).as_ref()[..16]);
        commitment
    }
}

/// Doesn't tell it.
impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({} of {}, {} needed)", self.x, self.set, self.threshold)
    }
}

/// Seals a list, so that any `threshold` of `shares` open it.
///
/// # Errors
/// If there are no shares, more than [`SHARES_MAX`], or fewer than the threshold; or if the system has no random numbers.
pub fn seal(
    list: &List,
    k: u8,
    shares: u8,
    validity: Validity,
    key: &SecretKey,
) -> Result<(SealedList, Vec<Share>)> {
    let k = threshold(Kind::Sealed, k.into(), shares.into())?;
    let (set, secret) = (Id(random()?), random::<32>()?);
    let share = |point: &Point| {
        let bytes = Vec::from(point);
        let (x, y) = bytes.split_first()?;
        Some(Share { set, threshold: k, x: *x, y: y.try_into().ok()? })
    };
    let shares: Option<Vec<Share>> =
        Sharks(k).dealer(&secret).take(shares.into()).map(|point| share(&point)).collect();
    let shares = shares.ok_or_else(|| Error::Share("the key can't be shared".to_owned()))?;
    let mut sealed = list.as_bytes().to_vec();
    let failed = |_| Error::Share("the list can't be sealed".to_owned());
    cipher(&secret)?.seal_in_place_append_tag(nonce(), Aad::from(set.0), &mut sealed).map_err(failed)?;
    let commitments = shares.iter().map(Share::commitment).collect();
    let sealed = SealedList::sign(&Sealed { set, threshold: k, commitments, sealed }, validity, key)?;
    Ok((sealed, shares))
}

/// Opens a list with its shares; one may be given several times.
///
/// # Errors
/// If a share is another list's or is forged (it is named), or if there are too few.
pub fn open(sealed: &SealedList, shares: &[Share]) -> Result<List> {
    let body = sealed.body();
    let mut good = BTreeMap::new();
    for (at, share) in shares.iter().enumerate() {
        let wrong = |why: &str| Error::Share(format!("share {} of those given {why}", at + 1));
        if share.set != body.set {
            return Err(wrong("is of another list"));
        }
        if body.commitments.get(usize::from(share.x) - 1) != Some(&share.commitment()) {
            return Err(wrong("is forged or damaged; leave it out"));
        }
        good.insert(share.x, share);
    }
    let (have, need) = (good.len(), usize::from(body.threshold));
    if have < need {
        return Err(Error::Share(format!("{have} of {need} shares are here; find {} more", need - have)));
    }
    let point = |share: &&Share| Point::try_from(&[&[share.x], &share.y[..]].concat()[..]).ok();
    let points: Vec<Point> = good.values().filter_map(point).collect();
    // The commitments vouch for the shares, so this fails only if who sealed it made a mistake.
    let broken = || {
        Error::Share("the shares are good but do not open the list; who sealed it made a mistake".to_owned())
    };
    let secret = Sharks(body.threshold).recover(&points).map_err(|_| broken())?;
    let secret = secret.try_into().map_err(|_| broken())?;
    let mut bytes = body.sealed.clone();
    let opened =
        cipher(&secret)?.open_in_place(nonce(), Aad::from(body.set.0), &mut bytes).map_err(|_| broken())?;
    List::parse(opened)
}

fn cipher(secret: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, secret);
    key.map(LessSafeKey::new).map_err(|_| Error::Share("the key has a wrong length".to_owned()))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
