//! Link-Local Multicast Name Resolution.

use crate::{Family, Protocol};

/// Link-Local Multicast Name Resolution.
pub const PROTOCOL: Protocol = Protocol {
    name: "llmnr",
    title: "Link-Local Multicast Name Resolution",
    family: Family::Names,
    source: "",
    ..Protocol::BASE
};
