//! Tabular Data Stream: Microsoft SQL Server and Sybase.
//!
//! Packets have a type, a status, a length and a number (MS-TDS §2.2.3.1). The conversation opens with PRELOGIN
//! from both sides, which settles encryption; then, within packets of the same type, comes a TLS handshake, which is
//! handed to the TLS parser; then, in clear or not, LOGIN7 with everybody's names. A LOGIN7 in clear has its password
//! behind a fixed permutation: it counts as clear text. Statements are kept in outline, rows not at all.
//!
//! Not read: TDS 8.0, which is TLS from its first byte.

mod login;

use crate::cursor::Cursor;
use crate::database::sql;
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    masked, tcp,
};

fields! { ProtocolId::Tds;
    VERSION: Str "version" "TDS version that the client logs in with";
    CLIENT_VERSION: Str "client_version" "Version of the client's library";
    SERVER_VERSION: Str "server_version" "Version of the server: major.minor.build";
    ENCRYPTION: Str "encryption" "What the server settles: off (the login alone is encrypted), on, not-supported, required";
    INSTANCE: Str "instance" "Instance that the client asks for";
    USER: Str "user" "User name of a login in clear";
    CLIENT_NAME: Str "client_name" "Name of the client's machine";
    APPLICATION: Str "application" "Name of the client's application";
    LIBRARY: Str "library" "Name of the client's library";
    SERVER_NAME: Str "server_name" "Server that the client asks for";
    DATABASE: Str "database" "Database that the client asks for";
    INTEGRATED: Bool "integrated" "The client logs in with its Windows account";
    PROGRAM: Str "program" "What the server calls itself in answer to the login";
    LOGIN: Str "login" "ok or error";
    ERROR_CODE: Uint "error_code" "Number of the first error";
    MESSAGES: [Str] "messages" "Message types seen: prelogin, login7, sql-batch, rpc, response, attention, bulk-load, sspi …";
    QUERY: Str "query" "Outline of the first statement: literals replaced by ?";
}

