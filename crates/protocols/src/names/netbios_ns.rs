//! NetBIOS name service.

use crate::{Family, Protocol};

/// NetBIOS name service.
pub const PROTOCOL: Protocol = Protocol {
    name: "netbios-ns",
    title: "NetBIOS name service",
    family: Family::Names,
    source: "",
    ..Protocol::BASE
};
