//! MongoDB's wire protocol: which commands are sent to which database, by which driver, and how it authenticates.
//!
//! Messages have a 16-byte header in little-endian order: length, two numbers, and an operation code; then, for OP_MSG
//! and OP_QUERY, BSON. Identified by length, code, and the BSON's own length and shape. Documents are walked one level
//! deep for a handful of names; data is not kept. Compressed messages (OP_COMPRESSED) are named, not opened.

use crate::cursor::Cursor;
use crate::database::WEAK_DATABASE_AUTH;
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    masked, tcp,
};

fields! { ProtocolId::Mongodb;
    OPCODES: [Str] "opcodes" "Operation codes seen: msg, query, reply, compressed, insert …";
    COMMANDS: [Str] "commands" "Commands: hello, find, insert, aggregate …";
    DATABASES: [Str] "databases" "Databases that the commands go to";
    COLLECTIONS: [Str] "collections" "Collections that they name";
    APPLICATION: Str "application" "The client's application name";
    DRIVER: Str "driver" "The client's driver and its version";
    CLIENT_OS: Str "client_os" "The client's operating system";
    MECHANISM: Str "mechanism" "SASL mechanism, or MONGODB-CR, or MONGODB-X509";
    USER: Str "user" "User name";
    REPLICA_SET: Str "replica_set" "The server's replica set";
    WIRE_VERSION: Uint "wire_version" "The highest wire version that the server speaks";
    COMPRESSOR: Str "compressor" "What compresses messages: snappy, zlib or zstd";
    ERROR: Str "error" "Name of the first error that the server reports";
}

/// MongoDB.
pub const PROTOCOL: Protocol = Protocol {
    name: "mongodb",
    title: "MongoDB",
    family: Family::Database,
    source: "MongoDB Wire Protocol; BSON 1.1",
    ports: &[tcp(27017), tcp(27018), tcp(27019)],
    well_known: true,
    patterns: &[
        // OP_QUERY 2004, OP_COMPRESSED 2012, OP_MSG 2013; OP_REPLY 1. Lengths below 48 MB have a zero to three on top.
        Pattern::tcp().min(16).tests(&[
            masked(3, 0xfc, 0),
            byte(12, 0xd4),
            byte(13, 7),
            byte(14, 0),
            byte(15, 0),
        ]),
        Pattern::tcp().min(16).tests(&[
            masked(3, 0xfc, 0),
            byte(12, 0xdc),
            byte(13, 7),
            byte(14, 0),
            byte(15, 0),
        ]),
        Pattern::tcp().min(16).tests(&[
            masked(3, 0xfc, 0),
            byte(12, 0xdd),
            byte(13, 7),
            byte(14, 0),
            byte(15, 0),
        ]),
        Pattern::tcp().min(36).tests(&[
            masked(3, 0xfc, 0),
            byte(12, 1),
            byte(13, 0),
            byte(14, 0),
            byte(15, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Mongodb::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS, &WEAK_DATABASE_AUTH],
    ..Protocol::BASE
};

/// The server takes no longer messages.
const MESSAGE_MAX: usize = 48_000_000;
/// Messages are read this far.
const READ_MAX: usize = 4096;
/// After this many messages the flow is left alone.
const MESSAGES_MAX: u32 = 64;
/// Elements of a document that are looked at.
const ELEMENTS_MAX: usize = 64;

fn head(bytes: &[u8]) -> Option<(usize, u32, u32)> {
    let mut c = Cursor::new(bytes);
    let length = c.u32_le()? as usize;
    c.skip(4)?;
    Some((length, c.u32_le()?, c.u32_le()?))
}

fn opcode_name(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "reply",
        1000 => "msg-old",
        2001 => "update",
        2002 => "insert",
        2004 => "query",
        2005 => "get-more",
        2006 => "delete",
        2007 => "kill-cursors",
        2010 => "command",
        2011 => "command-reply",
        2012 => "compressed",
        2013 => "msg",
        _ => return None,
    })
}

/// The document of a message: for OP_QUERY with its collection's full name.
struct Body<'a> {
    collection: Option<&'a [u8]>,
    document: &'a [u8],
}

