//! LDAP over TLS.

use crate::{Family, Protocol};

/// LDAP over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "ldaps",
    title: "LDAP over TLS",
    family: Family::Identity,
    source: "",
    ..Protocol::BASE
};
