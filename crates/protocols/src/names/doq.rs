//! DNS over QUIC (RFC 9250), seen from outside: QUIC with the application protocol `doq` or one of its drafts. The `quic`
//! parser reads it and gives it this name; the queries inside are not visible. The drafts used port 784 and 8853.

use crate::{Family, Protocol, udp};

/// DNS over QUIC.
pub const PROTOCOL: Protocol = Protocol {
    name: "doq",
    title: "DNS over QUIC",
    family: Family::Names,
    source: "RFC 9250",
    ports: &[udp(853), udp(784), udp(8853)],
    ..Protocol::BASE
};
