//! A table for people.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Target, failed, is_number, safe};
use crate::error::QueryError;

/// The widths of columns are those of the first rows: what comes later is cut to them.
const MEASURED_ROWS: usize = 1000;
/// No column is made narrower than that for the sake of others.
const WIDTH_MIN: usize = 6;

pub(super) struct Table {
    to: Box<dyn Target>,
    names: Vec<String>,
    right: Vec<bool>,
    /// Rows whose widths are not known yet.
    waiting: Vec<Vec<String>>,
    /// Once they are.
    widths: Option<Vec<usize>>,
    width: usize,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, to: Box<dyn Target>, width: usize) -> Self {
        let names = schema.fields().iter().map(|field| safe(field.name())).collect();
        let right = (0..schema.fields().len()).map(|i| is_number(schema, i)).collect();
        Self { to, names, right, waiting: Vec::new(), widths: None, width }
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        let options = FormatOptions::default().with_null("").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S"));
        let options = options.with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S"));
        let cells: Vec<ArrayFormatter<'_>> = rows
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        for row in 0..rows.num_rows() {
            let row: Vec<String> = cells.iter().map(|cells| safe(&cells.value(row).to_string())).collect();
            match &self.widths {
                Some(_) => self.line(&row)?,
                None => {
                    self.waiting.push(row);
                    if self.waiting.len() >= MEASURED_ROWS {
                        self.begin()?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), QueryError> {
        self.begin()?;
        Ok(self.to.flush()?)
    }

    /// Measures, and writes what has waited for that.
    fn begin(&mut self) -> Result<(), QueryError> {
        if self.widths.is_some() {
            return Ok(());
        }
        let wanted = |i: usize| {
            let cells = self.waiting.iter().filter_map(|row| row.get(i));
            cells.chain(self.names.get(i)).map(|cell| cell.width()).max().unwrap_or_default()
        };
        let widths = fitted((0..self.names.len()).map(wanted).collect(), self.width);
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        self.widths = Some(widths);
        self.line(&self.names.clone())?;
        self.line(&rule)?;
        for row in std::mem::take(&mut self.waiting) {
            self.line(&row)?;
        }
        Ok(())
    }

    fn line(&mut self, row: &[String]) -> Result<(), QueryError> {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            let cell = cut(cell, *width);
            let room = " ".repeat(width.saturating_sub(cell.width()));
            if self.right.get(i).copied().unwrap_or_default() {
                line.push_str(&room);
                line.push_str(&cell);
            } else {
                line.push_str(&cell);
                line.push_str(&room);
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        Ok(self.to.write_all(line.as_bytes())?)
    }
}

/// Widths that fit: the widest column gives first.
fn fitted(mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let between = 2 * widths.len().saturating_sub(1);
    loop {
        let over = (widths.iter().sum::<usize>() + between).saturating_sub(width);
        let Some(widest) = widths.iter().copied().max().filter(|widest| over > 0 && *widest > WIDTH_MIN)
        else {
            return widths;
        };
        // All that are as wide give together, down to the next.
        let next =
            widths.iter().copied().filter(|width| *width < widest).max().unwrap_or_default().max(WIDTH_MIN);
        let many = widths.iter().filter(|width| **width == widest).count();
        let to = (widest - over.div_ceil(many).min(widest)).max(next);
        widths.iter_mut().filter(|width| **width == widest).for_each(|width| *width = to);
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut taken) = (String::new(), 0);
    for c in text.chars() {
        let more = c.width().unwrap_or_default();
        if taken + more + 1 > width {
            break;
        }
        out.push(c);
        taken += more;
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths() {
        assert_eq!(fitted(vec![10, 10], 30), [10, 10]);
        assert_eq!(fitted(vec![60, 10], 40), [28, 10]);
        assert_eq!(fitted(vec![60, 50, 10], 54), [20, 20, 10]);
        // What can't fit is as narrow as it gets.
        assert_eq!(fitted(vec![60, 50, 3], 10), [6, 6, 3]);
        assert_eq!(fitted(vec![], 10), [0; 0]);
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