/// Tabular Data Stream.
pub const PROTOCOL: Protocol = Protocol {
    name: "tds",
    title: "Tabular Data Stream",
    family: Family::Database,
    source: "MS-TDS",
    ports: &[tcp(1433)],
    well_known: true,
    patterns: &[
        // PRELOGIN: one packet, no channel, window 0; its first option is the version, of six bytes.
        Pattern::tcp().min(13).starts(&[0x12, 1]).tests(&[
            masked(2, 0xf0, 0),
            byte(7, 0),
            byte(8, 0),
            byte(9, 0),
            byte(11, 0),
            byte(12, 6),
        ]),
        Pattern::tcp().min(13).starts(&[0x04, 1]).tests(&[
            masked(2, 0xf0, 0),
            byte(7, 0),
            byte(8, 0),
            byte(9, 0),
            byte(11, 0),
            byte(12, 6),
        ]),
        // LOGIN7: the version's low bytes are zero but for the last.
        Pattern::tcp().min(16).starts(&[0x10]).tests(&[
            masked(1, 0xfe, 0),
            byte(7, 0),
            byte(10, 0),
            byte(11, 0),
            masked(15, 0xf8, 0x70),
        ]),
        // SQL batch and RPC with the transaction header that version 7.2 begins them with.
        Pattern::tcp().min(22).starts(&[0x01]).tests(&[
            masked(1, 0xf6, 0),
            byte(7, 0),
            byte(8, 22),
            byte(9, 0),
            byte(10, 0),
            byte(11, 0),
            byte(12, 18),
            byte(16, 2),
            byte(17, 0),
        ]),
        Pattern::tcp().min(22).starts(&[0x03]).tests(&[
            masked(1, 0xf6, 0),
            byte(7, 0),
            byte(8, 22),
            byte(9, 0),
            byte(10, 0),
            byte(11, 0),
            byte(12, 18),
            byte(16, 2),
            byte(17, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Tds::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS],
    ..Protocol::BASE
};

/// Packets are read this far.
const READ_MAX: usize = 4096;
/// After this many messages of the client's the flow is left alone.
const MESSAGES_MAX: u32 = 32;
/// Handshake bytes kept for the TLS parser at most.
const TLS_PENDING_MAX: usize = 64 * 1024;

/// Type, length with the header, and whether the message ends here. `None` if it is not a packet's header.
fn packet_head(bytes: &[u8; 8]) -> Option<(u8, usize, bool)> {
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let fits = kind_name(bytes[0]).is_some() && bytes[1] & 0xe0 == 0 && length >= 8 && bytes[7] == 0;
    fits.then_some((bytes[0], length, bytes[1] & 1 == 1))
}

/// MS-TDS §2.2.3.1.1.
fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x01 => "sql-batch",
        0x02 => "login-old",
        0x03 => "rpc",
        0x04 => "response",
        0x06 => "attention",
        0x07 => "bulk-load",
        0x08 => "fedauth",
        0x0e => "transaction",
        0x10 => "login7",
        0x11 => "sspi",
        0x12 => "prelogin",
        _ => return None,
    })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some(head) = p.payload.first_chunk::<8>() else { return Verdict::Need(8) };
    let Some((kind, length, last)) = packet_head(head) else { return Verdict::No };
    let Some(body) = p.payload.get(8..length) else {
        return if length <= READ_MAX && kind != 1 && kind != 3 {
            Verdict::Need(length)
        } else {
            batch(p, length)
        };
    };
    match kind {
        0x12 | 0x04 if last && p.payload.len() == length && options(body).is_some() => {
            sent_by(p, if kind == 0x12 { Dir::Client } else { Dir::Server })
        }
        0x10 if login::plausible(body, last) => sent_by(p, Dir::Client),
        0x01 | 0x03 => batch(p, length),
        _ => Verdict::No,
    }
}

/// The pattern has seen the transaction header; what is left to check is that it ends with one outstanding request.
fn batch(p: &Probe<'_>, length: usize) -> Verdict {
    match p.payload.get(8..30) {
        Some([22, 0, 0, 0, 18, 0, 0, 0, 2, 0, .., 1, 0, 0, 0]) if length > 30 => sent_by(p, Dir::Client),
        None if matches!(p.payload[0], 1 | 3) && length > 30 => Verdict::Need(30),
        _ => Verdict::No,
    }
}

fn sent_by(p: &Probe<'_>, sender: Dir) -> Verdict {
    if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed }
}

/// The options of a PRELOGIN: number and value. `None` unless the table is whole, starts with the version, and every
/// value lies behind it.
fn options(body: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut c = Cursor::new(body);
    let mut list = Vec::new();
    loop {
        let token = c.u8()?;
        if token == 0xff {
            break;
        }
        let (offset, len) = (usize::from(c.u16()?), usize::from(c.u16()?));
        if token > 15 || list.len() > 15 || list.is_empty() && (token != 0 || len != 6) {
            return None;
        }
        list.push((token, body.get(offset..offset + len)?, offset));
    }
    let end = c.position();
    let behind = list.len() >= 2 && list.iter().all(|(_, value, offset)| value.is_empty() || *offset >= end);
    behind.then(|| list.into_iter().map(|(token, value, _)| (token, value)).collect())
}

#[derive(Default)]
struct Tds {
    messages: u32,
    started: [bool; 2],
    /// The last packet of this direction was not the end of its message.
    inside: [bool; 2],
    /// Both sides have sent PRELOGIN: further packets of that type carry TLS.
    tls: Option<Inner>,
    prelogin: [bool; 2],
}

/// The TLS handshake inside.
struct Inner {
    parser: Option<Box<dyn Parser>>,
    pending: [Vec<u8>; 2],
}

