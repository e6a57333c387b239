//! Internet Control Message Protocol for IPv6.

use crate::{Family, Protocol};

/// Internet Control Message Protocol for IPv6.
pub const PROTOCOL: Protocol = Protocol {
    name: "icmpv6",
    title: "Internet Control Message Protocol for IPv6",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
