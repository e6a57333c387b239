//! The public page over real sockets, with real logs.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod answers;
mod common;
mod integrity;
mod limits;
mod mirror;
mod pages;
