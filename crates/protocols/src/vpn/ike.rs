//! Internet Key Exchange.

use crate::{Family, Protocol};

/// Internet Key Exchange.
pub const PROTOCOL: Protocol = Protocol {
    name: "ike",
    title: "Internet Key Exchange",
    family: Family::Vpn,
    source: "",
    ..Protocol::BASE
};
