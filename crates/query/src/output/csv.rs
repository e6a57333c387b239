//! Comma-separated values.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Target, failed, is_text, is_unsafe};
use crate::error::QueryError;

pub(super) struct Csv {
    to: Box<dyn Target>,
    text: Vec<bool>,
    line: String,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef, to: Box<dyn Target>) -> Result<Self, QueryError> {
        let text = schema.fields().iter().map(|field| is_text(field.data_type())).collect();
        let mut csv = Self { to, text, line: String::new() };
        for (i, field) in schema.fields().iter().enumerate() {
            csv.cell(i, field.name(), true);
        }
        csv.end()?;
        Ok(csv)
    }

    fn cell(&mut self, column: usize, value: &str, text: bool) {
        if column > 0 {
            self.line.push(',');
        }
        let before = self.line.len();
        if text && is_formula(value) {
            self.line.push('\'');
        }
        for c in value.chars() {
            match c {
                '"' => self.line.push_str("\"\""),
                // A value of several lines is no harm in quotes.
                '\n' | '\t' => self.line.push(c),
                c if is_unsafe(c) => self.line.push('\u{fffd}'),
                c => self.line.push(c),
            }
        }
        let quoted = self.line.get(before..).is_some_and(|cell| cell.contains([',', '"', '\n', '\t', ' ']));
        // Nothing at all stands for null.
        if quoted || (text && value.is_empty()) {
            self.line.insert(before, '"');
            self.line.push('"');
        }
    }

    fn end(&mut self) -> Result<(), QueryError> {
        self.line.push_str("\r\n");
        self.to.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        let options = FormatOptions::default();
        let cells: Vec<ArrayFormatter<'_>> = rows
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        for row in 0..rows.num_rows() {
            for (i, (column, cells)) in rows.columns().iter().zip(&cells).enumerate() {
                if column.is_null(row) {
                    self.line.extend((i > 0).then_some(','));
                } else {
                    let text = self.text.get(i).copied().unwrap_or(true);
                    self.cell(i, &cells.value(row).to_string(), text);
                }
            }
            self.end()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), QueryError> {
        Ok(self.to.flush()?)
    }
}

/// What a spreadsheet takes for more than text (OWASP, "CSV Injection"). Blanks before it don't help.
fn is_formula(text: &str) -> bool {
    text.starts_with(['\t', '\r', '\n'])
        || text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}
