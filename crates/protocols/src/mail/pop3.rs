//! Post Office Protocol 3 (RFC 1939): the server greets with `+OK`, the client logs in and fetches its mail.
//! Extensions read: CAPA (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034).
//!
//! `+OK` alone is said by other protocols too (Redis), so the greeting must name POP or carry APOP's time stamp, or the
//! client must answer with a command of POP3. After STLS the flow is labelled `pop3s`.

use std::collections::VecDeque;

use super::lines::{self, Line};
use super::message::{Message, is_executable};
use super::sasl::{Failures, Sasl};
use super::smtp::EXECUTABLE_ATTACHMENT;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, fields, risk, tcp,
};

fields! { ProtocolId::Pop3;
    BANNER: Str "banner" "The server's greeting";
    USER: Str "user" "The user who logs in";
    AUTH: [Str] "auth" "How the client logged in: PASS, APOP, or a SASL mechanism";
    CAPABILITIES: [Str] "capabilities" "What the server can do, as it answers CAPA";
    SUBJECTS: [Str] "subjects" "Subjects of the messages fetched";
    ATTACHMENTS: [Str] "attachments" "Names of files in the messages fetched";
    MESSAGES: Uint "messages" "How many messages were fetched";
    LOGGED_IN: Bool "logged_in" "The server accepted a login";
    STARTTLS: Bool "starttls" "The connection went on over TLS";
}

/// Post Office Protocol 3.
pub const PROTOCOL: Protocol = Protocol {
    name: "pop3",
    title: "Post Office Protocol 3",
    family: Family::Mail,
    source: "RFC 1939",
    ports: &[tcp(110)],
    well_known: true,
    cleartext: true,
    patterns: &[
        Pattern::tcp().starts(b"+OK"),
        Pattern::tcp().starts_fold(b"USER "),
        Pattern::tcp().starts_fold(b"CAPA\r\n"),
        Pattern::tcp().starts_fold(b"STLS\r\n"),
        Pattern::tcp().starts_fold(b"APOP "),
        Pattern::tcp().starts_fold(b"AUTH"),
    ],
    identify,
    parser: Some(|| Box::new(Pop3::default())),
    fields: FIELDS,
    risks: &[&EXECUTABLE_ATTACHMENT, &risk::CLEAR_TEXT_CREDENTIALS, &risk::REPEATED_LOGIN_FAILURES],
    ..Protocol::BASE
};

fn identify(p: &Probe<'_>) -> Verdict {
    let line = match lines::next(p.payload) {
        Line::Whole(line, _) if lines::is_text(line) => line,
        Line::Whole(..) | Line::TooLong => return Verdict::No,
        Line::Partial(n) => return Verdict::Need(n),
    };
    if let Some(text) = line.strip_prefix(b"+OK") {
        let yes = if p.dir == Dir::Server { Verdict::Yes } else { Verdict::YesReversed };
        if !matches!(text, [] | [b' ', ..]) {
            return Verdict::No;
        }
        if lines::has_word(text, b"POP3") || lines::has_word(text, b"POP") || has_timestamp(text) {
            return yes;
        }
        return match client(p.other, text) {
            Some(true) => yes,
            Some(false) => Verdict::No,
            None => Verdict::Later,
        };
    }
    let yes = if p.dir == Dir::Client { Verdict::Yes } else { Verdict::YesReversed };
    match p.other.strip_prefix(b"+OK") {
        Some(rest) => match client(p.payload, lines::all(rest).next().unwrap_or_default()) {
            Some(true) => yes,
            Some(false) => Verdict::No,
            None => Verdict::Later,
        },
        // Only this side is seen (or the server is slow): its own lines must be enough.
        None if p.other.is_empty() => match alone(p.payload) {
            Some(true) => yes,
            Some(false) => Verdict::No,
            None => Verdict::Later,
        },
        None => Verdict::No,
    }
}

/// Is this what a client says to a server that greeted with `+OK` and `greeting`? `None` if it has said nothing yet.
fn client(bytes: &[u8], greeting: &[u8]) -> Option<bool> {
    let line = lines::all(bytes).next()?;
    let (verb, rest) = lines::split(line);
    Some(match verb.to_ascii_uppercase().as_slice() {
        b"CAPA" | b"STLS" => rest.is_empty(),
        b"USER" | b"APOP" => !rest.is_empty(),
        // Redis knows AUTH (and says a bare +OK to it).
        b"AUTH" => !greeting.is_empty(),
        _ => false,
    })
}

/// Are these a POP3 client's commands, without a look at the server? `None` if more have to be seen.
fn alone(bytes: &[u8]) -> Option<bool> {
    for line in lines::all(bytes).take(6) {
        let (verb, rest) = lines::split(line);
        match verb.to_ascii_uppercase().as_slice() {
            b"CAPA" | b"STLS" | b"UIDL" if rest.is_empty() => return Some(true),
            b"APOP" => {
                let digest = lines::split(rest).1;
                return Some(digest.len() == 32 && digest.iter().all(u8::is_ascii_hexdigit));
            }
            b"USER" | b"PASS" | b"STAT" | b"AUTH" => {}
            b"RETR" | b"DELE" | b"LIST" if lines::number(rest).is_some() => return Some(true),
            _ => return Some(false),
        }
    }
    if bytes.len() < 1024 { None } else { Some(false) }
}

