//! Tabular Data Stream (Microsoft SQL Server).

use crate::{Family, Protocol};

/// Tabular Data Stream (Microsoft SQL Server).
pub const PROTOCOL: Protocol = Protocol {
    name: "tds",
    title: "Tabular Data Stream (Microsoft SQL Server)",
    family: Family::Database,
    source: "",
    ..Protocol::BASE
};
