//! POP3 over TLS.

use crate::{Family, Protocol};

/// POP3 over TLS.
pub const PROTOCOL: Protocol =
    Protocol { name: "pop3s", title: "POP3 over TLS", family: Family::Mail, source: "", ..Protocol::BASE };
