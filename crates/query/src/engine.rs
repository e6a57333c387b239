//! Engines that answer questions, and the one that is built in.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::ident;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use daylight_store::folder::hours;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};

use crate::error::QueryError;
use crate::table::{Flows, Notes};
use crate::time::Times;
use crate::{VIEWS, functions, sql};

/// Values for `$name` in a question.
pub type Parameters = BTreeMap<String, ScalarValue>;

/// Answers SQL over flows. What stands behind it may be this process or a cluster: the table, the views and the functions are
/// the same.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The engine's name.
    fn name(&self) -> &'static str;

    /// Asks. The answer begins when its first rows are there; dropping it ends the query.
    fn query<'a>(
        &'a self,
        sql: &'a str,
        parameters: &'a Parameters,
    ) -> BoxFuture<'a, Result<Answer, QueryError>>;
}

/// An answer on its way.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: BoxStream<'static, Result<RecordBatch, QueryError>>,
    /// What the reader should know of it: files that are left out.
    pub warnings: Vec<String>,
}

/// How the embedded engine works.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The store's folder.
    pub store: PathBuf,
    /// Only flows that ended then.
    pub times: Times,
    /// How much memory a query may take; what sorts and groups more than that goes to temporary files. Default: 2 GiB.
    pub memory_bytes: u64,
    /// How many cores a query uses. Default: all.
    pub threads: usize,
}

impl EmbeddedOptions {
    /// Over the store in this folder.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { store: store.into(), times: Times::default(), memory_bytes: 2 << 30, threads }
    }
}

/// DataFusion in this process. Nothing is written, wherever the store is.
pub struct Embedded {
    context: SessionContext,
    notes: Arc<Notes>,
    memory_bytes: u64,
    tables: Vec<String>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens a store for questions. What comes into it later is found by questions that are asked later.
    ///
    /// # Errors
    /// If there is no such folder, or it can't be read.
    pub async fn new(options: &EmbeddedOptions) -> Result<Self, QueryError> {
        let unreadable = |cause| QueryError::Store { path: options.store.clone(), cause };
        let store = std::fs::canonicalize(&options.store).map_err(unreadable)?;
        hours(&store).map_err(unreadable)?;
        let mut config = SessionConfig::new()
            .with_target_partitions(options.threads.max(1))
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(true);
        let settings = config.options_mut();
        // Conditions are tried while a file is read: of rows that don't meet them, the other columns are not read.
        settings.execution.parquet.pushdown_filters = true;
        settings.execution.parquet.reorder_filters = true;
        settings.sql_parser.collect_spans = true;
        // What a sort keeps aside for merging what it has written to files.
        let aside = usize::try_from(options.memory_bytes / 16).unwrap_or(usize::MAX);
        settings.execution.sort_spill_reservation_bytes = aside.min(10 << 20);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(
                usize::try_from(options.memory_bytes).unwrap_or(usize::MAX),
            )))
            .build_arc();
        let failed = |error: DataFusionError| QueryError::Engine(error.strip_backtrace());
        let context = SessionContext::new_with_config_rt(config, runtime.map_err(failed)?);
        functions::register(&context);
        let notes = Arc::<Notes>::default();
        let flows = within(Arc::new(Flows::new(store, Arc::clone(&notes))), options.times).map_err(failed)?;
        context.register_table("flows", flows).map_err(failed)?;
        let mut tables = vec!["flows".to_owned()];
        tables.extend(VIEWS.iter().map(|view| view.name.to_owned()));
        Ok(Self { context, notes, memory_bytes: options.memory_bytes, tables })
    }

    /// Makes the views that a question may name: with hundreds of columns, each takes its time.
    async fn make_views(&self, sql: &str) -> Result<(), DataFusionError> {
        let sql = sql.to_lowercase();
        // Whoever asks which tables there are sees all.
        let all = ["show", "information_schema", "describe"].iter().any(|word| sql.contains(word));
        for view in VIEWS.iter().filter(|view| all || sql.contains(view.name)) {
            if !self.context.table_exist(view.name)? {
                self.context.sql(&format!("CREATE OR REPLACE VIEW {} AS {}", view.name, view.sql)).await?;
            }
        }
        Ok(())
    }

    async fn plan(&self, sql: &str, parameters: &Parameters) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let error =
            |error: &DataFusionError| QueryError::from_engine(error, sql, &self.tables, self.memory_bytes);
        let statement = sql::statement(sql, error)?;
        self.make_views(sql).await.map_err(|cause| error(&cause))?;
        let state = self.context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|cause| error(&cause))?;
        let only_reads =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        only_reads.verify_plan(&plan).map_err(|cause| error(&cause))?;
        let values: Vec<(String, ScalarValue)> =
            parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let plan = if values.is_empty() {
            plan
        } else {
            plan.with_param_values(values).map_err(|cause| error(&cause))?
        };
        let frame = self.context.execute_logical_plan(plan).await.map_err(|cause| error(&cause))?;
        frame.create_physical_plan().await.map_err(|cause| error(&cause))
    }

    async fn answer(&self, sql: &str, parameters: &Parameters) -> Result<Answer, QueryError> {
        // Each time round, at least one damaged file is left out.
        loop {
            let plan = self.plan(sql, parameters).await?;
            let schema = plan.schema();
            let tables = self.tables.clone();
            let (text, memory) = (sql.to_owned(), self.memory_bytes);
            let error = move |error: &DataFusionError| QueryError::from_engine(error, &text, &tables, memory);
            let rows = execute_stream(plan, self.context.task_ctx()).map_err(|cause| error(&cause))?;
            // Of some damage the decoder makes a panic: it is one file's, and not the process's end.
            let mut rows =
                AssertUnwindSafe(rows).catch_unwind().map(|batch| batch.unwrap_or_else(|_| Err(panicked())));
            // The first rows are waited for: until then, the question can be asked again without a file that is damaged.
            let first = rows.next().await;
            if let Some(Err(cause)) = &first
                && is_damage(cause)
                && self.leave_out_damaged().await
            {
                continue;
            }
            let warnings = self.notes.take();
            let notes = Arc::clone(&self.notes);
            let rows = futures_util::stream::iter(first).chain(rows).then(move |batch| {
                let (notes, outcome) =
                    (Arc::clone(&notes), batch.map_err(|cause| (is_damage(&cause), error(&cause))));
                async move {
                    match outcome {
                        Ok(batch) => Ok(batch),
                        Err((true, error)) => Err(damaged(notes).await.unwrap_or(error)),
                        Err((false, error)) => Err(error),
                    }
                }
            });
            return Ok(Answer { schema, rows: rows.boxed(), warnings });
        }
    }

    /// Looks through the files of the last query. True if one is damaged, which is left out from now on.
    async fn leave_out_damaged(&self) -> bool {
        let found = find_damaged(self.notes.scanned()).await;
        for (path, why) in &found {
            self.notes.leave_out(path, why);
        }
        !found.is_empty()
    }
}

