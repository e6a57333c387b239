//! x
mod schema; pub use schema::*;
