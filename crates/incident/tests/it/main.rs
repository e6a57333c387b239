//! The crate through its public API: verdicts and series in, incidents and reports out.
#![allow(clippy::unwrap_used)] // the helpers are tests too

mod belarus;
mod bundles;
mod cells;
mod incidents;
mod packets;
mod reports;
mod series;
mod support;
