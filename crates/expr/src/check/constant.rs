//! Constants: what a word or a text means beside something of a known kind.

use std::net::IpAddr;

use super::value::{Expected, Value};
use super::{Checker, is_logical, not_a_value, unordered};
use crate::ast::{Expr, Node};
use crate::list::{Networks, Octets, Ranges};
use crate::literal::{self, NetworkError, Number};
use crate::program::{Check, Operand, Relation};
use crate::{Error, ErrorKind, Kind, Network, Span, nearest, time};

/// A constant of a known kind. Truth values are 0 and 1.
#[derive(Clone, Debug)]
pub(crate) enum Const {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Octets),
    Bytes(Octets),
    Network(Network),
    Time(i64),
}

impl Const {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Uint,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Str,
            Self::Bytes(_) => Kind::Bytes,
            Self::Network(_) => Kind::Ip,
            Self::Time(_) => Kind::Time,
        }
    }

    pub(crate) fn operand(self) -> Operand {
        match self {
            Self::Bool(b) => Operand::Int(b.into()),
            Self::Int(n) => Operand::Int(n),
            Self::Time(t) => Operand::Int(t.into()),
            Self::Float(x) => Operand::Float(x),
            // Addresses are in no calculation.
            other => Operand::Octets(other.octets()),
        }
    }

    /// Its bytes, if it is text or bytes.
    pub(crate) fn octets(self) -> Octets {
        match self {
            Self::Text(bytes) | Self::Bytes(bytes) => bytes,
            _ => [].into(),
        }
    }

    fn int(&self) -> i128 {
        match self {
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => *n,
            Self::Time(t) => (*t).into(),
            _ => 0,
        }
    }

    fn float(&self) -> f64 {
        match self {
            Self::Float(x) => *x,
            other => other.int() as f64,
        }
    }

    fn range(&self) -> Option<(IpAddr, IpAddr)> {
        if let Self::Network(network) = self { Some(network.range()) } else { None }
    }
}

