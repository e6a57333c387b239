//! Rules to verdicts, and the public log of what they did.
//!
//! A [`Policy`] is a TOML file of rules: a condition in the expression language over a flow's record, an action, and
//! `reason`, `authority` and `expires`, without which no rule loads. [`Policy::load`] reads it with the lists that it
//! names, or tells everything that is wrong with it at once. It never changes after that; a reload makes a new one,
//! which shares the lists whose files are what they were.
//!
//! A flow's way: for each packet that tells something new, [`Judge::decide`] is given the record as far as it is known
//! ([`Early`]) and asks the rules in the order in which they have the say, each only if a field that it reads has
//! changed. It answers [`Decision::Undecided`] while a rule that would have the say may still come to hold, so that an
//! early verdict is always the one that the complete record would get. `limit` rules are kept by a [`Limiter`].
//!
//! Beside that way stand [`check`], which finds rules that never have the say, [`Policy::explain`] and the dry run of
//! [`Counter`]. Nothing in this crate reads a clock; files are read by [`Policy::load`] and [`audit`], which also
//! writes them.
#![forbid(unsafe_code)]

pub mod audit;
mod basis;
mod check;
mod counter;
mod error;
mod explain;
mod fields;
mod judge;
mod limiter;
mod list;
mod memo;
mod policy;
mod rate;
mod read;
mod rule;
mod schedule;
mod target;
mod told;

pub use basis::Basis;
pub use check::{Finding, Kind, Report, SOON_NS, Severity, check};
pub use counter::{Count, Counter};
pub use error::{LoadError, Problem};
pub use explain::{Explanation, RuleExplanation, Why};
pub use fields::{Early, Field, FieldSet, Fields, Stage};
pub use judge::{Decision, FlowState, Judge};
pub use limiter::{Limiter, Load, Owner};
pub use list::{LIST_BYTES_MAX, ListFormat, ListKind, ListReport, NamedList};
pub use policy::{Files, Folder, Policy};
pub use rate::{Limit, Per, Rate, Unit};
pub use read::{LISTS_MAX, POLICY_BYTES_MAX, RULES_MAX};
pub use rule::{Action, Condition, Match, Rule, Verdict};
pub use schedule::Hours;
pub use told::rule_path;
