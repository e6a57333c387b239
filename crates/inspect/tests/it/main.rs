//! The engine through its public API.

mod flows;
mod naming;
mod net;
