//! PostgreSQL: who logs in to which database, how, and the first statements.
//!
//! The client begins with a message that has a length and a protocol number but no type: 3.0 with its parameters, or a
//! request for TLS, GSSAPI or cancellation (PostgreSQL documentation, "Frontend/Backend Protocol"). All further
//! messages have a type byte and a length. The server answers a TLS request with one byte. Statements are kept in
//! outline only, rows not at all.

use crate::cursor::Cursor;
use crate::database::{WEAK_DATABASE_AUTH, sql};
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields, tcp,
};

fields! { ProtocolId::Postgresql;
    VERSION: Str "version" "Protocol version that the client asks for";
    SERVER_VERSION: Str "server_version" "The server's version";
    USER: Str "user" "User name";
    DATABASE: Str "database" "Database; the user's name if the client gives none";
    APPLICATION: Str "application" "The client's application_name";
    REPLICATION: Bool "replication" "The client asks for a replication connection";
    TLS: Bool "tls" "The client asked for TLS, and whether the server agreed";
    GSS: Bool "gss" "The client asked for GSSAPI encryption, and whether the server agreed";
    CANCEL: Bool "cancel" "The connection only cancels a query of another one";
    AUTH: [Str] "auth" "What the server asks for: trust, password, md5, crypt, scram-sha-256, gss, sspi, kerberos5, sasl, oauthbearer …";
    LOGIN: Str "login" "ok or error";
    COMMANDS: [Str] "commands" "Message types that the client sent: query, parse, bind, execute, copy …";
    QUERY: Str "query" "Outline of the first statement: literals replaced by ?";
    ERROR_CODE: Str "error_code" "SQLSTATE of the first error";
    ERROR: Str "error" "Message of an error that ended the login";
}

/// PostgreSQL.
pub const PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    title: "PostgreSQL",
    family: Family::Database,
    source: "PostgreSQL Frontend/Backend Protocol 3.0 and 3.2",
    ports: &[tcp(5432)],
    well_known: true,
    patterns: &[
        // TLS, GSSAPI and cancellation share the number 1234 in the place of a major version.
        Pattern::tcp()
            .len(8, 8)
            .tests(&[byte(3, 8), byte(4, 0x04), byte(5, 0xd2), byte(6, 0x16)])
            .starts(&[0, 0, 0]),
        Pattern::tcp()
            .min(16)
            .tests(&[byte(4, 0x04), byte(5, 0xd2), byte(6, 0x16), byte(7, 0x2e)])
            .starts(&[0, 0]),
        // Startup 3.0 or 3.2.
        Pattern::tcp().min(9).tests(&[byte(4, 0), byte(5, 3), byte(6, 0)]).starts(&[0, 0]),
        // The server's authentication request, where the start was not seen.
        Pattern::tcp().min(9).tests(&[byte(5, 0), byte(6, 0), byte(7, 0)]).starts(b"R\0\0\0"),
    ],
    identify,
    parser: Some(|| Box::new(Postgresql::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS, &WEAK_DATABASE_AUTH],
    ..Protocol::BASE
};

/// PostgreSQL itself takes no longer startup message.
const STARTUP_MAX: usize = 10_000;
/// Messages are read this far.
const READ_MAX: usize = 4096;
/// After this many messages of the client's the flow is left alone.
const MESSAGES_MAX: u32 = 64;

const CANCEL_REQUEST: u32 = 80_877_102;
const TLS_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// Length and number of a startup message.
fn startup_head(bytes: &[u8]) -> Option<(usize, u32)> {
    let mut c = Cursor::new(bytes);
    Some((c.u32()? as usize, c.u32()?))
}

/// The parameters of a startup message: pairs of texts, and a zero after the last.
fn parameters(body: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut c = Cursor::new(body);
    let mut pairs = Vec::new();
    loop {
        let name = c.until(0)?;
        if name.is_empty() {
            return c.is_empty().then_some(pairs);
        }
        pairs.push((name, c.until(0)?));
        if pairs.len() > 64 {
            return None;
        }
    }
}

