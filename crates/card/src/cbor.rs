//! Deterministic CBOR (RFC 8949 §4.2.1), the part of it that cards need.
//!
//! One value has one encoding here: shortest heads, definite lengths, map keys in ascending order of their bytes and
//! none twice. What isn't so is refused. Therefore a decoded value, also one that this version knows nothing about,
//! encodes to the very bytes it came from. Floats and tags have no use in cards and are refused.

/// How deep arrays and maps may lie in one another.
const DEPTH_MAX: u8 = 8;

/// A CBOR data item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An unsigned integer (major type 0).
    Uint(u64),
    /// The integer −1 − n (major type 1).
    Negative(u64),
    /// A byte string (major type 2).
    Bytes(Vec<u8>),
    /// A text string (major type 3).
    Text(String),
    /// An array (major type 4).
    Array(Vec<Self>),
    /// A map (major type 5), its keys in ascending order of their encodings.
    Map(Vec<(Self, Self)>),
    /// `false`, `true` or `null` (major type 7, values 20 to 22).
    Simple(Simple),
}

/// A simple value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simple {
    /// `false`
    False,
    /// `true`
    True,
    /// `null`
    Null,
}

/// What is wrong with bytes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} at byte {offset}")]
pub struct Malformed {
    /// From the beginning, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Value {
    /// Decodes one item that fills all of `bytes`.
    ///
    /// # Errors
    /// If the bytes are cut, go on, or are not in the one form that they may have.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }

    /// The item's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// A map with these keys, put in order.
    #[must_use]
    pub fn map(entries: impl IntoIterator<Item = (u64, Self)>) -> Self {
        let mut entries: Vec<(u64, Self)> = entries.into_iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        Self::Map(entries.into_iter().map(|(key, value)| (Self::Uint(key), value)).collect())
    }

    /// Appends the item's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(n) => head(out, 0, *n),
            Self::Negative(n) => head(out, 1, *n),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                for item in items {
                    item.write(out);
                }
            }
            Self::Map(entries) => {
                head(out, 5, entries.len() as u64);
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
            }
            Self::Simple(Simple::False) => out.push(0xf4),
            Self::Simple(Simple::True) => out.push(0xf5),
            Self::Simple(Simple::Null) => out.push(0xf6),
        }
    }
}

