//! MQTT.

use crate::{Family, Protocol};

/// MQTT.
pub const PROTOCOL: Protocol =
    Protocol { name: "mqtt", title: "MQTT", family: Family::Messaging, source: "", ..Protocol::BASE };
