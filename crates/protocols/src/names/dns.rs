//! Domain Name System.

use crate::{Family, Protocol};

/// Domain Name System.
pub const PROTOCOL: Protocol = Protocol {
    name: "dns",
    title: "Domain Name System",
    family: Family::Names,
    source: "",
    ..Protocol::BASE
};
