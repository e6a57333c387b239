//! WireGuard.

use crate::{Family, Protocol};

/// WireGuard.
pub const PROTOCOL: Protocol =
    Protocol { name: "wireguard", title: "WireGuard", family: Family::Vpn, source: "", ..Protocol::BASE };