/// `None` if it isn't shaped as its code demands. `bytes` may end early; lengths are checked against `length`.
fn body(bytes: &[u8], length: usize, code: u32) -> Option<Body<'_>> {
    let mut c = Cursor::new(bytes);
    c.skip(16)?;
    let mut collection = None;
    match code {
        2004 => {
            // Eight flags are defined.
            if c.u32_le()? > 0xff {
                return None;
            }
            let name = c.until(0)?;
            if !name.contains(&b'.') || name.iter().any(u8::is_ascii_control) {
                return None;
            }
            collection = Some(name);
            c.skip(8)?;
        }
        2013 => {
            // Checksum, more to come, exhaust allowed; then the section's kind: a body, or a sequence of documents.
            if c.u32_le()? & !0x1_0003 != 0 {
                return None;
            }
            let mut kind = c.u8()?;
            if kind == 1 {
                let size = c.u32_le()? as usize;
                c.skip(size.checked_sub(4)?)?;
                kind = c.u8()?;
            }
            if kind != 0 {
                return None;
            }
        }
        1 => {
            // Four flags; cursor; start; how many documents.
            if c.u32_le()? > 0xf {
                return None;
            }
            c.skip(12)?;
            if c.u32_le()? == 0 {
                return (length == 36).then_some(Body { collection, document: &[] });
            }
        }
        _ => return None,
    }
    let at = c.position();
    let size = c.u32_le()? as usize;
    let kind = c.u8()?;
    let fits = size >= 5 && at + size <= length && (kind <= 0x13 || matches!(kind, 0x7f | 0xff));
    fits.then(|| Body { collection, document: &bytes[at..bytes.len().min(at + size)] })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some((length, to, code)) = head(p.payload) else { return Verdict::Need(16) };
    if !(21..=MESSAGE_MAX).contains(&length) || opcode_name(code).is_none() {
        return Verdict::No;
    }
    let want = length.min(512);
    if p.payload.len() < want {
        return Verdict::Need(want);
    }
    let plausible = match code {
        2012 => {
            let mut c = Cursor::new(&p.payload[16..]);
            let (original, size, compressor) = (c.u32_le(), c.u32_le(), c.u8());
            original.and_then(opcode_name).is_some()
                && original != Some(2012)
                && size.is_some_and(|n| (5..MESSAGE_MAX as u32).contains(&n))
                && compressor.is_some_and(|n| n <= 3)
        }
        _ => body(p.payload, length, code).is_some_and(|b| {
            b.document.is_empty() || b.document == [5, 0, 0, 0, 0] || elements(b.document).next().is_some()
        }),
    };
    // Questions answer to nobody.
    let from_server = code == 1 || (code == 2013 && to != 0);
    match plausible {
        false => Verdict::No,
        true if code == 2012 => Verdict::Yes,
        true if from_server == (p.dir == Dir::Server) => Verdict::Yes,
        true => Verdict::YesReversed,
    }
}

/// One element of a document.
struct Element<'a> {
    kind: u8,
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Element<'a> {
    /// The text of a string.
    fn text(&self) -> Option<&'a [u8]> {
        if self.kind != 2 {
            return None;
        }
        self.value.get(4..).map(|t| t.strip_suffix(&[0]).unwrap_or(t))
    }

    fn number(&self) -> Option<u64> {
        match self.kind {
            0x10 => self.value.try_into().ok().map(u32::from_le_bytes).map(u64::from),
            0x12 => self.value.try_into().ok().map(u64::from_le_bytes),
            1 => self.value.try_into().ok().map(f64::from_le_bytes).map(|f| f as u64),
            _ => None,
        }
    }
}

