//! Extensible Messaging and Presence Protocol.

use crate::{Family, Protocol};

/// Extensible Messaging and Presence Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "xmpp",
    title: "Extensible Messaging and Presence Protocol",
    family: Family::Messaging,
    source: "",
    ..Protocol::BASE
};
