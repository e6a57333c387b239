//! Border Gateway Protocol.

use crate::{Family, Protocol};

/// Border Gateway Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "bgp",
    title: "Border Gateway Protocol",
    family: Family::Network,
    source: "",
    ..Protocol::BASE
};
