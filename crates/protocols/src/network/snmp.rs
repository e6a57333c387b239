//! Simple Network Management Protocol.

use crate::{Family, Protocol};

/// Simple Network Management Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "snmp",
    title: "Simple Network Management Protocol",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
