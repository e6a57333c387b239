//! The expression language through its public API.

// The helpers are tests too; and what is compared with an expression is written as the expression is.
#![allow(clippy::unwrap_used, clippy::nonminimal_bool)]

mod errors;
mod guide;
mod meaning;
mod partial;
mod properties;
mod world;
