//! File Transfer Protocol, control channel (RFC 959): the server greets with `220`, the client logs in with USER and
//! PASS; each transfer has its own connection, which PORT, EPRT, PASV or EPSV announce. Those are told to the engine, so
//! that they are labelled `ftp-data` when they come.
//!
//! SMTP greets with `220` too: the banner's words decide, or else the client's first command. After AUTH TLS
//! (RFC 4217) the flow is labelled `ftps`, and data channels can no longer be foretold.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use crate::mail::lines::{self, Greeting, Line};
use crate::mail::sasl::Failures;
use crate::{
    Dir, Event, Fact, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport,
    Value, Verdict, fields, risk, risks, tcp,
};

fields! { ProtocolId::Ftp;
    BANNER: Str "banner" "The server's greeting";
    USER: Str "user" "The user who logs in";
    ANONYMOUS: Bool "anonymous" "The client logged in as anonymous or ftp";
    LOGGED_IN: Bool "logged_in" "The server accepted the login";
    SYSTEM: Str "system" "The server's operating system, as it answers SYST";
    CLIENT: Str "client" "What the client says it is (CLNT)";
    RETRIEVED: [Str] "retrieved" "Files fetched (RETR)";
    STORED: [Str] "stored" "Files sent (STOR, STOU, APPE)";
    DELETED: [Str] "deleted" "Files deleted (DELE)";
    COMMAND: Str "command" "For the log: the command";
    ARGUMENT: Str "argument" "For the log: its argument";
    REPLY_CODE: Uint "reply_code" "For the log: the server's reply";
    REPLY: Str "reply" "For the log: the reply's text";
    AUTH_TLS: Bool "auth_tls" "The connection went on over TLS";
}

risks! {
    FTP_BOUNCE: High Client "ftp-bounce" "The client told the server to connect to a third address (PORT or EPRT): the FTP bounce attack (RFC 2577). Address translation and server-to-server transfers look alike.";
}

/// File Transfer Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ftp",
    title: "File Transfer Protocol",
    family: Family::Files,
    source: "RFC 959",
    ports: &[tcp(21)],
    well_known: true,
    cleartext: true,
    patterns: &[
        Pattern::tcp().starts(b"220 "),
        Pattern::tcp().starts(b"220-"),
        Pattern::tcp().starts_fold(b"USER "),
        Pattern::tcp().starts_fold(b"AUTH TLS"),
        Pattern::tcp().starts_fold(b"AUTH SSL"),
        Pattern::tcp().starts_fold(b"FEAT\r\n"),
    ],
    identify,
    parser: Some(|| Box::new(Ftp::default())),
    fields: FIELDS,
    risks: &[&FTP_BOUNCE, &risk::CLEAR_TEXT_CREDENTIALS, &risk::REPEATED_LOGIN_FAILURES],
    ..Protocol::BASE
};

fn identify(p: &Probe<'_>) -> Verdict {
    let line = match lines::next(p.payload) {
        Line::Whole(line, _) if lines::is_text(line) => line,
        Line::Whole(..) | Line::TooLong => return Verdict::No,
        Line::Partial(n) => return Verdict::Need(n),
    };
    if let Some((220, _, text)) = lines::code(line) {
        let yes = if p.dir == Dir::Server { Verdict::Yes } else { Verdict::YesReversed };
        return match (lines::greeting(text), lines::all(p.other).next()) {
            (Greeting::Ftp, _) => yes,
            (_, None) => Verdict::Later,
            (_, Some(first)) if is_opening(first) => yes,
            _ => Verdict::No,
        };
    }
    let yes = if p.dir == Dir::Client { Verdict::Yes } else { Verdict::YesReversed };
    if !is_opening(line) {
        return Verdict::No;
    }
    match p.other {
        [] => match alone(p.payload) {
            Some(true) => yes,
            Some(false) => Verdict::No,
            None => Verdict::Later,
        },
        other if other.starts_with(b"220") => yes,
        other if b"220".starts_with(other) => Verdict::Later,
        _ => Verdict::No,
    }
}

/// True if this is what a client says first.
fn is_opening(line: &[u8]) -> bool {
    let (verb, rest) = lines::split(line);
    match verb.to_ascii_uppercase().as_slice() {
        b"USER" => !rest.is_empty(),
        b"AUTH" => {
            ["TLS", "SSL", "TLS-C", "TLS-P", "GSSAPI"].iter().any(|m| m.as_bytes().eq_ignore_ascii_case(rest))
        }
        b"FEAT" | b"SYST" => rest.is_empty(),
        b"HOST" | b"CLNT" => !rest.is_empty(),
        b"OPTS" => lines::starts(rest, b"UTF8"),
        _ => false,
    }
}

