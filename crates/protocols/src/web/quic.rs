//! QUIC.

use crate::{Family, Protocol};

/// QUIC.
pub const PROTOCOL: Protocol =
    Protocol { name: "quic", title: "QUIC", family: Family::Web, source: "", ..Protocol::BASE };
