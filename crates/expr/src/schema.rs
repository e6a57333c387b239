//! What the language needs to know of the world: which fields there are, what a row holds, which lists have names.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::List;

/// The kind of a field's values: what it may be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number from 0 to 2⁶⁴ − 1.
    Uint,
    /// A real number. Durations are numbers of seconds.
    Float,
    /// Text.
    Str,
    /// Raw bytes.
    Bytes,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A point in time.
    Time,
}

impl Kind {
    /// As in "`src_ip` is …".
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Bool => "a truth value",
            Self::Uint => "a whole number",
            Self::Float => "a number",
            Self::Str => "text",
            Self::Bytes => "bytes",
            Self::Ip => "an address",
            Self::Time => "a time",
        }
    }

    /// What a constant of this kind looks like.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Bool => "true or false is expected",
            Self::Uint => "a whole number is expected, such as 443 or 0x1bb",
            Self::Float => "a number is expected, such as 1.5",
            Self::Str => "text in double quotes is expected",
            Self::Bytes => "bytes are expected, such as 16:03:01, or text in double quotes",
            Self::Ip => "an address or a network is expected, such as 10.0.0.0/8 or 2001:db8::1",
            Self::Time => "a time is expected, such as \"2024-01-31 12:00:00\"",
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Uint | Self::Float)
    }

    pub(crate) fn is_octets(self) -> bool {
        matches!(self, Self::Str | Self::Bytes)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

/// What a schema says of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldType {
    /// The number by which a [`Row`] is asked for its values.
    pub id: u32,
    /// The kind of its values.
    pub kind: Kind,
    /// True if a row can hold several values of it.
    pub list: bool,
}

/// The fields that there are.
pub trait Schema {
    /// The field of that name.
    fn field(&self, name: &str) -> Option<FieldType>;

    /// All names, in the order of preference when several are equally near to a misspelt one.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// The field that another tool calls `name`, such as `tls.sni` for Wireshark's
    /// `tls.handshake.extensions_server_name`. Only used to say "did you mean".
    fn alias(&self, name: &str) -> Option<&str> {
        let _ = name;
        None
    }
}

/// One value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Uint`].
    Uint(u64),
    /// Of [`Kind::Float`].
    Float(f64),
    /// Of [`Kind::Str`].
    Str(&'a str),
    /// Of [`Kind::Bytes`].
    Bytes(&'a [u8]),
    /// Of [`Kind::Ip`].
    Ip(IpAddr),
    /// Of [`Kind::Time`]: nanoseconds since 1970-01-01T00:00:00Z.
    Time(i64),
}

/// How much of a field is known while a row is still being filled in. What is known of a field may grow from
/// `Nothing` over `Adding` or `Rising` to `Final`, never the other way: then no answer of [`Program::decide`](
/// crate::Program::decide) is ever taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// Not whether it is there. Values that the row has already are not looked at.
    Nothing,
    /// The values that are there stay, and others may come: a flow's risks.
    Adding,
    /// There is one number or time, or will be, and it only becomes greater: a flow's bytes.
    Rising,
    /// All of it; that it is absent, too.
    Final,
}

/// What an expression is evaluated over.
pub trait Row {
    /// The values of the field with that id: none if it is absent, one, or several. They must be of the kind that the
    /// schema gave for the field; a value of any other kind equals nothing.
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>>;

    /// How much of the field with that id is known. Only [`Program::decide`](crate::Program::decide) and
    /// [`Program::explain`](crate::Program::explain) ask.
    fn knowledge(&self, id: u32) -> Knowledge {
        let _ = id;
        Knowledge::Final
    }
}

impl<R: Row> Row for &R {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        R::values(self, id)
    }

    fn knowledge(&self, id: u32) -> Knowledge {
        R::knowledge(self, id)
    }
}

/// A row of which not everything is known yet: the function says how much, by the field's id.
#[derive(Clone, Copy, Debug)]
pub struct Partial<R, K>(pub R, pub K);

impl<R: Row, K: Fn(u32) -> Knowledge> Row for Partial<R, K> {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        self.0.values(id)
    }

    fn knowledge(&self, id: u32) -> Knowledge {
        self.1(id)
    }
}

/// The lists that `$name` can stand for.
pub trait Lists {
    /// The list of that name. It is shared, not copied.
    fn list(&self, name: &str) -> Option<Arc<List>>;

    /// All names, for the nearest one to a misspelt one.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
}

/// For where no list has a name.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLists;

impl Lists for NoLists {
    fn list(&self, _: &str) -> Option<Arc<List>> {
        None
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(std::iter::empty())
    }
}

/// Lists by name, in a map.
impl<S: std::hash::BuildHasher> Lists for std::collections::HashMap<String, Arc<List>, S> {
    fn list(&self, name: &str) -> Option<Arc<List>> {
        self.get(name).cloned()
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.keys().map(String::as_str))
    }
}
