//! Groups of rows into the bytes of a file.

use std::sync::Arc;

use daylight_expr::Kind;
use parquet::basic::Repetition;
use parquet::errors::Result;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::leaf::{leaf_type, list_type};
use super::rows::{FileColumn, FileKind, RISK, Rows};

/// Makes the bytes of one file: those of each group, then those of the footer. What it has made has no room to run out
/// of; whoever writes it somewhere does.
pub(crate) struct Encoder {
    inner: SerializedFileWriter<Vec<u8>>,
    /// Which columns are in the file, and where they are in the rows.
    chosen: Vec<FileColumn>,
    places: Vec<usize>,
}

impl Encoder {
    /// A file with those columns of the rows which are chosen.
    pub(crate) fn new(
        columns: &[FileColumn],
        places: Vec<usize>,
        properties: WriterProperties,
    ) -> Result<Self> {
        let chosen: Vec<FileColumn> = places.iter().filter_map(|i| columns.get(*i)).copied().collect();
        let fields: Result<Vec<TypePtr>> = chosen.iter().map(column_type).collect();
        let schema = Type::group_type_builder("flow").with_fields(fields?).build()?;
        let inner = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        Ok(Self { inner, chosen, places })
    }

    /// Makes a group of all rows, which are gone from there then.
    pub(crate) fn group(&mut self, rows: &mut Rows) -> Result<Vec<u8>> {
        let mut group = self.inner.next_row_group()?;
        let len = rows.len();
        for column in &self.places {
            for leaf in rows.leaves(*column) {
                let Some(mut writer) = group.next_column()? else { break };
                leaf.write(len, &mut writer)?;
                writer.close()?;
            }
        }
        group.close()?;
        rows.clear();
        self.bytes()
    }

    /// The rest of the file, and what it says.
    pub(crate) fn finish(&mut self) -> Result<(Vec<u8>, ParquetMetaData)> {
        let metadata = self.inner.finish()?;
        Ok((std::mem::take(self.inner.inner_mut()), metadata))
    }

    /// Makes a group of `rows` rows, of which `column` gives one column after another. No more than that one is held.
    pub(crate) fn columns(
        &mut self,
        rows: u32,
        mut column: impl FnMut(&FileColumn) -> Result<Rows>,
    ) -> Result<Vec<u8>> {
        let mut group = self.inner.next_row_group()?;
        for chosen in &self.chosen {
            for leaf in column(chosen)?.leaves(0) {
                let Some(mut writer) = group.next_column()? else { break };
                leaf.write(rows, &mut writer)?;
                writer.close()?;
            }
        }
        group.close()?;
        self.bytes()
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        self.inner.flush()?;
        Ok(std::mem::take(self.inner.inner_mut()))
    }
}

/// A column's type in the schema of a file.
pub(crate) fn column_type(column: &FileColumn) -> Result<TypePtr> {
    match column.kind {
        FileKind::Risks => {
            let members = RISK.map(|name| leaf_type(name, Kind::Str, Repetition::REQUIRED));
            let element = Type::group_type_builder("element")
                .with_repetition(Repetition::REQUIRED)
                .with_fields(members.into_iter().collect::<Result<_>>()?)
                .build()?;
            list_type(column.name, Arc::new(element))
        }
        FileKind::List(kind) => list_type(column.name, leaf_type("element", kind, Repetition::REQUIRED)?),
        FileKind::One(kind) => leaf_type(column.name, kind, Repetition::OPTIONAL),
    }
}