/// The elements of a document as far as it is there.
fn elements(document: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut c = Cursor::new(document.get(4..).unwrap_or_default());
    std::iter::from_fn(move || {
        let kind = c.u8().filter(|kind| *kind != 0)?;
        let name = c.until(0)?;
        let size = |c: &Cursor<'_>| c.rest().first_chunk().map(|n| u32::from_le_bytes(*n) as usize);
        let len = match kind {
            0x01 | 0x09 | 0x11 | 0x12 => 8,
            0x02 | 0x0d | 0x0e => size(&c)?.checked_add(4)?,
            0x03 | 0x04 | 0x0f => size(&c)?,
            0x05 => size(&c)?.checked_add(5)?,
            0x06 | 0x0a | 0x7f | 0xff => 0,
            0x07 => 12,
            0x08 => 1,
            0x0b => {
                // Two texts that end with a zero.
                let first = c.rest().iter().position(|b| *b == 0)? + 1;
                first + c.rest()[first..].iter().position(|b| *b == 0)? + 1
            }
            0x0c => size(&c)?.checked_add(16)?,
            0x10 => 4,
            0x13 => 16,
            _ => return None,
        };
        Some(Element { kind, name, value: c.take(len)? })
    })
    .take(ELEMENTS_MAX)
}

#[derive(Default)]
struct Mongodb {
    messages: u32,
    started: [bool; 2],
}

impl Parser for Mongodb {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((length, _, code)) = head(bytes) else { return Step::Need(16) };
        let (Some(name), 16..=MESSAGE_MAX) = (opcode_name(code), length) else {
            return if self.started[dir.index()] { Step::Malformed(0) } else { Step::Done };
        };
        let want = length.min(READ_MAX);
        let Some(message) = bytes.get(..want) else { return Step::Need(want) };
        self.started[dir.index()] = true;
        self.messages += 1;
        if self.started == [true, true] {
            out.confirm();
        }
        out.push(OPCODES, name);
        match body(message, length, code) {
            Some(b) if dir == Dir::Client => command(&b, out),
            Some(b) => answer(b.document, out),
            None if code == 2012 => {
                let compressor = message.get(24).map_or(0, |n| usize::from(n & 3));
                out.set(COMPRESSOR, ["none", "snappy", "zlib", "zstd"][compressor]);
            }
            None => {}
        }
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Skip(length as u64) }
    }
}

