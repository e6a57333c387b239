//! Server Message Block 1.

use crate::{Family, Protocol};

/// Server Message Block 1.
pub const PROTOCOL: Protocol = Protocol {
    name: "smb1",
    title: "Server Message Block 1",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
