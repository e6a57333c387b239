//! Telnet.

use crate::{Family, Protocol};

/// Telnet.
pub const PROTOCOL: Protocol =
    Protocol { name: "telnet", title: "Telnet", family: Family::Remote, source: "", ..Protocol::BASE };
