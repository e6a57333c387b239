//! IMAP over TLS, seen from outside: from the first byte on (RFC 8314), which is TLS with the application protocol `imap`
//! or on port 993, and `imap` that goes on over TLS after STARTTLS (RFC 9051 §6.2.1). The `tls` parser reads both.

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
