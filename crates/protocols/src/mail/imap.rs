//! Internet Message Access Protocol (RFC 3501, RFC 9051): the server greets with `* OK`, the client's commands carry tags
//! that the server's answers repeat. Extensions read: STARTTLS, AUTHENTICATE, ID (RFC 2971), literals (RFC 7888).
//!
//! The greeting must name IMAP or list capabilities; else the client's first command decides. After STARTTLS the flow is
//! labelled `imaps`. Messages (literals) are passed over.

use super::lines::{self, Line};
use super::sasl::{Failures, Sasl};
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, common,
    fields, risk, tcp,
};

fields! { ProtocolId::Imap;
    BANNER: Str "banner" "The server's greeting";
    USER: Str "user" "The user who logs in";
    AUTH: [Str] "auth" "How the client logged in: LOGIN, or a SASL mechanism";
    CAPABILITIES: [Str] "capabilities" "What the server can do";
    MAILBOXES: [Str] "mailboxes" "Mailboxes that were opened";
    CLIENT_ID: Str "client_id" "What the client says it is (RFC 2971)";
    SERVER_ID: Str "server_id" "What the server says it is (RFC 2971)";
    LOGGED_IN: Bool "logged_in" "The server accepted a login";
    STARTTLS: Bool "starttls" "The connection went on over TLS";
}

