//! Hypertext Transfer Protocol, version 2, in clear (RFC 9113): with prior knowledge, or after an upgrade from HTTP/1
//! (h2c, RFC 7540 §3.2). Over TLS it is `tls` with the ALPN `h2`.
//!
//! The client begins with 24 fixed bytes, each side with a SETTINGS frame. Frames are walked; header blocks are put
//! together and decoded (HPACK), bodies are skipped. A flow whose first payload is a server's SETTINGS frame is claimed
//! if every setting in it makes sense.
//!
//! Limits: a header block has at most 64 KiB; without the start of the connection header blocks cannot be decoded, so
//! flows in mid-stream are not claimed. Zeek has no log for HTTP/2, so there are no transactions.

pub(crate) mod hpack;
mod huffman;

use crate::cursor::Cursor;
use crate::driver::PENDING_MAX;
use crate::names::dns::ERROR_CODE;
use crate::web::http::{
    COMMAND_INJECTION, NUMERIC_IP_HOST, PATH_TRAVERSAL, SCRIPTED_CLIENT, SQL_INJECTION, SUSPICIOUS_URL,
    SUSPICIOUS_USER_AGENT, XSS, headers, message, secrets,
};
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, common,
    fields, tcp,
};

fields! { ProtocolId::Http2;
    AUTHORITY: Str "authority" "Authority (host and port) of the first request";
    METHOD: Str "method" "Method of the first request";
    SCHEME: Str "scheme" "Scheme of the first request";
    PATH: Str "path" "Path of the first request";
    PATHS: [Str] "paths" "Paths of all requests";
    STATUS: Uint "status" "Status of the first final response";
    USER_AGENT: Str "user_agent" "User-Agent of the first request that has one";
    REQUEST_CONTENT_TYPE: Str "request_content_type" "Content-Type of the first request that has one";
    CONTENT_TYPE: Str "content_type" "Content-Type of the first response that has one";
    SERVER: Str "server" "Server of the first response that has one";
    GRPC: Bool "grpc" "Requests or responses are gRPC's (Content-Type application/grpc)";
    SETTINGS: Str "settings" "The client's first settings as sent, such as 1:65536;4:6291456";
    ERROR: Uint "error" "Code of the first GOAWAY that names an error";
}

