//! Policies through the public API.

#![allow(clippy::unwrap_used)] // the helpers are tests too

mod checks;
mod deciding;
mod examples;
mod loading;
mod properties;
mod scale;
mod telling;
mod world;
