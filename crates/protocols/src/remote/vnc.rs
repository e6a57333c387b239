//! Virtual Network Computing (RFB).

use crate::{Family, Protocol};

/// Virtual Network Computing (RFB).
pub const PROTOCOL: Protocol = Protocol {
    name: "vnc",
    title: "Virtual Network Computing (RFB)",
    family: Family::Remote,
    source: "",
    ..Protocol::BASE
};
