//! What the network is doing now: a board of counts that an engine feeds, and what shows it without a browser.
//!
//! A [`Board`] takes the records of a live engine through a [`Feed`] and counts them: throughput by the second and by
//! the minute, the largest protocols, applications, hosts and talkers of the last seconds and minutes, flows that are
//! open and flows that have ended, risks, losses. Its memory is bounded whatever comes, and the engine never waits for
//! who looks. A [`Snapshot`](board::Snapshot) is what a viewer gets: the [terminal], the [lines] that are printed where
//! there is no terminal, or a page in a browser.
//!
//! ```
//! use daylight_inspect::{FlowRecord, RecordSink};
//! use daylight_watch::Board;
//! use daylight_watch::board::{Gauges, Query};
//!
//! let board = Board::new();
//! let mut feed = Board::feed(&board);
//! let mut record = FlowRecord::blank(1);
//! record.src.bytes = 1500;
//! record.src.packets = 1;
//! feed.tick(0, Gauges::default());
//! feed.flow(Box::new(record));
//! feed.tick(1_000_000_000, Gauges { packets: 1, bytes: 1500, ..Gauges::default() });
//! let seen = board.snapshot(&Query::default());
//! assert_eq!(seen.rates.bits_per_s, 12_000);
//! assert_eq!(seen.tops.talkers.rows[0].name, "10.0.0.1");
//! ```
#![forbid(unsafe_code)]

pub mod board;
pub mod lines;
pub mod terminal;
mod text;
mod units;

pub use board::{Board, Feed};
