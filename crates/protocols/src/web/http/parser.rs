//! Follows the messages of both directions, pairs requests with responses, and gives way to what comes after an
//! upgrade.

use std::collections::VecDeque;

use super::body::Body;
use super::headers::{framing, host_risks, request_header, response_header, url_risks};
use super::message::{self, RequestLine, StatusLine};
use super::*;
use crate::{Asked, Event, Fact, FieldRef, LIST_MAX, Parser, Sink, Step, Value};

/// The longest line.
const LINE_BYTES_MAX: usize = 32 * 1024;
/// The longest head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Requests that wait for their responses.
const WAITING_MAX: usize = 64;
/// Without events the flow is done with after so many responses.
const TRANSACTIONS_MAX: u32 = 3;

/// Where a direction is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Before a message's first line.
    #[default]
    Start,
    Headers,
    /// So many bytes of body are left.
    Length(u64),
    /// The body ends with the connection.
    UntilEnd,
    ChunkSize,
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Trailers,
    /// Out of step after a gap or an error, until a line begins a message.
    Lost,
    /// The client's bytes after CONNECT or an upgrade belong to whatever comes: they wait for the response.
    Held,
}

/// What the stream becomes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Upgrade {
    #[default]
    None,
    Websocket,
    H2c,
    Other,
}

/// The message that a direction is at.
#[derive(Default)]
pub(super) struct Message {
    pub(super) response: bool,
    depth: u64,
    pub(super) code: u16,
    began_ns: i64,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) hosts: u8,
    /// Of a request: whom it is for, if its target says so, or else its first `Host`.
    pub(super) authority: Vec<u8>,
    /// The header before this line was that `Host`.
    pub(super) in_host: bool,
    pub(super) upgrade: Upgrade,
}

#[derive(Default)]
pub(super) struct Half {
    state: State,
    /// The beginning of a line whose end is not there yet.
    line: Vec<u8>,
    head_bytes: usize,
    /// Messages that were read to their end.
    complete: u32,
    pub(super) message: Message,
    pub(super) body: Body,
}

/// A request, and what is to be told of it with its response.
#[derive(Default)]
pub(super) struct Exchange {
    depth: u64,
    began_ns: i64,
    asked: bool,
    method: Box<str>,
    head: bool,
    connect: bool,
    pub(super) upgrade: Upgrade,
    fields: Vec<(FieldRef, Value)>,
    request_len: u64,
}

impl Exchange {
    pub(super) fn add(&mut self, field: FieldRef, value: Value, out: &Sink<'_>) {
        if !out.wants_events() {
            return;
        }
        if field.field().list {
            match self.fields.iter_mut().find(|(f, _)| *f == field) {
                Some((_, Value::List(list))) if list.len() < LIST_MAX => list.push(value),
                Some(_) => {}
                None => self.fields.push((field, Value::List(Box::new(vec![value])))),
            }
        } else if !self.fields.iter().any(|(f, _)| *f == field) {
            self.fields.push((field, value));
        }
    }
}

/// What to do after a line.
enum Next {
    Go,
    Malformed,
    Finished,
    /// Both directions carry something else from here on.
    Switch(Option<ProtocolId>),
}

/// The parser.
#[derive(Default)]
pub(super) struct Http {
    halves: [Half; 2],
    waiting: VecDeque<Exchange>,
    depth: u64,
    answered: u32,
}