impl Checker<'_> {
    /// True if a word can be read as a constant of some kind that doesn't need quotes.
    pub(super) fn is_literal(&self, word: &str) -> bool {
        let digit = word.starts_with(|c: char| c.is_ascii_digit());
        literal::number(word).is_some()
            || word.parse::<Network>().is_ok()
            || truth(word).is_some()
            || (digit && time::parse(word).is_ok())
            || (word.contains(':') && literal::bytes(word).is_some())
            || (digit && literal::bytes(word).is_some())
    }

    /// Reads a constant that `value` is compared with.
    pub(super) fn constant_like(&mut self, node: &Node, value: &Value) -> Result<Const, Error> {
        if self.has_value(node) {
            let message = "the items of a set don't depend on the row".to_owned();
            return Err(Error::new(node.span, ErrorKind::Kind(message))
                .label("a constant is expected")
                .help(format!("write {} == {node}", value.text)));
        }
        let constant =
            self.literal(node, Expected::Kind(value.kind), &value.text, "cannot be compared with")?;
        if let (Const::Int(n), Some(_)) = (&constant, value.least)
            && u64::try_from(*n).is_err()
        {
            let message = if *n < 0 {
                format!("`{}` is never negative", value.text)
            } else {
                format!("`{}` is at most {}", value.text, u64::MAX)
            };
            return Err(Error::new(node.span, ErrorKind::Range(message)).label("out of range"));
        }
        Ok(constant)
    }

    /// Reads a constant. `subject` and `verb` are for the message: "`src_ip` is an address, and cannot be compared
    /// with text".
    pub(super) fn literal(
        &mut self,
        node: &Node,
        expected: Expected,
        subject: &str,
        verb: &str,
    ) -> Result<Const, Error> {
        let kind = match expected {
            Expected::Kind(kind) => kind,
            Expected::Number => Kind::Float,
        };
        let mismatch = |found: &str| {
            let is = match expected {
                Expected::Kind(kind) => format!("`{subject}` is {kind}, and {verb} {found}"),
                Expected::Number => format!("`{subject}` {verb} {found}"),
            };
            Error::new(node.span, ErrorKind::Kind(is)).label(kind.example())
        };
        match &node.expr {
            Expr::Word(word) => self.word(node, word, expected, kind, &mismatch),
            Expr::Text(text) => match kind {
                Kind::Str if std::str::from_utf8(text).is_err() => Err(Error::new(
                    node.span,
                    ErrorKind::Kind(format!("`{subject}` is text, and this is not UTF-8")),
                )
                .help("escapes above \\x7f make bytes; write \\u00e9 for a character")),
                Kind::Str => Ok(Const::Text(text.as_slice().into())),
                Kind::Bytes => Ok(Const::Bytes(text.as_slice().into())),
                Kind::Time => {
                    let text = std::str::from_utf8(text).unwrap_or("");
                    time::parse(text).map(Const::Time).map_err(|problem| {
                        Error::new(node.span, ErrorKind::Range("this is not a point in time".into()))
                            .label(problem)
                    })
                }
                _ => {
                    // Quotes around what would be right without them.
                    let inner = std::str::from_utf8(text).unwrap_or("").to_owned();
                    let bare = Node { span: node.span, expr: Expr::Word(inner.clone()) };
                    let unquoted = !inner.is_empty()
                        && !inner.contains(char::is_whitespace)
                        && self.word(&bare, &inner, expected, kind, &mismatch).is_ok();
                    let error = mismatch("text");
                    Err(if unquoted { error.help(format!("leave the quotes out: {inner}")) } else { error })
                }
            },
            Expr::Char(byte) => match kind {
                Kind::Uint | Kind::Float => Ok(Const::Int((*byte).into())),
                Kind::Bytes => Ok(Const::Bytes([*byte].into())),
                Kind::Str if byte.is_ascii() => Ok(Const::Text([*byte].into())),
                _ => Err(mismatch("a character")),
            },
            Expr::Negative(of) => match self.literal(of, expected, subject, verb)? {
                Const::Int(n) => Ok(Const::Int(n.saturating_neg())),
                Const::Float(x) => Ok(Const::Float(-x)),
                _ => Err(mismatch("a negative number")),
            },
            Expr::Arithmetic(op, left, right) => {
                let a = self.literal(left, expected, subject, verb)?;
                let b = self.literal(right, expected, subject, verb)?;
                let number = |constant: &Const| match constant {
                    Const::Int(n) => Some(Number::Int(*n)),
                    Const::Float(x) => Some(Number::Float(*x)),
                    _ => None,
                };
                let (Some(a), Some(b)) = (number(&a), number(&b)) else {
                    return Err(mismatch("a calculation"));
                };
                match a.calculate(*op, b) {
                    Some(Number::Int(n)) => Ok(Const::Int(n)),
                    Some(Number::Float(x)) => Ok(Const::Float(x)),
                    None => {
                        Err(Error::new(node.span, ErrorKind::Range("the calculation has no result".into())))
                    }
                }
            }
            Expr::List(name) => Err(mismatch(&format!("the list `${name}`"))),
            Expr::Slice(..) => Err(mismatch("a slice of a constant")),
            _ if is_logical(node) => Err(not_a_value(node)),
            _ => Err(mismatch("this")),
        }
    }

    fn word(
        &mut self,
        node: &Node,
        word: &str,
        expected: Expected,
        kind: Kind,
        mismatch: &dyn Fn(&str) -> Error,
    ) -> Result<Const, Error> {
        let out_of_range = |message: String| Error::new(node.span, ErrorKind::Range(message));
        let found = match kind {
            Kind::Bool => truth(word)
                .or_else(|| match literal::number(word) {
                    Some(Ok(Number::Int(n))) => Some(n != 0),
                    _ => None,
                })
                .map(Const::Bool),
            Kind::Uint | Kind::Float => match literal::number(word) {
                Some(Err(problem)) => return Err(out_of_range(problem)),
                Some(Ok(Number::Int(n))) => {
                    self.doubt_octal(node.span, word, n);
                    Some(Const::Int(n))
                }
                Some(Ok(Number::Float(x))) if kind == Kind::Float || matches!(expected, Expected::Number) => {
                    Some(Const::Float(x))
                }
                // 1e6 is a whole number, 1.5 is not.
                Some(Ok(Number::Float(x))) if x.fract() == 0.0 && x.abs() < 1e38 => {
                    Some(Const::Int(x as i128))
                }
                Some(Ok(Number::Float(_))) => return Err(mismatch("a fraction")),
                None => None,
            },
            Kind::Bytes => literal::bytes(word).map(|bytes| Const::Bytes(bytes.into())),
            Kind::Ip => match word.parse::<Network>() {
                Ok(network) => Some(Const::Network(network)),
                Err(error @ NetworkError::Prefix(_)) => return Err(out_of_range(error.to_string())),
                Err(_) => None,
            },
            Kind::Time => time::parse(word).ok().map(Const::Time),
            Kind::Str => None,
        };
        if let Some(constant) = found {
            return Ok(constant);
        }
        Err(self.misread(word, kind, node.span, mismatch))
    }

    /// A word that is no constant of that kind: what else it might have been meant as.
    fn misread(&self, word: &str, kind: Kind, span: Span, mismatch: &dyn Fn(&str) -> Error) -> Error {
        if self.is_literal(word) {
            let error = mismatch(if word.parse::<Network>().is_ok() {
                "an address"
            } else if literal::number(word).is_some() {
                "a number"
            } else if truth(word).is_some() {
                "a truth value"
            } else if time::parse(word).is_ok() {
                "a time"
            } else {
                "bytes"
            });
            let number = word.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
            return match (kind, number) {
                (Kind::Str, _) => error.help(format!("write it in quotes: \"{word}\"")),
                (Kind::Time, Some(ns)) => {
                    let mut text = String::new();
                    // Writing to memory doesn't fail.
                    let _ = time::write(ns, &mut text);
                    error.help(format!(
                        "{word} seconds after 1970 are \"{}Z\"",
                        text.split('.').next().unwrap_or("")
                    ))
                }
                _ => error,
            };
        }
        let what = match kind {
            Kind::Str => "text in quotes",
            other => other.noun(),
        };
        let message = format!("`{word}` is neither a field nor {what}");
        let error = Error::new(span, ErrorKind::Kind(message)).label(kind.example());
        if kind == Kind::Str {
            let near = self.schema.alias(word).or_else(|| nearest(word, self.schema.names()));
            let field =
                near.map_or_else(String::new, |name| format!("; or did you mean the field `{name}`?"));
            return error.help(format!("write it in quotes: \"{word}\"{field}"));
        }
        if let Some((left, right)) = word.split_once('-')
            && (self.field(left).is_some() || literal::number(left).is_some())
            && (self.field(right).is_some() || literal::number(right).is_some())
        {
            return error.help(format!("to subtract, put spaces around the minus: {left} - {right}"));
        }
        match self.schema.alias(word).or_else(|| nearest(word, self.schema.names())) {
            Some(name) => error.help(format!("did you mean the field `{name}`?")),
            None => error,
        }
    }

    /// What comparing `value` with a constant compiles to. Warns where the outcome doesn't depend on the row.
    pub(super) fn relation_check(
        &mut self,
        value: &Value,
        relation: Relation,
        constant: Const,
        node: &Node,
        whole: Span,
        negate: bool,
    ) -> Result<Check, Error> {
        match value.kind {
            Kind::Bool if relation != Relation::Eq => Err(unordered(value, whole)),
            Kind::Bool => Ok(Check::Int(constant.int(), constant.int())),
            Kind::Uint | Kind::Time => {
                let lowest =
                    if value.kind == Kind::Time { i64::MIN.into() } else { value.least.unwrap_or(i128::MIN) };
                let highest = match (value.kind, value.least) {
                    (Kind::Time, _) => i64::MAX.into(),
                    (_, Some(_)) => u64::MAX.into(),
                    _ => i128::MAX,
                };
                let (low, high) = between(relation, constant.int());
                self.doubt_range(value, (low, high), (lowest, highest), whole, negate);
                Ok(Check::Int(low, high))
            }
            Kind::Float => Ok(Check::Float(relation, constant.float())),
            Kind::Str | Kind::Bytes => {
                let octets = constant.octets();
                if relation == Relation::Eq {
                    self.doubt_case(value, &octets, node.span, !negate);
                    self.doubt_length(value, &octets, node.span);
                }
                Ok(Check::Octets(relation, octets))
            }
            Kind::Ip => {
                let Some((low, high)) = constant.range() else { return Err(not_a_value(node)) };
                if relation != Relation::Eq && low != high {
                    let message = "a network comes neither before nor after an address".to_owned();
                    return Err(Error::new(node.span, ErrorKind::Kind(message))
                        .label("one address is expected")
                        .help(format!("to ask for the network: {} == {node}", value.text)));
                }
                let edge = |v4: u32, v6: u128| match low {
                    IpAddr::V4(_) => IpAddr::from(std::net::Ipv4Addr::from(v4)),
                    IpAddr::V6(_) => IpAddr::from(std::net::Ipv6Addr::from(v6)),
                };
                let (first, last) = (edge(0, 0), edge(u32::MAX, u128::MAX));
                // A range that is upside down holds nothing.
                let empty = (last, first);
                let (low, high) = match relation {
                    Relation::Eq | Relation::Contains => (low, high),
                    Relation::Le => (first, high),
                    Relation::Ge => (low, last),
                    Relation::Lt if low == first => empty,
                    Relation::Lt => (first, step(low, false)),
                    Relation::Gt if high == last => empty,
                    Relation::Gt => (step(high, true), last),
                };
                Check::addresses(low, high).ok_or_else(|| not_a_value(node))
            }
        }
    }
}

