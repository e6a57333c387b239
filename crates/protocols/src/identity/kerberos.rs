//! Kerberos 5.

use crate::{Family, Protocol};

/// Kerberos 5.
pub const PROTOCOL: Protocol = Protocol {
    name: "kerberos",
    title: "Kerberos 5",
    family: Family::Identity,
    source: "",
    ..Protocol::BASE
};
