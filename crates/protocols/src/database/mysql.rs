//! MySQL and MariaDB: the server's greeting, the client's login, the first statements.
//!
//! Packets have a three-byte length and a sequence number (MySQL internals manual, "Client/Server Protocol"). The
//! server speaks first: protocol 10, its version, a challenge, its capabilities. The client answers with a login, or
//! with its first half and TLS. Statements are kept in outline only, results not at all. Not read: compression, the
//! X protocol.

use crate::cursor::Cursor;
use crate::database::{WEAK_DATABASE_AUTH, sql};
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields, tcp,
};

fields! { ProtocolId::Mysql;
    VERSION: Str "version" "The server's version, without the prefix that MariaDB puts before it";
    SERVER: Str "server" "mysql or mariadb";
    AUTH_PLUGIN: Str "auth_plugin" "Authentication plugin that was used last";
    USER: Str "user" "User name";
    DATABASE: Str "database" "Database that the client asks for at login";
    CLIENT: Str "client" "The client's library and its version, from its connection attributes";
    PROGRAM: Str "program" "The client's program name, from its connection attributes";
    CLIENT_OS: Str "client_os" "The client's operating system, from its connection attributes";
    TLS: Bool "tls" "The client went on to TLS";
    COMPRESSION: Bool "compression" "Packets after the login are compressed: they are not read";
    COMMANDS: [Str] "commands" "Commands that the client sent";
    QUERY: Str "query" "Outline of the first statement: literals replaced by ?";
    LOGIN: Str "login" "ok or error";
    ERROR_CODE: Uint "error_code" "Code of the first error";
    ERROR: Str "error" "SQL state of the first error";
}

/// MySQL and MariaDB.
pub const PROTOCOL: Protocol = Protocol {
    name: "mysql",
    title: "MySQL and MariaDB",
    family: Family::Database,
    source: "MySQL Client/Server Protocol, version 10",
    ports: &[tcp(3306)],
    well_known: true,
    patterns: &[
        // The greeting: below 64 KiB, first in sequence, protocol 10.
        Pattern::tcp().min(5).tests(&[byte(2, 0), byte(3, 0), byte(4, 10)]),
        // A refusal in its place.
        Pattern::tcp().min(9).tests(&[byte(2, 0), byte(3, 0), byte(4, 0xff)]),
        // A login, where the greeting was not seen: second in sequence, and 19 to 23 zeros.
        Pattern::tcp().min(36).tests(&[
            byte(2, 0),
            byte(3, 1),
            byte(13, 0),
            byte(14, 0),
            byte(15, 0),
            byte(16, 0),
            byte(17, 0),
            byte(18, 0),
            byte(19, 0),
            byte(20, 0),
            byte(21, 0),
            byte(22, 0),
            byte(23, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Mysql::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS, &WEAK_DATABASE_AUTH],
    ..Protocol::BASE
};

/// Packets are read this far.
const READ_MAX: usize = 4096;
/// After this many commands the flow is left alone.
const COMMANDS_MAX: u32 = 32;

const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const LENENC_AUTH: u32 = 1 << 21;

/// Length and sequence number.
fn packet_head(bytes: &[u8]) -> Option<(usize, u8)> {
    let [a, b, c, sequence] = *bytes.first_chunk()?;
    Some((u32::from_le_bytes([a, b, c, 0]) as usize, sequence))
}

struct Greeting<'a> {
    version: &'a [u8],
    plugin: &'a [u8],
}

fn greeting(body: &[u8]) -> Option<Greeting<'_>> {
    let mut c = Cursor::new(body);
    c.skip(1)?;
    let version = c.until(0)?;
    // Thread, half of the challenge, a zero.
    c.skip(12)?;
    if c.u8()? != 0
        || version.len() < 3
        || !version[0].is_ascii_digit()
        || !version.iter().all(u8::is_ascii_graphic)
    {
        return None;
    }
    let low = c.u16_le()?;
    let mut plugin = &[][..];
    if !c.is_empty() {
        c.skip(3)?;
        let capabilities = u32::from(c.u16_le()?) << 16 | u32::from(low);
        let scramble = usize::from(c.u8()?);
        // Reserved; MariaDB keeps further capabilities in the last four.
        let reserved = c.take(10)?;
        if reserved[..6] != [0; 6] {
            return None;
        }
        if capabilities & SECURE_CONNECTION != 0 {
            c.skip(scramble.saturating_sub(8).max(13).min(c.remaining()))?;
        }
        if capabilities & PLUGIN_AUTH != 0 {
            plugin = c.until(0).unwrap_or_else(|| c.rest());
        }
    }
    Some(Greeting { version, plugin })
}

/// The head of a login, or of the request for TLS: the client's capabilities.
fn login_head(body: &[u8]) -> Option<u32> {
    let mut c = Cursor::new(body);
    let capabilities = c.u32_le()?;
    c.skip(5)?;
    let zeros = c.take(19)? == [0; 19];
    (zeros && capabilities & PROTOCOL_41 != 0).then_some(capabilities)
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some((length, sequence)) = packet_head(p.payload) else { return Verdict::Need(4) };
    if !(9..4096).contains(&length) {
        return Verdict::No;
    }
    let body = &p.payload[4..];
    let sender = match (sequence, body.first()) {
        (_, None) => return Verdict::Need(5),
        (0, Some(10 | 0xff)) => {
            // Greeting and refusal come alone: the client has to answer first.
            if body.len() < length {
                return Verdict::Need(4 + length);
            }
            let known = body.len() == length
                && if body[0] == 10 { greeting(body).is_some() } else { refusal(body).is_some() };
            if !known {
                return Verdict::No;
            }
            Dir::Server
        }
        (1, _) => {
            if body.len() < 32 {
                return Verdict::Need(36);
            }
            if length < 32 || login_head(body).is_none() || body.len() < length && length > 1024 {
                return Verdict::No;
            }
            Dir::Client
        }
        _ => return Verdict::No,
    };
    if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed }
}

