//! Modbus/TCP.

use crate::{Family, Protocol};

/// Modbus/TCP.
pub const PROTOCOL: Protocol = Protocol {
    name: "modbus",
    title: "Modbus/TCP",
    family: Family::Industrial,
    source: "",
    ..Protocol::BASE
};
