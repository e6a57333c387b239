//! OpenVPN.

use crate::{Family, Protocol};

/// OpenVPN.
pub const PROTOCOL: Protocol =
    Protocol { name: "openvpn", title: "OpenVPN", family: Family::Vpn, source: "", ..Protocol::BASE };
