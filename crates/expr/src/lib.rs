//! The expression language over a record's fields, in the syntax of Wireshark's display filters.
//!
//! [`compile`] turns a text into a [`Program`]: it is parsed ([`parse`], a Pratt parser), checked against a [`Schema`]
//! (which fields there are, of which [`Kind`]) and against named [`Lists`], and laid out as a flat list of tests, each
//! with the place to go on at when it holds and when it doesn't. [`Program::matches`] then asks a [`Row`] for the
//! values of the fields it needs, as it needs them. `and`, `or` and `not` cost nothing at that point: they are in
//! the places to go on at.
//!
//! A row may say that it doesn't know a field yet ([`Knowledge`]): [`Program::decide`] answers as soon as what is known
//! settles it. [`Programs`] are asked about a row together. [`Program::implies`] and [`Program::is_impossible`] tell what can be proven without any row.
//!
//! An expression that cannot be right is refused with an [`Error`] that points into the text and says what to do; one
//! that is probably not meant as written compiles with a [`Warning`].
//!
//! ```
//! use daylight_expr::{FieldType, Kind, NoLists, Row, Schema, ValueRef, compile};
//!
//! struct Fields;
//! impl Schema for Fields {
//!     fn field(&self, name: &str) -> Option<FieldType> {
//!         match name {
//!             "protocol" => Some(FieldType { id: 0, kind: Kind::Str, list: false }),
//!             "dst_port" => Some(FieldType { id: 1, kind: Kind::Uint, list: false }),
//!             _ => None,
//!         }
//!     }
//!     fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
//!         Box::new(["protocol", "dst_port"].into_iter())
//!     }
//! }
//!
//! struct Flow {
//!     protocol: &'static str,
//!     dst_port: u64,
//! }
//! impl Row for Flow {
//!     fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
//!         let value = if id == 0 { ValueRef::Str(self.protocol) } else { ValueRef::Uint(self.dst_port) };
//!         std::iter::once(value)
//!     }
//! }
//!
//! let program = compile(r#"protocol == "tls" and dst_port not in {443, 8443}"#, &Fields, &NoLists)?;
//! assert!(program.matches(&Flow { protocol: "tls", dst_port: 4443 }));
//!
//! let error = compile(r#"protocl == "tls""#, &Fields, &NoLists).unwrap_err();
//! assert!(error.report().contains("did you mean `protocol`?"));
//! # Ok::<(), daylight_expr::Error>(())
//! ```
//!
//! # Where it differs from Wireshark
//! * `$name` is a named list (`in $name`, `in {$name, …}`), not a macro or a reference to a selected frame's field.
//! * Text is always in double quotes; an unquoted word is a field, a number, an address, bytes, a time or an error.
//! * Parentheses group arithmetic too, not only braces. `any` and `all` may stand before a test in parentheses.
//! * `contains` and `matches` don't convert numbers and addresses by themselves; `string()` does.
//! * Regular expressions are those of the `regex` crate (linear time: no look-around, no back-references), on bytes.
//! * A text that is too short has no such slice, as the manual says; Wireshark 4.0 takes it as empty.
//! * A time without a zone is in UTC. There are no layers (`#`), raw fields (`@`) or host names in place of addresses.
#![forbid(unsafe_code)]

pub mod ast;
mod buf;
mod check;
mod decide;
mod emit;
mod error;
mod eval;
mod lex;
mod list;
mod literal;
mod nearest;
mod parse;
mod program;
mod prove;
mod ranges;
mod schema;
mod time;
mod together;

pub use decide::{Asked, Explanation};
pub use error::{Error, ErrorKind, Span, Warning, excerpt};
pub use list::List;
pub use literal::Network;
pub use nearest::nearest;
pub use parse::parse;
pub use program::Program;
pub use schema::{FieldType, Kind, Knowledge, Lists, NoLists, Partial, Row, Schema, ValueRef};
pub use together::{Answers, Programs};

/// The longest expression, in bytes.
pub const INPUT_LEN_MAX: usize = 64 * 1024;
/// How deep parentheses, `not`, arithmetic and functions may be nested.
pub const DEPTH_MAX: usize = 64;
/// How many regular expressions one expression may hold.
pub const PATTERNS_MAX: usize = 64;
/// The memory that one compiled regular expression may take, in bytes; its lazy automaton may take as much again.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;
/// How many fields that can hold several values one comparison may involve: every combination is tried.
pub const LIST_FIELDS_MAX: usize = 2;

/// Parses, checks and compiles an expression.
///
/// # Errors
/// If the text is no expression, names a field, function or list that isn't there, compares what cannot be compared,
/// or goes beyond a limit. [`Error::report`] shows where.
pub fn compile(input: &str, schema: &dyn Schema, lists: &dyn Lists) -> Result<Program, Error> {
    let tree = parse(input)?;
    let mut checker = check::Checker::new(schema, lists);
    let logic = checker.logic(&tree).map_err(|error| error.in_text(input))?;
    Ok(emit::program(input, &logic, checker))
}