/// The time stamp of an APOP greeting: `<process-ID.clock@hostname>` (RFC 1939 §7).
fn has_timestamp(text: &[u8]) -> bool {
    let Some(start) = text.iter().rposition(|b| *b == b'<') else { return false };
    let inner = &text[start + 1..];
    let Some(end) = inner.iter().position(|b| *b == b'>') else { return false };
    let inner = &inner[..end];
    inner.contains(&b'@')
        && inner.contains(&b'.')
        && inner.iter().any(u8::is_ascii_digit)
        && !inner.contains(&b' ')
}

/// A command whose reply is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Login,
    Stls,
    Capa,
    /// Its answer has several lines.
    Lines,
    Message,
    Other,
}

const WAITING_MAX: usize = 64;

#[derive(Default)]
struct Pop3 {
    waiting: VecDeque<Command>,
    login: Option<Sasl>,
    /// The answer of several lines that is being read.
    reading: Option<Command>,
    message: Message,
    messages: u64,
    failures: Failures,
    greeted: bool,
    tls_asked: bool,
}

impl Parser for Pop3 {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.tls_asked && bytes[0] == 0x16 {
            return secured(0, out);
        }
        let (line, used) = match lines::next(bytes) {
            Line::Whole(line, used) => (line, used),
            Line::Partial(n) => return Step::Need(n),
            Line::TooLong if self.reading.is_some() && dir == Dir::Server => {
                return Step::Consumed(lines::LINE_MAX);
            }
            Line::TooLong => return Step::Malformed(0),
        };
        match dir {
            Dir::Client if !lines::is_text(line) => return Step::Done,
            Dir::Client => self.command(line, out),
            Dir::Server if self.reading.is_some() => self.more(line, out),
            Dir::Server => {
                if self.status(line, out) {
                    return secured(used, out);
                }
            }
        }
        Step::Consumed(used)
    }
}

impl Pop3 {
    fn command(&mut self, line: &[u8], out: &mut Sink<'_>) {
        if let Some(sasl) = &mut self.login {
            if let Some(user) = sasl.response(line) {
                out.set(USER, user);
            }
            if sasl.is_over() || line == b"*" {
                self.login = None;
            }
            return;
        }
        let (verb, rest) = lines::split(line);
        let waiting = match verb.to_ascii_uppercase().as_slice() {
            b"USER" => {
                out.set_text(USER, rest.get(..128).unwrap_or(rest));
                Command::Other
            }
            b"PASS" => {
                out.push(AUTH, "PASS");
                out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "pop3.auth=PASS".to_owned());
                Command::Login
            }
            b"APOP" => {
                out.push(AUTH, "APOP");
                out.set_text(USER, lines::split(rest).0);
                // RFC 6151: MD5 of a known challenge and the password can be guessed at leisure.
                out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "pop3.auth=APOP".to_owned());
                Command::Login
            }
            b"AUTH" if rest.is_empty() => Command::Lines,
            b"AUTH" => {
                let (mechanism, initial) = lines::split(rest);
                let mut sasl = Sasl::new(mechanism);
                out.push(AUTH, sasl.mechanism().to_owned());
                if !initial.is_empty()
                    && let Some(user) = sasl.response(initial)
                {
                    out.set(USER, user);
                }
                if sasl.is_exposed() {
                    out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || format!("pop3.auth={}", sasl.mechanism()));
                }
                self.login = (!sasl.is_over()).then_some(sasl);
                Command::Login
            }
            b"STLS" => {
                self.tls_asked = true;
                Command::Stls
            }
            b"CAPA" => Command::Capa,
            b"LIST" | b"UIDL" if rest.is_empty() => Command::Lines,
            b"RETR" | b"TOP" => Command::Message,
            _ => Command::Other,
        };
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(waiting);
        }
    }

    /// A status line. True if TLS begins after it.
    fn status(&mut self, line: &[u8], out: &mut Sink<'_>) -> bool {
        let ok = line.starts_with(b"+OK");
        if !ok && !line.starts_with(b"-ERR") {
            // `+ challenge` within AUTH; anything else comes from a capture that begins in the middle.
            return false;
        }
        if !self.greeted && self.waiting.is_empty() {
            self.greeted = true;
            out.set_text(BANNER, line.get(4..).unwrap_or_default());
            return false;
        }
        self.greeted = true;
        let Some(command) = self.waiting.pop_front() else { return false };
        out.confirm();
        match command {
            Command::Stls if ok => return true,
            Command::Stls => self.tls_asked = false,
            Command::Login => {
                self.login = None;
                if ok {
                    out.set(LOGGED_IN, true);
                } else {
                    self.failures.refused("pop3", out);
                }
            }
            Command::Capa | Command::Lines | Command::Message if ok => self.reading = Some(command),
            _ => {}
        }
        false
    }

    /// A line of an answer of several lines.
    fn more(&mut self, line: &[u8], out: &mut Sink<'_>) {
        match self.reading {
            Some(Command::Message) if line == b"." => {
                self.message.close();
                let message = std::mem::take(&mut self.message);
                self.messages += 1;
                out.replace(MESSAGES, self.messages);
                if let Some(subject) = message.field("subject") {
                    out.push(SUBJECTS, crate::Value::text(subject));
                }
                for name in message.attachments {
                    if is_executable(&name) {
                        out.risk(&EXECUTABLE_ATTACHMENT, || format!("pop3.attachments={name}"));
                    }
                    out.push(ATTACHMENTS, name);
                }
            }
            Some(Command::Message) => {
                self.message.line(if line.starts_with(b"..") { &line[1..] } else { line });
            }
            Some(Command::Capa) if line != b"." => out.push(CAPABILITIES, lines::shown(line)),
            _ => {}
        }
        if line == b"." {
            self.reading = None;
        }
    }
}