impl Parser for Tds {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(head) = bytes.first_chunk::<8>() else { return Step::Need(8) };
        let Some((kind, length, last)) = packet_head(head) else {
            // After the handshake within packets the rest is plain TLS records.
            if self.tls.is_some() || !self.started[dir.index()] {
                return Step::Done;
            }
            return Step::Malformed(0);
        };
        // A message is wanted from its first packet only; but a handshake wholly.
        let handshake = kind == 0x12 && self.prelogin == [true, true]
            || kind == 0x12 && dir == Dir::Client && self.prelogin[0]
            || self.tls.is_some()
                && kind == 0x04
                && dir == Dir::Server
                && !self.inside[1]
                && length > 8
                && bytes.get(8) == Some(&0x16);
        let want = if handshake { length } else { length.min(READ_MAX) };
        let Some(body) = bytes.get(8..want) else { return Step::Need(want) };
        self.started[dir.index()] = true;
        let first = !std::mem::replace(&mut self.inside[dir.index()], !last);
        if handshake {
            self.handshake(dir, body, out);
            return Step::Consumed(length);
        }
        if first {
            if dir == Dir::Client {
                self.messages += 1;
            }
            if !(self.prelogin[0] && kind == 0x04 && !self.prelogin[1]) {
                out.push(MESSAGES, kind_name(kind).unwrap_or_default());
            }
            self.message(dir, kind, body, out);
            if self.started == [true, true] {
                out.confirm();
            }
        }
        if self.messages > MESSAGES_MAX {
            return Step::Finished;
        }
        Step::Skip(length as u64)
    }
}

impl Tds {
    fn message(&mut self, dir: Dir, kind: u8, body: &[u8], out: &mut Sink<'_>) {
        match (dir, kind) {
            (Dir::Client, 0x12) => {
                self.prelogin[0] = true;
                prelogin(dir, body, out);
            }
            (Dir::Server, 0x04) if self.prelogin[0] && !self.prelogin[1] => {
                self.prelogin[1] = true;
                prelogin(dir, body, out);
            }
            (Dir::Client, 0x10) => login::read(body, out),
            (Dir::Server, 0x04) => login::tokens(body, out),
            (Dir::Client, 0x01) if out.wants(QUERY) && out.found.value(QUERY).is_none() => {
                // From version 7.2 on a block of headers comes first, with its own length.
                let headers = body.first_chunk::<4>().map(|n| u32::from_le_bytes(*n) as usize);
                let text = match headers {
                    Some(n @ 4..=256) => body.get(n..).unwrap_or_default(),
                    _ => body,
                };
                if !text.is_empty() {
                    out.set(QUERY, Value::from(sql::outline_utf16(text)));
                }
            }
            _ => {}
        }
    }

    /// Hands handshake bytes to the TLS parser, which sees them as a stream of their own.
    fn handshake(&mut self, dir: Dir, body: &[u8], out: &mut Sink<'_>) {
        let inner = self.tls.get_or_insert_with(|| Inner {
            parser: ProtocolId::Tls.get().parser.map(|new| new()),
            pending: [Vec::new(), Vec::new()],
        });
        let pending = &mut inner.pending[dir.index()];
        let Some(parser) = &mut inner.parser else { return };
        if pending.len() + body.len() > TLS_PENDING_MAX {
            inner.parser = None;
            return;
        }
        pending.extend_from_slice(body);
        while !pending.is_empty() {
            let used = match parser.stream(dir, pending, out) {
                Step::Consumed(n) if n > 0 => n.min(pending.len()),
                Step::Skip(n) if n > 0 => usize::try_from(n).unwrap_or(usize::MAX).min(pending.len()),
                Step::Need(n) if n > pending.len() => return,
                Step::Done => {
                    pending.clear();
                    return;
                }
                _ => {
                    inner.parser = None;
                    return;
                }
            };
            pending.drain(..used);
        }
    }
}

