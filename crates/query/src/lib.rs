//! Questions in SQL over a store of flow records.
//!
//! An [`Engine`] takes SQL and gives batches of rows. [`Embedded`] is the one that needs nothing else: DataFusion in this
//! process, over the files of a [store](daylight_store::folder). A question goes through it like this: the SQL is parsed,
//! checked to be one that only reads, and names with a dot in them are understood as columns; of the store's hours those
//! are chosen that the conditions on `end`, `day` and `hour` leave; their files' footers are read, and what is no file of
//! records is passed over with a warning; then row groups and pages are skipped by their minima, maxima and bloom filters,
//! and the rest is read on all cores.
//!
//! Beside the table `flows` there are [views](VIEWS), functions for addresses and names, and [questions] that have a name.
//! [`output`] writes rows for people and for programs: what comes from the network can't drive a terminal nor a spreadsheet.
#![forbid(unsafe_code)]

mod engine;
mod error;
mod functions;
pub mod output;
pub mod questions;
mod schema;
mod sql;
mod table;
mod time;
mod views;

pub use datafusion::arrow;
pub use datafusion::common::ScalarValue;

pub use engine::{Answer, Embedded, EmbeddedOptions, Engine, Parameters};
pub use error::QueryError;
pub use functions::FUNCTIONS;
pub use schema::{flows_schema, partition_columns};
pub use time::{TimeError, Times, parse_time};
pub use views::VIEWS;