/// The whole numbers that stand in a relation to `n`.
fn between(relation: Relation, n: i128) -> (i128, i128) {
    const NOTHING: (i128, i128) = (1, 0);
    match relation {
        Relation::Eq | Relation::Contains => (n, n),
        Relation::Lt => n.checked_sub(1).map_or(NOTHING, |n| (i128::MIN, n)),
        Relation::Le => (i128::MIN, n),
        Relation::Gt => n.checked_add(1).map_or(NOTHING, |n| (n, i128::MAX)),
        Relation::Ge => (n, i128::MAX),
    }
}

/// The next address, or the one before. The first has none before it and the last none after: not asked for here.
fn step(address: IpAddr, up: bool) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let n = u32::from(address);
            std::net::Ipv4Addr::from(if up { n.saturating_add(1) } else { n.saturating_sub(1) }).into()
        }
        IpAddr::V6(address) => {
            let n = u128::from(address);
            std::net::Ipv6Addr::from(if up { n.saturating_add(1) } else { n.saturating_sub(1) }).into()
        }
    }
}

fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A range in a set must go up, and its ends must be of one family of addresses.
pub(super) fn right_way_up(range: &(Const, Const), span: Span) -> Result<(), Error> {
    let up = match range {
        (Const::Float(_), _) | (_, Const::Float(_)) => range.0.float() <= range.1.float(),
        (Const::Text(low) | Const::Bytes(low), Const::Text(high) | Const::Bytes(high)) => low <= high,
        (Const::Network(low), Const::Network(high)) => {
            let (low, high) = (low.range().0, high.range().1);
            if low.is_ipv4() != high.is_ipv4() {
                let message = "a range from one family of addresses to the other holds nothing".to_owned();
                return Err(Error::new(span, ErrorKind::Range(message)));
            }
            low <= high
        }
        (low, high) => low.int() <= high.int(),
    };
    if up {
        return Ok(());
    }
    Err(Error::new(span, ErrorKind::Range("the range is upside down".into()))
        .help("the lower end stands first"))
}

