//! What can go wrong with a question, said so that it can be asked better.

use std::path::PathBuf;

use datafusion::common::{DataFusionError, SchemaError};
use daylight_expr::nearest;

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The store can't be read.
    #[error("can't read the store {}: {cause}", path.display())]
    Store {
        /// Its folder.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// It is no SQL, or not of a kind that is understood.
    #[error("{what}{}", place(at))]
    Sql {
        /// What is wrong, and what was perhaps meant.
        what: String,
        /// The line with a mark under the place, if it is known.
        at: Option<String>,
    },
    /// It would change something.
    #[error(
        "{0} would change something: a store is only read here. SELECT, SHOW, DESCRIBE and EXPLAIN are understood"
    )]
    NotReadOnly(String),
    /// No such question, or not with such parameters.
    #[error("{0}")]
    Question(String),
    /// It takes more memory than it may.
    #[error(
        "this question takes more memory than the {limit_mib} MiB it may: ask for less at once, or allow more (--memory). {what}"
    )]
    Memory {
        /// What it may take.
        limit_mib: u64,
        /// What the engine says.
        what: String,
    },
    /// The answer can't be written.
    #[error("can't write the answer: {0}")]
    Write(#[from] std::io::Error),
    /// The engine has failed.
    #[error("the query has failed: {0}")]
    Engine(String),
}

fn place(at: &Option<String>) -> String {
    at.as_ref().map(|at| format!("\n{at}")).unwrap_or_default()
}

impl QueryError {
    /// In the engine's words, made plainer where that can be done.
    pub(crate) fn from_engine(
        error: &DataFusionError,
        sql: &str,
        tables: &[String],
        memory_bytes: u64,
    ) -> Self {
        match error.find_root() {
            DataFusionError::SchemaError(schema, _) => match &**schema {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let names: Vec<&str> = valid_fields.iter().map(|f| f.name()).collect();
                    Self::unknown("column", field.name(), &names, sql)
                }
                other => Self::Sql { what: other.to_string(), at: None },
            },
            DataFusionError::SQL(parser, _) => {
                let what = parser.to_string();
                let what = what.strip_prefix("sql parser error: ").unwrap_or(&what).to_owned();
                Self::Sql {
                    at: line_and_column(&what).and_then(|(line, column)| marked(sql, line, column)),
                    what,
                }
            }
            DataFusionError::ResourcesExhausted(what) => Self::Memory {
                limit_mib: memory_bytes >> 20,
                what: what.lines().next().unwrap_or_default().into(),
            },
            DataFusionError::Plan(what) => Self::from_plan(what, sql, tables),
            DataFusionError::Execution(what) => Self::Engine(what.clone()),
            other => Self::Engine(other.strip_backtrace()),
        }
    }

    fn from_plan(what: &str, sql: &str, tables: &[String]) -> Self {
        if let Some(name) = between(what, "table '", "' not found") {
            let name = name.rsplit('.').next().unwrap_or(name);
            let names: Vec<&str> = tables.iter().map(String::as_str).collect();
            return Self::unknown("table", name, &names, sql);
        }
        if what.starts_with("DDL not supported") || what.starts_with("DML not supported") {
            return Self::NotReadOnly(what.rsplit(": ").next().unwrap_or(what).to_owned());
        }
        if what.starts_with("Statement not supported") {
            return Self::NotReadOnly(what.rsplit(": ").next().unwrap_or(what).to_owned());
        }
        Self::Sql { what: what.lines().next().unwrap_or_default().to_owned(), at: None }
    }

    pub(crate) fn unknown(what: &str, name: &str, names: &[&str], sql: &str) -> Self {
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) if near.contains('.') => format!("; did you mean \"{near}\", in double quotes?"),
            Some(near) => format!("; did you mean {near}?"),
            None if what == "table" => format!("; there are {}", names.join(", ")),
            None => "; `daylight fields` lists them".into(),
        };
        let at = find(sql, name).and_then(|(line, column)| marked(sql, line, column));
        Self::Sql { what: format!("there is no {what} {name:?}{hint}"), at }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(name, _)| name)
}

/// The place that the parser tells at the end of what it says.
fn line_and_column(what: &str) -> Option<(usize, usize)> {
    let (_, rest) = what.rsplit_once(" at Line: ")?;
    let (line, column) = rest.split_once(", Column: ")?;
    let column = column.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// Where a name stands, whatever its case.
fn find(sql: &str, name: &str) -> Option<(usize, usize)> {
    let within = |c: char| c.is_alphanumeric() || c == '_';
    for (i, line) in sql.lines().enumerate() {
        let (lower, name) = (line.to_lowercase(), name.to_lowercase());
        for (at, _) in lower.match_indices(&name) {
            let before = lower.get(..at).and_then(|s| s.chars().next_back());
            let after = lower.get(at + name.len()..).and_then(|s| s.chars().next());
            if !before.is_some_and(within) && !after.is_some_and(within) {
                return Some((i + 1, lower.get(..at)?.chars().count() + 1));
            }
        }
    }
    None
}

/// The line, and a mark under the column.
fn marked(sql: &str, line: usize, column: usize) -> Option<String> {
    let text = sql.lines().nth(line.checked_sub(1)?)?;
    // The line as a terminal shows it: nothing in it takes another width than one column.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = column.saturating_sub(1).min(text.chars().count());
    // Long lines are cut around the place.
    let from = column.saturating_sub(60);
    let shown: String = text.chars().skip(from).take(100).collect();
    Some(format!("  {shown}\n  {}^", " ".repeat(column - from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(line_and_column("Expected: x, found: y at Line: 2, Column: 17"), Some((2, 17)));
        assert_eq!(line_and_column("nothing"), None);
        assert_eq!(find("SELECT a,\n Bytes FROM x", "bytes"), Some((2, 2)));
        assert_eq!(find("SELECT src_bytes, bytes", "bytes"), Some((1, 19)));
        assert_eq!(marked("SELECT x", 1, 8).as_deref(), Some("  SELECT x\n         ^"));
        assert_eq!(marked("SELECT x", 3, 8), None);
    }
}
