//! Simple Service Discovery Protocol.

use crate::{Family, Protocol};

/// Simple Service Discovery Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ssdp",
    title: "Simple Service Discovery Protocol",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
