//! DNS over TLS.

use crate::{Family, Protocol};

/// DNS over TLS.
pub const PROTOCOL: Protocol =
    Protocol { name: "dot", title: "DNS over TLS", family: Family::Names, source: "", ..Protocol::BASE };
