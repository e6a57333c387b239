//! HTTP proxying with CONNECT.

use crate::{Family, Protocol};

/// HTTP proxying with CONNECT.
pub const PROTOCOL: Protocol = Protocol {
    name: "http-connect",
    title: "HTTP proxying with CONNECT",
    family: Family::Web,
    source: "",
    ..Protocol::BASE
};
