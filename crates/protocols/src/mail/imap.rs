//! Internet Message Access Protocol.

use crate::{Family, Protocol};

/// Internet Message Access Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "imap",
    title: "Internet Message Access Protocol",
    family: Family::Mail,
    source: "",
    ..Protocol::BASE
};
