//! Redis and its kin (RESP, versions 2 and 3): which commands are sent, who authenticates.
//!
//! A client sends each command as an array of bulk strings, `*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n`; that shape alone is
//! enough to know it by. Commands typed by hand come as plain lines: those are claimed only if the command is one of
//! Redis' own and the answer is RESP. Keys and values are not kept, except the names of settings.

use crate::cursor::line;
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, masked,
    risks, tcp,
};

fields! { ProtocolId::Redis;
    RESP: Uint "resp" "Version of RESP: 2, or what the client asks for with HELLO";
    COMMANDS: [Str] "commands" "Commands, in upper case; with the subcommand where there is one";
    USER: Str "user" "User name, if one was given to log in";
    CLIENT_NAME: Str "client_name" "What the client calls its connection";
    LIBRARY: Str "library" "The client's library and its version";
    DATABASE: Uint "database" "Number of the database selected";
    SERVER_VERSION: Str "server_version" "The server's version, from an answer to INFO";
    ERROR: Str "error" "Kind of the first error: ERR, NOAUTH, WRONGPASS, MOVED …";
}

risks! {
    REDIS_TAKEOVER: High Client "redis-takeover" "A command that turns a Redis server into something that runs code or writes files: CONFIG SET of dir or dbfilename, MODULE LOAD, or SLAVEOF/REPLICAOF another host. Harmless from its operator.";
}

/// Redis.
pub const PROTOCOL: Protocol = Protocol {
    name: "redis",
    title: "Redis",
    family: Family::Database,
    source: "RESP 2 and 3 (redis.io protocol specification)",
    ports: &[tcp(6379), tcp(6380), tcp(26379)],
    well_known: true,
    patterns: &[
        Pattern::tcp().starts(b"*").tests(&[masked(1, 0xf0, 0x30)]),
        Pattern::tcp().len(1, 1).starts(b"*"),
        Pattern::tcp().len(6, 64).starts_fold(b"PING"),
        Pattern::tcp().len(6, 64).starts_fold(b"INFO"),
        Pattern::tcp().len(6, 64).starts_fold(b"COMMAND"),
        Pattern::tcp().len(6, 64).starts_fold(b"DBSIZE"),
        Pattern::tcp().len(6, 64).starts_fold(b"CONFIG GET"),
        Pattern::tcp().len(6, 64).starts_fold(b"CLIENT LIST"),
        // The server's answer, where the client's side comes after.
        Pattern::tcp().starts(b"+PONG\r\n"),
        Pattern::tcp().starts(b"-NOAUTH Authentication "),
    ],
    identify,
    parser: Some(|| Box::new(Redis::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS, &REDIS_TAKEOVER],
    ..Protocol::BASE
};

/// After this many commands the flow is left alone.
const COMMANDS_MAX: u32 = 64;
/// Of the answers so many elements are looked at.
const ELEMENTS_MAX: u32 = 64;
/// Arguments of a command that are kept while it is read, and how much of each.
const ARGUMENTS_MAX: usize = 8;
const ARGUMENT_BYTES_MAX: usize = 256;
/// Redis takes no longer inline commands, and no larger bulk strings.
const LINE_MAX: usize = 64 * 1024 - 1;
const BULK_MAX: u64 = 512 << 20;
/// An answer up to this size is searched for the server's version.
const INFO_MAX: u64 = 8 * 1024;

/// A line that is not longer than that, however much there is.
fn bounded_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    line(bytes.get(..=LINE_MAX).unwrap_or(bytes))
}

