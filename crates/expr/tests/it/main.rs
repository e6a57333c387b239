//! The expression language through its public API.

#![allow(clippy::unwrap_used, clippy::nonminimal_bool)]

mod errors;
mod guide;
mod meaning;
mod partial;
mod properties;
mod world;
