//! LDAP over TLS from the first byte on, seen from outside: TLS on port 636 (global catalogue: 3269). The `tls` parser reads
//! it and gives it this name. After StartTLS (RFC 4511 §4.14) a flow stays `ldap`.

use crate::{Family, Protocol, tcp};

/// LDAP over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "ldaps",
    title: "LDAP over TLS",
    family: Family::Identity,
    source: "IANA service ldaps; RFC 4511",
    ports: &[tcp(636), tcp(3269)],
    ..Protocol::BASE
};
