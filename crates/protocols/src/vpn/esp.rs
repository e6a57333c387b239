//! IPsec Encapsulating Security Payload.

use crate::{Family, Protocol};

/// IPsec Encapsulating Security Payload.
pub const PROTOCOL: Protocol = Protocol {
    name: "esp",
    title: "IPsec Encapsulating Security Payload",
    family: Family::Vpn,
    source: "",
    ..Protocol::BASE
};
