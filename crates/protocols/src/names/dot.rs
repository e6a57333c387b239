//! DNS over TLS (RFC 7858), seen from outside: TLS with the application protocol `dot`, or on port 853. The `tls` parser
//! reads it and gives it this name; the queries inside are not visible.

use crate::{Family, Protocol, tcp};

/// DNS over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "dot",
    title: "DNS over TLS",
    family: Family::Names,
    source: "RFC 7858",
    ports: &[tcp(853)],
    ..Protocol::BASE
};
