//! The public page over real sockets, with real logs.
#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers are tests too

mod answers;
mod common;
mod integrity;
mod limits;
mod mirror;
mod pages;