impl Http {
    fn line(&mut self, dir: Dir, line: &[u8], out: &mut Sink<'_>) -> Next {
        let half = &mut self.halves[dir.index()];
        match half.state {
            State::Start => {
                if line.is_empty() {
                    return Next::Go;
                }
                if let Some(status) = message::status_line(line) {
                    self.response(dir, status, out);
                } else if let Some(request) = message::request_line(line) {
                    self.request(dir, request, out);
                } else {
                    // Framing that was trusted so far proves wrong; else the other end just speaks something else.
                    if half.complete > 0 {
                        out.risk(&risk::MALFORMED_PACKET, || "http.start_line".to_owned());
                    }
                    half.state = State::Lost;
                }
                Next::Go
            }
            State::Headers if line.is_empty() => self.head_done(dir, out),
            State::Headers => {
                half.head_bytes += line.len();
                if half.head_bytes > HEAD_BYTES_MAX {
                    return Next::Malformed;
                }
                self.header(dir, line, out);
                Next::Go
            }
            State::ChunkSize => {
                let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
                match size {
                    Some(0) => half.state = State::Trailers,
                    Some(size) if digits[0] != b'+' => half.state = State::Chunk(size),
                    _ => {
                        out.risk(&risk::MALFORMED_PACKET, || "http.chunk_size".to_owned());
                        half.state = State::Lost;
                    }
                }
                Next::Go
            }
            State::ChunkEnd => {
                half.state = if line.is_empty() { State::ChunkSize } else { State::Lost };
                Next::Go
            }
            State::Trailers if line.is_empty() => self.message_done(dir, out),
            State::Lost => match message::start_within(line) {
                Some(start) => {
                    half.state = State::Start;
                    self.line(dir, start, out)
                }
                None => Next::Go,
            },
            _ => Next::Go,
        }
    }