/// Internet Message Access Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "imap",
    title: "Internet Message Access Protocol",
    family: Family::Mail,
    source: "RFC 9051",
    ports: &[tcp(143)],
    well_known: true,
    cleartext: true,
    patterns: &[
        Pattern::tcp().starts(b"* "),
        // A client's tag of one to eight characters, then a space.
        Pattern::tcp().min(6).tests(&[byte(1, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(2, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(3, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(4, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(5, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(6, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(7, b' ')]),
        Pattern::tcp().min(6).tests(&[byte(8, b' ')]),
    ],
    identify,
    parser: Some(|| Box::new(Imap::default())),
    fields: FIELDS,
    risks: &[&risk::CLEAR_TEXT_CREDENTIALS, &risk::REPEATED_LOGIN_FAILURES],
    ..Protocol::BASE
};

fn identify(p: &Probe<'_>) -> Verdict {
    let untagged = p.payload.starts_with(b"* ");
    // Cheap to refuse: nearly all that gets here is no IMAP.
    if !untagged && !p.payload.iter().take_while(|b| **b != b' ').all(|b| is_tag(*b)) {
        return Verdict::No;
    }
    let line = match lines::next(p.payload) {
        Line::Whole(line, _) if lines::is_text(line) => line,
        Line::Partial(n) if lines::is_text(p.payload.strip_suffix(b"\r").unwrap_or(p.payload)) => {
            // A client's command has to be there early.
            return if untagged || p.payload.len() < 64 { Verdict::Need(n) } else { Verdict::No };
        }
        _ => return Verdict::No,
    };
    if untagged {
        let yes = if p.dir == Dir::Server { Verdict::Yes } else { Verdict::YesReversed };
        return if names_imap(line) {
            yes
        } else if !matches!(lines::split(&line[2..]).0, b"OK" | b"PREAUTH" | b"BYE") {
            Verdict::No
        } else {
            match lines::all(p.other).next().map(command) {
                Some(Some(_)) => yes,
                Some(None) => Verdict::No,
                None => Verdict::Later,
            }
        };
    }
    let yes = if p.dir == Dir::Client { Verdict::Yes } else { Verdict::YesReversed };
    match command(line) {
        Some(true) => yes,
        Some(false) if p.port(143) || p.other.starts_with(b"* ") => yes,
        _ => Verdict::No,
    }
}

fn is_tag(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')
}

/// True if an untagged line of the server can only come from IMAP.
fn names_imap(line: &[u8]) -> bool {
    let (word, rest) = lines::split(&line[2..]);
    match word {
        b"CAPABILITY" => lines::starts(rest, b"IMAP4"),
        b"OK" | b"PREAUTH" | b"BYE" => {
            ["IMAP", "IMAP4", "IMAP4rev1", "IMAP4rev2"].iter().any(|w| lines::has_word(rest, w.as_bytes()))
        }
        b"FLAGS" => rest.starts_with(b"(\\"),
        b"LIST" | b"LSUB" => rest.starts_with(b"(") && rest.contains(&b'"'),
        _ => {
            lines::number(word).is_some() && matches!(lines::split(rest).0, b"EXISTS" | b"FETCH" | b"EXPUNGE")
        }
    }
}

/// If this is a client's command: could it be nothing else?
fn command(line: &[u8]) -> Option<bool> {
    let (tag, rest) = lines::split(line);
    let (verb, arguments) = lines::split(rest);
    if tag.is_empty() || tag.len() > 16 || !tag.iter().all(|b| is_tag(*b)) {
        return None;
    }
    match verb.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" | b"STARTTLS" | b"NAMESPACE" => arguments.is_empty().then_some(true),
        b"AUTHENTICATE" => (!arguments.is_empty()).then_some(true),
        b"LOGIN" => (!lines::split(arguments).1.is_empty() || arguments.ends_with(b"}")).then_some(true),
        b"SELECT" | b"EXAMINE" | b"LIST" | b"LSUB" | b"STATUS" | b"FETCH" | b"UID" | b"ID" | b"ENABLE" => {
            (!arguments.is_empty()).then_some(false)
        }
        b"NOOP" | b"LOGOUT" | b"IDLE" => arguments.is_empty().then_some(false),
        _ => None,
    }
}

/// A command whose answer is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Login,
    StartTls,
}

/// So many are remembered at a time.
const WAITING_MAX: usize = 16;

#[derive(Default)]
struct Imap {
    waiting: Vec<(Box<[u8]>, Command)>,
    login: Option<Sasl>,
    /// The client sent a user name as a literal: these many bytes are it.
    user_literal: Option<usize>,
    /// The client's last line ended in a literal, so that the next one goes on with the same command.
    continues: bool,
    failures: Failures,
    commanded: bool,
    tls_asked: bool,
}

impl Parser for Imap {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.tls_asked && bytes[0] == 0x16 {
            return secured(0, out);
        }
        if dir == Dir::Client
            && let Some(n) = self.user_literal
        {
            if bytes.len() < n {
                return Step::Need(n);
            }
            out.set_text(USER, &bytes[..n]);
            self.user_literal = None;
            return Step::Consumed(n);
        }
        let (line, used) = match lines::next(bytes) {
            Line::Whole(line, used) => (line, used),
            Line::Partial(n) => return Step::Need(n),
            // A server may answer at any length (SEARCH, FETCH of many messages).
            Line::TooLong if dir == Dir::Server => return Step::Consumed(lines::LINE_MAX),
            Line::TooLong => return Step::Malformed(0),
        };
        let literal = literal(line);
        match dir {
            Dir::Client if !lines::is_text(line) => return Step::Done,
            Dir::Client => {
                if std::mem::replace(&mut self.continues, literal.is_some()) {
                    // The rest of a command that had a literal.
                } else if let Some(sasl) = &mut self.login {
                    if let Some(user) = sasl.response(line) {
                        out.set(USER, user);
                    }
                    if sasl.is_over() || line == b"*" {
                        self.login = None;
                    }
                } else if let Some(n) = self.command(line, literal, out) {
                    self.user_literal = Some(n);
                    return Step::Consumed(used);
                }
            }
            Dir::Server => {
                if self.answer(line, out) {
                    return secured(used, out);
                }
            }
        }
        match literal {
            Some(n) if n > 0 => Step::Skip(used as u64 + n),
            _ => Step::Consumed(used),
        }
    }
}

impl Imap {
    /// A client's command. Answers the length of the user name, if that follows as a literal.
    fn command(&mut self, line: &[u8], literal: Option<u64>, out: &mut Sink<'_>) -> Option<usize> {
        let (tag, rest) = lines::split(line);
        let (verb, arguments) = lines::split(rest);
        self.commanded = true;
        let mut user_literal = None;
        let waiting = match verb.to_ascii_uppercase().as_slice() {
            b"LOGIN" => {
                out.push(AUTH, "LOGIN");
                match literal {
                    Some(n @ 1..=128) if arguments.starts_with(b"{") => user_literal = Some(n as usize),
                    _ => out.set_text(USER, string(arguments)),
                }
                out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "imap.auth=LOGIN".to_owned());
                Command::Login
            }
            b"AUTHENTICATE" => {
                let (mechanism, initial) = lines::split(arguments);
                let mut sasl = Sasl::new(mechanism);
                out.push(AUTH, sasl.mechanism().to_owned());
                if !initial.is_empty()
                    && let Some(user) = sasl.response(initial)
                {
                    out.set(USER, user);
                }
                if sasl.is_exposed() {
                    out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || format!("imap.auth={}", sasl.mechanism()));
                }
                self.login = (!sasl.is_over()).then_some(sasl);
                Command::Login
            }
            b"STARTTLS" => {
                self.tls_asked = true;
                Command::StartTls
            }
            b"SELECT" | b"EXAMINE" => {
                out.push(MAILBOXES, Value::text(string(arguments)));
                return None;
            }
            b"ID" => {
                let pairs = pairs(arguments);
                if let Some(name) = pairs.iter().find(|(k, _)| k == "name") {
                    let version = pairs.iter().find(|(k, _)| k == "version").map(|(_, v)| v.as_str());
                    out.set(
                        common::USER_AGENT,
                        [name.1.as_str(), version.unwrap_or_default()].join(" ").trim().to_owned(),
                    );
                }
                set_id(CLIENT_ID, &pairs, out);
                return None;
            }
            _ => return None,
        };
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push((tag.into(), waiting));
        }
        user_literal
    }

    /// A line of the server. True if TLS begins after it.
    fn answer(&mut self, line: &[u8], out: &mut Sink<'_>) -> bool {
        let (tag, rest) = lines::split(line);
        let (word, text) = lines::split(rest);
        if tag == b"*" {
            match word {
                b"OK" | b"PREAUTH" | b"BYE" => {
                    if !self.commanded || out.found.value(BANNER).is_none() {
                        out.set_text(BANNER, text);
                    }
                    if let Some(list) = text.strip_prefix(b"[CAPABILITY ") {
                        capabilities(list.split(|b| *b == b']').next().unwrap_or_default(), out);
                    }
                }
                b"CAPABILITY" => capabilities(text, out),
                b"ID" => set_id(SERVER_ID, &pairs(text), out),
                _ => {}
            }
            return false;
        }
        let ok = match word {
            b"OK" => true,
            b"NO" | b"BAD" => false,
            _ => return false,
        };
        if self.commanded {
            out.confirm();
        }
        let Some(i) = self.waiting.iter().position(|(t, _)| **t == *tag) else { return false };
        match self.waiting.remove(i).1 {
            Command::StartTls => {
                self.tls_asked = ok;
                return ok;
            }
            Command::Login => {
                self.login = None;
                if ok {
                    out.set(LOGGED_IN, true);
                } else {
                    self.failures.refused("imap", out);
                }
            }
        }
        false
    }
}

