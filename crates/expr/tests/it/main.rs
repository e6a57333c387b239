//! The expression language through its public API.

mod errors;
mod meaning;
mod properties;
mod world;