/// Are these an FTP client's commands, without a look at the server? `None` if more have to be seen.
fn alone(bytes: &[u8]) -> Option<bool> {
    for line in lines::all(bytes).take(6) {
        let (verb, rest) = lines::split(line);
        match verb.to_ascii_uppercase().as_slice() {
            b"SYST" | b"FEAT" | b"PASV" | b"EPSV" | b"PWD" | b"XPWD" if rest.is_empty() => return Some(true),
            b"TYPE" if matches!(rest, b"A" | b"I" | b"A N") => return Some(true),
            b"AUTH" if is_opening(line) => return Some(true),
            b"PORT" if numbers(rest).is_some() => return Some(true),
            b"USER" | b"PASS" => {}
            _ => return Some(false),
        }
    }
    if bytes.len() < 1024 { None } else { Some(false) }
}

/// A command whose reply is still to come.
#[derive(Debug)]
enum Command {
    Pass,
    User,
    AuthTls,
    System,
    Pasv,
    Epsv,
    /// One for the log: when, which, and of what.
    Logged(i64, &'static str, Box<[u8]>),
    Other,
}

const WAITING_MAX: usize = 64;

#[derive(Default)]
struct Ftp {
    waiting: VecDeque<Command>,
    replies: lines::Replies,
    failures: Failures,
    greeted: bool,
    anonymous: bool,
    tls_asked: bool,
}

impl Parser for Ftp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.tls_asked && bytes[0] == 0x16 {
            return secured(0, out);
        }
        // ABOR comes with Telnet's interrupt signals before it (RFC 959 §4.1.3).
        if dir == Dir::Client && bytes[0] >= 0xf0 {
            return Step::Consumed(1);
        }
        let (line, used) = match lines::next(bytes) {
            Line::Whole(line, used) => (line, used),
            Line::Partial(n) => return Step::Need(n),
            Line::TooLong => return Step::Malformed(0),
        };
        if !lines::is_text(line) {
            return Step::Done;
        }
        match dir {
            Dir::Client => self.command(line, out),
            Dir::Server => {
                if self.reply(line, out) {
                    return secured(used, out);
                }
            }
        }
        Step::Consumed(used)
    }
}

