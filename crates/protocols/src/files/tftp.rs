//! Trivial File Transfer Protocol.

use crate::{Family, Protocol};

/// Trivial File Transfer Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "tftp",
    title: "Trivial File Transfer Protocol",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