fn secured(used: usize, out: &mut Sink<'_>) -> Step {
    out.set(STARTTLS, true);
    out.relabel(ProtocolId::Pop3s);
    Step::Switch(used, Some(ProtocolId::Tls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    // RFC 1939 §10
    const GREETING: &[u8] = b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n";

    #[test]
    fn the_session_of_the_rfc() {
        let seen = Flow::tcp(110)
            .server(GREETING)
            .client(b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n")
            .server(b"+OK mrose's maildrop has 2 messages (320 octets)\r\n")
            .client(b"STAT\r\nLIST\r\nRETR 1\r\n")
            .server(b"+OK 2 320\r\n+OK 2 messages\r\n1 120\r\n2 200\r\n.\r\n")
            .server(b"+OK 120 octets\r\nSubject: Hi\r\n\r\n+OK not a status\r\n..\r\n.\r\n")
            .client(b"QUIT\r\n")
            .server(b"+OK bye\r\n")
            .run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Pop3, Confidence::Handshake));
        assert_eq!(seen.show(USER), "mrose");
        assert_eq!(seen.show(SUBJECTS), "Hi");
        assert_eq!(seen.show(MESSAGES), "1");
        assert_eq!(seen.show(LOGGED_IN), "true");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
    }

    #[test]
    fn passwords_in_clear_and_guessing() {
        let mut flow = Flow::tcp(110).server(b"+OK ready\r\n");
        for _ in 0..5 {
            flow = flow
                .client(b"USER tim\r\n")
                .server(b"+OK\r\n")
                .client(b"PASS hunter2\r\n")
                .server(b"-ERR no\r\n");
        }
        let seen = flow.run_split();
        assert_eq!(seen.protocol, ProtocolId::Pop3);
        assert_eq!(seen.risks(), ["clear-text-credentials", "repeated-login-failures"]);
        assert!(!format!("{seen:?}").contains("hunter2"));
    }

    #[test]
    fn stls() {
        let seen = Flow::tcp(110)
            .server(b"+OK lavad\r\n")
            .client(b"CAPA\r\n")
            .server(b"+OK list follows\r\nSTLS\r\nUIDL\r\n.\r\n")
            .client(b"STLS\r\n")
            .server(b"+OK begin\r\n")
            .run_split();
        assert_eq!(seen.protocol, ProtocolId::Pop3s);
        assert_eq!(seen.show(CAPABILITIES), "STLS,UIDL");
    }

    #[test]
    fn one_side_only() {
        let commands = b"USER tim\r\nPASS x\r\nSTAT\r\nUIDL\r\n";
        assert_eq!(Flow::tcp(99).client(commands).run_split().protocol, ProtocolId::Pop3);
        assert_eq!(Flow::tcp(99).server(GREETING).run_split().protocol, ProtocolId::Pop3);
    }

    #[test]
    fn near_misses() {
        for server in
            [&b"+OK\r\n"[..], b"+OK 5\r\n", b"+OKAY POP3\r\n", b"+OK <a@b>\r\n", b"+OK \x01 POP3\r\n"]
        {
            assert_ne!(Flow::tcp(110).server(server).run().protocol, ProtocolId::Pop3, "{server:?}");
        }
        // Redis, inline commands.
        let redis =
            Flow::tcp(6379).client(b"AUTH x\r\n").server(b"+OK\r\n").client(b"QUIT\r\n").server(b"+OK\r\n");
        assert_ne!(redis.run().protocol, ProtocolId::Pop3);
        let ftp = Flow::tcp(99).client(b"USER a\r\nPASS b\r\nSYST\r\n");
        assert_ne!(ftp.run().protocol, ProtocolId::Pop3);
    }
}
