//! The syntax tree, and how it is written. What a tree is written as reads back as the same tree.

use std::fmt::{self, Write};

use crate::Span;

/// A part of an expression and where it stands. Two nodes are equal if they say the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands in the text.
    pub span: Span,
    /// What it is.
    pub expr: Expr,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

/// What a part of an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// At least one holds.
    Or(Vec<Node>),
    /// An odd number of them hold.
    Xor(Vec<Node>),
    /// All hold.
    And(Vec<Node>),
    /// It does not hold.
    Not(Box<Node>),
    /// A comparison, or a chain of them as in `1 < x <= 5`.
    Compare {
        /// `any` or `all`, if it stands before it.
        quantifier: Option<Quantifier>,
        /// What stands first.
        first: Box<Node>,
        /// What it is compared with, and that with the next.
        rest: Vec<(CompareOp, Node)>,
    },
    /// A search for one text in another.
    Contains {
        /// `any` or `all`, if it stands before it.
        quantifier: Option<Quantifier>,
        /// Where to look.
        left: Box<Node>,
        /// What for.
        right: Box<Node>,
    },
    /// A search for a regular expression.
    Matches {
        /// `any` or `all`, if it stands before it.
        quantifier: Option<Quantifier>,
        /// Where to look.
        left: Box<Node>,
        /// The regular expression.
        right: Box<Node>,
    },
    /// Membership in a set.
    In {
        /// `any` or `all`, if it stands before it.
        quantifier: Option<Quantifier>,
        /// True for `not in`.
        negated: bool,
        /// What is to be in the set.
        left: Box<Node>,
        /// The set.
        set: Vec<SetItem>,
    },
    /// A calculation.
    Arithmetic(ArithmeticOp, Box<Node>, Box<Node>),
    /// The negative of a number.
    Negative(Box<Node>),
    /// Parts of a text or of bytes, put together.
    Slice(Box<Node>, Vec<SliceRange>),
    /// A function and what it is given.
    Call(String, Vec<Node>),
    /// A word that is not in quotes: a field, a number, an address, bytes …
    Word(String),
    /// A text in quotes, which may hold any byte.
    Text(Vec<u8>),
    /// A character in single quotes.
    Char(u8),
    /// `$name`
    List(String),
}

