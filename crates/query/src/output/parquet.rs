//! An Apache Parquet file.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use super::{Target, failed};
use crate::error::QueryError;

pub(super) struct Parquet(ArrowWriter<Box<dyn Target>>);

impl Parquet {
    pub(super) fn new(schema: &SchemaRef, to: Box<dyn Target>) -> Result<Self, QueryError> {
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        ArrowWriter::try_new(to, SchemaRef::clone(schema), Some(properties)).map(Self).map_err(failed)
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        self.0.write(rows).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<(), QueryError> {
        self.0.close().map(drop).map_err(failed)
    }
}
