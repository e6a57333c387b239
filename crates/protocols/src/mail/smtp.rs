//! Simple Mail Transfer Protocol.

use crate::{Family, Protocol};

/// Simple Mail Transfer Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "smtp",
    title: "Simple Mail Transfer Protocol",
    family: Family::Mail,
    source: "",
    ..Protocol::BASE
};
