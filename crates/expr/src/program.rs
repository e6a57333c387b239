//! What an expression compiles to.

use std::fmt;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use crate::ast::{ArithmeticOp, SliceRange};
use crate::list::{Networks, OctetSet, Octets, Ranges};
use crate::{Kind, List, Warning};

/// The place to go on at that ends a program: the row fits.
pub(crate) const ACCEPT: u32 = u32::MAX;
/// The other one: it doesn't.
pub(crate) const REJECT: u32 = u32::MAX - 1;

/// A compiled expression: a list of tests. Each says where to go on when it holds and when it doesn't, which is always
/// further down, or at the end of it all.
///
/// Its `Display` lists them, one to a line.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) steps: Box<[Step]>,
    pub(crate) entry: u32,
    pub(crate) operands: Box<[Operand]>,
    pub(crate) fields: Box<[u32]>,
    /// The fields' names, beside them.
    pub(crate) names: Box<[Box<str>]>,
    /// Those of the fields that can hold several values.
    pub(crate) several: Box<[u32]>,
    pub(crate) lists: Box<[Box<str>]>,
    pub(crate) texts: Box<[Box<str>]>,
    pub(crate) source: Box<str>,
    pub(crate) warnings: Vec<Warning>,
}

impl Program {
    /// The ids of the fields that it can ask for, ascending.
    pub fn fields(&self) -> &[u32] {
        &self.fields
    }

    /// The names of those fields as they were written, in the same order.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The names of the lists that it looks into, sorted, without the `$`.
    pub fn lists(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lists.iter().map(|name| &**name)
    }

    /// The text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What is probably not meant as written.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = |to: u32| match to {
            ACCEPT => "accept".to_owned(),
            REJECT => "reject".to_owned(),
            at => at.to_string(),
        };
        let width = self.texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).min(60);
        for (at, (step, text)) in self.steps.iter().zip(&self.texts).enumerate() {
            let (then, otherwise) = (target(step.then), target(step.otherwise));
            write!(f, "{at:>3}  {text:<width$}  ")?;
            if then == otherwise {
                writeln!(f, "then {then}")?;
            } else {
                writeln!(f, "yes: {then:<6}  no: {otherwise}")?;
            }
        }
        Ok(())
    }
}

/// One step of a program.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) test: Test,
    pub(crate) then: u32,
    pub(crate) otherwise: u32,
}

/// What a step asks. `negate` turns the answer for each value around, `all` asks for every value to fit (and for at
/// least one) instead of any.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// A field against constants: most steps of most programs.
    Field { field: u32, check: Check, negate: bool, all: bool },
    /// Anything else against constants.
    Operand { operand: u32, check: Check, negate: bool, all: bool },
    /// Two things that both depend on the row.
    Pair { relation: Relation, left: u32, right: u32, negate: bool, all: bool },
    /// The field is there.
    Exists(u32),
    /// The slice is there and is not empty.
    Present(u32),
    /// Some number is not 0, some byte is not 0.
    NonZero(u32),
    /// Puts a bit into a register. Registers carry the outcome of `xor`'s left side past its right side.
    Set(u8, bool),
    /// Turns a register around.
    Flip(u8),
    /// The register is set.
    Bit(u8),
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Eq,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
}

impl Relation {
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            same => same,
        }
    }
}

/// What one value is compared with. Whole numbers, truth values and times are all whole numbers here, text is bytes:
/// the type checker has already seen to it that they don't mix.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// Between the two, both included.
    Int(i128, i128),
    Ints(Ranges<i128>),
    Float(Relation, f64),
    Floats(Box<[(f64, f64)]>),
    Octets(Relation, Octets),
    /// Equal but for the case of ASCII letters.
    OctetsFolded(Octets),
    OctetSet(OctetSet),
    OctetRanges(Ranges<Octets>),
    Contains(Box<Finder<'static>>),
    Matches(Box<Regex>),
    V4(u32, u32),
    V6(u128, u128),
    Addresses(Networks),
    List(Arc<List>),
    /// At least one of them.
    Any(Box<[Self]>),
}

/// Where values come from that are more than a plain field. Indices are into [`Program::operands`].
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Field(u32),
    Int(i128),
    Float(f64),
    Octets(Octets),
    Lower(u32),
    Upper(u32),
    Len(u32),
    /// How many values the field has, if it has any.
    Count(u32),
    /// The text of values of that kind.
    Text(u32, Kind),
    /// The greatest (or the least) of all numbers of all operands.
    Extreme {
        greatest: bool,
        of: Box<[u32]>,
    },
    Abs(u32),
    Negative(u32),
    Arithmetic(ArithmeticOp, u32, u32),
    /// Seconds between two times.
    Since(u32, u32),
    /// A time, so many seconds later (or earlier).
    Shift {
        time: u32,
        seconds: u32,
        earlier: bool,
    },
    /// Parts of a text (by characters) or of bytes.
    Slice {
        of: u32,
        text: bool,
        ranges: Box<[SliceRange]>,
    },
}