    fn request(&mut self, dir: Dir, line: RequestLine<'_>, out: &mut Sink<'_>) {
        self.depth += 1;
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            tell(oldest, None, out);
        }
        let mut exchange =
            Exchange { depth: self.depth, began_ns: out.now_ns(), asked: true, ..Exchange::default() };
        if out.wants_questions() {
            exchange.method = String::from_utf8_lossy(line.method).into();
        }
        exchange.head = line.method == b"HEAD";
        exchange.connect = line.method == b"CONNECT";
        let method = match message::method_name(line.method) {
            Some(name) => Value::Name(name),
            None => Value::text(line.method),
        };
        let target = secrets::redact(line.target);
        let version = version(line.minor);
        out.set(METHOD, method.clone());
        out.push(METHODS, method.clone());
        out.set_text(URI, &target);
        if out.wants(URLS) {
            out.push(URLS, Value::text(target.get(..512).unwrap_or(&target)));
        }
        out.set(VERSION, version);
        if out.wants_events() {
            exchange.fields.extend([
                (DEPTH, Value::from(self.depth)),
                (METHOD, method),
                (URI, Value::text(&target)),
                (VERSION, Value::Name(version)),
            ]);
        }
        if exchange.connect {
            out.hostname(message::host_of(line.target));
            host_risks(message::host_of(line.target), out);
            out.relabel(ProtocolId::HttpConnect);
        } else if let Some(authority) = message::absolute_authority(line.target) {
            out.hostname(message::host_of(authority));
            if authority.iter().position(|b| *b == b'@').is_some_and(|at| authority[..at].contains(&b':')) {
                out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "http.uri=user:…@host".to_owned());
            }
            if out.label().is_none() {
                out.relabel(ProtocolId::HttpProxy);
            }
        }
        url_risks(line.target, &target, out);
        let half = &mut self.halves[dir.index()];
        let authority =
            if exchange.connect { Some(line.target) } else { message::absolute_authority(line.target) };
        half.message = Message {
            depth: self.depth,
            began_ns: out.now_ns(),
            authority: authority.unwrap_or_default().to_vec(),
            ..Message::default()
        };
        half.body = Body::default();
        half.head_bytes = 0;
        half.state = State::Headers;
        self.waiting.push_back(exchange);
    }

    fn response(&mut self, dir: Dir, line: StatusLine<'_>, out: &mut Sink<'_>) {
        if self.waiting.is_empty() {
            self.depth += 1;
            self.waiting.push_back(Exchange {
                depth: self.depth,
                began_ns: out.now_ns(),
                fields: vec![(DEPTH, Value::from(self.depth))],
                ..Exchange::default()
            });
        }
        let half = &mut self.halves[dir.index()];
        let Some(exchange) = self.waiting.front_mut() else { return };
        half.message = Message {
            response: true,
            depth: exchange.depth,
            code: line.code,
            began_ns: out.now_ns(),
            ..Message::default()
        };
        half.body = Body::default();
        half.head_bytes = 0;
        half.state = State::Headers;
        let reason = Value::text(line.reason.get(..256).unwrap_or(line.reason));
        out.set(VERSION, version(line.minor));
        exchange.add(VERSION, Value::Name(version(line.minor)), out);
        if exchange.asked {
            out.confirm();
        }
        let (code, phrase) = if line.code < 200 { (INFO_CODE, INFO_REASON) } else { (STATUS, REASON) };
        exchange.add(code, Value::from(line.code), out);
        exchange.add(phrase, reason.clone(), out);
        if line.code < 200 {
            out.replace(code, line.code);
            out.replace(phrase, reason);
        } else {
            out.set(code, line.code);
            out.set(phrase, reason);
            out.push(STATUSES, line.code);
        }
        if line.code >= 400 {
            out.risk(&ERROR_CODE, || format!("http.status={}", line.code));
        }
    }

    fn header(&mut self, dir: Dir, line: &[u8], out: &mut Sink<'_>) {
        // A folded line goes on with the one before (RFC 9112 §5.2); who folds a `Host` hides it from none but the careless.
        let half = &mut self.halves[dir.index()];
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if std::mem::take(&mut half.message.in_host) {
                half.message.authority.extend_from_slice(line.trim_ascii());
                out.hostname(message::host_of(&half.message.authority));
            }
            return;
        }
        half.message.in_host = false;
        let Some((name, value)) = message::header_line(line) else {
            out.risk(&SUSPICIOUS_HEADER, || "a line without a colon".to_owned());
            return;
        };
        if line.get(name.len()).is_some_and(|b| *b != b':') {
            out.risk(&SUSPICIOUS_HEADER, || {
                format!("blank before the colon of {}", String::from_utf8_lossy(name))
            });
        }
        if let Some(pattern) = attack::header_attack(value) {
            let shown = String::from_utf8_lossy(name.get(..64).unwrap_or(name)).into_owned();
            out.risk(&EXPLOIT_ATTEMPT, || format!("{shown} holds {pattern}"));
        }
        // Names that matter are short.
        let mut lower = [0; 32];
        let Some(slot) = lower.get_mut(..name.len()) else { return };
        slot.copy_from_slice(name);
        slot.make_ascii_lowercase();
        let name = &*slot;
        let half = &mut self.halves[dir.index()];
        let depth = half.message.depth;
        let Some(exchange) = self.waiting.iter_mut().rev().find(|e| e.depth == depth) else { return };
        if framing(half, name, value, out) {
            return;
        }
        if half.message.response {
            response_header(half, exchange, name, value, out);
        } else {
            request_header(half, exchange, name, value, out);
        }
    }

    /// The blank line after a head: what follows?
    fn head_done(&mut self, dir: Dir, out: &mut Sink<'_>) -> Next {
        let half = &mut self.halves[dir.index()];
        let Message { response, depth, code, length, chunked, .. } = half.message;
        let exchange = self.waiting.iter().find(|e| e.depth == depth);
        let mut until_end = false;
        if response {
            let upgrade = half.message.upgrade;
            let (head, connect, asked) =
                exchange.map_or((false, false, Upgrade::None), |e| (e.head, e.connect, e.upgrade));
            if code == 101 {
                let asked = if upgrade == Upgrade::None { asked } else { upgrade };
                let to = match asked {
                    Upgrade::Websocket => Some(ProtocolId::Websocket),
                    Upgrade::H2c => Some(ProtocolId::Http2),
                    _ => None,
                };
                to.into_iter().for_each(|to| out.relabel(to));
                self.message_done(dir, out);
                return Next::Switch(to);
            }
            if code < 200 {
                half.state = State::Start;
                return Next::Go;
            }
            if connect && code < 300 {
                self.message_done(dir, out);
                return Next::Switch(None);
            }
            if head || code == 204 || code == 304 {
                return self.message_done(dir, out);
            }
            until_end = length.is_none();
        } else if out.wants_questions() {
            let behind = self.waiting.len().saturating_sub(1) as u32;
            asked(&half.message.authority, exchange, behind, out);
        }
        half.body.total = length.filter(|_| !chunked);
        half.body.start(out);
        half.state = match (chunked, length) {
            (true, _) => State::ChunkSize,
            (false, Some(n)) if n > 0 => State::Length(n),
            _ if until_end => State::UntilEnd,
            _ => return self.message_done(dir, out),
        };
        Next::Go
    }

    /// A message is over.
    fn message_done(&mut self, dir: Dir, out: &mut Sink<'_>) -> Next {
        let half = &mut self.halves[dir.index()];
        let message = std::mem::take(&mut half.message);
        let mut body = std::mem::take(&mut half.body);
        half.state = State::Start;
        half.complete += 1;
        let side = if message.response { Dir::Server } else { Dir::Client };
        let (found, filename) = (body.found, body.filename.clone());
        body.end(side, message.depth, message.began_ns, out);
        let found = body.found.or(found);
        let at = self.waiting.iter().position(|e| e.depth == message.depth);
        if !message.response {
            out.set(REQUEST_BODY_LEN, body.seen);
            if let Some(exchange) = at.and_then(|at| self.waiting.get_mut(at)) {
                exchange.request_len = body.seen;
                found.into_iter().for_each(|f| exchange.add(REQUEST_MIME_TYPE, Value::Name(f.mime), out));
                filename.into_iter().for_each(|n| exchange.add(REQUEST_FILENAMES, Value::from(n), out));
                if exchange.connect || exchange.upgrade == Upgrade::Websocket {
                    self.halves[dir.index()].state = State::Held;
                }
            }
            return Next::Go;
        }
        out.set(RESPONSE_BODY_LEN, body.seen);
        self.answered += 1;
        if let Some(mut exchange) = at.and_then(|at| self.waiting.remove(at)) {
            found.into_iter().for_each(|f| exchange.add(MIME_TYPE, Value::Name(f.mime), out));
            filename.into_iter().for_each(|n| exchange.add(RESPONSE_FILENAMES, Value::from(n), out));
            tell(exchange, Some(body.seen), out);
        }
        // A refused CONNECT or upgrade: the client goes on with requests.
        let other = &mut self.halves[dir.other().index()];
        if other.state == State::Held {
            other.state = State::Start;
        }
        let all = out.wants_events() || out.wants_questions();
        if !all && self.answered >= TRANSACTIONS_MAX { Next::Finished } else { Next::Go }
    }

    /// After the body's next bytes: is it over, or of no more interest?
    fn after_body(&mut self, dir: Dir, used: usize, left: u64, out: &mut Sink<'_>) -> Option<Step> {
        let half = &mut self.halves[dir.index()];
        let chunk = matches!(half.state, State::Chunk(_));
        let skip = left > 0 && half.body.is_judged() && !out.wants_events();
        if left > 0 && !skip {
            half.state = if chunk { State::Chunk(left) } else { State::Length(left) };
            return None;
        }
        half.body.seen += left;
        let next = if chunk {
            half.state = State::ChunkEnd;
            Next::Go
        } else {
            self.message_done(dir, out)
        };
        match next {
            Next::Finished => Some(Step::Finished),
            _ if skip => Some(Step::Skip(left.saturating_add(used as u64))),
            _ => None,
        }
    }
}

