//! The engine through its public API.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod client_hello;
mod corpus;
mod fleet;
mod flows;
mod live;
mod mutations;
mod naming;
mod negatives;
mod net;
mod risks;