/// An error packet: its code, and its SQL state if there is one.
fn refusal(body: &[u8]) -> Option<(u16, Option<&[u8]>)> {
    let mut c = Cursor::new(body);
    c.skip(1)?;
    let code = c.u16_le().filter(|code| (1000..5000).contains(code))?;
    let mut state = None;
    if c.peek() == Some(b'#') {
        state = c.take(6).map(|s| &s[1..]);
    }
    let text = c.rest();
    let readable = text.len() >= 8 && !text.iter().any(u8::is_ascii_control);
    readable.then_some((code, state))
}

/// Where the connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Greeting,
    Login,
    Authentication,
    Commands,
}

#[derive(Default)]
struct Mysql {
    phase: Phase,
    commands: u32,
    compressed: bool,
    started: [bool; 2],
    /// The server asked for the password as it is; the client's next packet holds it.
    clear_asked: bool,
}

impl Parser for Mysql {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((length, sequence)) = packet_head(bytes) else { return Step::Need(4) };
        let want = 4 + length.min(READ_MAX);
        let Some(body) = bytes.get(4..want) else { return Step::Need(want) };
        let started = std::mem::replace(&mut self.started[dir.index()], true);
        let read = match dir {
            Dir::Server => self.server(body, started, out),
            Dir::Client => match self.client(body, sequence, out) {
                Some(Some(step)) => return step,
                read => read.map(|_| ()),
            },
        };
        if read.is_none() {
            // The first packet of a direction picked up in mid-stream can be anything.
            return if started { Step::Malformed(4) } else { Step::Done };
        }
        if self.compressed && self.phase == Phase::Commands || self.commands >= COMMANDS_MAX {
            return Step::Finished;
        }
        Step::Skip(4 + length as u64)
    }
}

