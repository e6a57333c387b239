//! The engine: frames in, flow records out.
//!
//! [`inspect`] runs a capture through it: frames from a [`FrameSource`](daylight_packet::FrameSource) are decoded,
//! belong to flows, are identified and read by the protocols' parsers, and each flow that ends becomes a [`FlowRecord`]
//! in a [`RecordSink`]. The catalog names applications, risks tell what deserves a look. The same capture gives the
//! same records at any number of threads.
#![forbid(unsafe_code)]

pub mod catalog;
mod chunk;
mod config;
mod enrich;
mod filter;
pub mod indicators;
mod merge;
mod pipeline;
mod ports;
mod record;
pub mod risks;
mod shard;
pub mod summary;

pub use chunk::FrameCounters;
pub use config::{Config, Timeouts, WantedCore};
pub use filter::{RecordSchema, columns_of, compile};
pub use merge::RecordSink;
pub use pipeline::{Control, RunStats, dispatcher, inspect};
pub use record::{
    Column, ColumnId, Core, Counters, EndReason, Ends, EventRecord, FlowRecord, Spans, Uid, column, columns,
    transport_name, value_ref,
};
pub use shard::ShardCounters;