/// Hypertext Transfer Protocol 2.
pub const PROTOCOL: Protocol = Protocol {
    name: "http2",
    title: "Hypertext Transfer Protocol 2",
    family: Family::Web,
    source: "RFC 9113, RFC 7541",
    ports: &[tcp(80), tcp(8080)],
    patterns: &[
        Pattern::tcp().starts(PREFACE),
        // SETTINGS, less than 256 bytes long, no acknowledgement, of the connection.
        Pattern::tcp().min(15).starts(b"\0\0").tests(&[
            byte(3, SETTINGS_FRAME),
            byte(4, 0),
            byte(5, 0),
            byte(6, 0),
            byte(7, 0),
            byte(8, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Http2::default())),
    fields: FIELDS,
    risks: &[
        &NUMERIC_IP_HOST,
        &SUSPICIOUS_USER_AGENT,
        &SCRIPTED_CLIENT,
        &SQL_INJECTION,
        &XSS,
        &COMMAND_INJECTION,
        &PATH_TRAVERSAL,
        &SUSPICIOUS_URL,
        &ERROR_CODE,
    ],
    ..Protocol::BASE
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
const HEADERS_FRAME: u8 = 1;
const SETTINGS_FRAME: u8 = 4;
const PUSH_PROMISE_FRAME: u8 = 5;
const GOAWAY_FRAME: u8 = 7;
const CONTINUATION_FRAME: u8 = 9;
const FLAG_ACK: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;
const FLAG_PADDED: u8 = 8;
const FLAG_PRIORITY: u8 = 0x20;
/// The longest header block.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Header blocks of each side that are looked at.
const BLOCKS_MAX: u32 = 16;

fn identify(p: &Probe<'_>) -> Verdict {
    if p.payload.starts_with(PREFACE) {
        return if p.dir == Dir::Client { Verdict::Yes } else { Verdict::YesReversed };
    }
    let Some((frame, body)) = p.payload.split_at_checked(FRAME_HEADER_BYTES) else {
        return Verdict::Need(FRAME_HEADER_BYTES);
    };
    let length = usize::from(frame[2]);
    if frame[..2] != [0, 0]
        || frame[3] != SETTINGS_FRAME
        || frame[4..] != [0; 5]
        || length == 0
        || length % 6 != 0
    {
        return Verdict::No;
    }
    let Some(settings) = body.get(..length) else { return Verdict::Need(FRAME_HEADER_BYTES + length) };
    if !sound_settings(settings) {
        return Verdict::No;
    }
    // What follows at once must be a frame of the connection too.
    if let Some(next) = body[length..].first_chunk::<FRAME_HEADER_BYTES>()
        && !(next[3] <= 0x10 && next[5] & 0x80 == 0 && next[0] == 0)
    {
        return Verdict::No;
    }
    if p.dir == Dir::Server { Verdict::Yes } else { Verdict::YesReversed }
}

/// RFC 9113 §6.5.2: known settings have values within their bounds, and nearly all are known.
fn sound_settings(bytes: &[u8]) -> bool {
    let (mut known, mut unknown) = (0, 0);
    for (id, value) in settings(bytes) {
        let fits = match id {
            1 | 3 | 6 => true,
            2 | 8 | 9 => value <= 1,
            4 => value < 1 << 31,
            5 => (1 << 14..1 << 24).contains(&value),
            _ => {
                unknown += 1;
                continue;
            }
        };
        if !fits {
            return false;
        }
        known += 1;
    }
    known > unknown
}

fn settings(bytes: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    let mut c = Cursor::new(bytes);
    std::iter::from_fn(move || Some((c.u16()?, c.u32()?)))
}

struct Half {
    decoder: hpack::Decoder,
    /// A header block that goes on.
    block: Vec<u8>,
    within: bool,
    started: bool,
    blocks: u32,
}

impl Default for Half {
    fn default() -> Self {
        Self { decoder: hpack::Decoder::new(), block: Vec::new(), within: false, started: false, blocks: 0 }
    }
}

#[derive(Default)]
struct Http2 {
    halves: [Half; 2],
}

impl Http2 {
    /// A frame that is all there. `false` if it breaks the rules.
    fn frame(&mut self, dir: Dir, kind: u8, flags: u8, body: &[u8], out: &mut Sink<'_>) -> bool {
        let half = &mut self.halves[dir.index()];
        match kind {
            SETTINGS_FRAME if flags & FLAG_ACK == 0 => {
                if !body.len().is_multiple_of(6) {
                    return false;
                }
                if dir == Dir::Client && out.wants(SETTINGS) {
                    let text: Vec<_> = settings(body).take(16).map(|(id, v)| format!("{id}:{v}")).collect();
                    out.set(SETTINGS, text.join(";"));
                }
            }
            GOAWAY_FRAME => {
                let mut c = Cursor::new(body);
                match (c.u32(), c.u32()) {
                    (Some(_), Some(0)) => {}
                    (Some(_), Some(error)) => out.set(ERROR, error),
                    _ => return false,
                }
            }
            HEADERS_FRAME | PUSH_PROMISE_FRAME => {
                let Some(fragment) = fragment(kind, flags, body) else { return false };
                half.block.clear();
                half.block.extend_from_slice(fragment);
                half.within = true;
                return flags & FLAG_END_HEADERS == 0 || self.block(dir, kind == PUSH_PROMISE_FRAME, out);
            }
            CONTINUATION_FRAME => {
                if !half.within || half.block.len() + body.len() > BLOCK_BYTES_MAX {
                    return false;
                }
                half.block.extend_from_slice(body);
                return flags & FLAG_END_HEADERS == 0 || self.block(dir, false, out);
            }
            _ => {}
        }
        true
    }

    fn block(&mut self, dir: Dir, promise: bool, out: &mut Sink<'_>) -> bool {
        let half = &mut self.halves[dir.index()];
        half.within = false;
        half.blocks += 1;
        let block = std::mem::take(&mut half.block);
        let mut request = Request::default();
        let decoded = half.decoder.decode(&block, |name, value| {
            // What a server pushes is a request that nobody made.
            if !promise {
                header(dir, name, value, &mut request, out);
            }
        });
        if self.halves.iter().all(|h| h.blocks > 0) {
            out.confirm();
        }
        decoded.is_ok()
    }
}

/// The fragment of a header block in a HEADERS or PUSH_PROMISE frame, without padding and priority.
fn fragment(kind: u8, flags: u8, body: &[u8]) -> Option<&[u8]> {
    let mut c = Cursor::new(body);
    let padding = if flags & FLAG_PADDED != 0 { usize::from(c.u8()?) } else { 0 };
    if kind == PUSH_PROMISE_FRAME {
        c.skip(4)?;
    } else if flags & FLAG_PRIORITY != 0 {
        c.skip(5)?;
    }
    let rest = c.rest();
    rest.get(..rest.len().checked_sub(padding)?)
}

/// What one block said so far.
#[derive(Default)]
struct Request {
    authority: bool,
}

fn header(dir: Dir, name: &[u8], value: &[u8], request: &mut Request, out: &mut Sink<'_>) {
    let client = dir == Dir::Client;
    match (name, client) {
        (b":authority" | b"host", true) if !request.authority => {
            request.authority = true;
            let host = message::host_of(value);
            out.hostname(host);
            out.set_text(AUTHORITY, value);
            headers::host_risks(host, out);
        }
        (b":method", true) => out.set_text(METHOD, value.get(..32).unwrap_or(value)),
        (b":scheme", true) => out.set_text(SCHEME, value.get(..32).unwrap_or(value)),
        (b":path", true) => {
            let shown = secrets::redact(value);
            out.set_text(PATH, &shown);
            if out.wants(PATHS) {
                out.push(PATHS, Value::text(shown.get(..512).unwrap_or(&shown)));
            }
            headers::url_risks(value, &shown, out);
        }
        (b"user-agent", true) => {
            out.set_text(common::USER_AGENT, value);
            out.set_text(USER_AGENT, value);
            headers::agent_risks(value, out);
        }
        (b":status", false) => {
            let status = std::str::from_utf8(value).ok().and_then(|s| s.parse::<u16>().ok());
            if let Some(status) = status.filter(|s| *s >= 200) {
                out.set(STATUS, status);
                if status >= 400 {
                    out.risk(&ERROR_CODE, || format!("http2.status={status}"));
                }
            }
        }
        (b"content-type", _) => {
            if value.starts_with(b"application/grpc") {
                out.set(GRPC, true);
            }
            out.set_text(if client { REQUEST_CONTENT_TYPE } else { CONTENT_TYPE }, value);
        }
        (b"server", false) => out.set_text(SERVER, value),
        _ => {}
    }
}

impl Parser for Http2 {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let half = &mut self.halves[dir.index()];
        if dir == Dir::Client && !half.started {
            if bytes.starts_with(PREFACE) {
                half.started = true;
                return Step::Consumed(PREFACE.len());
            }
            if PREFACE.starts_with(bytes) {
                return Step::Need(bytes.len() + 1);
            }
        }
        half.started = true;
        let Some(head) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Step::Need(FRAME_HEADER_BYTES);
        };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags, end) = (head[3], head[4], FRAME_HEADER_BYTES + length);
        let wanted = matches!(
            kind,
            HEADERS_FRAME | SETTINGS_FRAME | PUSH_PROMISE_FRAME | GOAWAY_FRAME | CONTINUATION_FRAME
        );
        // RFC 9113 §4.3: nothing comes between the frames of a header block.
        if half.within != (kind == CONTINUATION_FRAME) {
            return Step::Malformed(3);
        }
        if !wanted {
            return Step::Skip(end as u64);
        }
        if end > PENDING_MAX {
            return Step::Malformed(0);
        }
        let Some(body) = bytes.get(FRAME_HEADER_BYTES..end) else { return Step::Need(end) };
        if !self.frame(dir, kind, flags, body, out) {
            return Step::Malformed(FRAME_HEADER_BYTES);
        }
        if self.halves.iter().all(|h| h.blocks >= BLOCKS_MAX) {
            return Step::Finished;
        }
        if self.halves[dir.index()].blocks >= BLOCKS_MAX { Step::Done } else { Step::Consumed(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::{Flow, hex};

    fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], body].concat()
    }

    /// A literal field without Huffman code and with a new name.
    fn literal(name: &str, value: &str) -> Vec<u8> {
        [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    }

    fn client() -> Vec<u8> {
        // RFC 7541 C.4.1, then fields of its own
        let block = [
            hex("828684418cf1e3c2e5f23a6ba0ab90f4ff"),
            literal("user-agent", "grpc-go/1.50"),
            literal("content-type", "application/grpc+proto"),
        ]
        .concat();
        let (one, two) = block.split_at(20);
        let padded = [&[3, 0, 0, 0, 0, 15][..], one, &[0; 3]].concat();
        [
            PREFACE.to_vec(),
            frame(SETTINGS_FRAME, 0, 0, &hex("000100010000 000400600000")),
            frame(8, 0, 0, &hex("00ef0001")),
            frame(HEADERS_FRAME, FLAG_PADDED | FLAG_PRIORITY, 1, &padded),
            frame(CONTINUATION_FRAME, FLAG_END_HEADERS, 1, two),
            frame(0, 1, 1, &[7; 5000]),
            frame(SETTINGS_FRAME, FLAG_ACK, 0, &[]),
        ]
        .concat()
    }

    fn server() -> Vec<u8> {
        let block =
            [vec![0x88], literal("content-type", "application/grpc"), literal("server", "x")].concat();
        [
            frame(SETTINGS_FRAME, 0, 0, &hex("000300000064")),
            frame(HEADERS_FRAME, FLAG_END_HEADERS, 1, &block),
            frame(0, 1, 1, &[7; 100]),
            frame(GOAWAY_FRAME, 0, 0, &hex("00000001 00000002")),
        ]
        .concat()
    }

    #[test]
    fn with_prior_knowledge() {
        let (c, s) = (client(), server());
        let seen = Flow::tcp(8080).client(&c).server(&s).run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Http2, Confidence::Handshake));
        for (field, value) in [
            (common::HOSTNAME, "www.example.com"),
            (AUTHORITY, "www.example.com"),
            (METHOD, "GET"),
            (SCHEME, "http"),
            (PATH, "/"),
            (PATHS, "/"),
            (STATUS, "200"),
            (USER_AGENT, "grpc-go/1.50"),
            (common::USER_AGENT, "grpc-go/1.50"),
            (REQUEST_CONTENT_TYPE, "application/grpc+proto"),
            (CONTENT_TYPE, "application/grpc"),
            (SERVER, "x"),
            (GRPC, "true"),
            (SETTINGS, "1:65536;4:6291456"),
            (ERROR, "2"),
        ] {
            assert_eq!(seen.show(field), value, "{}", field.field().name);
        }
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn after_an_upgrade() {
        let request = b"GET / HTTP/1.1\r\nHost: h.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
        let answer = [
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec(),
            server(),
        ]
        .concat();
        let c = client();
        let seen = Flow::tcp(80).client(request).server(&answer).client(&c).run_split();
        assert_eq!(seen.protocol, ProtocolId::Http2);
        assert_eq!(seen.show(STATUS), "200");
        assert_eq!(seen.show(PATH), "/");
    }

    #[test]
    fn a_server_first() {
        let s = server();
        assert_eq!(Flow::tcp(8080).server(&s).run().protocol, ProtocolId::Http2);
        let changes: [fn(&mut Vec<u8>); 5] =
            [|m| m[2] = 7, |m| m[4] = 1, |m| m[8] = 1, |m| m[10] = 0x77, |m| m.truncate(9)];
        for change in changes {
            let mut odd = s.clone();
            change(&mut odd);
            assert_eq!(
                Flow::tcp(8080).server(&odd).run().protocol,
                ProtocolId::Unknown,
                "{:02x?}",
                &odd[..9]
            );
        }
    }

    #[test]
    fn broken_frames_end_it() {
        let start = [PREFACE.to_vec(), frame(SETTINGS_FRAME, 0, 0, &[])].concat();
        for bad in [
            frame(CONTINUATION_FRAME, FLAG_END_HEADERS, 1, b"\x82"),
            frame(HEADERS_FRAME, FLAG_END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
            frame(HEADERS_FRAME, FLAG_PADDED, 1, b"\x09\x82"),
            [frame(HEADERS_FRAME, 0, 1, b"\x82"), frame(0, 0, 1, b"x")].concat(),
        ] {
            let all = [start.clone(), bad].concat();
            assert_eq!(Flow::tcp(80).client(&all).run().risks(), ["malformed-packet"]);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(48))]
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let all = [PREFACE.to_vec(), bytes].concat();
            let _ = Flow::tcp(80).client(&all).server(&all[24..]).run();
        }
    }
}
