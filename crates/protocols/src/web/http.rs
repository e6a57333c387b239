//! Hypertext Transfer Protocol 1.

use crate::{Family, Protocol};

/// Hypertext Transfer Protocol 1.
pub const PROTOCOL: Protocol = Protocol {
    name: "http",
    title: "Hypertext Transfer Protocol 1",
    family: Family::Web,
    source: "",
    ..Protocol::BASE
};
