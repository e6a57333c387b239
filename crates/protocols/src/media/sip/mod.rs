//! Session Initiation Protocol: sets up calls. Text like HTTP's, over UDP or TCP, with requests from both ends.
//!
//! A message is a start line with `SIP/2.0` in it, header fields (some with a one-letter form), and a body of
//! `Content-Length` bytes, often a session description: from that the media flows of the call are expected.

mod sdp;

use crate::cursor::line;
use crate::{
    Dir, Event, Fact, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport,
    Value, Verdict, common, fields, risk, risks, tcp, udp,
};

fields! { ProtocolId::Sip;
    METHOD: Str "method" "Method of the first request";
    URI: Str "uri" "Request-URI of the first request";
    FROM: Str "from" "From, of the first message";
    TO: Str "to" "To, of the first message";
    CALL_ID: Str "call_id" "Call-ID of the first message";
    CONTACT: Str "contact" "First Contact of the client";
    SERVER: Str "server" "What the server says it is (Server, or the User-Agent of its responses)";
    SUBJECT: Str "subject" "Subject";
    STATUS: Uint "status" "Status code of the last response";
    REASON: Str "reason" "Reason phrase that goes with it";
    METHODS: [Str] "methods" "All methods seen";
    VIA: [Str] "via" "Path of the first request: sent-by of each Via";
    AUTH: Str "auth" "Scheme that the client authenticates with";
    USERNAME: Str "username" "User name in that authentication";
    CONTENT_TYPE: [Str] "content_type" "Types of the bodies";
    MEDIA: [Str] "media" "Streams that were described: kind, transport, address and port";
    CODECS: [Str] "codecs" "Encodings that were described";
}

risks! {
    SIP_SCANNER: High Client "sip-scanner" "The User-Agent of a known SIP scanner or brute-force tool. Harmless in one's own audit.";
    SIP_MEDIA_KEY: High Both "sip-media-key-in-clear" "A session description carries a media key (a=crypto, RFC 4568) over unencrypted SIP: whoever sees it can listen to the call.";
}

macro_rules! methods {
    ($($name:literal)*) => {
        const METHOD_NAMES: &[&str] = &[$($name),*];
        const PATTERNS: &[Pattern] = &[
            Pattern::udp().min(20).starts(b"SIP/2.0 "),
            Pattern::tcp().starts(b"SIP/2.0 "),
            $(
                Pattern::udp().min(20).starts(concat!($name, " ").as_bytes()),
                Pattern::tcp().starts(concat!($name, " ").as_bytes()),
            )*
            // Empty lines before the start line are to be ignored (RFC 3261 §7.5), and kept a connection alive (RFC 5626).
            Pattern::udp().min(24).starts(b"\r\n"),
            Pattern::tcp().starts(b"\r\n\r\n"),
        ];
    };
}
// RFC 3261, 3262, 3265/6665, 3311, 3428, 3515, 3903, 6086.
methods! {
    "INVITE" "ACK" "BYE" "CANCEL" "REGISTER" "OPTIONS" "PRACK" "SUBSCRIBE" "NOTIFY" "PUBLISH" "INFO" "REFER"
    "MESSAGE" "UPDATE"
}

/// Session Initiation Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "sip",
    title: "Session Initiation Protocol",
    family: Family::Media,
    source: "RFC 3261, RFC 8866, RFC 5626",
    ports: &[udp(5060), tcp(5060), udp(5061)],
    well_known: true,
    cleartext: true,
    patterns: PATTERNS,
    identify,
    parser: Some(|| Box::new(Sip::default())),
    fields: FIELDS,
    risks: RISKS,
    // RFC 3261's registrations are refreshed within minutes.
    idle_timeout_s: Some(300),
};

/// A start line longer than this is not believed.
const START_LINE_MAX: usize = 2048;
/// Header fields longer than this are not waited for.
const HEAD_MAX: usize = 32 * 1024;

fn identify(p: &Probe<'_>) -> Verdict {
    let text = skip_empty_lines(p.payload);
    let tcp = p.transport == Transport::Tcp;
    let Some((first, _)) = line(text) else {
        return if tcp && text.len() < START_LINE_MAX && p.payload.len() < 2 * START_LINE_MAX {
            Verdict::Need(p.payload.len() + 1)
        } else {
            Verdict::No
        };
    };
    match StartLine::parse(first) {
        Some(StartLine::Status { .. })
            if p.dir == Dir::Client && p.other.is_empty() && p.earlier.is_empty() =>
        {
            Verdict::YesReversed
        }
        Some(_) => Verdict::Yes,
        None => Verdict::No,
    }
}

fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum StartLine<'a> {
    Request { method: &'static str, uri: &'a [u8] },
    Status { code: u16, reason: &'a [u8] },
}

impl<'a> StartLine<'a> {
    /// Strict: the version must stand where RFC 3261 §7 puts it, and the URI must have a scheme that SIP knows.
    fn parse(line: &'a [u8]) -> Option<Self> {
        if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
            let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = rest else { return None };
            if !matches!(reason.first(), None | Some(b' ')) {
                return None;
            }
            let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            return Some(Self::Status { code, reason: reason.get(1..).unwrap_or_default() });
        }
        let rest = line.strip_suffix(b" SIP/2.0")?;
        let space = rest.iter().position(|b| *b == b' ')?;
        let method = METHOD_NAMES.iter().find(|m| m.as_bytes() == &rest[..space])?;
        let uri = &rest[space + 1..];
        let colon = uri.iter().position(|b| *b == b':')?;
        let scheme = uri[..colon].to_ascii_lowercase();
        let known = matches!(&scheme[..], b"sip" | b"sips" | b"tel" | b"urn" | b"im" | b"pres" | b"service");
        (known && uri.len() > colon + 1 && uri.iter().all(|b| *b > b' ' && *b != 0x7f))
            .then_some(Self::Request { method, uri })
    }
}

/// The header fields of a message, in order, with folded lines as one value.
struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (first, mut used) = line(self.0)?;
        if first.is_empty() {
            return None;
        }
        while matches!(self.0.get(used), Some(b' ' | b'\t')) {
            used += line(&self.0[used..])?.1;
        }
        let whole = &self.0[..used];
        self.0 = &self.0[used..];
        let colon = whole.iter().position(|b| *b == b':')?;
        Some((whole[..colon].trim_ascii(), whole[colon + 1..].trim_ascii()))
    }
}

/// The long form of a header field's name, as an ASCII lower-case text (RFC 3261 §20, RFC 6665, RFC 3515).
fn long_name(name: &[u8]) -> &'static str {
    const NAMES: &[(&str, &str)] = &[
        ("via", "v"),
        ("from", "f"),
        ("to", "t"),
        ("call-id", "i"),
        ("contact", "m"),
        ("content-length", "l"),
        ("content-type", "c"),
        ("subject", "s"),
        ("user-agent", ""),
        ("server", ""),
        ("cseq", ""),
        ("authorization", ""),
        ("proxy-authorization", ""),
    ];
    let is = |text: &str| !text.is_empty() && name.eq_ignore_ascii_case(text.as_bytes());
    NAMES.iter().find(|(long, short)| is(long) || is(short)).map_or("", |(long, _)| *long)
}

/// A request that has no final response yet, for the event of its transaction.
struct Pending {
    ts_ns: i64,
    cseq: Box<[u8]>,
    fields: Vec<(FieldRef, Value)>,
}

/// Transactions open at the same time.
const PENDING_MAX: usize = 16;

#[derive(Default)]
struct Sip {
    pending: Vec<Pending>,
    spoke: [bool; 2],
}

impl Parser for Sip {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let text = skip_empty_lines(bytes);
        let empty = bytes.len() - text.len();
        if empty > 0 {
            return Step::Consumed(empty);
        }
        if bytes == b"\r" {
            return Step::Need(2);
        }
        let Some(head) = head_len(bytes.get(..HEAD_MAX).unwrap_or(bytes)) else {
            return if bytes.len() >= HEAD_MAX { Step::Malformed(0) } else { Step::Need(bytes.len() + 1) };
        };
        let body = content_length(&bytes[..head]).unwrap_or(0);
        let whole = head.saturating_add(body);
        if body <= HEAD_MAX && bytes.len() < whole {
            return Step::Need(whole);
        }
        let Some((first, used)) = line(bytes) else { return Step::Malformed(0) };
        let Some(start) = StartLine::parse(first) else { return Step::Malformed(0) };
        let known = bytes.get(head..whole).unwrap_or_default();
        self.message(dir, start, &bytes[used..head], known, out);
        if body <= HEAD_MAX { Step::Consumed(whole) } else { Step::Skip(whole as u64) }
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        // Other things on the port keep a NAT binding alive (RFC 5626: empty lines, STUN): they are no error.
        let text = skip_empty_lines(bytes);
        let Some((first, used)) = line(text) else { return Step::Consumed(bytes.len()) };
        let Some(start) = StartLine::parse(first) else { return Step::Consumed(bytes.len()) };
        let Some(head) = head_len(text) else {
            // Cut by a fragment that is missing: what is there is read.
            self.message(dir, start, &text[used..], &[], out);
            return Step::Consumed(bytes.len());
        };
        let mut body = &text[head..];
        if let Some(len) = content_length(&text[..head]) {
            body = body.get(..len).unwrap_or(body);
        }
        self.message(dir, start, &text[used..head], body, out);
        Step::Consumed(bytes.len())
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        for pending in self.pending.drain(..) {
            out.event(Event { kind: "sip", ts_ns: pending.ts_ns, fields: pending.fields });
        }
    }
}

