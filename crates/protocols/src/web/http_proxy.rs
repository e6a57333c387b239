//! HTTP proxying (RFC 9112 §3.2.2): a label for flows of `http` whose requests name their target in absolute form, as
//! clients do to proxies and hardly ever to servers. The fields are `http.*`.

use crate::{Family, Protocol, tcp};

/// HTTP proxying.
pub const PROTOCOL: Protocol = Protocol {
    name: "http-proxy",
    title: "HTTP proxying",
    family: Family::Web,
    source: "RFC 9112 §3.2.2",
    ports: &[tcp(3128), tcp(8080), tcp(8000), tcp(8888), tcp(80)],
    ..Protocol::BASE
};
