//! NetBIOS datagram service.

use crate::{Family, Protocol};

/// NetBIOS datagram service.
pub const PROTOCOL: Protocol = Protocol {
    name: "netbios-dgm",
    title: "NetBIOS datagram service",
    family: Family::Names,
    source: "",
    ..Protocol::BASE
};
