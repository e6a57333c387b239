//! FTP over TLS from the first byte on, seen from outside: TLS with the application protocol `ftp`, or on port 990 (data:
//! 989). The `tls` parser reads it and gives it this name. After AUTH TLS (RFC 4217) a flow stays `ftp`.

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
