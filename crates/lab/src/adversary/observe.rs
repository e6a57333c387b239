//! What an adversary reads out of payloads: a server name, a Host header, a QUIC ClientHello.
//!
//! These readers are as forgiving as middleboxes are: they take what is there of a message that is cut off, and don't check
//! what they don't need. QUIC goes through the inspector's parser, as its Initial packets have to be decrypted.

use std::net::{IpAddr, Ipv4Addr};

use daylight_protocols::common::HOSTNAME;
use daylight_protocols::{Dir, Findings, ProtocolId, Sink, Wanted};

/// The server name in a TLS ClientHello that starts `stream`, in as many records as it takes. A hello that is cut off is
/// read as far as it goes.
pub(crate) fn server_name(stream: &[u8]) -> Option<String> {
    let hello = handshake(stream)?;
    let [1, _, _, _, body @ ..] = hello.as_slice() else { return None };
    // Version and random, session id, cipher suites, compression methods (RFC 8446 §4.1.2).
    let mut at = 34;
    at += 1 + usize::from(*body.get(at)?);
    at += 2 + be16(body, at)?;
    at += 1 + usize::from(*body.get(at)?);
    let mut rest = body.get(at + 2..)?;
    while let (Some(kind), Some(len)) = (be16(rest, 0), be16(rest, 2)) {
        if kind == 0 {
            // A list of one name of type host_name (RFC 6066 §3).
            let len = be16(rest, 7)?;
            let name = rest.get(9..9 + len)?;
            return Some(String::from_utf8_lossy(name).to_ascii_lowercase());
        }
        rest = rest.get(4 + len..)?;
    }
    None
}

/// The bytes of the handshake records at the start of a stream.
fn handshake(mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let [22, 3, _, a, b, rest @ ..] = stream {
        let len = usize::from(u16::from_be_bytes([*a, *b]));
        out.extend_from_slice(rest.get(..len).unwrap_or(rest));
        stream = rest.get(len..).unwrap_or_default();
    }
    (!out.is_empty()).then_some(out)
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))
}

/// True if this starts like a TLS handshake record.
pub(crate) fn is_tls(payload: &[u8]) -> bool {
    matches!(payload, [22, 3, 0..=4, ..])
}

/// The methods that are taken for HTTP (Bock et al., FOCI 2020, §4.3, plus PATCH and TRACE of RFC 9110).
pub(crate) const METHODS: [&str; 9] =
    ["GET ", "POST ", "HEAD ", "CONNECT ", "OPTIONS ", "DELETE ", "PUT ", "PATCH ", "TRACE "];

/// An HTTP/1 request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// The Host header without its port, in lower case, if it is there.
    pub(crate) host: Option<String>,
    /// The target of the request line.
    pub(crate) target: &'a [u8],
}

/// The HTTP/1 request that starts `stream`, as far as it is there.
pub(crate) fn request(stream: &[u8]) -> Option<Request<'_>> {
    let method = METHODS.iter().find(|m| stream.starts_with(m.as_bytes()))?;
    let target = stream[method.len()..].split(|b| matches!(b, b' ' | b'\r' | b'\n')).next()?;
    let mut host = None;
    // The last line may be cut off, so it only counts with its end.
    let whole = stream.iter().rposition(|b| *b == b'\n').map_or(&[][..], |end| &stream[..end]);
    for line in whole.split(|b| *b == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            break;
        };
        if line[..colon].eq_ignore_ascii_case(b"host") {
            host = Some(without_port(&String::from_utf8_lossy(line[colon + 1..].trim_ascii())));
            break;
        }
    }
    Some(Request { host, target })
}

fn without_port(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    name.to_ascii_lowercase()
}

/// Version of a QUIC packet with a long header (RFC 8999 §5.1).
pub(crate) fn quic_version(datagram: &[u8]) -> Option<u32> {
    match datagram {
        [first, a, b, c, d, ..] if first & 0x80 != 0 => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// The server name in the ClientHello of a client's Initial packets: of those datagrams, together.
pub(crate) fn quic_server_name<'a>(datagrams: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut parser = (ProtocolId::Quic.get().parser?)();
    let (mut found, mut wanted) = (Findings::default(), Wanted::none());
    wanted.add(HOSTNAME);
    let (mut events, mut facts) = (Vec::new(), Vec::new());
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    for datagram in datagrams {
        let mut sink = Sink::new(&mut found, &wanted, &mut events, &mut facts, 0, [nobody; 2], [40_000, 443]);
        let _ = parser.datagram(Dir::Client, datagram, &mut sink);
    }
    found.text(HOSTNAME).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daylight_protocols::testing::tls::{ClientHello, Initial, crypto_frame, records};
    use proptest::prelude::*;

    fn hello(name: &'static str) -> Vec<u8> {
        ClientHello::new(name).message()
    }

    #[test]
    fn a_server_name_in_one_record_and_in_many() {
        let message = hello("Blocked.Example");
        for sizes in [&[][..], &[1], &[5, 7, 60], &[50]] {
            let stream = records(&message, sizes);
            assert_eq!(server_name(&stream).as_deref(), Some("blocked.example"), "{sizes:?}");
        }
        let stream = records(&message, &[]);
        let at = stream.windows(7).position(|w| w == b"Blocked").unwrap();
        assert_eq!(server_name(&stream[..at + 3]), None);
        assert_eq!(server_name(b"GET / HTTP/1.1\r\n"), None);
    }

    #[test]
    fn a_host_header_as_far_as_it_is_there() {
        let read = |s: &str| request(s.as_bytes()).and_then(|r| r.host);
        assert_eq!(read("GET /a HTTP/1.1\r\nhOsT:  A.Example:8080 \r\n\r\n").as_deref(), Some("a.example"));
        assert_eq!(read("GET /a HTTP/1.1\r\nHost: a.exam"), None);
        assert_eq!(read("GET /a HTTP/1.1\r\n\r\nHost: body.example\r\n"), None);
        assert_eq!(request(b"SSH-2.0"), None);
        assert_eq!(request(b"POST /x?q=1 HTTP/1.1\r\n").unwrap().target, b"/x?q=1");
    }

    #[test]
    fn a_server_name_in_quic() {
        let message = hello("quic.example");
        let (a, b) = message.split_at(60);
        let initial = Initial::new(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let whole = initial.datagram(Dir::Client, &crypto_frame(0, &message));
        assert_eq!((quic_version(&whole), whole.len()), (Some(1), 1200));
        assert_eq!(quic_server_name([&whole[..]]).as_deref(), Some("quic.example"));
        let first = initial.datagram(Dir::Client, &crypto_frame(0, a));
        let second = Initial { number: 1, ..initial }.datagram(Dir::Client, &crypto_frame(60, b));
        assert_eq!(quic_server_name([&first[..]]), None);
        assert_eq!(quic_server_name([&first[..], &second]).as_deref(), Some("quic.example"));
    }

    proptest! {
        #[test]
        fn no_bytes_break_them(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (server_name(&bytes), request(&bytes), quic_version(&bytes));
            let _ = server_name(&[&[22, 3, 1, 0, 180, 1, 0, 0, 176, 3, 3][..], &bytes].concat());
        }
    }
}
