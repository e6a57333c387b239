//! Questions to the records that are kept: what the pages need of an SQL engine, and no more.
//!
//! The engine is its owner's: this crate has none, so that its pages can be tried without one. The SQL is that of
//! `daylight query`: the table `flows` with the columns of a record, `sensor`, `record_id`, `day` and `hour`.

use std::collections::BTreeMap;
use std::time::Duration;

pub use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

/// Answers questions in SQL. Dropping the future ends the question.
pub trait Ask: Send + Sync + 'static {
    /// Asks.
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, AskError>>;

    /// Questions that have a name, for the page on which people write their own.
    fn ready(&self) -> Vec<Ready> {
        Vec::new()
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What asks: `applications`, `applications/series`; `query` if a person wrote the SQL.
    pub name: String,
    /// One statement that only reads. The engine must refuse others: a person may have written it.
    pub sql: String,
    /// Values for `$name` in it.
    pub parameters: BTreeMap<String, Parameter>,
    /// What it may take.
    pub limits: Limits,
}

/// A value for a `$name`.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// A text.
    Text(String),
    /// A time, nanoseconds since 1970.
    TimeNs(i64),
}

/// What a question may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows that are given out at most; [`Answer::truncated`] says if there were more.
    pub rows: usize,
    /// How long it may take. The dashboard drops the question after that, whether or not the engine looks at it.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 10_000, time: Duration::from_secs(30) }
    }
}

/// What came of a question.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows: numbers and truth values as such, times in RFC 3339 (UTC), bytes in hexadecimal, lists as lists, `null` for
    /// what is absent.
    pub rows: Vec<Vec<Value>>,
    /// True if there were more rows than the limit.
    pub truncated: bool,
    /// What the reader should know: files that had to be left out.
    pub warnings: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The SQL is at fault; the message says how, and where.
    #[error("{0}")]
    Question(String),
    /// It took too long.
    #[error("the question took longer than {0} s; ask about a shorter time, or fewer columns")]
    Slow(u64),
    /// Too many questions are under way.
    #[error("too many questions are under way; try again in a few seconds")]
    Busy,
    /// The store or the engine is at fault.
    #[error("{0}")]
    Store(String),
}

/// A question that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Its name: `top-applications`.
    pub name: String,
    /// One line about it.
    pub help: String,
    /// The SQL, with `$name` where it wants to know something.
    pub sql: String,
    /// What it wants to know.
    pub parameters: Vec<ReadyParameter>,
}

/// What a question wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyParameter {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub help: String,
    /// What it is if it isn't given.
    pub default: Option<String>,
}
