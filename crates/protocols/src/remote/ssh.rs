//! Secure Shell.

use crate::{Family, Protocol};

/// Secure Shell.
pub const PROTOCOL: Protocol =
    Protocol { name: "ssh", title: "Secure Shell", family: Family::Remote, source: "", ..Protocol::BASE };