/// Length of start line and header fields, with the empty line after them.
fn head_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (text, used) = line(&bytes[at..])?;
        at += used;
        if text.is_empty() {
            return Some(at);
        }
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let (_, used) = line(head)?;
    let (_, value) = Headers(&head[used..]).find(|(name, _)| long_name(name) == "content-length")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Sip {
    fn message(&mut self, dir: Dir, start: StartLine<'_>, head: &[u8], body: &[u8], out: &mut Sink<'_>) {
        self.spoke[dir.index()] = true;
        if self.spoke == [true; 2] {
            out.confirm();
        }
        let mut seen: Vec<(FieldRef, Value)> = Vec::new();
        let request = match start {
            StartLine::Request { method, uri } => {
                out.push(METHODS, method);
                if dir == Dir::Client || out.found.value(METHOD).is_none() {
                    out.set(METHOD, method);
                    out.set_text(URI, uri);
                }
                if dir == Dir::Client
                    && let Some(host) = host(uri)
                {
                    out.hostname(host);
                }
                seen.push((METHOD, method.into()));
                seen.push((URI, Value::text(uri)));
                true
            }
            StartLine::Status { code, reason } => {
                out.replace(STATUS, code);
                out.found.fields.retain(|(f, _)| *f != REASON);
                out.set_text(REASON, reason);
                seen.push((STATUS, code.into()));
                seen.push((REASON, Value::text(reason)));
                false
            }
        };
        let mut cseq = &b""[..];
        let mut session = false;
        for (name, value) in Headers(head) {
            let field = match long_name(name) {
                "from" => FROM,
                "to" => TO,
                "call-id" => CALL_ID,
                "subject" => SUBJECT,
                "contact" => {
                    if dir == Dir::Client {
                        out.set_text(CONTACT, value);
                    }
                    continue;
                }
                "via" => {
                    if request && !self.spoke[dir.other().index()] {
                        via(value, out);
                    }
                    continue;
                }
                "user-agent" => {
                    user_agent(dir, request, value, out);
                    seen.push((common::USER_AGENT, Value::text(value)));
                    continue;
                }
                "server" => {
                    out.set_text(SERVER, value);
                    continue;
                }
                "cseq" => {
                    cseq = value;
                    continue;
                }
                "authorization" | "proxy-authorization" => {
                    authorization(value, out);
                    continue;
                }
                "content-type" => {
                    let kind = value.split(|b| *b == b';').next().unwrap_or(value).trim_ascii();
                    session = kind.eq_ignore_ascii_case(b"application/sdp");
                    out.push(CONTENT_TYPE, Value::text(kind));
                    continue;
                }
                _ => continue,
            };
            out.set_text(field, value);
            seen.push((field, Value::text(value)));
        }
        if session {
            describe(body, out);
        } else if let Some(at) = body.windows(4).position(|w| w == b"v=0\r") {
            // A part of a multipart body: up to its boundary it is a description like any other.
            describe(&body[at..], out);
        }
        if out.wants_events() {
            self.transaction(start, cseq, seen, out);
        }
    }

    /// One event for a request and its final response, as Zeek's sip.log has it.
    fn transaction(
        &mut self,
        start: StartLine<'_>,
        cseq: &[u8],
        seen: Vec<(FieldRef, Value)>,
        out: &mut Sink<'_>,
    ) {
        let at = self.pending.iter().position(|p| *p.cseq == *cseq);
        match start {
            // An ACK has no response; a repeated request is the same transaction.
            StartLine::Request { method: "ACK", .. } => {}
            StartLine::Request { .. } => {
                if at.is_none() {
                    if self.pending.len() == PENDING_MAX {
                        let oldest = self.pending.remove(0);
                        out.event(Event { kind: "sip", ts_ns: oldest.ts_ns, fields: oldest.fields });
                    }
                    let cseq = cseq.get(..64).unwrap_or(cseq).into();
                    self.pending.push(Pending { ts_ns: out.now_ns(), cseq, fields: seen });
                }
            }
            StartLine::Status { code: 200.., .. } => {
                let Some(at) = at else { return };
                let mut pending = self.pending.remove(at);
                let answer = seen.into_iter().filter(|(f, _)| [STATUS, REASON].contains(f));
                pending.fields.extend(answer);
                out.event(Event { kind: "sip", ts_ns: pending.ts_ns, fields: pending.fields });
            }
            StartLine::Status { .. } => {}
        }
    }
}

