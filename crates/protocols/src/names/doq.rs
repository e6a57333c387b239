//! DNS over QUIC.

use crate::{Family, Protocol};

/// DNS over QUIC.
pub const PROTOCOL: Protocol =
    Protocol { name: "doq", title: "DNS over QUIC", family: Family::Names, source: "", ..Protocol::BASE };