/// A number after a type byte: `*3\r\n`. `None` if it is none; `Err(())` if the line's end is not there yet.
fn count(bytes: &[u8], kind: u8) -> Option<Result<(u64, usize), ()>> {
    if bytes.first().is_some_and(|b| *b != kind) {
        return None;
    }
    let Some((text, used)) = line(bytes) else {
        let so_far = bytes.get(1..).unwrap_or_default();
        return (so_far.len() <= 11 && so_far.iter().all(|b| b.is_ascii_digit() || *b == b'\r'))
            .then_some(Err(()));
    };
    let digits = text.get(1..).filter(|d| (1..=10).contains(&d.len()) && d.iter().all(u8::is_ascii_digit))?;
    // The line must end with both bytes.
    if used != text.len() + 2 {
        return None;
    }
    Some(Ok((digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')), used)))
}

fn identify(p: &Probe<'_>) -> Verdict {
    match p.payload.first() {
        Some(b'*') => array(p),
        Some(b'+' | b'-') => answer(p),
        Some(_) => inline(p),
        None => Verdict::No,
    }
}

fn array(p: &Probe<'_>) -> Verdict {
    let more = Verdict::Need(p.payload.len() + 1);
    let (n, used) = match count(p.payload, b'*') {
        None => return Verdict::No,
        Some(Err(())) => return more,
        Some(Ok(found)) => found,
    };
    if !(1..=1 << 20).contains(&n) {
        return Verdict::No;
    }
    let rest = &p.payload[used..];
    let (len, used) = match count(rest, b'$') {
        None => return Verdict::No,
        Some(Err(())) => return more,
        Some(Ok(found)) => found,
    };
    let len = len as usize;
    if !(1..=32).contains(&len) {
        return Verdict::No;
    }
    let Some(command) = rest.get(used..used + len + 2) else {
        return if p.payload.len() > 256 { Verdict::No } else { more };
    };
    let word = command[0].is_ascii_alphabetic()
        && command[..len].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'|'));
    if !word || &command[len..] != b"\r\n" {
        return Verdict::No;
    }
    // An answer may be an array whose first string looks like a command: only the first sender is surely the client.
    if p.dir == Dir::Server && p.other.is_empty() { Verdict::Later } else { Verdict::Yes }
}

fn inline(p: &Probe<'_>) -> Verdict {
    const COMMANDS: [&[u8]; 6] = [b"PING", b"INFO", b"COMMAND", b"DBSIZE", b"CONFIG GET", b"CLIENT LIST"];
    let Some((text, _)) = line(p.payload) else { return Verdict::Later };
    let known = COMMANDS.iter().any(|c| {
        text.len() >= c.len()
            && text[..c.len()].eq_ignore_ascii_case(c)
            && text.get(c.len()).is_none_or(|b| *b == b' ')
    });
    if !known || p.dir == Dir::Server {
        return Verdict::No;
    }
    // The answer to any of them is a simple string, an error, a number, a bulk string or an array.
    match line(p.other) {
        None => Verdict::Later,
        Some((b"+PONG", _)) => Verdict::Yes,
        Some((first, _)) if first.starts_with(b"-NOAUTH ") || first.starts_with(b"-ERR ") => Verdict::Yes,
        Some((first, _)) => match first.split_first() {
            Some((b'$' | b'*' | b':' | b'%', n)) if !n.is_empty() && n.iter().all(u8::is_ascii_digit) => {
                Verdict::Yes
            }
            _ => Verdict::No,
        },
    }
}

/// `+PONG` and `-NOAUTH` by themselves: Redis, if the other side has asked in RESP or in a line.
fn answer(p: &Probe<'_>) -> Verdict {
    match p.other.first() {
        None => Verdict::Later,
        Some(b'*') => Verdict::Yes,
        Some(_) if p.other.len() >= 4 && p.other[..4].eq_ignore_ascii_case(b"PING") => Verdict::Yes,
        Some(_) if p.payload.starts_with(b"-NOAUTH ") => Verdict::Yes,
        Some(_) => Verdict::No,
    }
}

#[derive(Default)]
struct Redis {
    commands: u32,
    elements: u32,
    /// Arguments of the command that are still to come, and those that came.
    left: u64,
    arguments: Vec<Vec<u8>>,
    /// Who has sent anything, and whose first piece was understood.
    seen: [bool; 2],
    started: [bool; 2],
    /// INFO was asked for: its answer is searched for the version.
    info: bool,
}

impl Parser for Redis {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        let step = if dir == Dir::Client { self.client(bytes, out) } else { self.server(bytes, out) };
        let started = &mut self.started[dir.index()];
        match step {
            // The first bytes of a direction picked up in mid-stream can be anything.
            Step::Malformed(_) if !*started => Step::Done,
            Step::Need(_) => step,
            _ => {
                *started = true;
                step
            }
        }
    }
}

impl Redis {
    fn client(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.left > 0 {
            return self.argument(bytes, out);
        }
        if bytes[0] != b'*' {
            return self.inline(bytes, out);
        }
        match count(bytes, b'*') {
            None => Step::Malformed(0),
            Some(Err(())) => Step::Need(bytes.len() + 1),
            Some(Ok((n, used))) => {
                self.left = n;
                self.arguments.clear();
                Step::Consumed(used)
            }
        }
    }

    /// One bulk string of a command.
    fn argument(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let (len, head) = match count(bytes, b'$') {
            None => return Step::Malformed(0),
            Some(Err(())) => return Step::Need(bytes.len() + 1),
            Some(Ok((len, _))) if len > BULK_MAX => return Step::Malformed(0),
            Some(Ok(found)) => found,
        };
        if self.arguments.len() < ARGUMENTS_MAX {
            let kept = (len as usize).min(ARGUMENT_BYTES_MAX);
            let Some(text) = bytes.get(head..head + kept) else { return Step::Need(head + kept) };
            self.arguments.push(text.to_vec());
        }
        self.left -= 1;
        if self.left == 0 {
            self.command(out);
            if self.commands >= COMMANDS_MAX {
                return Step::Finished;
            }
        }
        Step::Skip(head as u64 + len + 2)
    }

