//! What is wrong with a policy or one of its lists: every problem at once, each with its place.

use std::fmt;

use daylight_expr::{Span, excerpt};

/// How many problems a message spells out.
const SHOWN_MAX: usize = 50;

/// One problem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// Where in the text it is, to sort by.
    start: usize,
    report: String,
}

impl Problem {
    pub(crate) fn new(file: &str, text: &str, span: Span, message: String, label: &str, help: &str) -> Self {
        let (line, column) = position(text, span.start);
        let report = excerpt("error", &message, Some(file), text, span, label, help);
        Self { file: file.to_owned(), line, column, message, start: span.start, report }
    }

    /// Several lines for people: what is wrong, the place with a caret under it, and what to do.
    pub fn report(&self) -> &str {
        &self.report
    }
}

/// A policy that does not load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file can't be read at all.
    #[error("{file}: {why}")]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// Why, and what to do.
        why: String,
    },
    /// What it says can't be used. There is at least one problem; they are in the file's order.
    #[error("{}", Problems(.0))]
    Problems(Vec<Problem>),
}

impl LoadError {
    /// From problems in any order.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.start);
        problems.dedup();
        Self::Problems(problems)
    }

    /// The problems, if the file could be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Problems(problems) => problems,
        }
    }
}

struct Problems<'a>(&'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().take(SHOWN_MAX).enumerate() {
            write!(f, "{}{}", if i > 0 { "\n\n" } else { "" }, problem.report)?;
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

/// Line and column of a byte of a text, both from 1.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.bytes().filter(|byte| *byte == b'\n').count() + 1, line.chars().count() + 1)
}