impl Ftp {
    fn command(&mut self, line: &[u8], out: &mut Sink<'_>) {
        let (verb, rest) = lines::split(line);
        let logged = |name: &'static str, out: &Sink<'_>| {
            Command::Logged(out.now_ns(), name, rest.get(..1024).unwrap_or(rest).into())
        };
        let waiting = match verb.to_ascii_uppercase().as_slice() {
            b"USER" => {
                out.set_text(USER, rest.get(..128).unwrap_or(rest));
                self.anonymous = rest.eq_ignore_ascii_case(b"anonymous") || rest.eq_ignore_ascii_case(b"ftp");
                if self.anonymous {
                    out.set(ANONYMOUS, true);
                }
                Command::User
            }
            // The password of an anonymous login is an e-mail address, by custom: no secret.
            b"PASS" => {
                if !self.anonymous {
                    out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || "ftp.command=PASS".to_owned());
                }
                Command::Pass
            }
            b"AUTH" if lines::starts(rest, b"TLS") || lines::starts(rest, b"SSL") => {
                self.tls_asked = true;
                Command::AuthTls
            }
            b"SYST" => Command::System,
            b"CLNT" => {
                out.set_text(CLIENT, rest);
                Command::Other
            }
            b"PORT" => {
                if let Some((address, port)) = numbers(rest) {
                    announced(address.into(), port, Dir::Client, out);
                }
                Command::Other
            }
            b"EPRT" => {
                if let Some((address, port)) = extended(rest) {
                    announced(address, port, Dir::Client, out);
                }
                Command::Other
            }
            b"PASV" => Command::Pasv,
            b"EPSV" => Command::Epsv,
            b"RETR" => {
                out.push(RETRIEVED, Value::text(rest));
                logged("RETR", out)
            }
            name @ (b"STOR" | b"STOU" | b"APPE") => {
                out.push(STORED, Value::text(rest));
                logged(
                    if name == b"STOR" {
                        "STOR"
                    } else if name == b"APPE" {
                        "APPE"
                    } else {
                        "STOU"
                    },
                    out,
                )
            }
            b"DELE" => {
                out.push(DELETED, Value::text(rest));
                logged("DELE", out)
            }
            _ => Command::Other,
        };
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(waiting);
        }
    }

    /// A line of a reply. True if TLS begins after it.
    fn reply(&mut self, line: &[u8], out: &mut Sink<'_>) -> bool {
        let Some(reply) = self.replies.line(line) else { return false };
        if !self.greeted && self.waiting.is_empty() && matches!(reply.code, 120 | 220 | 421) {
            out.set_text(BANNER, reply.text);
            self.greeted = reply.last && reply.code != 120;
            return false;
        }
        // 1xx: another reply to the same command follows.
        if !reply.last || reply.code < 200 {
            return false;
        }
        self.greeted = true;
        let Some(command) = self.waiting.pop_front() else { return false };
        out.confirm();
        match (command, reply.code) {
            (Command::AuthTls, 234 | 334) => return true,
            (Command::AuthTls, _) => self.tls_asked = false,
            (Command::User | Command::Pass, 230 | 232) => out.set(LOGGED_IN, true),
            (Command::Pass, 530) => self.failures.refused("ftp", out),
            (Command::System, 215) => out.set_text(SYSTEM, reply.text),
            (Command::Pasv, 227) => {
                // "Entering Passive Mode (h1,h2,h3,h4,p1,p2)": servers differ in what is around the numbers.
                let start = reply.text.iter().position(u8::is_ascii_digit);
                if let Some((address, port)) = start.and_then(|n| numbers(&reply.text[n..])) {
                    let server = out.address(Dir::Server);
                    announced(address.into(), port, Dir::Server, out);
                    // Behind address translation the server names its own idea of its address; clients ignore it.
                    if server != IpAddr::from(address) {
                        announced(server, port, Dir::Server, out);
                    }
                }
            }
            (Command::Epsv, 229) => {
                // "Entering Extended Passive Mode (|||port|)"
                let text = reply.text.split(|b| *b == b'(').nth(1).unwrap_or_default();
                let port = text.split(|b| Some(b) == text.first()).nth(3).and_then(lines::number);
                if let Some(port @ 1..=0xffff) = port {
                    announced(out.address(Dir::Server), port as u16, Dir::Server, out);
                }
            }
            (Command::Logged(ts_ns, name, argument), code) if out.wants_events() => {
                let fields: Vec<(FieldRef, Value)> = vec![
                    (USER, out.found.value(USER).cloned().unwrap_or(Value::Name(""))),
                    (COMMAND, name.into()),
                    (ARGUMENT, Value::text(&argument)),
                    (REPLY_CODE, code.into()),
                    (REPLY, Value::text(reply.text)),
                ];
                out.event(Event { kind: "ftp", ts_ns, fields });
            }
            _ => {}
        }
        false
    }
}

/// A data channel to this end is announced.
fn announced(address: IpAddr, port: u16, by: Dir, out: &mut Sink<'_>) {
    if by == Dir::Client && address != out.address(by) {
        out.risk(&FTP_BOUNCE, || format!("ftp.port={address}:{port}"));
        // Only the client's own address is believed: a flow elsewhere is not to be named by a stranger.
        return;
    }
    out.fact(Fact::Expect { transport: Transport::Tcp, address, port, protocol: ProtocolId::FtpData });
}

/// `h1,h2,h3,h4,p1,p2`, and whatever stands after them.
fn numbers(text: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let mut bytes = [0u8; 6];
    let mut parts = text.split(|b| *b == b',');
    for (i, byte) in bytes.iter_mut().enumerate() {
        let part = parts.next()?.trim_ascii();
        let digits = part.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || (i < 5 && digits != part.len()) {
            return None;
        }
        *byte = u8::try_from(lines::number(&part[..digits])?).ok()?;
    }
    let [a, b, c, d, high, low] = bytes;
    let port = u16::from_be_bytes([high, low]);
    (port != 0).then(|| (Ipv4Addr::new(a, b, c, d), port))
}

/// `|1|192.0.2.1|5282|` or `|2|2001:db8::1|5282|`, with any delimiter (RFC 2428).
fn extended(text: &[u8]) -> Option<(IpAddr, u16)> {
    let mut parts = text.split(|b| Some(b) == text.first()).skip(2);
    let address = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let port = u16::try_from(lines::number(parts.next()?)?).ok()?;
    (port != 0).then_some((address, port))
}

