//! POP3 over TLS from the first byte on (RFC 8314), seen from outside: TLS with the application protocol `pop3`, or on port
//! 995. The `tls` parser reads it and gives it this name. After STLS a flow stays `pop3`.

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
