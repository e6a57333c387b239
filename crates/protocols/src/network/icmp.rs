//! Internet Control Message Protocol.

use crate::{Family, Protocol};

/// Internet Control Message Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "icmp",
    title: "Internet Control Message Protocol",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
