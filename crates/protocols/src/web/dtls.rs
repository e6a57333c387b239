//! Datagram Transport Layer Security.

use crate::{Family, Protocol};

/// Datagram Transport Layer Security.
pub const PROTOCOL: Protocol = Protocol {
    name: "dtls",
    title: "Datagram Transport Layer Security",
    family: Family::Web,
    source: "",
    ..Protocol::BASE
};
