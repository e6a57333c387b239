//! MongoDB.

use crate::{Family, Protocol};

/// MongoDB.
pub const PROTOCOL: Protocol =
    Protocol { name: "mongodb", title: "MongoDB", family: Family::Database, source: "", ..Protocol::BASE };
