//! SOCKS proxy protocol.

use crate::{Family, Protocol};

/// SOCKS proxy protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "socks",
    title: "SOCKS proxy protocol",
    family: Family::Vpn,
    source: "",
    ..Protocol::BASE
};
