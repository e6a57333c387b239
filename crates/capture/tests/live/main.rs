//! Interfaces: a pair of them in a network namespace of the test's own, one to send on and one to listen to.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod net;
mod ring;
mod xdp;
