//! Warnings: what compiles, but is probably not meant as it is written.

use super::value::{Case, Value};
use super::{Checker, Logic};
use crate::Span;
use crate::ast::Node;
use crate::program::{Check, Relation, Test};

impl Checker<'_> {
    /// A number that a leading zero turns into another one.
    pub(super) fn doubt_octal(&mut self, span: Span, word: &str, n: i128) {
        let plain = word.bytes().all(|byte| byte.is_ascii_digit());
        if plain && word.starts_with('0') && word.parse() != Ok(n) {
            let decimal = word.trim_start_matches('0');
            self.warn(
                span,
                format!("{word} is octal: it means {n}"),
                format!("write {decimal} if you mean {decimal}"),
            );
        }
    }

    /// A comparison that no number, or every number, stands.
    pub(super) fn doubt_range(
        &mut self,
        value: &Value,
        (low, high): (i128, i128),
        (lowest, highest): (i128, i128),
        span: Span,
        negate: bool,
    ) {
        let never = low > high || high < lowest || low > highest;
        let always = low <= lowest && high >= highest;
        let presence = format!("write {} to ask whether the field is there", value.text);
        if never != always {
            if never != negate {
                let help = if lowest == 1 {
                    "a field that is absent has no count; write `not` and its name to ask for that".to_owned()
                } else if low > highest || high == i128::MAX {
                    format!("{} is never greater", value.text)
                } else {
                    format!("{} is never less", value.text)
                };
                self.warn(span, "this is never true", help);
            } else {
                self.warn(span, format!("this is true whatever {} is", value.text), presence);
            }
        }
    }

    /// `lower(…)` compared with upper case.
    pub(super) fn doubt_case(&mut self, value: &Value, wanted: &[u8], span: Span, never: bool) {
        let Some(case) = value.case else { return };
        if !case.holds(wanted) {
            let name = if case == Case::Lower { "lower" } else { "upper" };
            let always = if never { "this is never true" } else { "this is always true" };
            self.warn(span, always, format!("{} is all {name} case, and this is not", value.text));
        }
    }

    /// A slice of three bytes compared with four.
    pub(super) fn doubt_length(&mut self, value: &Value, wanted: &[u8], span: Span) {
        let length = match std::str::from_utf8(wanted) {
            Ok(text) if value.kind == crate::Kind::Str => text.chars().count(),
            _ => wanted.len(),
        };
        if let Some(always) = value.length
            && always != length
        {
            let message = format!("{} is {always} long, and this is {length}", value.text);
            self.warn(span, message, "they are never equal");
        }
    }

    /// `a == 1 and a == 2`, where `a` has one value.
    pub(super) fn doubt_and(&mut self, nodes: &[Node], terms: &[Logic]) {
        if let Some(at) = self.clash(terms, false) {
            self.warn(
                nodes[at].span,
                "this is never true",
                "an earlier term asks for another value of the same field; did you mean `or`?",
            );
        }
    }

    /// `a != 1 or a != 2`, where `a` has one value.
    pub(super) fn doubt_or(&mut self, nodes: &[Node], terms: &[Logic]) {
        if let Some(at) = self.clash(terms, true) {
            self.warn(
                nodes[at].span,
                "with this, the whole is always true",
                "an earlier term leaves out another value of the same field; did you mean `and`?",
            );
        }
    }

    /// The first term that asks for a value which an earlier term on the same single-valued field rules out. Looks at
    /// the nearest terms before it only, so that long chains cost no more than they are long.
    fn clash(&self, terms: &[Logic], negated: bool) -> Option<usize> {
        const BACK: usize = 16;
        let tests: Vec<_> = terms.iter().map(|term| self.plain(term, negated)).collect();
        (0..tests.len()).find(|at| {
            let Some((field, check)) = &tests[*at] else { return false };
            tests[at.saturating_sub(BACK)..*at]
                .iter()
                .flatten()
                .any(|(other, earlier)| other == field && apart(check, earlier))
        })
    }

    /// The field and what it is compared with, if it has one value at most.
    fn plain<'t>(&self, term: &'t Logic, negated: bool) -> Option<(u32, &'t Check)> {
        match term {
            Logic::Test(Test::Field { field, check, negate, .. }, _) if *negate == negated => {
                self.fields.get(field).filter(|(known, _)| !known.list).map(|_| (*field, check))
            }
            _ => None,
        }
    }
}

/// True if no value fits both.
fn apart(a: &Check, b: &Check) -> bool {
    match (a, b) {
        (Check::Int(low, high), Check::Int(other_low, other_high)) => {
            low <= high && other_low <= other_high && (high < other_low || other_high < low)
        }
        (Check::Octets(Relation::Eq, a), Check::Octets(Relation::Eq, b)) => a != b,
        (Check::V4(low, high), Check::V4(other_low, other_high)) => {
            low <= high && other_low <= other_high && (high < other_low || other_high < low)
        }
        (Check::V6(low, high), Check::V6(other_low, other_high)) => {
            low <= high && other_low <= other_high && (high < other_low || other_high < low)
        }
        (Check::V4(..), Check::V6(..)) | (Check::V6(..), Check::V4(..)) => true,
        _ => false,
    }
}
