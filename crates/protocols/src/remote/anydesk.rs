//! AnyDesk: remote desktops over TLS, with certificates of its own. What names it is in the TLS handshake, so that the
//! label comes from there: both ends show a certificate for the same fixed name, relays one from AnyDesk's own root, and
//! the client offers an application protocol of its own. No server name is sent. There is no public description; the
//! names were read off the certificates that the software shows.
//!
//! Its discovery in the local network (UDP 50001 to 50003) is not described anywhere public and is not read.

use crate::{Family, Protocol, tcp};

/// AnyDesk.
pub const PROTOCOL: Protocol = Protocol {
    name: "anydesk",
    title: "AnyDesk",
    family: Family::Remote,
    source: "TLS certificates and ALPN of the software itself; no public description",
    ports: &[tcp(6568), tcp(7070)],
    ..Protocol::BASE
};

/// True if a certificate's subject or issuer has one of AnyDesk's own common names.
pub fn named_by_certificate(common_name: &[u8]) -> bool {
    matches!(common_name, b"AnyDesk Client" | b"AnyNet Relay" | b"AnyNet Root CA")
}

/// True if an application protocol name (ALPN) is AnyDesk's: `anydesk/6.2.0/linux`.
pub fn named_by_alpn(alpn: &[u8]) -> bool {
    alpn.starts_with(b"anydesk/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(named_by_certificate(b"AnyDesk Client") && !named_by_certificate(b"anydesk.com"));
        assert!(named_by_alpn(b"anydesk/7.0.0/windows") && !named_by_alpn(b"h2"));
    }
}
