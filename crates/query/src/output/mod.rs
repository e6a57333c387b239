//! Rows on their way to people and programs.
//!
//! Names and user agents come from strangers. In a table and in CSV, characters that drive a terminal or turn text around are
//! replaced; in JSON they are written as escapes. In CSV, text that a spreadsheet would take for a formula gets an apostrophe
//! before it.

mod csv;
mod jsonl;
mod parquet;
mod table;

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::error::QueryError;

/// A form of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table for people, at most so many columns of the terminal wide.
    Table {
        /// Columns of the terminal.
        width: usize,
    },
    /// Comma-separated values (RFC 4180) with a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// An Apache Parquet file.
    Parquet,
}

/// What an answer can be written to.
pub trait Target: Write + Send {}

impl<T: Write + Send> Target for T {}

/// Writes an answer.
pub struct Output {
    inner: Inner,
    rows: u64,
}

enum Inner {
    Table(table::Table),
    Csv(csv::Csv),
    Jsonl(jsonl::Jsonl),
    Parquet(Box<parquet::Parquet>),
}

impl Output {
    /// For rows of this schema.
    ///
    /// # Errors
    /// If the first line can't be written.
    pub fn new(form: Form, schema: &SchemaRef, to: Box<dyn Target>) -> Result<Self, QueryError> {
        let inner = match form {
            Form::Table { width } => Inner::Table(table::Table::new(schema, to, width)),
            Form::Csv => Inner::Csv(csv::Csv::new(schema, to)?),
            Form::Jsonl => Inner::Jsonl(jsonl::Jsonl::new(to)),
            Form::Parquet => Inner::Parquet(Box::new(parquet::Parquet::new(schema, to)?)),
        };
        Ok(Self { inner, rows: 0 })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        self.rows += rows.num_rows() as u64;
        match &mut self.inner {
            Inner::Table(table) => table.write(rows),
            Inner::Csv(csv) => csv.write(rows),
            Inner::Jsonl(jsonl) => jsonl.write(rows),
            Inner::Parquet(parquet) => parquet.write(rows),
        }
    }

    /// Writes what is held, and says how many rows there were.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn finish(self) -> Result<u64, QueryError> {
        match self.inner {
            Inner::Table(table) => table.finish()?,
            Inner::Csv(csv) => csv.finish()?,
            Inner::Jsonl(jsonl) => jsonl.finish()?,
            Inner::Parquet(parquet) => parquet.finish()?,
        }
        Ok(self.rows)
    }
}

fn failed(error: impl std::fmt::Display) -> QueryError {
    QueryError::Engine(error.to_string())
}

/// True of what is a number or a time: such columns are no stranger's words, and stand to the right.
fn is_number(schema: &Schema, column: usize) -> bool {
    schema.fields().get(column).is_some_and(|field| field.data_type().is_numeric())
}

/// True if values of this type can hold somebody's words.
fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::List(field) | DataType::LargeList(field) | DataType::ListView(field) => {
            is_text(field.data_type())
        }
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// True of characters that drive a terminal, turn text around, or can't be seen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text without such.
fn safe(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
