//! Dynamic Host Configuration Protocol.

use crate::{Family, Protocol};

/// Dynamic Host Configuration Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    title: "Dynamic Host Configuration Protocol",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
