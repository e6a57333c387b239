//! MySQL and MariaDB.

use crate::{Family, Protocol};

/// MySQL and MariaDB.
pub const PROTOCOL: Protocol = Protocol {
    name: "mysql",
    title: "MySQL and MariaDB",
    family: Family::Database,
    source: "",
    ..Protocol::BASE
};
