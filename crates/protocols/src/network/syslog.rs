//! Syslog.

use crate::{Family, Protocol};

/// Syslog.
pub const PROTOCOL: Protocol =
    Protocol { name: "syslog", title: "Syslog", family: Family::Network, source: "", ..Protocol::BASE };
