//! Zoom.

use crate::{Family, Protocol};

/// Zoom.
pub const PROTOCOL: Protocol =
    Protocol { name: "zoom", title: "Zoom", family: Family::Media, source: "", ..Protocol::BASE };