/// An initial byte and its argument in the fewest bytes.
fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    let bytes = n.to_be_bytes();
    match n {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Reads items one after the other.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong("there are bytes too many")) }
    }

    fn wrong(&self, why: &'static str) -> Malformed {
        Malformed { offset: self.at, why }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let taken = taken.ok_or(Malformed { offset: self.bytes.len(), why: "it is cut off" })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// The major type and the argument of the next item.
    fn head(&mut self) -> Result<(u8, u64), Malformed> {
        let start = self.at;
        let initial = self.take(1)?[0];
        let (major, short) = (initial >> 5, initial & 0x1f);
        let width = match short {
            0..=23 => return Ok((major, u64::from(short))),
            24..=27 => 1 << (short - 24),
            _ => return Err(Malformed { offset: start, why: "a length is left open" }),
        };
        let n = self.take(width)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let least = [24, 0x100, 0x1_0000, 0x1_0000_0000][usize::from(short - 24)];
        if n < least || major == 7 {
            return Err(Malformed { offset: start, why: "a number is not in its shortest form" });
        }
        Ok((major, n))
    }

    /// Begins an array of so many items.
    pub(crate) fn array(&mut self, len: u64) -> Result<(), Malformed> {
        let start = self.at;
        if self.head()? == (4, len) {
            Ok(())
        } else {
            Err(Malformed { offset: start, why: "it does not begin as it must" })
        }
    }

    pub(crate) fn value(&mut self) -> Result<Value, Malformed> {
        self.value_within(DEPTH_MAX)
    }

    fn value_within(&mut self, depth: u8) -> Result<Value, Malformed> {
        let start = self.at;
        let wrong = |why| Malformed { offset: start, why };
        let (major, n) = self.head()?;
        // Every item has a byte at least, so what is reserved is never more than what was sent.
        let room = |n: u64, left: usize| usize::try_from(n).map_or(left, |n| n.min(left));
        let left = self.bytes.len() - self.at;
        match major {
            0 => Ok(Value::Uint(n)),
            1 => Ok(Value::Negative(n)),
            2 => Ok(Value::Bytes(self.take(n)?.to_vec())),
            3 => {
                let text = std::str::from_utf8(self.take(n)?).map_err(|_| wrong("a text is not UTF-8"))?;
                Ok(Value::Text(text.to_owned()))
            }
            4 | 5 if depth == 0 => Err(wrong("it is nested too deep")),
            4 => {
                let mut items = Vec::with_capacity(room(n, left).min(64));
                for _ in 0..n {
                    items.push(self.value_within(depth - 1)?);
                }
                Ok(Value::Array(items))
            }
            5 => {
                let mut entries = Vec::with_capacity(room(n, left).min(64));
                let mut before: Option<&[u8]> = None;
                for _ in 0..n {
                    let start = self.at;
                    let key = self.value_within(depth - 1)?;
                    let encoded = &self.bytes[start..self.at];
                    if before.is_some_and(|before| before >= encoded) {
                        return Err(Malformed { offset: start, why: "keys are not in order" });
                    }
                    before = Some(encoded);
                    entries.push((key, self.value_within(depth - 1)?));
                }
                Ok(Value::Map(entries))
            }
            7 if n == 20 => Ok(Value::Simple(Simple::False)),
            7 if n == 21 => Ok(Value::Simple(Simple::True)),
            7 if n == 22 => Ok(Value::Simple(Simple::Null)),
            _ => Err(wrong("there is something that cards do not have")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Uint),
            (0..300u64).prop_map(Value::Uint),
            any::<u64>().prop_map(Value::Negative),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            "\\PC{0,20}".prop_map(Value::Text),
            Just(Value::Simple(Simple::Null)),
            Just(Value::Simple(Simple::True)),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                proptest::collection::btree_map(any::<u64>(), inner, 0..5).prop_map(Value::map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(value in any_value()) {
            let bytes = value.encode();
            prop_assert_eq!(Value::decode(&bytes), Ok(value));
        }

        /// The other implementation reads what we write, and writes the same.
        #[test]
        fn it_is_cbor(value in any_value()) {
            let bytes = value.encode();
            let theirs: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
            let mut again = Vec::new();
            ciborium::into_writer(&theirs, &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }

        #[test]
        fn whatever_decodes_has_one_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }

        #[test]
        fn nothing_cut_decodes(value in any_value(), keep in 0.0..1.0f64) {
            let bytes = value.encode();
            let keep = (bytes.len() as f64 * keep) as usize;
            prop_assert!(Value::decode(&bytes[..keep]).is_err());
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let wrong = |hex: &[u8]| Value::decode(hex).unwrap_err().why;
        assert_eq!(wrong(&[0x18, 0x17]), "a number is not in its shortest form");
        assert_eq!(wrong(&[0x19, 0x00, 0xff]), "a number is not in its shortest form");
        assert_eq!(wrong(&[0x9f, 0xff]), "a length is left open");
        assert_eq!(wrong(&[0xa2, 0x01, 0x00, 0x01, 0x00]), "keys are not in order");
        assert_eq!(wrong(&[0xa2, 0x02, 0x00, 0x01, 0x00]), "keys are not in order");
        assert_eq!(wrong(&[0xc0, 0x00]), "there is something that cards do not have");
        assert_eq!(wrong(&[0x00, 0x00]), "there are bytes too many");
        assert_eq!(wrong(&[0x61, 0xff]), "a text is not UTF-8");
        assert_eq!(wrong(&[0x81; 20]), "it is nested too deep");
        // An array that says it has 2^63 items does not take memory for them.
        assert_eq!(wrong(&[0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0]), "it is cut off");
    }
}
