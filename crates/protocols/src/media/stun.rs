//! Session Traversal Utilities for NAT.

use crate::{Family, Protocol};

/// Session Traversal Utilities for NAT.
pub const PROTOCOL: Protocol = Protocol {
    name: "stun",
    title: "Session Traversal Utilities for NAT",
    family: Family::Media,
    source: "",
    ..Protocol::BASE
};
