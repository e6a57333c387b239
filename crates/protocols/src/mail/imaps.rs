//! IMAP over TLS.

use crate::{Family, Protocol};

/// IMAP over TLS.
pub const PROTOCOL: Protocol =
    Protocol { name: "imaps", title: "IMAP over TLS", family: Family::Mail, source: "", ..Protocol::BASE };
