//! Flow records on their way out: JSON lines, CSV, Zeek's logs, Parquet.
//!
//! A [`Writer`] is a [`RecordSink`] that can fail and be finished. [`open`] makes one for a [`Format`]; [`Select`]
//! stands before it and lets through what is asked for: a condition, a limit, an order. A writer that fails keeps the
//! error, closes itself (so that the run stops), and gives the error when it is finished; what was written stays.
//!
//! A [`folder`] is a store that many writers add to, for as long as records are to stay.
#![forbid(unsafe_code)]

mod csv;
pub mod folder;
mod jsonl;
mod out;
mod parquet;
mod pseudonym;
mod select;
#[cfg(test)]
mod tests;
mod time;
mod zeek;

use std::path::PathBuf;

use daylight_inspect::{Column, EventRecord, FlowRecord, RecordSink};

pub use crate::parquet::{FileColumn, FileKind};
pub use jsonl::JsonLine;
pub use out::{Destination, StoreError};
pub use pseudonym::{KeyError, NetworkError, Networks};
pub use select::{Order, Select};
pub use time::rfc3339;

/// A form in which records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values (RFC 4180) with a header line.
    Csv,
    /// Zeek's logs as tab-separated values, one file a log, in a folder.
    Zeek,
    /// Zeek's logs with a JSON object a line, one file a log, in a folder.
    ZeekJson,
    /// One Apache Parquet file.
    Parquet,
}

/// Writes records.
pub trait Writer: RecordSink {
    /// Writes what is still held, and says how many flows were written.
    ///
    /// # Errors
    /// What went wrong at any time: the first error closes the writer.
    fn finish(&mut self) -> Result<u64, StoreError>;
}

/// Opens a writer for these columns (of Zeek's logs, the columns are Zeek's).
///
/// # Errors
/// If the destination can't be created, or does not fit the format.
pub fn open(
    format: Format,
    columns: Vec<&'static Column>,
    to: &Destination,
) -> Result<Box<dyn Writer>, StoreError> {
    Ok(match format {
        Format::Jsonl => Box::new(jsonl::Jsonl::new(columns, to.writer()?)),
        Format::Csv => Box::new(csv::Csv::new(columns, to.writer()?)),
        Format::Zeek => Box::new(zeek::Zeek::new(to.folder()?, false)),
        Format::ZeekJson => Box::new(zeek::Zeek::new(to.folder()?, true)),
        Format::Parquet => Box::new(parquet::Parquet::new(columns, to.file()?)?),
    })
}

/// The path for `-o`: `-` is standard output.
impl From<PathBuf> for Destination {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::Path(path) }
    }
}

impl RecordSink for Box<dyn Writer> {
    fn flow(&mut self, record: Box<FlowRecord>) {
        (**self).flow(record);
    }

    fn progress(&mut self, record: Box<FlowRecord>) {
        (**self).progress(record);
    }

    fn event(&mut self, event: EventRecord) {
        (**self).event(event);
    }

    fn is_closed(&self) -> bool {
        (**self).is_closed()
    }
}

impl Writer for Box<dyn Writer> {
    fn finish(&mut self) -> Result<u64, StoreError> {
        (**self).finish()
    }
}
