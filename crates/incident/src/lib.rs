//! Many verdicts to incidents: what began when, on which networks, by which mechanism, and how far that can be believed.
//!
//! The way of a verdict: [`read`] parses records on all cores into [`Rows`], eighty bytes each; [`cell`] counts them by
//! target, network, resolver, layer and hour; [`detect`] finds [`Change`](detect::Change)s in the shares of probes that meet
//! interference, in how many measure at all, and in how long connecting takes; [`incident`] puts changes together that
//! belong together. [`series`] reads what others publish, and finds changes in it by the same means.
//!
//! [`study`] does all of this to a folder, [`report`] writes what came out, and [`bundle`] packs the folder so that anybody
//! can verify it. [`run`] has the commands.
//!
//! Nothing here reads a clock, and the order of the input makes no difference: late data are added, and all is computed
//! anew.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod cell;
pub mod detect;
mod error;
pub mod incident;
mod intern;
pub mod packets;
pub mod read;
pub mod report;
mod rows;
pub mod run;
pub mod series;
pub mod study;
mod when;

pub use error::{Error, Problem};
pub use rows::{NetworkName, Row, Rows, RuleSetName};
pub use when::Moment;
