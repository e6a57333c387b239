//! HTTP proxying with CONNECT (RFC 9110 §9.3.6): a label for flows of `http` in which a client asks a proxy for a
//! tunnel. The fields are `http.*`; what the tunnel carries is identified and read by its own protocol, and its fields
//! join them. The host name is the one that was asked for.

use crate::{Family, Protocol, tcp};

/// HTTP proxying with CONNECT.
pub const PROTOCOL: Protocol = Protocol {
    name: "http-connect",
    title: "HTTP proxying with CONNECT",
    family: Family::Web,
    source: "RFC 9110 §9.3.6",
    ports: &[tcp(3128), tcp(8080), tcp(8000), tcp(8888), tcp(80)],
    ..Protocol::BASE
};
