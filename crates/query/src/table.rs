//! The table `flows`: the files of a store.
//!
//! Which files there are is looked up for each query, by the rules that the store's writers keep. A condition on a flow's
//! end, or on `day` and `hour`, leaves out whole folders. Then every file's footer is read (and remembered): what has none, or
//! has not the columns of flows, is told of and left out, so one bad file doesn't spoil every question.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Date32Array, Int32Array, RecordBatch};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::object_store::{ObjectMeta, ObjectStore, path::Path as StorePath};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use daylight_store::folder::{DataFile, Hour, files, hours};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::schema::{flows_schema, partition_columns};

/// So many footers are read at a time.
const FOOTERS_AT_ONCE: usize = 16;
/// Footers are mostly shorter than this: one read gets them.
const FOOTER_BYTES: usize = 128 << 10;

/// What is known of a store's files while queries run.
#[derive(Default)]
pub(crate) struct Notes {
    /// Files that are left out, and why, in the words of the warning.
    warnings: Mutex<Vec<String>>,
    bad: Mutex<HashSet<PathBuf>>,
    /// The files of the last scan.
    scanned: Mutex<Vec<PathBuf>>,
}

impl Notes {
    fn warn(&self, path: &Path, why: &str) {
        let warning = format!("{} is left out: {why}", path.display());
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// The warnings since they were taken last.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves a file out from now on.
    pub(crate) fn leave_out(&self, path: &Path, why: &str) {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        self.warn(path, why);
    }

    fn is_bad(&self, path: &Path) -> bool {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// The files that the last query reads.
    pub(crate) fn scanned(&self) -> Vec<PathBuf> {
        self.scanned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The files of a store as a table.
pub(crate) struct Flows {
    store: PathBuf,
    table: TableSchema,
    notes: Arc<Notes>,
}

impl fmt::Debug for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows").field("store", &self.store).finish()
    }
}

impl Flows {
    pub(crate) fn new(store: PathBuf, notes: Arc<Notes>) -> Self {
        let table =
            TableSchema::builder(flows_schema()).with_table_partition_cols(partition_columns()).build();
        Self { store, table, notes }
    }

    /// The files of these hours.
    fn list(
        &self,
        within: (i64, i64),
        keep: impl Fn(&[Hour]) -> Result<Vec<bool>>,
    ) -> Result<Vec<(Hour, DataFile)>> {
        let failed = |error: std::io::Error| DataFusionError::External(Box::new(error));
        let mut hours = hours(&self.store).map_err(failed)?;
        hours.retain(|hour| hour.end_ns() > within.0 && hour.start_ns() <= within.1);
        let kept = keep(&hours)?;
        let mut found = Vec::new();
        for (hour, _) in hours.into_iter().zip(kept).filter(|(_, keep)| *keep) {
            let files = files(&self.store, hour).map_err(failed)?;
            found.extend(
                files.into_iter().filter(|file| !self.notes.is_bad(&file.path)).map(|file| (hour, file)),
            );
        }
        Ok(found)
    }

    /// The file for the scan, if it holds flows; else there is a warning.
    async fn checked(
        &self,
        state: &dyn Session,
        store: &dyn ObjectStore,
        (hour, file): (Hour, DataFile),
    ) -> Result<Option<PartitionedFile>> {
        let meta = ObjectMeta {
            location: StorePath::from_absolute_path(&file.path)?,
            last_modified: file.modified.into(),
            size: file.bytes,
            e_tag: None,
            version: None,
        };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let metadata = DFParquetMetadata::new(store, &meta)
            .with_metadata_size_hint(Some(
                FOOTER_BYTES.min(usize::try_from(file.bytes).unwrap_or(usize::MAX)),
            ))
            .with_file_metadata_cache(Some(cache));
        // Some footers make the parser panic.
        let footer = match ends_well(&file) {
            false => Err(DataFusionError::Execution("it doesn't end like one".into())),
            true => AssertUnwindSafe(metadata.fetch_metadata())
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(DataFusionError::Execution("its footer makes no sense".into()))),
        };
        let why = match footer {
            Ok(footer) => match foreign(&footer) {
                None => {
                    let values = vec![
                        ScalarValue::Date32(Some(day(hour))),
                        ScalarValue::Int32(Some(hour.hour().into())),
                    ];
                    return Ok(Some(PartitionedFile::new_from_meta(meta).with_partition_values(values)));
                }
                Some(why) => why,
            },
            // A merge has come to its end since the folder was listed, or it was too old: what it held is elsewhere or gone.
            Err(DataFusionError::ObjectStore(error))
                if matches!(*error, datafusion::object_store::Error::NotFound { .. }) =>
            {
                "it was removed while the question was asked; ask again".to_owned()
            }
            Err(error) => format!("no Parquet file that can be read ({})", error.strip_backtrace()),
        };
        self.notes.warn(&file.path, &why);
        Ok(None)
    }
}

/// True if a file ends with the format's mark, and before it a length that is not more than there is. What isn't there (any
/// more) is seen when it is opened.
fn ends_well(file: &DataFile) -> bool {
    let read = || -> std::io::Result<[u8; 8]> {
        let mut end = [0; 8];
        File::open(&file.path)?.read_exact_at(&mut end, file.bytes.saturating_sub(8))?;
        Ok(end)
    };
    match read() {
        Ok([a, b, c, d, mark @ ..]) => {
            mark == *b"PAR1" && u64::from(u32::from_le_bytes([a, b, c, d])) + 12 <= file.bytes
        }
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Days since 1970.
fn day(hour: Hour) -> i32 {
    i32::try_from(hour.start_ns().div_euclid(86_400_000_000_000)).unwrap_or_default()
}

/// Why this is no file of flows, if it is none.
fn foreign(footer: &ParquetMetaData) -> Option<String> {
    let schema = footer.file_metadata().schema_descr();
    let fields = datafusion::parquet::arrow::parquet_to_arrow_schema(schema, None).ok()?;
    let ours = flows_schema();
    for name in ["record_id", "end", "src_ip"] {
        if fields.field_with_name(name).is_err() {
            return Some(format!("it has no column {name:?}, so it is no file of flows"));
        }
    }
    // Columns of a later version are passed over; of ours, the type must be one that can be read as ours.
    let other = fields.fields().iter().find(|field| {
        ours.field_with_name(field.name()).is_ok_and(|ours| {
            !datafusion::arrow::compute::can_cast_types(field.data_type(), ours.data_type())
                || field.data_type().is_numeric() != ours.data_type().is_numeric()
        })
    });
    other.map(|field| format!("its column {:?} is of the type {}", field.name(), field.data_type()))
}

#[async_trait]
impl TableProvider for Flows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let of_folders = |name: &str| name == "day" || name == "hour";
        let folders: Vec<Expr> = filters
            .iter()
            .filter(|filter| {
                !filter.is_volatile()
                    && !filter.column_refs().is_empty()
                    && filter.column_refs().iter().all(|column| of_folders(&column.name))
            })
            .cloned()
            .collect();
        let found = self.list(ends_within(filters), |hours| chosen(state, &folders, hours))?;
        let url = ObjectStoreUrl::local_filesystem();
        let store = state.runtime_env().object_store(&url)?;
        let checked: Vec<Option<PartitionedFile>> = stream::iter(found)
            .map(|file| self.checked(state, &*store, file))
            .buffered(FOOTERS_AT_ONCE)
            .try_collect()
            .await?;
        let files: Vec<PartitionedFile> = checked.into_iter().flatten().collect();
        *self.notes.scanned.lock().unwrap_or_else(PoisonError::into_inner) =
            files.iter().map(|file| PathBuf::from(format!("/{}", file.object_meta.location))).collect();
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema().project(columns)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
        let source = format.file_source(self.table.clone());
        let config = FileScanConfigBuilder::new(url, source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        format.create_physical_plan(state, config).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// Which of the hours these conditions on `day` and `hour` leave.
fn chosen(state: &dyn Session, conditions: &[Expr], hours: &[Hour]) -> Result<Vec<bool>> {
    let Some(condition) = conjunction(conditions.iter().cloned()) else { return Ok(vec![true; hours.len()]) };
    let schema = Arc::new(Schema::new(partition_columns()));
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(hours.iter().map(|hour| day(*hour))));
    let hours_of_day = Int32Array::from_iter_values(hours.iter().map(|hour| i32::from(hour.hour())));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![days, Arc::new(hours_of_day)])?;
    // Columns are called by their table elsewhere, and by nothing here.
    let condition = datafusion::logical_expr::expr_rewriter::unnormalize_col(condition);
    let condition = state.create_physical_expr(condition, &DFSchema::try_from(schema)?)?;
    let kept = condition.evaluate(&batch)?.into_array(hours.len())?;
    let kept = kept.as_any().downcast_ref::<BooleanArray>();
    Ok(match kept {
        Some(kept) => kept.iter().map(|keep| keep == Some(true)).collect(),
        None => vec![true; hours.len()],
    })
}

/// The first and the last nanosecond in which a flow must have ended by conditions that compare `end` with a time.
fn ends_within(filters: &[Expr]) -> (i64, i64) {
    let (mut first, mut last) = (i64::MIN, i64::MAX);
    let mut bounds = filters.to_vec();
    while let Some(filter) = bounds.pop() {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => bounds.extend([*left, *right]),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (column, op, time) = match (end(&left), end(&right)) {
                    (true, false) => (true, op, nanoseconds(&right)),
                    (false, true) => (true, op.swap().unwrap_or(Operator::NotEq), nanoseconds(&left)),
                    _ => (false, op, None),
                };
                let Some(time) = time.filter(|_| column) else { continue };
                match op {
                    Operator::Gt | Operator::GtEq => first = first.max(time),
                    Operator::Lt | Operator::LtEq => last = last.min(time),
                    Operator::Eq => (first, last) = (first.max(time), last.min(time)),
                    _ => {}
                }
            }
            Expr::Between(between) if !between.negated && end(&between.expr) => {
                if let Some(time) = nanoseconds(&between.low) {
                    first = first.max(time);
                }
                if let Some(time) = nanoseconds(&between.high) {
                    last = last.min(time);
                }
            }
            _ => {}
        }
    }
    (first, last)
}

fn end(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "end")
}

fn nanoseconds(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(time, _), _) => *time,
        _ => None,
    }
}
