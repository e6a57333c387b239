//! Remote Desktop Protocol.

use crate::{Family, Protocol};

/// Remote Desktop Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "rdp",
    title: "Remote Desktop Protocol",
    family: Family::Remote,
    source: "",
    ..Protocol::BASE
};
