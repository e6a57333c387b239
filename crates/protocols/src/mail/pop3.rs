//! Post Office Protocol 3.

use crate::{Family, Protocol};

/// Post Office Protocol 3.
pub const PROTOCOL: Protocol = Protocol {
    name: "pop3",
    title: "Post Office Protocol 3",
    family: Family::Mail,
    source: "",
    ..Protocol::BASE
};
