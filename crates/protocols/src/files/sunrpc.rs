//! ONC remote procedure call.

use crate::{Family, Protocol};

/// ONC remote procedure call.
pub const PROTOCOL: Protocol = Protocol {
    name: "sunrpc",
    title: "ONC remote procedure call",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
