//! The engine through its public API.

mod corpus;
mod flows;
mod mutations;
mod negatives;
mod net;
