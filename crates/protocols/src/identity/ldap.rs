//! Lightweight Directory Access Protocol.

use crate::{Family, Protocol};

/// Lightweight Directory Access Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ldap",
    title: "Lightweight Directory Access Protocol",
    family: Family::Identity,
    source: "",
    ..Protocol::BASE
};
