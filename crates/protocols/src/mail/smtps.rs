//! Mail submission over TLS from the first byte on (RFC 8314), seen from outside: TLS on port 465. The `tls` parser reads
//! it and gives it this name. After STARTTLS a flow stays `smtp`.

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
