//! The engine through its public API.

mod flows;
mod net;
