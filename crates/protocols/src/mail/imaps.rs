//! IMAP over TLS from the first byte on (RFC 8314), seen from outside: TLS with the application protocol `imap`, or on port
//! 993. The `tls` parser reads it and gives it this name. After STARTTLS a flow stays `imap`.

use crate::{Family, Protocol, tcp};

/// IMAP over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "imaps",
    title: "IMAP over TLS",
    family: Family::Mail,
    source: "RFC 8314",
    ports: &[tcp(993)],
    ..Protocol::BASE
};
