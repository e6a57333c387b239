//! RTP Control Protocol.

use crate::{Family, Protocol};

/// RTP Control Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "rtcp",
    title: "RTP Control Protocol",
    family: Family::Media,
    source: "",
    ..Protocol::BASE
};
