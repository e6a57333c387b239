//! Redis serialisation protocol.

use crate::{Family, Protocol};

/// Redis serialisation protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "redis",
    title: "Redis serialisation protocol",
    family: Family::Database,
    source: "",
    ..Protocol::BASE
};
