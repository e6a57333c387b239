//! What cards, certificates, lists and revocations have in common: a map of fields with a first day, a last day and a
//! signature.
//!
//! ```text
//! [ map, signature ]            a CBOR array of two
//!   map  1: first day           days since 1970-01-01
//!        2: days                how many days after it is the last
//!        3: signer              the id of the key that signed
//!        4…: what the kind has
//!   signature: 64 bytes, Ed25519 of  "daylight " kind " v1\n"  and the map's bytes
//! ```
//!
//! Fields with numbers that this version doesn't know are kept: they are under the signature, and [`Signed::as_bytes`]
//! gives back what was parsed.

use std::fmt;

use crate::cbor::{Malformed, Reader, Value};
use crate::error::{Error, Result};
use crate::{Day, Id, PublicKey, SecretKey};

const FIRST_DAY: u64 = 1;
const DAYS: u64 = 2;
const SIGNER: u64 = 3;
/// Nothing is good for longer than ten years.
const DAYS_MAX: u64 = 3653;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// One server.
    Card,
    /// A root's word for an issuer's key.
    Certificate,
    /// Part of an animated code.
    Frame,
    /// Several servers.
    List,
    /// Cards and keys that are good no longer.
    Revocation,
    /// A list that several shares open.
    Sealed,
    /// One of the shares.
    Share,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Card, Self::Certificate, Self::Frame, Self::List, Self::Revocation, Self::Sealed, Self::Share];

    /// The character that a line of this kind begins with.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Card => 'C',
            Self::Certificate => 'K',
            Self::Frame => 'F',
            Self::List => 'T',
            Self::Revocation => 'R',
            Self::Sealed => 'Z',
            Self::Share => 'S',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Certificate => "certificate",
            Self::Frame => "frame",
            Self::List => "list",
            Self::Revocation => "revocation",
            Self::Sealed => "sealed list",
            Self::Share => "share",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first and the last day on which something is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first day.
    pub first: Day,
    /// The last day.
    pub last: Day,
}

impl Validity {
    /// From this day on, for so many days after it.
    #[must_use]
    pub fn new(first: Day, days: u32) -> Self {
        Self { first, last: first.plus(days) }
    }

    /// Whether all of `inner` lies in it.
    #[must_use]
    pub fn contains(&self, inner: &Self) -> bool {
        self.first <= inner.first && inner.last <= self.last
    }
}

/// What a kind has beside what all have.
pub trait Body: Sized {
    /// Which kind.
    const KIND: Kind;
    /// The most bytes that there may be, with the signature.
    const BYTES_MAX: usize;

    /// Takes its fields out of a map.
    ///
    /// # Errors
    /// If one is missing or holds what it may not.
    fn read(fields: &mut Fields) -> Result<Self>;

    /// Its fields.
    fn write(&self) -> Vec<(u64, Value)>;
}

/// Something signed. It need not be verified: [`Trust`](crate::Trust) does that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    body: T,
    validity: Validity,
    signer: Id,
    id: Id,
    /// Where the map ends and the signature's head begins.
    map_end: usize,
    bytes: Vec<u8>,
}

impl<T: Body> Signed<T> {
    /// Signs.
    ///
    /// # Errors
    /// If a field holds what it may not: what comes out can always be parsed.
    pub fn sign(body: &T, validity: Validity, key: &SecretKey) -> Result<Self> {
        let mut entries = body.write();
        entries.push((FIRST_DAY, Value::Uint(validity.first.number().into())));
        let days = validity.last.number().saturating_sub(validity.first.number());
        entries.push((DAYS, Value::Uint(days.into())));
        entries.push((SIGNER, Value::Bytes(key.public().id().0.to_vec())));
        let mut bytes = vec![0x82];
        Value::map(entries).write(&mut bytes);
        let signature = key.sign(&message(T::KIND, &bytes[1..]));
        Value::Bytes(signature.to_vec()).write(&mut bytes);
        Self::parse(&bytes)
    }

    /// Reads the bytes, and believes nothing yet.
    ///
    /// # Errors
    /// If they are not of this kind, or a field is missing or holds what it may not.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > T::BYTES_MAX {
            return Err(Error::TooLong { what: T::KIND.name(), len: bytes.len(), max: T::BYTES_MAX });
        }
        let (map, map_end) =
            split(bytes).map_err(|malformed| Error::Malformed { kind: T::KIND, malformed })?;
        let mut fields = Fields::new(T::KIND, map)?;
        let first = Day::new(fields.uint(FIRST_DAY, "first day")?)
            .ok_or_else(|| Error::field(T::KIND, "first day", "is after the year 9999"))?;
        let days = fields.uint(DAYS, "days")?;
        let days = u32::try_from(days)
            .ok()
            .filter(|_| days <= DAYS_MAX)
            .ok_or_else(|| Error::field(T::KIND, "days", format!("are {days}; {DAYS_MAX} are the most")))?;
        let signer = Id(fields.array(SIGNER, "signer")?);
        let body = T::read(&mut fields)?;
        let id = Id::of(&[&message(T::KIND, &bytes[1..map_end])]);
        let validity = Validity::new(first, days);
        Ok(Self { body, validity, signer, id, map_end, bytes: bytes.to_vec() })
    }

    /// What it says.
    #[must_use]
    pub fn body(&self) -> &T {
        &self.body
    }

    /// When it is good.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Which one it is: by this it is revoked. Of all its fields, not of the signature.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Whose signature it says it has.
    #[must_use]
    pub fn signer(&self) -> Id {
        self.signer
    }

    /// The bytes, as they were parsed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// If it didn't.
    pub fn verify(&self, key: &PublicKey) -> Result<()> {
        let signature = &self.bytes[self.bytes.len() - 64..];
        let said = message(T::KIND, &self.bytes[1..self.map_end]);
        if key.id() == self.signer && key.verifies(&said, signature) {
            Ok(())
        } else {
            Err(Error::Signature { kind: T::KIND, id: self.id, signer: self.signer })
        }
    }

    /// Whether it is good on this day.
    ///
    /// A clock that is a day slow, or in a time zone of its own, does not make what was signed today come from the future.
    ///
    /// # Errors
    /// If it has expired, or is from the future.
    pub fn check_day(&self, today: Day) -> Result<()> {
        let Validity { first, last } = self.validity;
        if today > last {
            return Err(Error::Expired { kind: T::KIND, id: self.id, last, today });
        }
        if today.plus(1) < first {
            return Err(Error::Future { kind: T::KIND, id: self.id, first, today });
        }
        Ok(())
    }
}