fn identify(p: &Probe<'_>) -> Verdict {
    if p.payload.first() == Some(&b'R') {
        return server_identify(p);
    }
    let Some((length, number)) = startup_head(p.payload) else { return Verdict::Need(8) };
    let ok = match number {
        TLS_REQUEST | GSS_REQUEST => length == 8 && p.payload.len() == 8,
        // Its key was of four bytes before protocol 3.2.
        CANCEL_REQUEST => (16..=268).contains(&length) && p.payload.len() == length,
        0x0003_0000..=0x0003_0002 => {
            if !(17..=STARTUP_MAX).contains(&length) {
                return Verdict::No;
            }
            let Some(body) = p.payload.get(8..length) else { return Verdict::Need(length) };
            // The user is the one parameter that may not be missing.
            parameters(body).is_some_and(|pairs| pairs.iter().any(|(name, _)| *name == b"user"))
        }
        _ => false,
    };
    match ok {
        false => Verdict::No,
        true if p.dir == Dir::Client => Verdict::Yes,
        true => Verdict::YesReversed,
    }
}

fn server_identify(p: &Probe<'_>) -> Verdict {
    let mut c = Cursor::new(p.payload);
    let (Some(_), Some(length), Some(code)) = (c.u8(), c.u32(), c.u32()) else { return Verdict::Need(9) };
    let fits = match code {
        0 | 2 | 3 | 6 | 7 | 9 => length == 8,
        4 => length == 10,
        5 => length == 12,
        10 => (length as usize) < 128 && p.payload.get(9..14) == Some(b"SCRAM"),
        _ => false,
    };
    // After an "ok" the server goes on with parameters; after all else it waits.
    let end = 1 + length as usize;
    let next = match p.payload.get(end) {
        None => p.payload.len() == end && code != 0,
        Some(kind) => code == 0 && matches!(kind, b'S' | b'K' | b'N' | b'E'),
    };
    match fits && next {
        false => Verdict::No,
        true if p.dir == Dir::Server => Verdict::Yes,
        true => Verdict::YesReversed,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Tls,
    Gss,
}

#[derive(Default)]
struct Postgresql {
    /// The client asked for encryption; the server's answer is one byte without a frame.
    asked: Option<Asked>,
    /// The startup message was seen: from here on messages have types.
    typed: bool,
    /// The last authentication request, as a number.
    auth: u32,
    logged_in: bool,
    messages: u32,
    started: [bool; 2],
}

impl Parser for Postgresql {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        match dir {
            // A startup message has a zero where others have their type.
            Dir::Client if !self.typed && bytes[0] == 0 => self.startup(bytes, out),
            Dir::Server if self.asked.is_some() => self.answer(bytes, out),
            _ => self.typed(dir, bytes, out),
        }
    }
}

impl Postgresql {
    fn startup(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((length, number)) = startup_head(bytes) else { return Step::Need(8) };
        if !(8..=STARTUP_MAX).contains(&length) {
            return Step::Malformed(0);
        }
        let Some(body) = bytes.get(8..length) else { return Step::Need(length) };
        self.started[0] = true;
        match number {
            TLS_REQUEST => {
                self.asked = Some(Asked::Tls);
                out.set(TLS, false);
            }
            GSS_REQUEST => {
                self.asked = Some(Asked::Gss);
                out.set(GSS, false);
            }
            CANCEL_REQUEST => {
                out.set(CANCEL, true);
                return Step::Finished;
            }
            _ => {
                self.typed = true;
                out.set(VERSION, format!("{}.{}", number >> 16, number & 0xffff));
                let Some(pairs) = parameters(body) else { return Step::Malformed(8) };
                for (name, value) in &pairs {
                    match *name {
                        b"user" => out.set_text(USER, value),
                        b"database" => out.set_text(DATABASE, value),
                        b"application_name" if !value.is_empty() => out.set_text(APPLICATION, value),
                        b"replication" if !matches!(*value, b"false" | b"off" | b"no" | b"0") => {
                            out.set(REPLICATION, true);
                        }
                        _ => {}
                    }
                }
                if let Some((_, user)) = pairs.iter().find(|(name, _)| *name == b"user") {
                    out.set_text(DATABASE, user);
                }
            }
        }
        Step::Consumed(length)
    }

    /// The one byte that answers a request for encryption.
    fn answer(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let asked = self.asked.take();
        match (bytes[0], asked) {
            (b'S', Some(Asked::Tls)) => {
                out.replace(TLS, true);
                out.confirm();
                Step::Switch(1, Some(ProtocolId::Tls))
            }
            (b'G', Some(Asked::Gss)) => {
                out.replace(GSS, true);
                out.confirm();
                Step::Finished
            }
            (b'N', _) => {
                out.confirm();
                Step::Consumed(1)
            }
            // Servers before 7.0, and those that are full, answer with an error message.
            (b'E', _) => self.typed(Dir::Server, bytes, out),
            _ => Step::Malformed(0),
        }
    }

