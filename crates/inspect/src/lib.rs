//! The engine: frames in, flow records out.
//!
//! [`inspect`] runs a capture through it: frames from a [`FrameSource`](daylight_packet::FrameSource) are decoded,
//! belong to flows, are identified and read by the protocols' parsers, and each flow that ends becomes a [`FlowRecord`]
//! in a [`RecordSink`]. The catalog names applications, risks tell what deserves a look. The same capture gives the
//! same records at any number of threads.
//!
//! A capture in, records out:
//!
//! ```
//! use std::sync::Arc;
//!
//! use daylight_inspect::{Config, Control, FlowRecord, inspect};
//!
//! let mut source = daylight_capture::open("../../testdata/tour.pcap".as_ref())?;
//! let mut records: Vec<FlowRecord> = Vec::new();
//! let config = Arc::new(Config { threads: 2, ..Config::default() });
//! inspect(source.as_mut(), "tour.pcap", &config, &Control::default(), &mut records)?;
//! let ssh = records.iter().find(|r| r.protocol.name() == "ssh").ok_or("there is one")?;
//! assert_eq!((ssh.ends.dst_port, ssh.state.name()), (22, "SF"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod bell;
pub mod catalog;
mod chunk;
mod config;
mod enrich;
mod filter;
mod fleet;
pub mod indicators;
mod keep;
mod live;
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
pub use fleet::{Fleet, FleetOptions, FleetStatus, Worker};
pub use keep::{KeepLimits, KeptFrame, KeptPackets};
pub use live::{Glance, Live, LivePacket};
pub use merge::RecordSink;
pub use pipeline::{Control, RunStats, dispatcher, inspect};
pub use record::{
    Column, ColumnId, Core, Counters, EndReason, Ends, EventRecord, FlowRecord, Spans, Uid, column, columns,
    transport_name, value_ref,
};
pub use shard::ShardCounters;
