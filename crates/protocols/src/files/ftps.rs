//! FTP over TLS.

use crate::{Family, Protocol};

/// FTP over TLS.
pub const PROTOCOL: Protocol =
    Protocol { name: "ftps", title: "FTP over TLS", family: Family::Files, source: "", ..Protocol::BASE };