impl Mysql {
    fn server(&mut self, body: &[u8], started: bool, out: &mut Sink<'_>) -> Option<()> {
        match (self.phase, body.first()) {
            (Phase::Greeting, Some(10)) if !started => {
                let g = greeting(body)?;
                // "5.5.5-10.6.12-MariaDB": the prefix was for replicas that refused to talk to a version 10.
                let version = g.version.strip_prefix(b"5.5.5-").unwrap_or(g.version);
                let maria = version.windows(7).any(|w| w.eq_ignore_ascii_case(b"mariadb"));
                out.set_text(VERSION, version);
                out.set(SERVER, if maria { "mariadb" } else { "mysql" });
                if !g.plugin.is_empty() {
                    out.set_text(AUTH_PLUGIN, g.plugin);
                }
                self.phase = Phase::Login;
            }
            (Phase::Greeting | Phase::Login | Phase::Authentication, Some(0xff)) => {
                let (code, state) = refusal(body)?;
                out.set(LOGIN, "error");
                error(code, state, out);
            }
            (Phase::Authentication, Some(0)) => {
                out.set(LOGIN, "ok");
                self.phase = Phase::Commands;
            }
            // The server switches to another plugin; without a name it is the method of MySQL 4.0.
            (Phase::Authentication, Some(0xfe)) => {
                let plugin = match body.len() {
                    1 => b"mysql_old_password",
                    _ => Cursor::new(&body[1..]).until(0)?,
                };
                self.plugin(plugin, out);
            }
            (Phase::Commands, Some(0xff)) => {
                if let Some((code, state)) = refusal(body) {
                    error(code, state, out);
                }
            }
            // More of the plugin's conversation, or a result.
            _ => {}
        }
        Some(())
    }

    /// `None` if it is broken; a step if the stream becomes another protocol.
    fn client(&mut self, body: &[u8], sequence: u8, out: &mut Sink<'_>) -> Option<Option<Step>> {
        match self.phase {
            Phase::Greeting | Phase::Login => {
                let capabilities = login_head(body)?;
                if body.len() == 32 && capabilities & SSL != 0 {
                    out.set(TLS, true);
                    out.confirm();
                    return Some(Some(Step::Switch(36, Some(ProtocolId::Tls))));
                }
                out.set(TLS, false);
                self.compressed = capabilities & COMPRESS != 0;
                if self.compressed {
                    out.set(COMPRESSION, true);
                }
                if self.phase == Phase::Login {
                    out.confirm();
                }
                self.phase = Phase::Authentication;
                self.login(capabilities, &body[32..], out)?;
            }
            Phase::Authentication => {
                if self.clear_asked && body.len() > 1 {
                    clear_text(out);
                }
            }
            Phase::Commands => {
                // Commands start a new sequence; anything else is data for one (LOAD DATA LOCAL).
                if sequence == 0
                    && let Some((&command, rest)) = body.split_first()
                {
                    self.commands += 1;
                    out.push(COMMANDS, command_name(command));
                    // COM_QUERY and COM_STMT_PREPARE.
                    if matches!(command, 3 | 0x16) && out.wants(QUERY) && out.found.value(QUERY).is_none() {
                        out.set(QUERY, Value::from(sql::outline(rest)));
                    }
                }
            }
        }
        Some(None)
    }

    fn login(&mut self, capabilities: u32, bytes: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(bytes);
        let user = c.until(0)?;
        out.set_text(USER, user);
        let secret = if capabilities & LENENC_AUTH != 0 {
            let n = lenenc(&mut c)?;
            c.take(n)?
        } else if capabilities & SECURE_CONNECTION != 0 {
            c.vec8()?
        } else {
            c.until(0)?
        };
        if capabilities & CONNECT_WITH_DB != 0
            && let Some(database) = c.until(0)
            && !database.is_empty()
        {
            out.set_text(DATABASE, database);
        }
        if capabilities & PLUGIN_AUTH != 0 {
            let plugin = c.until(0).unwrap_or_else(|| c.rest());
            self.plugin(plugin, out);
            if self.clear_asked && secret.len() > 1 {
                clear_text(out);
            }
        }
        if capabilities & CONNECT_ATTRS != 0 {
            // Cut short in long logins: what is there is read.
            let _ = attributes(&mut c, out);
        }
        Some(())
    }

