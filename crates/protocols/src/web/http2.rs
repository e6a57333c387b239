//! Hypertext Transfer Protocol 2.

use crate::{Family, Protocol};

/// Hypertext Transfer Protocol 2.
pub const PROTOCOL: Protocol = Protocol {
    name: "http2",
    title: "Hypertext Transfer Protocol 2",
    family: Family::Web,
    source: "",
    ..Protocol::BASE
};
