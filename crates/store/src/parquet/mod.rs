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

mod leaf;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::sync::Arc;

use daylight_expr::{Kind, ValueRef};
use daylight_inspect::{Column, ColumnId, Core, FlowRecord, RecordSink};
use daylight_protocols::FieldRef;
use parquet::basic::{Compression, Repetition, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use crate::out::Target;
use crate::{StoreError, Writer};
use leaf::{Leaf, leaf_type, list_type};

/// A group has at most so many rows …
const ROWS_MAX: u32 = 1 << 16;
/// … and about so many bytes of values.
const BYTES_MAX: usize = 32 << 20;

pub(crate) struct Parquet {
    /// Core columns, with the leaf where each begins.
    core: Vec<(Core, usize)>,
    /// Fields with their leaves, sorted.
    fields: Vec<(FieldRef, usize)>,
    leaves: Vec<Leaf>,
    rows: u32,
    bytes: usize,
    /// Writes to memory: can't run out of room.
    encoder: SerializedFileWriter<Vec<u8>>,
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
        mut columns: Vec<&'static Column>,
        target: Box<dyn Target>,
        to: String,
    ) -> Result<Self, StoreError> {
        // Two columns of one name would be refused by many readers.
        let mut seen = HashSet::new();
        columns.retain(|c| seen.insert(c.id));
        let mut leaves = Vec::new();
        let (mut core, mut fields) = (Vec::new(), Vec::new());
        for column in &columns {
            let at = leaves.len();
            match column.id {
                ColumnId::Core(Core::Risks) => {
                    leaves.extend(RISK.map(|_| Leaf::new(Kind::Str, true)));
                    core.push((Core::Risks, at));
                }
                ColumnId::Core(id) => {
                    leaves.push(Leaf::new(column.kind, column.list));
                    core.push((id, at));
                }
                ColumnId::Field(field) => {
                    leaves.push(Leaf::new(column.kind, column.list));
                    fields.push((field, at));
                }
            }
        }
        fields.sort();
        let failed = |error: ParquetError| StoreError::Write {
            to: to.clone(),
            flows: 0,
            cause: io::Error::other(error),
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // A minimum and a maximum for each group are enough to skip groups by.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let schema = schema(&columns).map_err(failed)?;
        let encoder = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self {
            core,
            fields,
            leaves,
            rows: 0,
            bytes: 0,
            encoder,
            target,
            to,
            groups: Vec::new(),
            error: None,
            finished: false,
            rows_max: ROWS_MAX,
        })
    }

    fn push(&mut self, leaf: usize, value: ValueRef<'_>) {
        if let Some(leaf) = self.leaves.get_mut(leaf) {
            self.bytes += leaf.push(self.rows, value);
        }
    }

    /// Encodes the rows and writes them.
    fn write_group(&mut self) {
        let rows = u64::from(self.rows);
        let (end, total) = self.groups.last().copied().unwrap_or_default();
        match self.encode_group().map_err(io::Error::other).and_then(|bytes| {
            self.target.write_all(&bytes)?;
            Ok(bytes.len() as u64)
        }) {
            Ok(len) => self.groups.push((end + len, total + rows)),
            Err(error) => self.error = Some(error),
        }
        (self.rows, self.bytes) = (0, 0);
    }

    fn encode_group(&mut self) -> parquet::errors::Result<Vec<u8>> {
        let mut group = self.encoder.next_row_group()?;
        for leaf in &mut self.leaves {
            let Some(mut column) = group.next_column()? else { break };
            leaf.write(self.rows, &mut column)?;
            column.close()?;
        }
        group.close()?;
        self.encoder.flush()?;
        Ok(std::mem::take(self.encoder.inner_mut()))
    }

    /// The rest of the file, and what it says.
    fn encode_footer(&mut self) -> io::Result<(Vec<u8>, ParquetMetaData)> {
        let metadata = self.encoder.finish()?;
        Ok((std::mem::take(self.encoder.inner_mut()), metadata))
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

/// The members of a risk.
const RISK: [&str; 4] = ["name", "severity", "side", "evidence"];

fn schema(columns: &[&Column]) -> parquet::errors::Result<TypePtr> {
    let mut fields = Vec::new();
    for column in columns {
        fields.push(if column.id == ColumnId::Core(Core::Risks) {
            let members = RISK.map(|name| leaf_type(name, Kind::Str, Repetition::REQUIRED));
            let element = Type::group_type_builder("element")
                .with_repetition(Repetition::REQUIRED)
                .with_fields(members.into_iter().collect::<Result<_, _>>()?)
                .build()?;
            list_type(column.name, Arc::new(element))?
        } else if column.list {
            list_type(column.name, leaf_type("element", column.kind, Repetition::REQUIRED)?)?
        } else {
            leaf_type(column.name, column.kind, Repetition::OPTIONAL)?
        });
    }
    Ok(Arc::new(Type::group_type_builder("flow").with_fields(fields).build()?))
}

impl RecordSink for Parquet {
    fn flow(&mut self, record: Box<FlowRecord>) {
        if self.error.is_some() {
            return;
        }
        for i in 0..self.core.len() {
            let (core, leaf) = self.core[i];
            if core == Core::Risks {
                for found in record.risks() {
                    let members = [
                        found.risk.name,
                        found.risk.severity.name(),
                        found.risk.side.name(),
                        &*found.evidence,
                    ];
                    for (i, member) in members.into_iter().enumerate() {
                        self.push(leaf + i, ValueRef::Str(member));
                    }
                }
                continue;
            }
            for value in record.values(ColumnId::Core(core)) {
                self.push(leaf, value);
            }
        }
        for (field, value) in &record.found.fields {
            let Ok(i) = self.fields.binary_search_by_key(field, |(f, _)| *f) else { continue };
            let (_, leaf) = self.fields[i];
            for value in value.iter().filter_map(daylight_inspect::value_ref) {
                self.push(leaf, value);
            }
        }
        self.rows += 1;
        if self.rows >= self.rows_max || self.bytes >= BYTES_MAX {
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
        if self.rows > 0 && self.error.is_none() {
            self.write_group();
            (_, flows) = self.groups.last().copied().unwrap_or_default();
        }
        let cause = match (self.encode_footer(), self.error.take()) {
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
