//! The wire image of this client against a real browser's, seen by a server that records both.

// The helpers are tests too; and a test that can't be run says why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod chromium;
mod first;
mod frames;
mod hello;
mod image;
mod profile;
mod quic;
mod recorder;
mod trust;
mod visitor;