    fn plugin(&mut self, plugin: &[u8], out: &mut Sink<'_>) {
        if plugin.is_empty() {
            return;
        }
        out.replace(AUTH_PLUGIN, Value::text(plugin));
        // MariaDB's dialog (PAM) sends the answer as it was typed.
        self.clear_asked = matches!(plugin, b"mysql_clear_password" | b"dialog");
        if plugin == b"mysql_old_password" {
            out.risk(&WEAK_DATABASE_AUTH, || "mysql.auth_plugin=mysql_old_password".into());
        }
    }
}

fn clear_text(out: &mut Sink<'_>) {
    let text = |f| out.found.text(f).unwrap_or_default().to_owned();
    let evidence = format!("mysql.auth_plugin={} mysql.user={}", text(AUTH_PLUGIN), text(USER));
    out.risk(&CLEAR_TEXT_CREDENTIALS, || evidence);
}

fn error(code: u16, state: Option<&[u8]>, out: &mut Sink<'_>) {
    out.set(ERROR_CODE, code);
    if let Some(state) = state {
        out.set_text(ERROR, state);
    }
}

/// A length-encoded integer.
fn lenenc(c: &mut Cursor<'_>) -> Option<usize> {
    match c.u8()? {
        n @ 0..=0xfa => Some(n.into()),
        0xfc => c.u16_le().map(Into::into),
        _ => None,
    }
}

fn attributes(c: &mut Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    let total = lenenc(c)?;
    let mut c = Cursor::new(c.take(total.min(c.remaining()))?);
    let (mut name, mut version) = (&[][..], &[][..]);
    while !c.is_empty() {
        let n = lenenc(&mut c)?;
        let key = c.take(n)?;
        let n = lenenc(&mut c)?;
        let value = c.take(n)?;
        match key {
            b"_client_name" => name = value,
            b"_client_version" => version = value,
            b"program_name" => out.set_text(PROGRAM, value),
            b"_os" => out.set_text(CLIENT_OS, value),
            _ => {}
        }
    }
    if !name.is_empty() {
        let text = [name, version].join(&b' ');
        out.set_text(CLIENT, text.trim_ascii_end());
    }
    Some(())
}

