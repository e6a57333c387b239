//! Protocols in which one connection asks many things: each question is decided on by itself.

use daylight_protocols::ProtocolId;
use daylight_protocols::names::dns::message::{Header, Reader};

/// What a packet of the client's asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case, without a trailing dot or a port.
    pub name: String,
    /// How it asks.
    pub kind: Kind,
}

/// How a question is asked, and so how it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A DNS query in a datagram.
    Dns,
    /// A DNS query in a stream, with its length before it.
    DnsStream,
    /// An HTTP/1 request with this method.
    Http(String),
}

/// True if a flow of this protocol asks many things, so that no one answer holds for all of it.
pub fn asks_many(protocol: ProtocolId) -> bool {
    matches!(protocol, ProtocolId::Dns | ProtocolId::Http)
}

/// What a payload of the client's of a flow of this protocol asks for: a DNS query, or the beginning of an HTTP request. `None`
/// if it asks for nothing, or for nothing with a name.
///
/// Questions that begin in the middle of a segment, behind others, are not seen; the first of each flow is read whole by
/// its parser, however it is cut.
pub fn asked(protocol: ProtocolId, tcp: bool, payload: &[u8]) -> Option<Question> {
    match protocol {
        ProtocolId::Dns if tcp => dns(payload.get(2..)?, Kind::DnsStream),
        ProtocolId::Dns => dns(payload, Kind::Dns),
        ProtocolId::Http => http(payload),
        _ => None,
    }
}

fn dns(message: &[u8], kind: Kind) -> Option<Question> {
    let header = Header::read(message)?;
    if header.is_response() || header.counts[0] != 1 {
        return None;
    }
    let name = Reader::new(message).question().ok()?.name.lower();
    Some(Question { name, kind })
}

fn http(payload: &[u8]) -> Option<Question> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    // A head that is cut off, or too long, is read as far as it goes.
    let _ = request.parse(payload);
    let method = request.method?.to_owned();
    let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    let absolute = request.path.and_then(|path| path.split_once("://")).map(|(_, rest)| rest);
    let authority = match (absolute, host) {
        (Some(rest), _) => rest.split(['/', '?']).next()?,
        (None, Some(host)) => std::str::from_utf8(host.value).ok()?,
        (None, None) => return None,
    };
    let name = without_port(authority.trim()).trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(Question { name, kind: Kind::Http(method) })
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // Not within an IPv6 address.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(protocol: ProtocolId, payload: &[u8]) -> Option<String> {
        asked(protocol, false, payload).map(|question| question.name)
    }

    #[test]
    fn requests() {
        let http = |payload: &str| name(ProtocolId::Http, payload.as_bytes());
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nHost: Example.ORG\r\n\r\n", Some("example.org")),
            ("GET / HTTP/1.1\r\nhOST:\t example.org.:8080 \r\nAccept: */*\r\n\r\n", Some("example.org")),
            ("GET http://a.test/x HTTP/1.1\r\nHost: b.test\r\n\r\n", Some("a.test")),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", Some("[2001:db8::1]")),
            ("GET / HTTP/1.0\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: cut.example.org\r\nX", Some("cut.example.org")),
            ("not a request", None),
            ("", None),
        ] {
            assert_eq!(http(request).as_deref(), expected, "{request:?}");
        }
    }

    #[test]
    fn queries() {
        let query = b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x03wWw\x07example\x03org\0\0\x01\0\x01";
        assert_eq!(name(ProtocolId::Dns, query).as_deref(), Some("www.example.org"));
        assert_eq!(name(ProtocolId::Dns, &query[..20]), None);
        let mut framed = vec![0, query.len() as u8];
        framed.extend(query);
        let asked = asked(ProtocolId::Dns, true, &framed).unwrap();
        assert_eq!((asked.name.as_str(), asked.kind), ("www.example.org", Kind::DnsStream));
        let mut answer = query.to_vec();
        answer[2] |= 0x80;
        assert_eq!(name(ProtocolId::Dns, &answer), None);
    }
}
