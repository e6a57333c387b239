//! WebSocket.

use crate::{Family, Protocol};

/// WebSocket.
pub const PROTOCOL: Protocol =
    Protocol { name: "websocket", title: "WebSocket", family: Family::Web, source: "", ..Protocol::BASE };
