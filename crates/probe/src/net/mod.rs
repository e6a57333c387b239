//! Connections, and what the kernel knows of them.

mod connect;
mod info;
pub(crate) mod options;
mod tap;

pub use connect::{Connect, connect};
pub use info::{TcpInfo, tcp_info};
pub use tap::{EVENTS_MAX, Event, Operation, Split, Tap, Traffic, Watch};
