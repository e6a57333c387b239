//! A small internet in network namespaces, with censors in it.
//!
//! A scenario is a TOML file ([`Scenario`]): networks, hosts, links and what stands in them, services, clients, a timeline,
//! and what must come out. [`run()`] starts a process in namespaces of its own, which builds the [`world`], starts the
//! services, plays the timeline and leaves a [`Record`]; from it [`report`] draws a page.
//!
//! **A client's way**: [`play_world`] starts a thread in the client's namespace, which asks the resolver, compares the answer
//! with the scenario's zones, and runs a real client; how it ended becomes an [`Observation`](record::Observation), and all
//! of them together are compared with the expectations ([`expect`]).
#![forbid(unsafe_code)]

pub mod adversary;
mod capture;
mod client;
mod error;
pub mod expect;
pub mod hop;
mod play;
mod player;
pub mod record;
pub mod report;
mod run;
pub mod scenario;
pub mod score;
mod service;
pub mod statistics;
pub mod world;

pub use error::LabError;
pub use play::{Message, world_process as play_world};
pub use record::Record;
pub use run::{Options, Outcome, enter, run};
pub use scenario::{Scenario, ScenarioError};
