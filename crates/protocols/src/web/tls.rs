//! Transport Layer Security.

use crate::{Family, Protocol};

/// Transport Layer Security.
pub const PROTOCOL: Protocol = Protocol {
    name: "tls",
    title: "Transport Layer Security",
    family: Family::Web,
    source: "",
    ..Protocol::BASE
};