fn secured(used: usize, out: &mut Sink<'_>) -> Step {
    out.set(AUTH_TLS, true);
    out.relabel(ProtocolId::Ftps);
    Step::Switch(used, Some(ProtocolId::Tls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::{Flow, Seen};

    fn session(dialogue: &[(&'static str, &'static str)]) -> Seen {
        let mut flow = Flow::tcp(21).server(b"220 ProFTPD ready\r\n");
        for (command, reply) in dialogue {
            flow = flow.client(command.as_bytes()).server(reply.as_bytes());
        }
        flow.run_split()
    }

    fn expected(seen: &Seen) -> Vec<String> {
        seen.facts
            .iter()
            .map(|f| match f {
                Fact::Expect { address, port, protocol: ProtocolId::FtpData, .. } => {
                    format!("{address} {port}")
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_session() {
        let seen = session(&[
            ("USER tim\r\n", "331 Password required\r\n"),
            ("PASS hunter2\r\n", "230-Welcome\r\n 226 not yet\r\n230 Logged in\r\n"),
            ("SYST\r\n", "215 UNIX Type: L8\r\n"),
            ("PASV\r\n", "227 Entering Passive Mode (198,51,100,1,100,85).\r\n"),
            ("RETR a file.zip\r\n", "150 Opening\r\n226 Done\r\n"),
            ("STOR b.txt\r\n", "550 No\r\n"),
        ]);
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Ftp, Confidence::Handshake));
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.show(SYSTEM), "UNIX Type: L8");
        assert_eq!(seen.show(RETRIEVED), "a file.zip");
        assert_eq!(seen.show(STORED), "b.txt");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert_eq!(expected(&seen), ["198.51.100.1 25685"]);
        let codes: Vec<_> = seen.events.iter().map(|e| e.fields[3].1.as_uint()).collect();
        assert_eq!(codes, [Some(226), Some(550)]);
        assert!(!format!("{seen:?}").contains("hunter2"));
    }

    #[test]
    fn data_channels_are_announced() {
        // The client of a test flow is 192.0.2.1, the server 198.51.100.1.
        let seen = session(&[
            ("PORT 192,0,2,1,20,178\r\n", "200 ok\r\n"),
            ("EPRT |1|192.0.2.1|5283|\r\n", "200 ok\r\n"),
            ("EPSV\r\n", "229 Entering Extended Passive Mode (|||6446|)\r\n"),
            ("PASV\r\n", "227 =10,0,0,7,1,0\r\n"),
        ]);
        let all =
            ["192.0.2.1 5298", "192.0.2.1 5283", "198.51.100.1 6446", "10.0.0.7 256", "198.51.100.1 256"];
        assert_eq!(expected(&seen), all);
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn a_bounce_is_a_risk_and_is_not_believed() {
        let seen = session(&[("PORT 203,0,113,9,0,25\r\n", "200 ok\r\n")]);
        assert_eq!(seen.risks(), ["ftp-bounce"]);
        assert!(seen.facts.is_empty());
    }

    #[test]
    fn anonymous_and_tls() {
        let seen =
            session(&[("USER anonymous\r\n", "331 e-mail please\r\n"), ("PASS a@b\r\n", "230 ok\r\n")]);
        assert_eq!(seen.show(ANONYMOUS), "true");
        assert!(seen.risks().is_empty());
        let seen = session(&[("AUTH TLS\r\n", "234 go\r\n")]);
        assert_eq!(seen.protocol, ProtocolId::Ftps);
    }

    #[test]
    fn the_client_decides_where_the_banner_does_not() {
        let banner = b"220 welcome\r\n";
        assert_eq!(Flow::tcp(99).server(banner).run().protocol, ProtocolId::Unknown);
        assert_eq!(Flow::tcp(99).server(banner).client(b"USER x\r\n").run_split().protocol, ProtocolId::Ftp);
        assert_ne!(Flow::tcp(21).server(banner).client(b"EHLO x\r\n").run().protocol, ProtocolId::Ftp);
        assert_eq!(
            Flow::tcp(99).client(b"USER a\r\nPASS b\r\nSYST\r\n").run_split().protocol,
            ProtocolId::Ftp
        );
    }

    #[test]
    fn near_misses() {
        for client in [&b"USER\r\n"[..], b"USER a b c :d\r\nNICK x\r\n", b"AUTH PLAIN\r\n", b"FEAT x\r\n"] {
            assert_ne!(Flow::tcp(21).client(client).run().protocol, ProtocolId::Ftp, "{client:?}");
        }
    }

    #[test]
    fn wrong_addresses() {
        for text in ["1,2,3,4,5", "1,2,3,4,0,0", "256,1,1,1,1,1", "a,1,1,1,1,1", ""] {
            assert_eq!(numbers(text.as_bytes()), None, "{text}");
        }
        for text in ["", "|", "|1|192.0.2.1|0|", "|1|x|5|", "|1|192.0.2.1|65536|"] {
            assert_eq!(extended(text.as_bytes()), None, "{text}");
        }
    }
}