fn command(b: &Body<'_>, out: &mut Sink<'_>) {
    let mut document = b.document;
    let mut name = &[][..];
    if let Some(collection) = b.collection {
        let (database, collection) = split(collection);
        out.push(DATABASES, Value::text(database));
        // Commands of old go to a collection that isn't one; all else is a plain query.
        if collection != b"$cmd" {
            out.push(COLLECTIONS, Value::text(collection));
            out.push(COMMANDS, "query");
            return;
        }
        // With options, the command itself is within.
        if let Some(inner) =
            elements(document).find(|e| e.kind == 3 && matches!(e.name, b"$query" | b"query"))
        {
            document = inner.value;
        }
    }
    for (i, e) in elements(document).enumerate() {
        if i == 0 {
            name = e.name;
            out.push(COMMANDS, Value::text(e.name));
            if let Some(collection) = e.text().filter(|_| !is_handshake(e.name)) {
                out.push(COLLECTIONS, Value::text(collection));
            }
        }
        match (e.name, e.text()) {
            (b"$db", Some(database)) => out.push(DATABASES, Value::text(database)),
            (b"client", None) if is_handshake(name) => client(e.value, out),
            (b"mechanism", Some(mechanism)) => {
                out.set_text(MECHANISM, mechanism);
                if mechanism == b"MONGODB-CR" {
                    out.risk(&WEAK_DATABASE_AUTH, || "mongodb.mechanism=MONGODB-CR".into());
                }
            }
            (b"payload", None) if name == b"saslStart" && e.kind == 5 => {
                sasl(e.value.get(5..).unwrap_or_default(), out)
            }
            (b"user", Some(user)) if name == b"authenticate" => out.set_text(USER, user),
            (b"saslSupportedMechs", Some(user)) => out.set_text(USER, split(user).1),
            (b"speculativeAuthenticate", None) if e.kind == 3 => {
                for e in elements(e.value) {
                    match (e.name, e.text()) {
                        (b"mechanism", Some(mechanism)) => out.set_text(MECHANISM, mechanism),
                        (b"payload", None) if e.kind == 5 => sasl(e.value.get(5..).unwrap_or_default(), out),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // The server takes MONGODB-CR where nothing is said.
    if name == b"authenticate" && out.found.value(MECHANISM).is_none() {
        out.set(MECHANISM, "MONGODB-CR");
        out.risk(&WEAK_DATABASE_AUTH, || "mongodb.mechanism=MONGODB-CR".into());
    }
}

fn is_handshake(command: &[u8]) -> bool {
    command.eq_ignore_ascii_case(b"ismaster") || command == b"hello"
}

/// Before and after the first dot.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().position(|b| *b == b'.') {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, name),
    }
}

/// What the client says of itself.
fn client(document: &[u8], out: &mut Sink<'_>) {
    let find = |document, name: &[u8]| elements(document).find(|e| e.name == name).and_then(|e| e.text());
    for e in elements(document).filter(|e| e.kind == 3) {
        let name = find(e.value, b"name").unwrap_or_default();
        match e.name {
            b"application" => out.set_text(APPLICATION, name),
            b"driver" => {
                let version = find(e.value, b"version").unwrap_or_default();
                out.set_text(DRIVER, [name, version].join(&b' ').trim_ascii_end());
            }
            b"os" => {
                let kind = find(e.value, b"type").unwrap_or_default();
                let text = if name.is_empty() { kind } else { name };
                if !text.is_empty() {
                    out.set_text(CLIENT_OS, text);
                }
            }
            _ => {}
        }
    }
}

/// The first message of a SASL exchange: SCRAM names the user, PLAIN the password too.
fn sasl(payload: &[u8], out: &mut Sink<'_>) {
    if out.found.text(MECHANISM) == Some("PLAIN") {
        let mut parts = payload.split(|b| *b == 0).skip(1);
        let user = parts.next().unwrap_or_default();
        out.set_text(USER, user);
        out.risk(&CLEAR_TEXT_CREDENTIALS, || {
            format!("mongodb.mechanism=PLAIN mongodb.user={}", String::from_utf8_lossy(user))
        });
    } else if let Some(rest) = payload.strip_prefix(b"n,,n=") {
        out.set_text(USER, rest.split(|b| *b == b',').next().unwrap_or_default());
    }
}

fn answer(document: &[u8], out: &mut Sink<'_>) {
    for e in elements(document) {
        match (e.name, e.text()) {
            (b"setName", Some(name)) => out.set_text(REPLICA_SET, name),
            (b"codeName", Some(name)) => out.set_text(ERROR, name),
            (b"maxWireVersion", None) => {
                if let Some(version) = e.number() {
                    out.set(WIRE_VERSION, version);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    fn text(name: &str, value: &str) -> Vec<u8> {
        [&[2], name.as_bytes(), &[0], &(value.len() as u32 + 1).to_le_bytes(), value.as_bytes(), &[0]]
            .concat()
    }

    fn int(name: &str, value: u32) -> Vec<u8> {
        [&[0x10], name.as_bytes(), &[0], &value.to_le_bytes()].concat()
    }

    fn document(parts: &[Vec<u8>]) -> Vec<u8> {
        let body = parts.concat();
        [&(body.len() as u32 + 5).to_le_bytes()[..], &body, &[0]].concat()
    }

    fn nested(name: &str, parts: &[Vec<u8>]) -> Vec<u8> {
        [&[3], name.as_bytes(), &[0], &document(parts)].concat()
    }

    fn message(code: u32, to: u32, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        let mut out = (body.len() as u32 + 16).to_le_bytes().to_vec();
        out.extend([9, 0, 0, 0]);
        out.extend(to.to_le_bytes());
        out.extend(code.to_le_bytes());
        out.extend(body);
        out
    }

    fn msg(to: u32, parts: &[Vec<u8>]) -> Vec<u8> {
        message(2013, to, &[&[0, 0, 0, 0, 0], &document(parts)])
    }

    #[test]
    fn a_handshake_and_commands_however_they_are_cut() {
        let hello = document(&[
            int("isMaster", 1),
            nested(
                "client",
                &[
                    nested("application", &[text("name", "MongoDB Shell")]),
                    nested("driver", &[text("name", "nodejs"), text("version", "6.3.0")]),
                    nested("os", &[text("type", "Linux")]),
                ],
            ),
        ]);
        let first = message(2004, 0, &[&[0; 4], b"admin.$cmd\0", &[0; 4], &[0xff; 4], &hello]);
        let tell = message(
            1,
            9,
            &[
                &[8, 0, 0, 0],
                &[0; 8],
                &[0; 4],
                &[1, 0, 0, 0],
                &document(&[int("maxWireVersion", 21), text("setName", "rs0")]),
            ],
        );
        let payload = [&[5u8][..], b"payload\0", &[13, 0, 0, 0, 0], b"n,,n=alice,r="].concat();
        let ask = [
            msg(0, &[int("saslStart", 1), text("mechanism", "SCRAM-SHA-256"), payload, text("$db", "admin")]),
            msg(0, &[text("find", "users"), text("$db", "shop")]),
        ]
        .concat();
        let refused = msg(9, &[text("errmsg", "no"), int("code", 13), text("codeName", "Unauthorized")]);
        let seen = Flow::tcp(27017).client(&first).server(&tell).client(&ask).server(&refused).run_split();
        assert_eq!(seen.protocol, ProtocolId::Mongodb);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(OPCODES), "query,reply,msg");
        assert_eq!(seen.show(COMMANDS), "isMaster,saslStart,find");
        assert_eq!(seen.show(DATABASES), "admin,shop");
        assert_eq!(seen.show(COLLECTIONS), "users");
        assert_eq!(seen.show(APPLICATION), "MongoDB Shell");
        assert_eq!(seen.show(DRIVER), "nodejs 6.3.0");
        assert_eq!((seen.show(MECHANISM), seen.show(USER)), ("SCRAM-SHA-256".into(), "alice".into()));
        assert_eq!((seen.show(REPLICA_SET), seen.show(WIRE_VERSION)), ("rs0".into(), "21".into()));
        assert_eq!(seen.show(ERROR), "Unauthorized");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn plain_and_cr_are_risks() {
        let payload = [&[5u8][..], b"payload\0", &[14, 0, 0, 0, 0], b"\0alice\0hunter2"].concat();
        let plain =
            msg(0, &[int("saslStart", 1), text("mechanism", "PLAIN"), payload, text("$db", "$external")]);
        let seen = Flow::tcp(27017).client(&plain).run();
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert!(!format!("{:?}", seen.found).contains("hunter2"));
        let cr =
            msg(0, &[int("authenticate", 1), text("user", "bob"), text("nonce", "0"), text("$db", "admin")]);
        assert_eq!(Flow::tcp(27017).client(&cr).run().risks(), ["weak-database-auth"]);
    }

    #[test]
    fn compressed_messages_are_named() {
        let bytes = message(
            2012,
            0,
            &[&2013u32.to_le_bytes(), &100u32.to_le_bytes(), &[3], &[0x28, 0xb5, 0x2f, 0xfd]],
        );
        let seen = Flow::tcp(27017).client(&bytes).run();
        assert_eq!((seen.protocol, seen.show(COMPRESSOR)), (ProtocolId::Mongodb, "zstd".into()));
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(27017).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(
            unknown(&message(2013, 0, &[&[4, 0, 0, 0, 0], &document(&[int("ping", 1)])])),
            "no such flag"
        );
        assert!(
            unknown(&message(2013, 0, &[&[0; 5], &[0xff, 0, 0, 0, 0x10]])),
            "the document is larger than the message"
        );
        assert!(unknown(&message(2004, 0, &[&[0; 4], b"nodot\0", &[0; 8], &document(&[int("ping", 1)])])));
        assert!(unknown(&message(2014, 0, &[&[0; 5], &document(&[int("ping", 1)])])), "no such operation");
    }
}