fn message(kind: Kind, map: &[u8]) -> Vec<u8> {
    [b"daylight ", kind.name().as_bytes(), b" v1\n", map].concat()
}

/// The map, and where it ends.
fn split(bytes: &[u8]) -> Result<(Value, usize), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.array(2)?;
    let map = reader.value()?;
    let map_end = reader.position();
    let signature = reader.value()?;
    reader.end()?;
    match signature {
        Value::Bytes(signature) if signature.len() == 64 => Ok((map, map_end)),
        _ => Err(Malformed { offset: map_end, why: "there is no signature of 64 bytes" }),
    }
}

/// The fields of a map, taken out one by one.
pub struct Fields {
    kind: Kind,
    entries: Vec<(Value, Value)>,
}

impl Fields {
    pub(crate) fn new(kind: Kind, map: Value) -> Result<Self> {
        match map {
            Value::Map(entries) => Ok(Self { kind, entries }),
            _ => Err(Error::field(kind, "content", "is not a map")),
        }
    }

    /// A field that need not be there.
    pub(crate) fn take(&mut self, key: u64) -> Option<Value> {
        let at = self.entries.iter().position(|(k, _)| *k == Value::Uint(key))?;
        Some(self.entries.remove(at).1)
    }

    fn need(&mut self, key: u64, name: &'static str) -> Result<Value> {
        self.take(key).ok_or_else(|| Error::field(self.kind, name, "is missing"))
    }

    pub(crate) fn wrong(&self, name: &'static str, why: impl Into<String>) -> Error {
        Error::field(self.kind, name, why)
    }

    pub(crate) fn uint(&mut self, key: u64, name: &'static str) -> Result<u64> {
        match self.need(key, name)? {
            Value::Uint(n) => Ok(n),
            _ => Err(self.wrong(name, "is not a number")),
        }
    }

    pub(crate) fn bytes(&mut self, key: u64, name: &'static str) -> Result<Vec<u8>> {
        match self.need(key, name)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong(name, "is not a byte string")),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self, key: u64, name: &'static str) -> Result<[u8; N]> {
        let bytes = self.bytes(key, name)?;
        let len = bytes.len();
        bytes.try_into().map_err(|_| self.wrong(name, format!("has {len} bytes; it must have {N}")))
    }

    /// An array of items; none if the field is missing.
    pub(crate) fn items(&mut self, key: u64, name: &'static str, max: usize) -> Result<Vec<Value>> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= max => Ok(items),
            Some(Value::Array(items)) => {
                Err(self.wrong(name, format!("has {} items; {max} are the most", items.len())))
            }
            Some(_) => Err(self.wrong(name, "is not an array")),
        }
    }

    /// An array of byte strings of this length.
    pub(crate) fn arrays<const N: usize>(
        &mut self,
        key: u64,
        name: &'static str,
        max: usize,
    ) -> Result<Vec<[u8; N]>> {
        let items = self.items(key, name, max)?;
        let read = |item| match item {
            Value::Bytes(bytes) => bytes.try_into().ok(),
            _ => None,
        };
        let arrays: Option<Vec<[u8; N]>> = items.into_iter().map(read).collect();
        arrays.ok_or_else(|| self.wrong(name, format!("holds something else than {N} bytes")))
    }

    /// An array of signed things, each in a byte string.
    pub(crate) fn signed<T: Body>(
        &mut self,
        key: u64,
        name: &'static str,
        max: usize,
    ) -> Result<Vec<Signed<T>>> {
        let items = self.items(key, name, max)?;
        let read = |item| match item {
            Value::Bytes(bytes) => Signed::parse(&bytes),
            _ => Err(self.wrong(name, "holds something else than byte strings")),
        };
        items.into_iter().map(read).collect()
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Vec<(Value, Value)> {
        self.entries
    }
}

/// An array of the bytes of signed things.
pub(crate) fn bytes_of<T: Body>(signed: &[Signed<T>]) -> Value {
    Value::Array(signed.iter().map(|one| Value::Bytes(one.as_bytes().to_vec())).collect())
}

/// An array of ids or the like.
pub(crate) fn arrays_of<const N: usize>(arrays: impl IntoIterator<Item = [u8; N]>) -> Value {
    Value::Array(arrays.into_iter().map(|bytes| Value::Bytes(bytes.to_vec())).collect())
}
