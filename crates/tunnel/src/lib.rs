//! The tunnel carries people past a filter, unnoticed. Its transports are what a filter sees of it; each takes a connection
//! and gives back a stream of bytes, so that it can carry any protocol, this tunnel's own session or another program's.

#![forbid(unsafe_code)]

pub mod census;
pub mod driver;
pub mod plugin;
pub mod relay;
pub mod transports;
