//! HTTP proxying.

use crate::{Family, Protocol};

/// HTTP proxying.
pub const PROTOCOL: Protocol = Protocol {
    name: "http-proxy",
    title: "HTTP proxying",
    family: Family::Web,
    source: "",
    ..Protocol::BASE
};
