//! Extensible Messaging and Presence Protocol: who opens a stream to whom, and how it is secured.
//!
//! A stream is one long XML document that begins with `<stream:stream`, naming the domain (RFC 6120). The reader below
//! goes from tag to tag without building anything; stanzas' contents are not kept. After `<proceed/>` the stream is
//! TLS. Not read: XMPP over WebSocket or BOSH, and compressed streams.

use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, tcp,
};

fields! { ProtocolId::Xmpp;
    TO: Str "to" "Domain that the client addresses";
    FROM: Str "from" "Domain that the server answers as";
    NAMESPACE: Str "namespace" "client, server or component";
    VERSION: Str "version" "Version of the stream";
    MECHANISMS: [Str] "mechanisms" "SASL mechanisms that the server offers";
    MECHANISM: Str "mechanism" "SASL mechanism that the client uses, or iq-auth (XEP-0078)";
    LOGIN: Str "login" "success or failure";
    STARTTLS: Bool "starttls" "The client asked for TLS, and whether the server agreed";
    STANZAS: [Str] "stanzas" "Stanzas seen: iq, message, presence";
    ERROR: Str "error" "Condition of a stream error";
    COMPRESSED: Bool "compressed" "The stream went on compressed and can't be read";
}

/// Extensible Messaging and Presence Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "xmpp",
    title: "Extensible Messaging and Presence Protocol",
    family: Family::Messaging,
    source: "RFC 6120",
    ports: &[tcp(5222), tcp(5269), tcp(5275)],
    well_known: true,
    patterns: &[
        Pattern::tcp().min(5).starts(b"<?xml"),
        Pattern::tcp().min(8).starts(b"<stream:"),
        // Shorter first segments.
        Pattern::tcp().len(1, 4).starts(b"<"),
        Pattern::tcp().len(5, 7).starts(b"<stre"),
    ],
    identify,
    parser: Some(|| Box::new(Xmpp::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS],
    ..Protocol::BASE
};

/// The stream's opening tag ends within this.
const HEADER_MAX: usize = 2048;
/// A longer tag, or a longer text before one, is not waited for.
const TAG_MAX: usize = 16 * 1024;
/// After this many tags of a flow it is left alone.
const TAGS_MAX: u32 = 512;

fn identify(p: &Probe<'_>) -> Verdict {
    let bytes = p.payload;
    let possible = |start: &[u8]| bytes.starts_with(&start[..start.len().min(bytes.len())]);
    if !possible(b"<?xml") && !possible(b"<stream:stream") {
        return Verdict::No;
    }
    if bytes.len() < 5 {
        return Verdict::Need(5);
    }
    let mut rest = bytes;
    if rest.starts_with(b"<?xml") {
        match tag(rest) {
            Some((_, used)) => rest = rest[used..].trim_ascii_start(),
            None if bytes.len() < HEADER_MAX => return Verdict::Need(bytes.len() + 1),
            None => return Verdict::No,
        }
    }
    let name = b"<stream:stream";
    if !rest.starts_with(&name[..name.len().min(rest.len())]) {
        return Verdict::No;
    }
    match tag(rest) {
        Some((t, _)) => {
            let ours = attribute(t, b"xmlns:stream") == Some(b"http://etherx.jabber.org/streams");
            if ours { Verdict::Yes } else { Verdict::No }
        }
        None if bytes.len() < HEADER_MAX => Verdict::Need(bytes.len() + 1),
        None => Verdict::No,
    }
}

