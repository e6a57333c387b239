//! Listens to links: engines fed from interfaces, and what comes out of them handed on.
//!
//! A [`Sensor`] is made in two steps, because privileges are given up between them ([`rights`]): [`Sensor::open`] opens the
//! interfaces, [`Sensor::start`] starts a thread for each engine. Every thread takes batches from its taps
//! ([`daylight_capture::live`]) to its engine ([`daylight_inspect::Worker`]); records go through a bounded [`queue`]
//! to a thread of their own, where disks and networks may be slow without a packet being lost for it.
//!
//! Interfaces that vanish are waited for, and listened to again when they are back. Nothing is lost silently: [`Status`]
//! counts what the kernel dropped, what budgets cut off, and what sinks had no room for.
#![forbid(unsafe_code)]

pub mod evidence;
mod links;
pub mod queue;
pub mod rights;
mod status;

pub use links::{Observer, Running, Sensor, SensorOptions};
pub use status::{InterfaceStatus, Status};
