//! Sessions over real transports, whose connections are cut.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by it.

mod carried;
mod cut;
mod h3;
mod plugin;
mod relay;
mod server;
mod web;