impl Engine for Embedded {
    fn name(&self) -> &'static str {
        "datafusion"
    }

    fn query<'a>(
        &'a self,
        sql: &'a str,
        parameters: &'a Parameters,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        Box::pin(self.answer(sql, parameters))
    }
}

/// The table, or what of it ended within these times.
fn within(flows: Arc<dyn TableProvider>, times: Times) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let time = |ns| lit(ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())));
    let since = times.since_ns.map(|ns| ident("end").gt_eq(time(ns)));
    let until = times.until_ns.map(|ns| ident("end").lt(time(ns)));
    let Some(condition) = since.into_iter().chain(until).reduce(datafusion::prelude::Expr::and) else {
        return Ok(flows);
    };
    let plan =
        LogicalPlanBuilder::scan("flows", provider_as_source(flows), None)?.filter(condition)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// What a panic of the decoder is turned into.
fn panicked() -> DataFusionError {
    DataFusionError::ParquetError(Box::new(ParquetError::General("it can't be decoded".into())))
}

/// True if a file and not the question is to blame.
fn is_damage(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::External(_) => {
            true
        }
        DataFusionError::ArrowError(inner, _) => !is_arithmetic(inner),
        // A task that has panicked.
        DataFusionError::ExecutionJoin(error) => error.is_panic(),
        _ => false,
    }
}

fn is_arithmetic(error: &datafusion::arrow::error::ArrowError) -> bool {
    use datafusion::arrow::error::ArrowError;
    matches!(
        error,
        ArrowError::ArithmeticOverflow(_)
            | ArrowError::DivideByZero
            | ArrowError::ComputeError(_)
            | ArrowError::CastError(_)
    )
}

/// Which files are to blame for an error that looks as if one was: none, if a function failed while a file was read.
async fn damaged(notes: Arc<Notes>) -> Option<QueryError> {
    let found = find_damaged(notes.scanned()).await;
    let names: Vec<String> = found.iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
    let text = || format!("{}; the rows until here are of other files", names.join("; "));
    (!names.is_empty()).then(|| QueryError::Engine(text()))
}

/// The files that can't be read to their end.
async fn find_damaged(files: Vec<PathBuf>) -> Vec<(PathBuf, String)> {
    let look = move || files.into_iter().filter_map(|path| damage(&path).map(|why| (path, why))).collect();
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// What is wrong with a file, if something is: it is read as a query reads it.
fn damage(path: &Path) -> Option<String> {
    let read = || -> Result<(), ParquetError> {
        let file = File::open(path)?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            batch?;
        }
        Ok(())
    };
    match std::panic::catch_unwind(read) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("it is damaged ({error})")),
        Err(_) => Some("it is damaged".into()),
    }
}
