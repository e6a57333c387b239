//! Multicast DNS.

use crate::{Family, Protocol};

/// Multicast DNS.
pub const PROTOCOL: Protocol =
    Protocol { name: "mdns", title: "Multicast DNS", family: Family::Names, source: "", ..Protocol::BASE };