fn capabilities(list: &[u8], out: &mut Sink<'_>) {
    for word in list.split(|b| *b == b' ').filter(|w| !w.is_empty()) {
        out.push(CAPABILITIES, lines::shown(word));
    }
}

/// The length of the literal that a line announces at its end: `{12}`, `{12+}`.
fn literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let start = inner.iter().rposition(|b| *b == b'{')?;
    let digits = &inner[start + 1..];
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() { None } else { lines::number(digits) }
}

/// The first argument: an atom or a quoted string, without the quotes.
fn string(arguments: &[u8]) -> &[u8] {
    let end = |rest: &[u8], b: u8| rest.iter().position(|x| *x == b).unwrap_or(rest.len()).min(128);
    match arguments.strip_prefix(b"\"") {
        Some(rest) => &rest[..end(rest, b'"')],
        None => &arguments[..end(arguments, b' ')],
    }
}

/// The strings of an ID list, by twos: `("name" "Mail" "version" "1.0")`, at most 16 of them.
fn pairs(list: &[u8]) -> Vec<(String, String)> {
    // Every other piece between quotes is a string.
    let strings: Vec<_> = list.split(|b| *b == b'"').skip(1).step_by(2).take(32).map(lines::shown).collect();
    strings.chunks_exact(2).map(|p| (p[0].to_ascii_lowercase(), p[1].clone())).collect()
}

