//! A JSON object a line.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::writer::{LineDelimited, Writer, WriterBuilder};

use super::{Target, failed, is_unsafe};
use crate::error::QueryError;

pub(super) struct Jsonl {
    to: Writer<Vec<u8>, LineDelimited>,
    out: Box<dyn Target>,
}

impl Jsonl {
    pub(super) fn new(out: Box<dyn Target>) -> Self {
        // What is null is left out, as in the records of `inspect`.
        Self { to: WriterBuilder::new().with_explicit_nulls(false).build(Vec::new()), out }
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        self.to.write(rows).map_err(failed)?;
        let lines = std::mem::take(self.to.get_mut());
        escape(&String::from_utf8_lossy(&lines), &mut *self.out)
    }

    pub(super) fn finish(mut self) -> Result<(), QueryError> {
        Ok(self.out.flush()?)
    }
}

/// Such characters stand within strings only, where an escape says the same.
fn escape(text: &str, to: &mut dyn Write) -> Result<(), QueryError> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Ok(to.write_all(out.as_bytes())?)
}
