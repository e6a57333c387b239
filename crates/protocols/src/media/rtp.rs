//! Real-time Transport Protocol.

use crate::{Family, Protocol};

/// Real-time Transport Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "rtp",
    title: "Real-time Transport Protocol",
    family: Family::Media,
    source: "",
    ..Protocol::BASE
};