    fn typed(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(&[kind, a, b, c, d]) = bytes.first_chunk::<5>() else { return Step::Need(5) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let started = self.started[dir.index()];
        if !(4..=1 << 30).contains(&length) || !kind.is_ascii_alphanumeric() {
            return if started { Step::Malformed(0) } else { Step::Done };
        }
        // Rows and copied data are skipped unseen.
        let unseen = matches!(kind, b'D' | b'd') && dir == Dir::Server;
        let want = if unseen { 5 } else { 1 + length.min(READ_MAX) };
        let Some(body) = bytes.get(5..want) else { return Step::Need(want) };
        self.started[dir.index()] = true;
        self.typed |= dir == Dir::Client;
        match dir {
            Dir::Server => self.backend(kind, body, out),
            Dir::Client => self.frontend(kind, body, out),
        }
        if self.started == [true, true] {
            out.confirm();
        }
        if self.messages >= MESSAGES_MAX {
            return Step::Finished;
        }
        Step::Skip(1 + length as u64)
    }

    fn backend(&mut self, kind: u8, body: &[u8], out: &mut Sink<'_>) {
        match kind {
            b'R' => {
                let mut c = Cursor::new(body);
                let Some(code) = c.u32() else { return };
                match code {
                    0 => {
                        if self.auth == 0 {
                            out.push(AUTH, "trust");
                        }
                        self.logged_in = true;
                        out.set(LOGIN, "ok");
                    }
                    // The first SASL mechanism offered; its steps (11, 12) and GSSAPI's (8) say nothing new.
                    10 => out.push(AUTH, sasl_name(c.until(0).unwrap_or_default())),
                    8 | 11 | 12 => return,
                    _ => out.push(AUTH, auth_name(code)),
                }
                if matches!(code, 4 | 5) {
                    let name = auth_name(code);
                    out.risk(&WEAK_DATABASE_AUTH, || format!("postgresql.auth={name}"));
                }
                if code != 0 {
                    self.auth = code;
                }
            }
            b'S' => {
                let mut c = Cursor::new(body);
                if let (Some(b"server_version"), Some(value)) = (c.until(0), c.until(0)) {
                    out.set_text(SERVER_VERSION, value);
                }
            }
            b'E' => {
                let mut c = Cursor::new(body);
                let mut message = &[][..];
                while let Some(field) = c.u8().filter(|f| *f != 0) {
                    let Some(text) = c.until(0) else { break };
                    match field {
                        b'C' => out.set_text(ERROR_CODE, text),
                        b'M' => message = text,
                        _ => {}
                    }
                }
                // Later messages can quote data.
                if !self.logged_in {
                    out.set(LOGIN, "error");
                    out.set_text(ERROR, message.get(..256).unwrap_or(message));
                }
            }
            _ => {}
        }
    }

    fn frontend(&mut self, kind: u8, body: &[u8], out: &mut Sink<'_>) {
        self.messages += 1;
        let (name, statement) = match kind {
            b'Q' => ("query", Cursor::new(body).until(0)),
            b'P' => {
                let mut c = Cursor::new(body);
                ("parse", c.until(0).and_then(|_| c.until(0)))
            }
            b'p' => {
                // Authentication 3 asks for the password as it is.
                if self.auth == 3 && !self.logged_in {
                    let user = out.found.text(USER).unwrap_or_default().to_owned();
                    out.risk(&CLEAR_TEXT_CREDENTIALS, || {
                        format!("postgresql.auth=password postgresql.user={user}")
                    });
                }
                return;
            }
            b'B' => ("bind", None),
            b'E' => ("execute", None),
            b'D' => ("describe", None),
            b'C' => ("close", None),
            b'F' => ("function-call", None),
            b'd' | b'c' | b'f' => ("copy", None),
            b'X' => ("terminate", None),
            // Sync and flush.
            _ => return,
        };
        out.push(COMMANDS, name);
        if let Some(statement) = statement.filter(|s| !s.is_empty())
            && out.wants(QUERY)
            && out.found.value(QUERY).is_none()
        {
            out.set(QUERY, Value::from(sql::outline(statement)));
        }
    }
}

fn auth_name(code: u32) -> &'static str {
    match code {
        2 => "kerberos5",
        3 => "password",
        4 => "crypt",
        5 => "md5",
        6 => "scm",
        7 => "gss",
        9 => "sspi",
        _ => "other",
    }
}

