//! Measurements in, verdicts out: what a network did to a target, by which mechanism, and why we think so.
//!
//! The way of a measurement: [`ooni::Splitter`] finds it in a file and [`ooni::read`] reads it; it becomes flat
//! observations, each pointing to its place; [`rules::Rules`], which are data, are asked in their order; and the
//! [`Classifier`] makes one [`record::Record`] of it: the verdict, its mechanism and its place as three fields, with all
//! rules that fired, the observation that decided, and the hash of the rules. Beside it stands what OONI's own analysis
//! says ([`classic()`]). [`run`] does that for files and folders.
//!
//! Nothing here measures, reads a clock or asks the network: the same measurements and rules give the same records, byte
//! for byte, at any number of threads. Only [`run`] touches files.
#![forbid(unsafe_code)]

mod classic;
mod classify;
mod explain;
pub mod extras;
mod field;
pub mod fingerprint;
pub mod input;
mod observe;
pub mod ooni;
pub mod record;
pub mod reference;
pub mod rules;
mod run;
mod tags;

pub use classic::classic;
pub use classify::Classifier;
pub use run::{Error, NOTES_MAX, Options, Summary, run};
