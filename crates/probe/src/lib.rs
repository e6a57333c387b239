//! The probe: measures what a network does to a list of sites, and serves the control that it is compared with.
//!
//! A [`plan::Plan`] says what is measured; [`settings::Settings`] how. **A target's way**: [`measure::measure`] asks for its
//! name in every way ([`dns`]), asks the [`control`], visits every address ([`net`], [`tls`], [`http`](mod@http)), tries which name
//! fails at which address, and writes all of it down as one OONI measurement, with ours under `x_daylight`. Nothing is
//! judged here: that is `daylight-verdict`'s, on what was written. Where the system lets it, the probe hears its own packets, and
//! keeps those that are not the servers' ([`evidence`]). [`run()`] does this for a plan, and keeps a
//! [`output::Journal`]. The other end of the control is the [`helper`].
#![forbid(unsafe_code)]

pub mod consent;
pub mod control;
pub mod dns;
pub mod evidence;
mod failure;
pub mod helper;
pub mod http;
mod jar;
pub mod locate;
pub mod measure;
pub mod net;
pub mod output;
pub mod plan;
mod run;
pub mod scrub;
pub mod settings;
pub mod tls;
mod together;

use together::all;

pub use run::{Error, Event, Options, Summary, plan_of, run};
