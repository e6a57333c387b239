//! FTP over TLS, seen from outside: from the first byte on, which is TLS with the application protocol `ftp` or on port 990
//! (data: 989), and `ftp` that goes on over TLS after AUTH TLS (RFC 4217). The `tls` parser reads both.

use crate::{Family, Protocol, tcp};

/// FTP over TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "ftps",
    title: "FTP over TLS",
    family: Family::Files,
    source: "RFC 4217 and its forerunners",
    ports: &[tcp(990), tcp(989)],
    ..Protocol::BASE
};
