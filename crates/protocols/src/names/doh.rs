//! DNS over HTTPS.

use crate::{Family, Protocol};

/// DNS over HTTPS.
pub const PROTOCOL: Protocol =
    Protocol { name: "doh", title: "DNS over HTTPS", family: Family::Names, source: "", ..Protocol::BASE };
