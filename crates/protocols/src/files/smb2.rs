//! Server Message Block 2 and 3.

use crate::{Family, Protocol};

/// Server Message Block 2 and 3.
pub const PROTOCOL: Protocol = Protocol {
    name: "smb2",
    title: "Server Message Block 2 and 3",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