/// Puts constants and ranges of constants into as few checks as their kind allows.
pub(super) fn set_checks(kind: Kind, ranges: Vec<(Const, Const)>, checks: &mut Vec<Check>) {
    if ranges.is_empty() {
        return;
    }
    match kind {
        Kind::Bool | Kind::Uint | Kind::Time => {
            checks.push(Check::Ints(Ranges::new(
                ranges.iter().map(|(low, high)| (low.int(), high.int())).collect(),
            )));
        }
        Kind::Float => {
            checks
                .push(Check::Floats(ranges.iter().map(|(low, high)| (low.float(), high.float())).collect()));
        }
        Kind::Str | Kind::Bytes => {
            let octets = ranges.into_iter().map(|(low, high)| (low.octets(), high.octets()));
            let (single, wide): (Vec<_>, Vec<_>) = octets.partition(|(low, high)| low == high);
            if !single.is_empty() {
                checks.push(Check::OctetSet(single.into_iter().map(|(low, _)| low).collect()));
            }
            if !wide.is_empty() {
                checks.push(Check::OctetRanges(Ranges::new(wide)));
            }
        }
        Kind::Ip => {
            let ends = ranges.iter().filter_map(|(low, high)| Some((low.range()?.0, high.range()?.1)));
            checks.push(Check::Addresses(Networks::new(ends)));
        }
    }
}
