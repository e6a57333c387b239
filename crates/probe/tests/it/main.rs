//! The probe against real servers on the loopback interface, and boxes that misbehave.

#![allow(clippy::unwrap_used)] // the helpers are tests too

mod helper;
mod locate;
mod measure;
mod run;
mod world;
