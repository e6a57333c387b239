//! The values that fields hold.

use std::fmt;
use std::net::IpAddr;

/// What a field holds. A list is a field that was pushed to more than once; see [`Field::list`](crate::Field).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number that is never negative: counts, codes, lengths.
    Uint(u64),
    /// A real number.
    Float(f64),
    /// Text. Bytes from the wire that are not UTF-8 are replaced, control characters are kept (writers escape).
    Str(Box<str>),
    /// Text that the code itself knows, such as the name of a code point.
    Name(&'static str),
    /// Raw bytes, shown as lower-case hexadecimal.
    Bytes(Box<[u8]>),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// Several values of one kind.
    List(Box<Vec<Self>>),
}

/// The kind of a field's values: what an expression may compare it with, and the type of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Value::Bool`]
    Bool,
    /// [`Value::Uint`]
    Uint,
    /// [`Value::Float`]
    Float,
    /// [`Value::Str`] or [`Value::Name`]
    Str,
    /// [`Value::Bytes`]
    Bytes,
    /// [`Value::Ip`]
    Ip,
    /// [`Value::Time`]
    Time,
}

impl Value {
    /// Text from the wire; bytes that are not UTF-8 become U+FFFD.
    pub fn text(bytes: &[u8]) -> Self {
        Self::Str(text(bytes))
    }

    /// Raw bytes.
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            Self::Name(s) => Some(s),
            _ => None,
        }
    }

    /// The number, if this is a whole number.
    pub fn as_uint(&self) -> Option<u64> {
        match self {
            Self::Uint(n) => Some(*n),
            _ => None,
        }
    }

    /// The values: those of a list, or the one value itself.
    pub fn iter(&self) -> std::slice::Iter<'_, Self> {
        match self {
            Self::List(list) => list.iter(),
            one => std::slice::from_ref(one).iter(),
        }
    }

    /// The kind; of a list, that of its first element. `None` for an empty list.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Bool(_) => Kind::Bool,
            Self::Uint(_) => Kind::Uint,
            Self::Float(_) => Kind::Float,
            Self::Str(_) | Self::Name(_) => Kind::Str,
            Self::Bytes(_) => Kind::Bytes,
            Self::Ip(_) => Kind::Ip,
            Self::Time(_) => Kind::Time,
            Self::List(list) => return list.first().and_then(Self::kind),
        })
    }
}

/// Text from the wire; bytes that are not UTF-8 become U+FFFD. Nearly all of it is ASCII, which the check for UTF-8
/// reads a word at a time, and the replacement byte by byte.
pub(crate) fn text(bytes: &[u8]) -> Box<str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
    }
}

/// As people read it: hexadecimal for bytes, commas between the elements of a list.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Uint(n) => write!(f, "{n}"),
            Self::Float(n) => write!(f, "{n}"),
            Self::Str(s) => f.write_str(s),
            Self::Name(s) => f.write_str(s),
            Self::Bytes(b) => b.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Time(ns) => write!(f, "{ns}"),
            Self::List(list) => list.iter().enumerate().try_for_each(|(i, v)| {
                if i > 0 {
                    f.write_str(",")?;
                }
                v.fmt(f)
            }),
        }
    }
}

macro_rules! from {
    ($($t:ty => |$v:ident| $e:expr;)*) => { $(
        impl From<$t> for Value { fn from($v: $t) -> Self { $e } }
    )* };
}
from! {
    bool => |v| Self::Bool(v);
    u8 => |v| Self::Uint(v.into());
    u16 => |v| Self::Uint(v.into());
    u32 => |v| Self::Uint(v.into());
    u64 => |v| Self::Uint(v);
    usize => |v| Self::Uint(v as u64);
    f64 => |v| Self::Float(v);
    &'static str => |v| Self::Name(v);
    String => |v| Self::Str(v.into());
    Box<str> => |v| Self::Str(v);
    &[u8] => |v| Self::bytes(v);
    Vec<u8> => |v| Self::Bytes(v.into());
    IpAddr => |v| Self::Ip(v);
    std::net::Ipv4Addr => |v| Self::Ip(v.into());
    std::net::Ipv6Addr => |v| Self::Ip(v.into());
}
