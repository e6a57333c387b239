//! AnyDesk.

use crate::{Family, Protocol};

/// AnyDesk.
pub const PROTOCOL: Protocol =
    Protocol { name: "anydesk", title: "AnyDesk", family: Family::Remote, source: "", ..Protocol::BASE };