    fn inline(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((text, used)) = bounded_line(bytes) else {
            return if bytes.len() > LINE_MAX { Step::Malformed(0) } else { Step::Need(bytes.len() + 1) };
        };
        if text.iter().any(u8::is_ascii_control) {
            return Step::Malformed(0);
        }
        self.arguments = text
            .split(|b| *b == b' ')
            .filter(|word| !word.is_empty())
            .take(ARGUMENTS_MAX)
            .map(|word| word[..word.len().min(ARGUMENT_BYTES_MAX)].to_vec())
            .collect();
        if !self.arguments.is_empty() {
            self.command(out);
        }
        Step::Consumed(used)
    }

    fn command(&mut self, out: &mut Sink<'_>) {
        self.commands += 1;
        let upper = |i: usize| self.arguments.get(i).map(|a| a.to_ascii_uppercase()).unwrap_or_default();
        let text = |i: usize| self.arguments.get(i).map(Vec::as_slice).unwrap_or_default();
        let (command, sub) = (upper(0), upper(1));
        let with_sub = matches!(
            &command[..],
            b"CONFIG"
                | b"CLIENT"
                | b"CLUSTER"
                | b"ACL"
                | b"MODULE"
                | b"SCRIPT"
                | b"FUNCTION"
                | b"SENTINEL"
                | b"DEBUG"
        );
        let shown = if with_sub { [&command[..], &sub].join(&b' ') } else { command.clone() };
        out.push(COMMANDS, Value::text(shown.trim_ascii_end()));
        out.set(RESP, 2u8);
        match (&command[..], &sub[..]) {
            (b"AUTH", _) if self.arguments.len() >= 2 => {
                let user = if self.arguments.len() >= 3 { text(1) } else { b"default" };
                login("AUTH", user, out);
            }
            (b"HELLO", version) => {
                if let [digit @ b'2'..=b'9'] = version {
                    out.replace(RESP, digit - b'0');
                }
                let option = |name: &[u8]| (2..self.arguments.len()).find(|i| upper(*i) == name);
                if let Some(at) = option(b"AUTH") {
                    login("HELLO", text(at + 1), out);
                }
                if let Some(at) = option(b"SETNAME") {
                    out.set_text(CLIENT_NAME, text(at + 1));
                }
            }
            (b"SELECT", number) => {
                if let Some(n) = std::str::from_utf8(number).ok().and_then(|n| n.parse::<u32>().ok()) {
                    out.set(DATABASE, n);
                }
            }
            (b"INFO", _) => self.info = true,
            (b"CLIENT", b"SETNAME") => out.set_text(CLIENT_NAME, text(2)),
            (b"CLIENT", b"SETINFO") => {
                let known = out.found.text(LIBRARY).unwrap_or_default().to_owned();
                let value = String::from_utf8_lossy(text(3)).into_owned();
                match &upper(2)[..] {
                    b"LIB-NAME" => out.replace(LIBRARY, format!("{value} {known}").trim_end().to_owned()),
                    b"LIB-VER" => out.replace(LIBRARY, format!("{known} {value}").trim_start().to_owned()),
                    _ => {}
                }
            }
            (b"CONFIG", b"SET") if matches!(&upper(2)[..], b"DIR" | b"DBFILENAME") => {
                let name = String::from_utf8_lossy(&upper(2)).into_owned();
                out.risk(&REDIS_TAKEOVER, || format!("redis.commands=CONFIG SET {name}"));
            }
            (b"MODULE", b"LOAD" | b"LOADEX") => {
                out.risk(&REDIS_TAKEOVER, || "redis.commands=MODULE LOAD".into());
            }
            (b"SLAVEOF" | b"REPLICAOF", host) if host != b"NO" => {
                let name = String::from_utf8_lossy(&command).into_owned();
                out.risk(&REDIS_TAKEOVER, || format!("redis.commands={name}"));
            }
            _ => {}
        }
    }