/// The host of a SIP URI, unless it is an address.
fn host(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|b| *b == b':')?;
    if !matches!(uri[..colon].to_ascii_lowercase().as_slice(), b"sip" | b"sips") {
        return None;
    }
    let rest = &uri[colon + 1..];
    let rest = rest.rsplit(|b| *b == b'@').next()?;
    let end = rest.iter().position(|b| matches!(b, b':' | b';' | b'?' | b'>')).unwrap_or(rest.len());
    let host = &rest[..end];
    let name = host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (name && host.contains(&b'.') && host.last().is_some_and(u8::is_ascii_alphabetic)).then_some(host)
}

/// `SIP/2.0/UDP host:port;branch=…`: what stands after the transport.
fn via(value: &[u8], out: &mut Sink<'_>) {
    for hop in value.split(|b| *b == b',') {
        let mut words = hop.trim_ascii().splitn(2, |b| b.is_ascii_whitespace());
        if let (Some(_), Some(rest)) = (words.next(), words.next()) {
            let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
            out.push(VIA, Value::text(rest[..end].trim_ascii()));
        }
    }
}

fn user_agent(dir: Dir, request: bool, value: &[u8], out: &mut Sink<'_>) {
    // Of tools whose authors or users publish the name they send.
    const SCANNERS: &[&str] = &[
        "friendly-scanner",
        "sipvicious",
        "sipcli",
        "sundayddr",
        "pplsip",
        "vaxsipuseragent",
        "sipscan",
        "iwar",
    ];
    if dir == Dir::Server && !request {
        out.set_text(SERVER, value);
        return;
    }
    if dir == Dir::Client {
        out.set_text(common::USER_AGENT, value);
    }
    let lower = String::from_utf8_lossy(value.get(..64).unwrap_or(value)).to_ascii_lowercase();
    if SCANNERS.iter().any(|s| lower.contains(s)) {
        out.risk(&SIP_SCANNER, || format!("user_agent={lower}"));
    }
}

/// `Digest username="bob", …` or, from before RFC 3261, `Basic …`.
fn authorization(value: &[u8], out: &mut Sink<'_>) {
    let scheme = value.split(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
    out.set_text(AUTH, scheme);
    if scheme.eq_ignore_ascii_case(b"basic") {
        out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "sip.auth=Basic".to_owned());
    }
    let marker = b"username=\"";
    if let Some(at) = value.windows(marker.len()).position(|w| w.eq_ignore_ascii_case(marker)) {
        let rest = &value[at + marker.len()..];
        if let Some(end) = rest.iter().position(|b| *b == b'"') {
            out.set_text(USERNAME, &rest[..end]);
        }
    }
}

fn describe(body: &[u8], out: &mut Sink<'_>) {
    for media in sdp::parse(body) {
        for codec in &media.codecs {
            out.push(CODECS, (*codec).to_owned());
        }
        if let Some(suite) = media.key_suite {
            out.risk(&SIP_MEDIA_KEY, || format!("sip.sdp.crypto={suite}"));
        }
        let Some(address) = media.address.filter(|_| media.port != 0) else { continue };
        out.push(MEDIA, format!("{} {} {address}:{}", media.kind, media.transport, media.port));
        let upper = media.transport.to_ascii_uppercase();
        if !upper.contains("RTP/") {
            continue;
        }
        let transport = if upper.starts_with("TCP/") { Transport::Tcp } else { Transport::Udp };
        let mut expect = |port, protocol| out.fact(Fact::Expect { transport, address, port, protocol });
        expect(media.port, ProtocolId::Rtp);
        if !media.mux {
            let port = media.rtcp_port.unwrap_or_else(|| media.port.saturating_add(1));
            expect(port, ProtocolId::Rtcp);
        }
    }
}

#[cfg(test)]
mod tests;
