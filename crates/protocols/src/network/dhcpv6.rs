//! Dynamic Host Configuration Protocol for IPv6.

use crate::{Family, Protocol};

/// Dynamic Host Configuration Protocol for IPv6.
pub const PROTOCOL: Protocol = Protocol {
    name: "dhcpv6",
    title: "Dynamic Host Configuration Protocol for IPv6",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