fn set_id(field: crate::FieldRef, pairs: &[(String, String)], out: &mut Sink<'_>) {
    if !pairs.is_empty() {
        let text: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        out.set(field, text.join(" "));
    }
}

fn secured(used: usize, out: &mut Sink<'_>) -> Step {
    out.set(STARTTLS, true);
    out.relabel(ProtocolId::Imaps);
    Step::Switch(used, Some(ProtocolId::Tls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    // After RFC 3501 §8.
    #[test]
    fn the_session_of_the_rfc() {
        let seen = Flow::tcp(143)
            .server(b"* OK IMAP4rev1 Service Ready\r\n")
            .client(b"a001 login mrc hunter2\r\n")
            .server(b"a001 OK LOGIN completed\r\n")
            .client(b"a002 select inbox\r\n")
            .server(b"* 18 EXISTS\r\n* FLAGS (\\Answered)\r\na002 OK [READ-WRITE] SELECT completed\r\n")
            .client(b"a004 fetch 12 body[header]\r\n")
            .server(b"* 12 FETCH (BODY[HEADER] {18}\r\na001 NO trap\r\n1234)\r\na004 OK FETCH completed\r\n")
            .client(b"a005 ID (\"name\" \"Mail\" \"version\" \"7.1\")\r\n")
            .server(b"* ID (\"name\" \"Cyrus\")\r\na005 OK\r\n")
            .run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Imap, Confidence::Handshake));
        assert_eq!(seen.show(USER), "mrc");
        assert_eq!(seen.show(MAILBOXES), "inbox");
        assert_eq!(seen.show(common::USER_AGENT), "Mail 7.1");
        assert_eq!(seen.show(SERVER_ID), "name=Cyrus");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert!(!format!("{seen:?}").contains("hunter2"));
    }

    #[test]
    fn login_by_literals() {
        let seen = Flow::tcp(143)
            .server(b"* OK IMAP4 ready\r\n")
            .client(b"A001 LOGIN {11}\r\n")
            .server(b"+ Ready for additional command text\r\n")
            .client(b"FRED FOOBAR {7}\r\n")
            .server(b"+ Ready\r\n")
            .client(b"fat man\r\nA002 STARTTLS\r\n")
            .server(b"A001 NO x\r\nA002 OK go\r\n")
            .run_split();
        assert_eq!(seen.show(USER), "FRED FOOBAR");
        assert_eq!(seen.protocol, ProtocolId::Imaps);
        assert!(!format!("{seen:?}").contains("fat man"));
    }

    #[test]
    fn sasl_and_capabilities() {
        let seen = Flow::tcp(143)
            .server(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
            .client(b"1 AUTHENTICATE PLAIN\r\n")
            .server(b"+ \r\n")
            .client(b"AHRpbQBzZWNyZXQ=\r\n")
            .server(b"1 NO [AUTHENTICATIONFAILED] no\r\n")
            .run_split();
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.show(CAPABILITIES), "IMAP4rev1,SASL-IR,AUTH=PLAIN");
        assert_eq!(&*seen.found.risks[0].evidence, "imap.auth=PLAIN");
    }

    #[test]
    fn a_greeting_that_says_nothing() {
        let greeting = b"* OK ready\r\n";
        assert_eq!(Flow::tcp(99).server(greeting).run().protocol, ProtocolId::Unknown);
        assert_eq!(
            Flow::tcp(99).server(greeting).client(b". noop\r\n").run_split().protocol,
            ProtocolId::Imap
        );
        assert_eq!(Flow::tcp(99).client(b"a1 LOGIN a b\r\n").run_split().protocol, ProtocolId::Imap);
    }

    #[test]
    fn near_misses() {
        let no: [&[u8]; 6] = [
            b"* hello\r\n",
            b"* OK \x00\x01 IMAP\r\n",
            b"a1 LIST x\r\n",
            b"GET CAPABILITY HTTP/1.1\r\n",
            b"* 5 apples\r\n",
            b"\x01\x02 CAPABILITY\r\n",
        ];
        for payload in no {
            assert_ne!(Flow::tcp(99).client(payload).run().protocol, ProtocolId::Imap, "{payload:?}");
        }
    }
}