fn sasl_name(mechanism: &[u8]) -> &'static str {
    match mechanism {
        b"SCRAM-SHA-256" => "scram-sha-256",
        b"SCRAM-SHA-256-PLUS" => "scram-sha-256-plus",
        b"OAUTHBEARER" => "oauthbearer",
        _ => "sasl",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
    }

    fn startup() -> Vec<u8> {
        let body = b"user\0alice\0database\0shop\0application_name\0psql\0\0";
        [&(body.len() as u32 + 8).to_be_bytes()[..], &[0, 3, 0, 0], body].concat()
    }

    fn ready() -> Vec<u8> {
        [message(b'R', &[0; 4]), message(b'S', b"server_version\x0016.2\0"), message(b'Z', b"I")].concat()
    }

    #[test]
    fn a_login_and_a_query_however_they_are_cut() {
        let challenge = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let proof = message(b'p', b"SCRAM-SHA-256-PLUS\0\0\0\0\x05n,,n=");
        let query = [message(b'Q', b"select 1, 'x'\0"), message(b'X', b"")].concat();
        let rows = [
            message(b'T', &[0; 30]),
            message(b'D', &[9; 6000]),
            message(b'E', b"SERROR\0C42P01\0Mrelation\0\0"),
        ]
        .concat();
        let start = startup();
        let (ready, query) = (ready(), query);
        let seen = Flow::tcp(5432)
            .client(&start)
            .server(&challenge)
            .client(&proof)
            .server(&ready)
            .client(&query)
            .server(&rows)
            .run_split();
        assert_eq!(seen.protocol, ProtocolId::Postgresql);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!((seen.show(USER), seen.show(DATABASE)), ("alice".into(), "shop".into()));
        assert_eq!(seen.show(APPLICATION), "psql");
        assert_eq!(seen.show(AUTH), "scram-sha-256-plus");
        assert_eq!(seen.show(LOGIN), "ok");
        assert_eq!(seen.show(SERVER_VERSION), "16.2");
        assert_eq!(seen.show(COMMANDS), "query,terminate");
        assert_eq!(seen.show(QUERY), "select ?, ?");
        assert_eq!((seen.show(ERROR_CODE), seen.show(ERROR)), ("42P01".into(), String::new()));
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn clear_passwords_and_md5_are_risks() {
        let (start, ask, tell) = (startup(), message(b'R', &[0, 0, 0, 3]), message(b'p', b"hunter2\0"));
        let seen = Flow::tcp(5432).client(&start).server(&ask).client(&tell).run_split();
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        let ask = message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]);
        let seen = Flow::tcp(5432).client(&start).server(&ask).client(&tell).run_split();
        assert_eq!((seen.risks(), seen.show(AUTH)), (vec!["weak-database-auth"], "md5".into()));
    }

    #[test]
    fn encryption_is_negotiated_in_one_byte() {
        let tls = hex("00000008 04d2162f");
        let seen = Flow::tcp(60102).client(&tls).server(b"S").run_split();
        assert_eq!((seen.protocol, seen.show(TLS)), (ProtocolId::Postgresql, "true".into()));
        let start = startup();
        let seen = Flow::tcp(5432)
            .client(&hex("00000008 04d21630"))
            .server(b"N")
            .client(&tls)
            .server(b"N")
            .client(&start)
            .run_split();
        assert_eq!(
            (seen.show(GSS), seen.show(TLS), seen.show(USER)),
            ("false".into(), "false".into(), "alice".into())
        );
    }

    #[test]
    fn the_servers_side_alone() {
        let seen = Flow::tcp(5432).server(&ready()).run();
        assert_eq!((seen.protocol, seen.show(AUTH)), (ProtocolId::Postgresql, "trust".into()));
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(5432).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(unknown(&hex("00000008 04d21631")), "no such request");
        assert!(unknown(&hex("00000009 04d2162f 00")));
        let mut nobody = startup();
        nobody[8] = b'x';
        assert!(unknown(&nobody), "no user");
        assert!(unknown(b"R\0\0\0\x09\0\0\0\x03\0"), "no such length");
    }
}
