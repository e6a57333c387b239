//! Network File System.

use crate::{Family, Protocol};

/// Network File System.
pub const PROTOCOL: Protocol = Protocol {
    name: "nfs",
    title: "Network File System",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
