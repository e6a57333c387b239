//! The engine through its public API.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod flows;
mod naming;
mod net;