impl Parser for Http {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if rest.is_empty() {
                return Step::Consumed(at);
            }
            let half = &mut self.halves[dir.index()];
            match half.state {
                State::Held if at > 0 => return Step::Consumed(at),
                State::Held => return Step::Need(bytes.len() + 1),
                State::Length(left) | State::Chunk(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let side = if half.message.response { Dir::Server } else { Dir::Client };
                    half.body.push(&rest[..n], side, out);
                    at += n;
                    if let Some(step) = self.after_body(dir, at, left - n as u64, out) {
                        return step;
                    }
                }
                State::UntilEnd => {
                    half.body.push(rest, Dir::Server, out);
                    if half.body.is_judged() && !out.wants_events() {
                        return match self.message_done(dir, out) {
                            Next::Finished => Step::Finished,
                            _ => Step::Done,
                        };
                    }
                    return Step::Consumed(bytes.len());
                }
                State::Start
                | State::Headers
                | State::ChunkSize
                | State::ChunkEnd
                | State::Trailers
                | State::Lost => {
                    let end = rest.iter().position(|b| *b == b'\n');
                    let n = end.map_or(rest.len(), |end| end + 1);
                    if half.line.len() + n > LINE_BYTES_MAX {
                        if half.state != State::Lost {
                            return Step::Malformed(at);
                        }
                        // Content: so much of it begins no message.
                        at += LINE_BYTES_MAX - half.line.len();
                        half.line.clear();
                        continue;
                    }
                    at += n;
                    if end.is_none() || !half.line.is_empty() {
                        half.line.extend_from_slice(&rest[..n]);
                    }
                    if end.is_none() {
                        return Step::Consumed(at);
                    }
                    let kept = std::mem::take(&mut half.line);
                    let line = if kept.is_empty() { &rest[..n - 1] } else { &kept[..kept.len() - 1] };
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    match self.line(dir, line, out) {
                        Next::Go => {}
                        Next::Malformed => return Step::Malformed(at),
                        Next::Finished => return Step::Finished,
                        Next::Switch(to) => return Step::Switch(at, to),
                    }
                }
            }
        }
    }

    fn gap(&mut self, dir: Dir, missing: u64, out: &mut Sink<'_>) -> Step {
        let half = &mut self.halves[dir.index()];
        half.line.clear();
        let side = if half.message.response { Dir::Server } else { Dir::Client };
        match half.state {
            State::Length(left) | State::Chunk(left) if missing <= left => {
                half.body.gap(missing, side, out);
                match self.after_body(dir, 0, left - missing, out) {
                    Some(step) => return step,
                    None => return Step::Consumed(1),
                }
            }
            State::UntilEnd => half.body.gap(missing, side, out),
            State::Held => return Step::Done,
            State::Length(left) | State::Chunk(left) => {
                half.body.gap(left, side, out);
                let next = self.message_done(dir, out);
                self.halves[dir.index()].state = State::Lost;
                if matches!(next, Next::Finished) {
                    return Step::Finished;
                }
            }
            _ => half.state = State::Lost,
        }
        Step::Consumed(1)
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        for dir in [Dir::Client, Dir::Server] {
            let half = &self.halves[dir.index()];
            let within = matches!(
                half.state,
                State::Length(_)
                    | State::UntilEnd
                    | State::Chunk(_)
                    | State::ChunkSize
                    | State::ChunkEnd
                    | State::Trailers
            );
            if within {
                let _ = self.message_done(dir, out);
            }
        }
        for exchange in std::mem::take(&mut self.waiting) {
            tell(exchange, None, out);
        }
    }
}

/// Tells what a request asks for.
fn asked(authority: &[u8], exchange: Option<&Exchange>, behind: u32, out: &mut Sink<'_>) {
    let host = message::host_of(authority);
    let name = String::from_utf8_lossy(host.strip_suffix(b".").unwrap_or(host)).to_ascii_lowercase();
    if let (Some(exchange), false) = (exchange, name.is_empty()) {
        let (name, method) = (name.into(), exchange.method.clone());
        out.fact(Fact::Asked(Box::new(Asked { name, method, behind, ..Asked::default() })));
    }
}

/// Tells of a transaction.
fn tell(mut exchange: Exchange, response_len: Option<u64>, out: &mut Sink<'_>) {
    if out.wants_events() {
        exchange.fields.push((REQUEST_BODY_LEN, Value::from(exchange.request_len)));
        exchange.fields.push((RESPONSE_BODY_LEN, Value::from(response_len.unwrap_or(0))));
        out.event(Event { kind: "http", ts_ns: exchange.began_ns, fields: exchange.fields });
    }
}

fn version(minor: u8) -> &'static str {
    ["1.0", "1.1"].get(usize::from(minor)).copied().unwrap_or("1.x")
}