/// How the values of a field that has several count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// One is enough.
    Any,
    /// Every value must fit, and there must be one.
    All,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`, `eq`, `any_eq`: some value is equal.
    AnyEq,
    /// `===`, `all_eq`: all values are equal.
    AllEq,
    /// `!==`, `~=`, `any_ne`: some value is not equal.
    AnyNe,
    /// `!=`, `ne`, `all_ne`: no value is equal (and there is one).
    AllNe,
    /// `<`, `lt`
    Lt,
    /// `<=`, `le`
    Le,
    /// `>`, `gt`
    Gt,
    /// `>=`, `ge`
    Ge,
}

impl CompareOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::AnyEq => "==",
            Self::AllEq => "===",
            Self::AnyNe => "!==",
            Self::AllNe => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// Calculations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticOp {
    /// `&`, `bitand`, `bitwise_and`
    BitAnd,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
}

impl ArithmeticOp {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::BitAnd => "&",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Rem => "%",
        }
    }

    pub(crate) fn power(self) -> u8 {
        match self {
            Self::BitAnd => power::BIT_AND,
            Self::Add | Self::Sub => power::SUM,
            Self::Mul | Self::Div | Self::Rem => power::PRODUCT,
        }
    }
}

/// An item of a set.
#[derive(Clone, Debug, PartialEq)]
pub enum SetItem {
    /// A constant, a network, or a list.
    One(Node),
    /// From the first to the second, both included.
    Range(Node, Node),
}

/// A part of a text or of bytes. Offsets below zero count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRange {
    /// The offset of its first character (or byte).
    pub start: i32,
    /// Where it ends.
    pub end: SliceEnd,
}

/// Where a slice ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceEnd {
    /// After so many characters: `[start:length]`, and `[start]` for one.
    Length(u32),
    /// With the character at that offset: `[start-last]`.
    At(i32),
    /// At the end: `[start:]`.
    Open,
}

/// How tightly operators bind, as in Wireshark.
pub(crate) mod power {
    pub(crate) const OR: u8 = 1;
    pub(crate) const XOR: u8 = 2;
    pub(crate) const AND: u8 = 3;
    pub(crate) const NOT: u8 = 4;
    pub(crate) const RELATION: u8 = 5;
    pub(crate) const BIT_AND: u8 = 6;
    pub(crate) const SUM: u8 = 7;
    pub(crate) const PRODUCT: u8 = 8;
    pub(crate) const UNARY: u8 = 9;
    pub(crate) const PRIMARY: u8 = 10;
}

impl Expr {
    fn power(&self) -> u8 {
        match self {
            Self::Or(_) => power::OR,
            Self::Xor(_) => power::XOR,
            Self::And(_) => power::AND,
            Self::Not(_) => power::NOT,
            Self::Compare { .. } | Self::Contains { .. } | Self::Matches { .. } | Self::In { .. } => {
                power::RELATION
            }
            Self::Arithmetic(op, ..) => op.power(),
            Self::Negative(_) => power::UNARY,
            Self::Slice(..)
            | Self::Call(..)
            | Self::Word(_)
            | Self::Text(_)
            | Self::Char(_)
            | Self::List(_) => power::PRIMARY,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Expr::Or(terms) => join(f, terms, " or ", power::OR + 1),
            Expr::Xor(terms) => join(f, terms, " xor ", power::XOR + 1),
            Expr::And(terms) => join(f, terms, " and ", power::AND + 1),
            Expr::Not(term) => {
                f.write_str("not ")?;
                term.write_at(f, power::NOT)
            }
            Expr::Compare { quantifier, first, rest } => {
                write_quantifier(f, *quantifier)?;
                first.write_at(f, power::RELATION + 1)?;
                for (op, node) in rest {
                    write!(f, " {} ", op.symbol())?;
                    node.write_at(f, power::RELATION + 1)?;
                }
                Ok(())
            }
            Expr::Contains { quantifier, left, right } => {
                write_relation(f, *quantifier, left, "contains", right)
            }
            Expr::Matches { quantifier, left, right } => {
                write_relation(f, *quantifier, left, "matches", right)
            }
            Expr::In { quantifier, negated, left, set } => {
                write_quantifier(f, *quantifier)?;
                left.write_at(f, power::RELATION + 1)?;
                f.write_str(if *negated { " not in " } else { " in " })?;
                write_set(f, set)
            }
            Expr::Arithmetic(op, left, right) => {
                left.write_at(f, op.power())?;
                write!(f, " {} ", op.symbol())?;
                right.write_at(f, op.power() + 1)
            }
            Expr::Negative(of) => {
                f.write_char('-')?;
                of.write_at(f, power::UNARY)
            }
            Expr::Slice(of, ranges) => {
                of.write_at(f, power::PRIMARY)?;
                f.write_char('[')?;
                for (at, range) in ranges.iter().enumerate() {
                    write!(f, "{}{range}", if at > 0 { "," } else { "" })?;
                }
                f.write_char(']')
            }
            Expr::Call(name, arguments) => {
                write!(f, "{name}(")?;
                join(f, arguments, ", ", power::BIT_AND)?;
                f.write_char(')')
            }
            Expr::Word(word) => f.write_str(word),
            Expr::Text(text) => write_text(f, text),
            Expr::Char(byte @ (b' '..=b'~')) if !matches!(byte, b'\'' | b'\\') => {
                write!(f, "'{}'", char::from(*byte))
            }
            Expr::Char(byte) => write!(f, "'\\x{byte:02x}'"),
            Expr::List(name) => write!(f, "${name}"),
        }
    }
}

impl Node {
    /// Writes it, in brackets if it binds less tightly than its place asks: arithmetic in braces, as in Wireshark.
    fn write_at(&self, f: &mut fmt::Formatter<'_>, least: u8) -> fmt::Result {
        let power = self.expr.power();
        if power >= least {
            write!(f, "{self}")
        } else if power >= power::BIT_AND {
            write!(f, "{{{self}}}")
        } else {
            write!(f, "({self})")
        }
    }
}

impl fmt::Display for SliceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            SliceEnd::Length(1) => write!(f, "{}", self.start),
            SliceEnd::Length(length) => write!(f, "{}:{length}", self.start),
            SliceEnd::At(last) => write!(f, "{}-{last}", self.start),
            SliceEnd::Open => write!(f, "{}:", self.start),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, nodes: &[Node], between: &str, least: u8) -> fmt::Result {
    for (at, node) in nodes.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        node.write_at(f, least)?;
    }
    Ok(())
}

fn write_quantifier(f: &mut fmt::Formatter<'_>, quantifier: Option<Quantifier>) -> fmt::Result {
    f.write_str(match quantifier {
        None => "",
        Some(Quantifier::Any) => "any ",
        Some(Quantifier::All) => "all ",
    })
}

fn write_relation(
    f: &mut fmt::Formatter<'_>,
    quantifier: Option<Quantifier>,
    left: &Node,
    op: &str,
    right: &Node,
) -> fmt::Result {
    write_quantifier(f, quantifier)?;
    left.write_at(f, power::RELATION + 1)?;
    write!(f, " {op} ")?;
    right.write_at(f, power::RELATION + 1)
}

fn write_set(f: &mut fmt::Formatter<'_>, set: &[SetItem]) -> fmt::Result {
    if let [SetItem::One(Node { expr: Expr::List(name), .. })] = set {
        return write!(f, "${name}");
    }
    f.write_char('{')?;
    for (at, item) in set.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        match item {
            SetItem::One(node) => node.write_at(f, power::BIT_AND)?,
            SetItem::Range(low, high) => {
                low.write_at(f, power::BIT_AND)?;
                // A dot beside the dots would be read with them.
                let tight = matches!(&low.expr, Expr::Word(word) if !word.ends_with('.'))
                    && matches!(&high.expr, Expr::Word(word) if !word.starts_with('.'));
                f.write_str(if tight { ".." } else { " .. " })?;
                high.write_at(f, power::BIT_AND)?;
            }
        }
    }
    f.write_char('}')
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_char('"')
}
