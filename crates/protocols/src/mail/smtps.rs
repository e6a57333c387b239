//! SMTP over TLS.

use crate::{Family, Protocol};

/// SMTP over TLS.
pub const PROTOCOL: Protocol =
    Protocol { name: "smtps", title: "SMTP over TLS", family: Family::Mail, source: "", ..Protocol::BASE };
