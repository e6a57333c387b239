//! SMTP over TLS, seen from outside: mail submission over TLS from the first byte on (RFC 8314), which is TLS on port 465,
//! and `smtp` that goes on over TLS after STARTTLS (RFC 3207). The `tls` parser reads both.

use crate::{Family, Protocol, tcp};

/// SMTP over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "smtps",
    title: "SMTP over TLS",
    family: Family::Mail,
    source: "RFC 8314",
    ports: &[tcp(465)],
    ..Protocol::BASE
};
