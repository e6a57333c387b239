//! IPsec Authentication Header.

use crate::{Family, Protocol};

/// IPsec Authentication Header.
pub const PROTOCOL: Protocol = Protocol {
    name: "ah",
    title: "IPsec Authentication Header",
    family: Family::Vpn,
    source: "",
    ..Protocol::BASE
};
