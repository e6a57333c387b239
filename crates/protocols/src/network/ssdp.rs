//! Simple Service Discovery Protocol, the discovery of UPnP and of much else at home: searches, announcements and
//! answers, written like HTTP but sent as datagrams.
//!
//! The request lines `M-SEARCH * HTTP/1.1` and `NOTIFY * HTTP/1.1` occur nowhere else; an answer is known by the headers
//! that every answer has. Plex and others use the same on ports of their own.

use crate::common::USER_AGENT;
use crate::cursor::line;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, udp,
};

fields! { ProtocolId::Ssdp;
    METHODS: [Str] "methods" "m-search, notify, and response";
    TARGETS: [Str] "targets" "What is searched for or announced (ST and NT headers)";
    NTS: [Str] "nts" "Kind of announcement: ssdp:alive, ssdp:byebye, ssdp:update";
    USN: [Str] "usn" "Unique service names";
    SERVER: Str "server" "What the device says it is: system, UPnP version, product";
    LOCATION: [Str] "location" "Where the device's description is";
    STATUS: Uint "status" "Status of the first answer";
}

/// Simple Service Discovery Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ssdp",
    title: "Simple Service Discovery Protocol",
    family: Family::Network,
    source: "UPnP Device Architecture 2.0 §1",
    ports: &[udp(1900)],
    patterns: &[
        Pattern::udp().min(19).starts(b"M-SEARCH * HTTP/1."),
        Pattern::udp().min(17).starts(b"NOTIFY * HTTP/1."),
        Pattern::udp().min(15).starts(b"HTTP/1."),
    ],
    identify,
    parser: Some(|| Box::new(Ssdp::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// After this many datagrams of a flow nothing new is expected.
const DATAGRAMS_MAX: u32 = 64;
/// Headers of a datagram beyond this are not read.
const HEADERS_MAX: usize = 64;

fn identify(p: &Probe<'_>) -> Verdict {
    let Some((first, _)) = line(p.payload) else { return Verdict::No };
    let request = [&b"M-SEARCH * HTTP/1."[..], b"NOTIFY * HTTP/1."]
        .iter()
        .any(|start| first.strip_prefix(*start).is_some_and(|rest| matches!(rest, [b'0' | b'1'])));
    if request {
        return Verdict::Yes;
    }
    if status(first).is_none() {
        return Verdict::No;
    }
    // An answer names what it answers to, and who gives it. The search went to a group address and so belongs to another
    // flow: answers come by themselves.
    let named = headers(p.payload).any(|(name, _)| is(name, b"ST") || is(name, b"USN") || is(name, b"NT"));
    if named { Verdict::Yes } else { Verdict::No }
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.0 ").or_else(|| line.strip_prefix(b"HTTP/1.1 "))?;
    let digits = rest.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit))?;
    Some(digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
}

/// The headers after the first line: name and value.
fn headers(datagram: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = line(datagram).map_or(&[][..], |(_, used)| &datagram[used..]);
    std::iter::from_fn(move || {
        // Some devices leave the last line's end out.
        let (text, used) = line(rest).unwrap_or((rest, rest.len()));
        rest = &rest[used..];
        let colon = text.iter().position(|b| *b == b':')?;
        Some((text[..colon].trim_ascii(), text[colon + 1..].trim_ascii()))
    })
    .take(HEADERS_MAX)
}

fn is(name: &[u8], wanted: &[u8]) -> bool {
    name.eq_ignore_ascii_case(wanted)
}

#[derive(Default)]
struct Ssdp {
    datagrams: u32,
    searched: bool,
}

impl Parser for Ssdp {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.datagrams += 1;
        let first = line(bytes).map_or(bytes, |(first, _)| first);
        let method = if first.starts_with(b"M-SEARCH ") {
            self.searched |= dir == Dir::Client;
            "m-search"
        } else if first.starts_with(b"NOTIFY ") {
            "notify"
        } else if let Some(status) = status(first) {
            out.set(STATUS, status);
            if self.searched && dir == Dir::Server {
                out.confirm();
            }
            "response"
        } else {
            return Step::Malformed(0);
        };
        out.push(METHODS, method);
        for (name, value) in headers(bytes).filter(|(_, value)| !value.is_empty()) {
            if is(name, b"HOST") && method != "response" {
                out.hostname(value);
            } else if is(name, b"ST") || is(name, b"NT") {
                out.push(TARGETS, Value::text(value));
            } else if is(name, b"NTS") {
                out.push(NTS, Value::text(value));
            } else if is(name, b"USN") {
                out.push(USN, Value::text(value));
            } else if is(name, b"LOCATION") {
                out.push(LOCATION, Value::text(value));
            } else if is(name, b"SERVER") {
                out.set_text(SERVER, value);
            } else if is(name, b"USER-AGENT") {
                out.set_text(USER_AGENT, value);
            }
        }
        if self.datagrams >= DATAGRAMS_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::HOSTNAME;
    use crate::testing::Flow;

    const SEARCH: &[u8] = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: urn:dial-multiscreen-org:service:dial:1\r\nUSER-AGENT: Google Chrome/120.0 Windows\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nST: upnp:rootdevice\r\nUSN: uuid:1::upnp:rootdevice\r\nLocation: http://192.0.2.9:80/d.xml\r\nServer: Linux/5 UPnP/1.0 Box/2\r\n\r\n";

    #[test]
    fn a_search_and_an_answer() {
        let seen = Flow::udp(1900).client(SEARCH).server(ANSWER).run();
        assert_eq!(seen.protocol, ProtocolId::Ssdp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(HOSTNAME), "239.255.255.250:1900");
        assert_eq!(seen.show(METHODS), "m-search,response");
        assert_eq!(seen.show(TARGETS), "urn:dial-multiscreen-org:service:dial:1,upnp:rootdevice");
        assert_eq!(
            (seen.show(USN), seen.show(LOCATION)),
            ("uuid:1::upnp:rootdevice".into(), "http://192.0.2.9:80/d.xml".into())
        );
        assert_eq!((seen.show(SERVER), seen.show(STATUS)), ("Linux/5 UPnP/1.0 Box/2".into(), "200".into()));
        assert_eq!(seen.show(USER_AGENT), "Google Chrome/120.0 Windows");
    }

    #[test]
    fn an_announcement_and_a_bare_search_on_another_port() {
        let notify = b"NOTIFY * HTTP/1.1\r\nHost: [FF02::C]:1900\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: uuid:1\r\n\r\n";
        let seen = Flow::udp(1900).client(notify).run();
        assert_eq!((seen.show(HOSTNAME), seen.show(NTS)), ("[ff02::c]:1900".into(), "ssdp:alive".into()));
        let seen = Flow::udp(32412).client(b"M-SEARCH * HTTP/1.1\r\n").run();
        assert_eq!((seen.protocol, seen.show(HOSTNAME)), (ProtocolId::Ssdp, String::new()));
    }

    #[test]
    fn an_answer_by_itself() {
        assert_eq!(Flow::udp(50000).client(ANSWER).run().protocol, ProtocolId::Ssdp);
        let other = b"HTTP/1.1 200 OK\r\nServer: something\r\n\r\n";
        assert_eq!(Flow::udp(1900).client(other).run().protocol, ProtocolId::Unknown);
        // The same method, but SIP's.
        assert_eq!(Flow::udp(1900).client(b"NOTIFY sip:a@b SIP/2.0\r\n\r\n").run().protocol, ProtocolId::Sip);
    }
}