fn command_name(command: u8) -> &'static str {
    match command {
        0x01 => "quit",
        0x02 => "init-db",
        0x03 => "query",
        0x04 => "field-list",
        0x05 => "create-db",
        0x06 => "drop-db",
        0x07 => "refresh",
        0x08 => "shutdown",
        0x09 => "statistics",
        0x0a => "process-info",
        0x0c => "process-kill",
        0x0d => "debug",
        0x0e => "ping",
        0x11 => "change-user",
        0x12 => "binlog-dump",
        0x15 => "register-slave",
        0x16 => "stmt-prepare",
        0x17 => "stmt-execute",
        0x18 => "stmt-send-long-data",
        0x19 => "stmt-close",
        0x1a => "stmt-reset",
        0x1b => "set-option",
        0x1c => "stmt-fetch",
        0x1e => "binlog-dump-gtid",
        0x1f => "reset-connection",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
        let n = (body.len() as u32).to_le_bytes();
        [&n[..3], &[sequence], body].concat()
    }

    fn hello(version: &str, plugin: &str) -> Vec<u8> {
        let mut b = vec![10];
        b.extend(version.as_bytes());
        b.push(0);
        b.extend([9, 0, 0, 0]);
        b.extend(b"abcdefgh\0");
        b.extend([0xff, 0xff, 33, 2, 0, 0xff, 0x81, 21]);
        b.extend([0; 10]);
        b.extend(b"ijklmnopqrst\0");
        b.extend(plugin.as_bytes());
        b.push(0);
        packet(0, &b)
    }

    fn login_head(capabilities: u32) -> Vec<u8> {
        let mut b = capabilities.to_le_bytes().to_vec();
        b.extend([0, 0, 0, 1, 33]);
        b.extend([0; 23]);
        b
    }

    fn login(plugin: &str, secret: &[u8]) -> Vec<u8> {
        let mut b =
            login_head(PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | CONNECT_WITH_DB | CONNECT_ATTRS);
        b.extend(b"alice\0");
        b.push(secret.len() as u8);
        b.extend(secret);
        b.extend(b"shop\0");
        b.extend(plugin.as_bytes());
        b.push(0);
        let pairs: [&str; 6] =
            ["_client_name", "libmariadb", "_client_version", "3.3.8", "program_name", "mysql"];
        let attributes: Vec<u8> =
            pairs.iter().flat_map(|s| [&[s.len() as u8], s.as_bytes()].concat()).collect();
        b.push(attributes.len() as u8);
        b.extend(attributes);
        packet(1, &b)
    }

    #[test]
    fn a_login_and_a_query_however_they_are_cut() {
        let (hello, login) = (
            hello("5.5.5-10.6.12-MariaDB-0ubuntu", "mysql_native_password"),
            login("mysql_native_password", &[7; 20]),
        );
        let ok = packet(2, &[0, 0, 0, 2, 0, 0, 0]);
        let query = [packet(0, b"\x03select * from users where name = 'bob'"), packet(0, &[1])].concat();
        let seen = Flow::tcp(3306).server(&hello).client(&login).server(&ok).client(&query).run_split();
        assert_eq!(seen.protocol, ProtocolId::Mysql);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(VERSION), "10.6.12-MariaDB-0ubuntu");
        assert_eq!(seen.show(SERVER), "mariadb");
        assert_eq!(seen.show(USER), "alice");
        assert_eq!(seen.show(DATABASE), "shop");
        assert_eq!(seen.show(CLIENT), "libmariadb 3.3.8");
        assert_eq!(seen.show(PROGRAM), "mysql");
        assert_eq!(seen.show(LOGIN), "ok");
        assert_eq!(seen.show(COMMANDS), "query,quit");
        assert_eq!(seen.show(QUERY), "select * from users where name = ?");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn clear_and_old_passwords_are_risks() {
        let hello = hello("8.0.36", "caching_sha2_password");
        let direct = login("mysql_clear_password", b"hunter2\0");
        let seen = Flow::tcp(3306).server(&hello).client(&direct).run_split();
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert_eq!(&*seen.found.risks[0].evidence, "mysql.auth_plugin=mysql_clear_password mysql.user=alice");
        let (first, ask, tell) = (
            login("caching_sha2_password", &[1; 32]),
            packet(2, b"\xfemysql_clear_password\0"),
            packet(3, b"hunter2\0"),
        );
        let seen = Flow::tcp(3306).server(&hello).client(&first).server(&ask).client(&tell).run_split();
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        let seen = Flow::tcp(3306).server(&hello).client(&first).server(&packet(2, &[0xfe])).run_split();
        assert_eq!(seen.risks(), ["weak-database-auth"]);
    }

    #[test]
    fn tls_and_refusals() {
        let hello = hello("8.0.36", "caching_sha2_password");
        let tls = packet(1, &login_head(PROTOCOL_41 | SSL));
        let seen = Flow::tcp(3306).server(&hello).client(&tls).run_split();
        assert_eq!((seen.show(TLS), seen.show(USER)), ("true".into(), String::new()));
        let refused = packet(0, b"\xff\x6a\x04Host 'x' is not allowed to connect to this MySQL server");
        let seen = Flow::tcp(3306).server(&refused).run_split();
        assert_eq!((seen.protocol, seen.show(ERROR_CODE)), (ProtocolId::Mysql, "1130".into()));
    }

    #[test]
    fn a_login_without_its_greeting() {
        let seen = Flow::tcp(3306).client(&login("mysql_native_password", &[7; 20])).run();
        assert_eq!((seen.protocol, seen.show(USER)), (ProtocolId::Mysql, "alice".into()));
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(3306).server(bytes).run().protocol == ProtocolId::Unknown;
        let mut long = hello("8.0.36", "x");
        long.push(0);
        assert!(unknown(&long), "more than the greeting");
        assert!(unknown(&hello("abc", "x")), "not a version");
        assert!(unknown(&packet(0, b"\xff\xff\xffHost is not allowed")), "not an error code");
    }
}
