//! WhatsApp.

use crate::{Family, Protocol};

/// WhatsApp.
pub const PROTOCOL: Protocol =
    Protocol { name: "whatsapp", title: "WhatsApp", family: Family::Messaging, source: "", ..Protocol::BASE };