    /// An answer: arrays and maps are taken apart simply by reading on.
    fn server(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Step::Done;
        }
        if !b"+-:$*_#,(!=%~>|".contains(&bytes[0]) {
            return Step::Malformed(0);
        }
        let Some((text, used)) = bounded_line(bytes) else {
            if bytes.len() > LINE_MAX {
                return Step::Done;
            }
            // The same element again.
            self.elements -= 1;
            return Step::Need(bytes.len() + 1);
        };
        match bytes[0] {
            b'-' => {
                let kind = text[1..].split(|b| *b == b' ').next().unwrap_or_default();
                if (2..=32).contains(&kind.len()) && kind.iter().all(u8::is_ascii_uppercase) {
                    out.set_text(ERROR, kind);
                }
                Step::Consumed(used)
            }
            // Bulk strings, bulk errors and verbatim strings; -1 is a null.
            b'$' | b'!' | b'=' => {
                let digits = &text[1..];
                if digits == b"-1" {
                    return Step::Consumed(used);
                }
                let Some(len) = std::str::from_utf8(digits).ok().and_then(|n| n.parse::<u64>().ok()) else {
                    return Step::Malformed(0);
                };
                if self.info && len <= INFO_MAX {
                    let end = used + len as usize;
                    let Some(body) = bytes.get(used..end) else {
                        self.elements -= 1;
                        return Step::Need(end);
                    };
                    let version = body.split(|b| *b == b'\n').find_map(|l| l.strip_prefix(b"redis_version:"));
                    if let Some(version) = version {
                        out.set_text(SERVER_VERSION, version.trim_ascii_end());
                    }
                }
                if len > BULK_MAX { Step::Malformed(0) } else { Step::Skip(used as u64 + len + 2) }
            }
            _ => Step::Consumed(used),
        }
    }
}

fn login(how: &'static str, user: &[u8], out: &mut Sink<'_>) {
    out.set_text(USER, user);
    out.risk(&CLEAR_TEXT_CREDENTIALS, || {
        format!("redis.commands={how} redis.user={}", String::from_utf8_lossy(user))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    fn command(words: &[&str]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            out.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
        out
    }

    #[test]
    fn commands_and_answers_however_they_are_cut() {
        let long = "x".repeat(5000);
        let ask = [
            command(&["HELLO", "3", "AUTH", "alice", "hunter2", "SETNAME", "worker"]),
            command(&["CLIENT", "SETINFO", "LIB-NAME", "redis-py"]),
            command(&["CLIENT", "SETINFO", "LIB-VER", "5.0.1"]),
            command(&["set", "key", &long]),
            command(&["INFO", "server"]),
        ]
        .concat();
        let info = "# Server\r\nredis_version:7.2.4\r\n";
        let tell = format!("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n-ERR no\r\n${}\r\n{info}\r\n", info.len());
        let seen = Flow::tcp(6379).client(&ask).server(tell.as_bytes()).run_split();
        assert_eq!(seen.protocol, ProtocolId::Redis);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(RESP), "3");
        assert_eq!(seen.show(COMMANDS), "HELLO,CLIENT SETINFO,SET,INFO");
        assert_eq!((seen.show(USER), seen.show(CLIENT_NAME)), ("alice".into(), "worker".into()));
        assert_eq!(seen.show(LIBRARY), "redis-py 5.0.1");
        assert_eq!(seen.show(SERVER_VERSION), "7.2.4");
        assert_eq!(seen.show(ERROR), "ERR");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert!(!format!("{:?}", seen.found).contains("hunter2"));
    }

    #[test]
    fn lines_typed_by_hand_need_their_answer() {
        let seen = Flow::tcp(6379).client(b"PING\r\n").server(b"+PONG\r\n").run();
        assert_eq!((seen.protocol, seen.show(COMMANDS)), (ProtocolId::Redis, "PING".into()));
        let unknown = |flow: Flow<'_>| flow.run().protocol == ProtocolId::Unknown;
        assert!(unknown(Flow::tcp(6379).client(b"PING\r\n")));
        assert!(unknown(Flow::tcp(6379).client(b"PING\r\n").server(b"220 hello\r\n")));
        assert!(unknown(Flow::tcp(6379).client(b"PINGUIN\r\n").server(b"+PONG?\r\n")));
    }

    #[test]
    fn what_takes_a_server_over_is_a_risk() {
        for words in [
            &["CONFIG", "SET", "dir", "/root/.ssh"][..],
            &["slaveof", "203.0.113.5", "6379"],
            &["MODULE", "LOAD", "/tmp/x.so"],
        ] {
            let seen = Flow::tcp(6379).client(&command(words)).run();
            assert_eq!(seen.risks(), ["redis-takeover"], "{words:?}");
        }
        for words in
            [&["CONFIG", "SET", "maxmemory", "1"][..], &["REPLICAOF", "NO", "ONE"], &["CONFIG", "GET", "dir"]]
        {
            assert!(Flow::tcp(6379).client(&command(words)).run().risks().is_empty(), "{words:?}");
        }
    }

    #[test]
    fn near_misses_are_not_claimed() {
        for bytes in [
            &b"*1\r\n$7\r\nCOMMAND"[..],
            b"*1\n$4\nPING\n",
            b"*0\r\n$4\r\nPING\r\n",
            b"*1\r\n$4\r\n\x00\x01\x02\x03\r\n",
            b"*1\r\n+OK\r\n",
            b"* LIST ()\r\n",
        ] {
            assert_eq!(Flow::tcp(6379).client(bytes).run().protocol, ProtocolId::Unknown, "{bytes:?}");
        }
    }
}
