//! Microsoft Teams call.

use crate::{Family, Protocol};

/// Microsoft Teams call.
pub const PROTOCOL: Protocol = Protocol {
    name: "teams",
    title: "Microsoft Teams call",
    family: Family::Media,
    source: "",
    ..Protocol::BASE
};
