//! POP3 over TLS, seen from outside: from the first byte on (RFC 8314), which is TLS with the application protocol `pop3`
//! or on port 995, and `pop3` that goes on over TLS after STLS (RFC 2595 §4). The `tls` parser reads both.

use crate::{Family, Protocol, tcp};

/// POP3 over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "pop3s",
    title: "POP3 over TLS",
    family: Family::Mail,
    source: "RFC 8314",
    ports: &[tcp(995)],
    ..Protocol::BASE
};