/// The tag at the start of `bytes` without its brackets, and how many bytes it takes. A `>` within quotes does not end
/// it. `None` if its end is not there.
fn tag(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut quote = None;
    for (i, byte) in bytes.iter().enumerate().skip(1) {
        match (*byte, quote) {
            (b'>', None) => return Some((&bytes[1..i], i + 1)),
            (b'\'' | b'"', None) => quote = Some(*byte),
            (b, Some(open)) if b == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The name of a tag, with the slash of an end tag.
fn name(tag: &[u8]) -> &[u8] {
    let end = tag.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(tag.len());
    let name = &tag[..end];
    if name.len() > 1 { name.strip_suffix(b"/").unwrap_or(name) } else { name }
}

/// The value of an attribute as it is written: entities are not resolved.
fn attribute<'a>(tag: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut rest = &tag[name(tag).len()..];
    loop {
        rest = rest.trim_ascii_start();
        let equals = rest.iter().position(|b| *b == b'=')?;
        let key = rest[..equals].trim_ascii_end();
        rest = rest[equals + 1..].trim_ascii_start();
        let quote = *rest.first().filter(|q| matches!(q, b'\'' | b'"'))?;
        let end = rest[1..].iter().position(|b| *b == quote)? + 1;
        let value = &rest[1..end];
        if key == wanted {
            return Some(value);
        }
        rest = &rest[end + 1..];
    }
}

#[derive(Default)]
struct Xmpp {
    tags: u32,
    started: [bool; 2],
    /// Within the element of this name the text is wanted.
    within: [Option<Wanted>; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Mechanism,
    StreamError,
}

impl Parser for Xmpp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let bytes = bytes.get(..TAG_MAX).unwrap_or(bytes);
        let Some(at) = bytes.iter().position(|b| *b == b'<') else {
            // Text, or white space that keeps the connection open. What was before a tag is only read with it.
            return if bytes.len() >= TAG_MAX {
                Step::Consumed(bytes.len())
            } else {
                Step::Need(bytes.len() + 1)
            };
        };
        let text = &bytes[..at];
        let Some((tag, used)) = tag(&bytes[at..]) else {
            return if bytes.len() >= TAG_MAX { Step::Done } else { Step::Need(bytes.len() + 1) };
        };
        self.tags += 1;
        if let Some(step) = self.tag(dir, text, tag, at + used, out) {
            return step;
        }
        if self.tags >= TAGS_MAX { Step::Finished } else { Step::Consumed(at + used) }
    }
}

impl Xmpp {
    fn tag(&mut self, dir: Dir, text: &[u8], tag: &[u8], used: usize, out: &mut Sink<'_>) -> Option<Step> {
        let within = self.within[dir.index()].take();
        let name = name(tag);
        match (name, dir) {
            (b"stream:stream", _) => self.open(dir, tag, out),
            (b"mechanism", Dir::Server) => self.within[1] = Some(Wanted::Mechanism),
            (b"/mechanism", Dir::Server) if within == Some(Wanted::Mechanism) => {
                out.push(MECHANISMS, Value::text(text.trim_ascii()));
            }
            (b"starttls", Dir::Client) => out.set(STARTTLS, false),
            (b"proceed", Dir::Server) => {
                out.replace(STARTTLS, true);
                return Some(Step::Switch(used, Some(ProtocolId::Tls)));
            }
            // SASL, and its second edition (XEP-0388).
            (b"auth" | b"authenticate", Dir::Client) => {
                if let Some(mechanism) = attribute(tag, b"mechanism") {
                    out.set_text(MECHANISM, mechanism);
                    if matches!(mechanism, b"PLAIN" | b"LOGIN") {
                        out.risk(&CLEAR_TEXT_CREDENTIALS, || {
                            format!("xmpp.mechanism={}", String::from_utf8_lossy(mechanism))
                        });
                    }
                }
            }
            // XEP-0078: <password> holds it as it is, <digest> does not.
            (b"password", Dir::Client) => {
                out.set(MECHANISM, "iq-auth");
                out.risk(&CLEAR_TEXT_CREDENTIALS, || "xmpp.mechanism=iq-auth".into());
            }
            (b"success", Dir::Server) => out.set(LOGIN, "success"),
            (b"failure", Dir::Server) => out.set(LOGIN, "failure"),
            (b"compressed", Dir::Server) => {
                out.set(COMPRESSED, true);
                return Some(Step::Finished);
            }
            (b"iq", _) => out.push(STANZAS, "iq"),
            (b"message", _) => out.push(STANZAS, "message"),
            (b"presence", _) => out.push(STANZAS, "presence"),
            (b"stream:error", _) => self.within[dir.index()] = Some(Wanted::StreamError),
            (condition, _) if within == Some(Wanted::StreamError) => out.set_text(ERROR, condition),
            (b"/stream:stream", _) => return Some(Step::Done),
            _ => {}
        }
        None
    }

    fn open(&mut self, dir: Dir, tag: &[u8], out: &mut Sink<'_>) {
        self.started[dir.index()] = true;
        if self.started == [true, true] {
            out.confirm();
        }
        match attribute(tag, b"xmlns") {
            Some(b"jabber:client") => out.set(NAMESPACE, "client"),
            Some(b"jabber:server") => out.set(NAMESPACE, "server"),
            Some(ns) if ns.starts_with(b"jabber:component:") => out.set(NAMESPACE, "component"),
            _ => {}
        }
        if let Some(version) = attribute(tag, b"version") {
            out.set_text(VERSION, version);
        }
        let (key, field) = if dir == Dir::Client { (&b"to"[..], TO) } else { (&b"from"[..], FROM) };
        if let Some(domain) = attribute(tag, key) {
            out.set_text(field, domain);
            out.hostname(domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    const OPEN: &[u8] = b"<?xml version='1.0'?><stream:stream to='Example.org' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    const ANSWER: &[u8] = b"<?xml version='1.0'?><stream:stream from=\"example.org\" id=\"a>b\" xmlns=\"jabber:client\" xmlns:stream=\"http://etherx.jabber.org/streams\" version=\"1.0\"><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>";

    #[test]
    fn starttls_however_it_is_cut() {
        let ask = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        let proceed = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        let seen = Flow::tcp(5222).client(OPEN).server(ANSWER).client(ask).server(proceed).run_split();
        assert_eq!(seen.protocol, ProtocolId::Xmpp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(crate::common::HOSTNAME), "example.org");
        assert_eq!((seen.show(TO), seen.show(FROM)), ("Example.org".into(), "example.org".into()));
        assert_eq!(
            (seen.show(NAMESPACE), seen.show(MECHANISMS)),
            ("client".into(), "SCRAM-SHA-1,PLAIN".into())
        );
        assert_eq!(seen.show(STARTTLS), "true");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn a_password_in_clear() {
        let auth =
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAGh1bnRlcjI=</auth>";
        let rest = b"\n <message to='bob@example.org'><body>rendezvous</body></message>";
        let seen = Flow::tcp(5222)
            .client(OPEN)
            .server(ANSWER)
            .client(auth)
            .server(b"<success/>")
            .client(rest)
            .run_split();
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert_eq!((seen.show(LOGIN), seen.show(STANZAS)), ("success".into(), "message".into()));
        let all = format!("{:?}", seen.found);
        assert!(!all.contains("AGFsaWNl") && !all.contains("rendezvous"));
        let old = b"<iq type='set'><query xmlns='jabber:iq:auth'><username>a</username><password>b</password></query></iq>";
        assert_eq!(Flow::tcp(5222).client(OPEN).client(old).run().risks(), ["clear-text-credentials"]);
    }

    #[test]
    fn a_stream_error() {
        let error = b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
        let answer = [ANSWER, error].concat();
        assert_eq!(Flow::tcp(5222).client(OPEN).server(&answer).run_split().show(ERROR), "host-unknown");
    }

    #[test]
    fn other_xml_is_not_claimed() {
        for bytes in [
            &b"<?xml version='1.0'?><soap:Envelope xmlns:stream='http://etherx.jabber.org/streams'>"[..],
            b"<stream:stream xmlns:stream='http://example.org/other'>",
            b"<html><body>",
            b"<streaming>",
        ] {
            assert_eq!(Flow::tcp(5222).client(bytes).run().protocol, ProtocolId::Unknown);
        }
    }
}
