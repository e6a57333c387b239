//! Behaviour through the public API.
#![allow(clippy::unwrap_used)] // the helpers are tests too

mod ooni;
mod scenarios;
mod verdicts;
