//! From packets to flows.
//!
//! A [`Table`] maps a packet's key to a [`Flow`]: counters, the TCP state of both sides, and room for what the engine
//! keeps hot about it (`X`). Flows end by capture time, through a [`Wheel`]; nothing here reads a clock. A
//! [`Reassembler`] puts one direction of a TCP connection in order for as long as somebody wants its bytes; flows that
//! nobody reads any more have none.
#![forbid(unsafe_code)]

mod community;
mod conn;
mod hash;
mod reassemble;
mod table;
mod wheel;

pub use community::{community_id, community_id_of};
pub use conn::{ConnState, Flow, History, HistoryText, Side};
pub use hash::FlowHasher;
pub use reassemble::{Piece, Reassembler, ReassemblyCounters, SEGMENTS_MAX, START_KEPT_MAX};
pub use table::{FlowIndex, Table};
pub use wheel::Wheel;
