//! Session Initiation Protocol.

use crate::{Family, Protocol};

/// Session Initiation Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "sip",
    title: "Session Initiation Protocol",
    family: Family::Media,
    source: "",
    ..Protocol::BASE
};
