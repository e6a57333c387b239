//! One Apache Parquet file: a column for every column that was asked for, under its full name (`tls.sni`), seen or not,
//! so that files of different captures have one schema.
//!
//! Numbers are unsigned 64-bit integers or doubles, times are timestamps in nanoseconds UTC, addresses are text, bytes
//! are bytes. What can hold several values is a `LIST`; `risks` is a list of structs of `name`, `severity`, `side` and
//! `evidence`. What was not seen is null. Row groups have up to 65,536 rows and are compressed with zstd.
//!
//! A Parquet file can't be read without its footer. Groups of rows are therefore encoded in memory and then written; if
//! one can't be written, the file is cut to those before it, and gets the footer for them; if there is no room for that
//! either, groups are given up until there is.

mod encoder;
mod leaf;
mod rows;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;

use daylight_inspect::{Column, FlowRecord, RecordSink};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::out::Target;
use crate::{StoreError, Writer};
pub(crate) use encoder::{Encoder, column_type};
pub(crate) use rows::Rows;
pub use rows::{FileColumn, FileKind};

/// A group has at most so many rows …
const ROWS_MAX: u32 = 1 << 16;
/// … and about so many bytes of values.
const BYTES_MAX: usize = 32 << 20;

pub(crate) struct Parquet {
    rows: Rows,
    encoder: Encoder,
    target: Box<dyn Target>,
    to: String,
    /// Of each group that was written: where it ends in the file, and how many rows there are up to there.
    groups: Vec<(u64, u64)>,
    error: Option<io::Error>,
    finished: bool,
    rows_max: u32,
}

impl Parquet {
    pub(crate) fn new(columns: Vec<&'static Column>, (file, to): (File, String)) -> Result<Self, StoreError> {
        Self::with_target(columns, Box::new(file), to)
    }

    fn with_target(
        columns: Vec<&'static Column>,
        target: Box<dyn Target>,
        to: String,
    ) -> Result<Self, StoreError> {
        let rows = Rows::new(columns, &[]);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // A minimum and a maximum for each group are enough to skip groups by.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let encoder = Encoder::new(rows.columns(), (0..rows.columns().len()).collect(), properties);
        let encoder = encoder.map_err(|error: ParquetError| StoreError::Write {
            to: to.clone(),
            flows: 0,
            cause: io::Error::other(error),
        })?;
        Ok(Self {
            rows,
            encoder,
            target,
            to,
            groups: Vec::new(),
            error: None,
            finished: false,
            rows_max: ROWS_MAX,
        })
    }

    /// Encodes the rows and writes them.
    fn write_group(&mut self) {
        let rows = u64::from(self.rows.len());
        let (end, total) = self.groups.last().copied().unwrap_or_default();
        match self.encoder.group(&mut self.rows).map_err(io::Error::other).and_then(|bytes| {
            self.target.write_all(&bytes)?;
            Ok(bytes.len() as u64)
        }) {
            Ok(len) => self.groups.push((end + len, total + rows)),
            Err(error) => self.error = Some(error),
        }
    }

    /// After a failure: cuts the file and ends it so that the groups which were written whole can be read.
    fn salvage(&mut self, metadata: &ParquetMetaData) -> u64 {
        while let Some((end, rows)) = self.groups.last().copied() {
            let footer = footer(metadata, self.groups.len(), rows);
            let written = self.target.cut(end).and_then(|()| {
                self.target.write_all(&footer?)?;
                self.target.flush()
            });
            if written.is_ok() {
                return rows;
            }
            self.groups.pop();
        }
        // Nothing of it can be read: better no bytes than some.
        let _ = self.target.cut(0);
        0
    }
}

/// A footer for the first so many groups.
fn footer(metadata: &ParquetMetaData, groups: usize, rows: u64) -> io::Result<Vec<u8>> {
    let file = metadata.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        rows as i64,
        file.created_by().map(str::to_owned),
        None,
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let groups = metadata.row_groups().iter().take(groups).cloned().collect();
    let metadata = ParquetMetaDataBuilder::new(file).set_row_groups(groups).build();
    let mut bytes = Vec::new();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish()?;
    Ok(bytes)
}

impl RecordSink for Parquet {
    fn flow(&mut self, record: Box<FlowRecord>) {
        if self.error.is_some() {
            return;
        }
        self.rows.push(&record);
        if self.rows.len() >= self.rows_max || self.rows.bytes() >= BYTES_MAX {
            self.write_group();
        }
    }

    fn is_closed(&self) -> bool {
        self.error.is_some()
    }
}

impl Writer for Parquet {
    fn finish(&mut self) -> Result<u64, StoreError> {
        let (_, mut flows) = self.groups.last().copied().unwrap_or_default();
        if self.finished {
            return Ok(flows);
        }
        self.finished = true;
        if self.rows.len() > 0 && self.error.is_none() {
            self.write_group();
            (_, flows) = self.groups.last().copied().unwrap_or_default();
        }
        let cause = match (self.encoder.finish().map_err(io::Error::other), self.error.take()) {
            (Ok((footer, metadata)), before) => {
                let written = before
                    .map_or_else(|| self.target.write_all(&footer).and_then(|()| self.target.flush()), Err);
                let Err(cause) = written else { return Ok(flows) };
                flows = self.salvage(&metadata);
                cause
            }
            (Err(error), before) => {
                flows = 0;
                before.unwrap_or(error)
            }
        };
        Err(StoreError::Write { to: self.to.clone(), flows, cause })
    }
}

/// Whoever forgets to finish loses the errors, but not the records.
impl Drop for Parquet {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}