fn prelogin(dir: Dir, body: &[u8], out: &mut Sink<'_>) {
    for (token, value) in options(body).unwrap_or_default() {
        match (token, value) {
            (0, [major, minor, high, low, ..]) => {
                let field = if dir == Dir::Client { CLIENT_VERSION } else { SERVER_VERSION };
                out.set(field, format!("{major}.{minor}.{}", u16::from_be_bytes([*high, *low])));
            }
            (1, [encryption, ..]) if dir == Dir::Server => {
                out.set(ENCRYPTION, ["off", "on", "not-supported", "required"][usize::from(encryption & 3)]);
            }
            (2, instance) if dir == Dir::Client => {
                let name = Cursor::new(instance).until(0).unwrap_or(instance);
                if !name.is_empty() {
                    out.set_text(INSTANCE, name);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    pub(super) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 1];
        out.extend((body.len() as u16 + 8).to_be_bytes());
        out.extend([0, 0, 1, 0]);
        out.extend_from_slice(body);
        out
    }

    fn prelogin_body(encryption: u8) -> Vec<u8> {
        // VERSION, ENCRYPTION, INSTOPT.
        let mut body = hex("00 0010 0006 01 0016 0001 02 0017 0004 ff");
        body.extend(hex("10 00 1077 0000"));
        body.push(encryption);
        body.extend(b"DB1\0");
        body
    }

    pub(super) fn ask() -> Vec<u8> {
        packet(0x12, &prelogin_body(2))
    }

    pub(super) fn tell() -> Vec<u8> {
        packet(0x04, &prelogin_body(2))
    }

    fn batch(text: &str) -> Vec<u8> {
        let mut body = hex("16000000 12000000 0200 0000000000000000 01000000");
        body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        packet(1, &body)
    }

    #[test]
    fn prelogin_and_a_batch_however_they_are_cut() {
        let (ask, tell, query) = (ask(), tell(), batch("select * from t where k = 'x'"));
        let seen = Flow::tcp(1433).client(&ask).server(&tell).client(&query).run_split();
        assert_eq!(seen.protocol, ProtocolId::Tds);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(SERVER_VERSION), "16.0.4215");
        assert_eq!(seen.show(ENCRYPTION), "not-supported");
        assert_eq!(seen.show(INSTANCE), "DB1");
        assert_eq!(seen.show(QUERY), "select * from t where k = ?");
        assert_eq!(seen.show(MESSAGES), "prelogin,sql-batch");
    }

    #[test]
    fn a_batch_in_mid_stream() {
        let seen = Flow::tcp(50001).client(&batch("exec p")).run();
        assert_eq!((seen.protocol, seen.show(QUERY)), (ProtocolId::Tds, "exec p".into()));
    }

    #[test]
    fn a_handshake_inside_and_then_tls_is_not_malformed() {
        let (ask, tell) = (ask(), packet(0x04, &prelogin_body(1)));
        let hello = packet(0x12, &hex("16 0303 0004 01000000"));
        let server = packet(0x12, &hex("16 0303 0004 02000000"));
        let data = hex("17 0303 0010 00112233445566778899aabbccddeeff");
        let seen = Flow::tcp(1433)
            .client(&ask)
            .server(&tell)
            .client(&hello)
            .server(&server)
            .client(&data)
            .server(&data)
            .run_split();
        assert_eq!((seen.protocol, seen.show(ENCRYPTION)), (ProtocolId::Tds, "on".into()));
        assert!(!seen.risks().contains(&"clear-text-credentials"));
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(1433).client(bytes).run().protocol == ProtocolId::Unknown;
        let mut outside = ask();
        outside[15] = 1; // the second option's value is beyond the packet
        assert!(unknown(&outside));
        assert!(unknown(&[ask(), vec![0]].concat()), "more than the packet");
        assert!(unknown(&packet(0x12, &hex("00 0006 0006 ff 100010770000"))), "the version alone");
    }
}
