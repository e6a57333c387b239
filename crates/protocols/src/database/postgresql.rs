//! PostgreSQL.

use crate::{Family, Protocol};

/// PostgreSQL.
pub const PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    title: "PostgreSQL",
    family: Family::Database,
    source: "",
    ..Protocol::BASE
};
