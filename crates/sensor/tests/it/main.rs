//! The sensor through its public API, fed from captures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod evidence;
