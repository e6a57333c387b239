//! Distributed Computing Environment RPC.

use crate::{Family, Protocol};

/// Distributed Computing Environment RPC.
pub const PROTOCOL: Protocol = Protocol {
    name: "dcerpc",
    title: "Distributed Computing Environment RPC",
    family: Family::Identity,
    source: "",
    ..Protocol::BASE
};
