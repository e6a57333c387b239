//! What TLS carries: told by the application protocol (ALPN), else by the server's port, else by a resolver's name. That
//! it is TLS has been proven by its payload before; the port only names what is inside.

use super::hello::vec8s;
use crate::names::doh;
use crate::{ProtocolId, Sink};

/// Ports on which one protocol is spoken inside TLS from the first byte on (IANA).
fn by_port(port: u16) -> Option<ProtocolId> {
    Some(match port {
        465 => ProtocolId::Smtps,
        636 | 3269 => ProtocolId::Ldaps,
        853 => ProtocolId::Dot,
        989 | 990 => ProtocolId::Ftps,
        993 => ProtocolId::Imaps,
        995 => ProtocolId::Pop3s,
        _ => return None,
    })
}

/// One application protocol.
fn by_alpn(alpn: &[u8]) -> Option<ProtocolId> {
    Some(match alpn {
        b"dot" => ProtocolId::Dot,
        b"imap" => ProtocolId::Imaps,
        b"pop3" => ProtocolId::Pop3s,
        b"ftp" => ProtocolId::Ftps,
        _ if alpn.starts_with(b"doq") => ProtocolId::Doq,
        _ => return None,
    })
}

/// Names the flow by the server's port; for a first record without a ClientHello.
pub(super) fn name_by_port(port: u16, out: &mut Sink<'_>) {
    if let Some(protocol) = by_port(port) {
        out.relabel(protocol);
    }
}

/// Names the flow by what a ClientHello says: `alpn` is its list, `sni` its name.
pub(super) fn name(quic: bool, port: u16, alpn: &[u8], sni: &[u8], out: &mut Sink<'_>) {
    // Web clients offer several; only a sole kind of protocol names the flow.
    let first = vec8s(alpn).next().and_then(by_alpn);
    let by_port = || if quic { None } else { by_port(port) };
    let web = alpn.is_empty() || vec8s(alpn).any(|p| p.starts_with(b"h"));
    let by_name = || (web && matches!(port, 443 | 8443) && doh::is_resolver(sni)).then_some(ProtocolId::Doh);
    if let Some(protocol) = first.or_else(by_port).or_else(by_name) {
        out.relabel(protocol);
    }
}
