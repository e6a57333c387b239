//! NetBIOS session service.

use crate::{Family, Protocol};

/// NetBIOS session service.
pub const PROTOCOL: Protocol = Protocol {
    name: "netbios-ssn",
    title: "NetBIOS session service",
    family: Family::Names,
    source: "",
    ..Protocol::BASE
};
