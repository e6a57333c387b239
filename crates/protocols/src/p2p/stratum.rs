//! Stratum mining protocol.

use crate::{Family, Protocol};

/// Stratum mining protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "stratum",
    title: "Stratum mining protocol",
    family: Family::P2p,
    source: "",
    ..Protocol::BASE
};
