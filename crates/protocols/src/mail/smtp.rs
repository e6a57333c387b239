//! Simple Mail Transfer Protocol (RFC 5321): the server greets with `220`, the client says `EHLO`, and mail follows.
//! Extensions read: STARTTLS (RFC 3207; and Exchange's X-ANONYMOUSTLS), AUTH (RFC 4954), PIPELINING (RFC 2920),
//! CHUNKING (RFC 3030), LMTP (RFC 2033).
//!
//! FTP greets with `220` too: the banner's words decide, or else the client's first command. After STARTTLS the flow is
//! labelled `smtps`, since from there on it is SMTP over TLS.
//!
//! Limits: header fields are kept as they are sent (encoded words, RFC 2047, are not decoded); attachments are known by
//! their names, their content is not looked at.

use std::collections::VecDeque;

use super::lines::{self, Greeting, Line};
use super::message::{Message, is_executable};
use super::sasl::{Failures, Sasl};
use crate::{
    Dir, Event, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict,
    common, fields, risk, risks, tcp,
};

fields! { ProtocolId::Smtp;
    BANNER: Str "banner" "The server's greeting, first line";
    HELO: Str "helo" "The name the client gives itself in EHLO, HELO or LHLO";
    AUTH: [Str] "auth" "Mechanisms the client used to log in";
    USER: Str "user" "The user who logs in";
    MAIL_FROM: Str "mail_from" "Sender on the envelope, of the first message";
    RCPT_TO: [Str] "rcpt_to" "Recipients on the envelope, of all messages";
    FROM: Str "from" "Sender in the first message's header";
    TO: Str "to" "Recipients in the first message's header";
    CC: Str "cc" "Further recipients in the first message's header";
    REPLY_TO: Str "reply_to" "Where answers should go";
    DATE: Str "date" "Date in the first message's header";
    SUBJECT: Str "subject" "Subject of the first message";
    MESSAGE_ID: Str "message_id" "Message-ID of the first message";
    IN_REPLY_TO: Str "in_reply_to" "The message that the first one answers";
    X_ORIGINATING_IP: Str "x_originating_ip" "Where the first message came from, as a web mailer says";
    ATTACHMENTS: [Str] "attachments" "Names of files in the messages";
    MESSAGES: Uint "messages" "How many messages were sent, one that was cut off included";
    LAST_REPLY: Str "last_reply" "The server's last reply to a message";
    STARTTLS: Bool "starttls" "The connection went on over TLS";
}

risks! {
    EXECUTABLE_ATTACHMENT: Medium Client "executable-attachment" "A mail carries a file whose name ends like a program, a script, a disk image or a document with macros. Known by the name alone.";
}

/// Simple Mail Transfer Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "smtp",
    title: "Simple Mail Transfer Protocol",
    family: Family::Mail,
    source: "RFC 5321",
    ports: &[tcp(25), tcp(587), tcp(2525)],
    well_known: true,
    cleartext: true,
    patterns: &[
        Pattern::tcp().starts(b"220 "),
        Pattern::tcp().starts(b"220-"),
        Pattern::tcp().starts(b"250-"),
        Pattern::tcp().starts(b"421 "),
        Pattern::tcp().starts(b"554 "),
        Pattern::tcp().starts(b"554-"),
        Pattern::tcp().starts_fold(b"EHLO "),
        Pattern::tcp().starts_fold(b"HELO "),
        Pattern::tcp().starts_fold(b"LHLO "),
        Pattern::tcp().starts_fold(b"MAIL FROM:"),
        Pattern::tcp().starts_fold(b"RCPT TO:"),
    ],
    identify,
    parser: Some(|| Box::new(Smtp::default())),
    fields: FIELDS,
    risks: &[&EXECUTABLE_ATTACHMENT, &risk::CLEAR_TEXT_CREDENTIALS, &risk::REPEATED_LOGIN_FAILURES],
    ..Protocol::BASE
};

fn identify(p: &Probe<'_>) -> Verdict {
    let (line, _) = match lines::next(p.payload) {
        Line::Whole(line, used) => (line, used),
        Line::Partial(n) => return Verdict::Need(n),
        Line::TooLong => return Verdict::No,
    };
    if !lines::is_text(line) {
        return Verdict::No;
    }
    let Some((code, _, text)) = lines::code(line) else {
        // The client's command. If the server has spoken, it must have greeted.
        let (verb, rest) = lines::split(line);
        let greets = ["EHLO", "HELO", "LHLO"].iter().any(|v| verb.eq_ignore_ascii_case(v.as_bytes()));
        let plausible = p.other.is_empty()
            || lines::code(p.other.get(..4).unwrap_or(p.other)).is_some()
            || p.other.len() < 4;
        return match (plausible, greets, rest.is_empty()) {
            (true, false, _) | (true, true, false) if p.dir == Dir::Client => Verdict::Yes,
            (true, false, _) | (true, true, false) => Verdict::YesReversed,
            _ => Verdict::No,
        };
    };
    let yes = if p.dir == Dir::Server { Verdict::Yes } else { Verdict::YesReversed };
    if code == 250 {
        // Picked up at the answer to EHLO: at least two of its keywords.
        const KEYWORDS: &[&[u8]] =
            &[b"PIPELINING", b"SIZE", b"8BITMIME", b"STARTTLS", b"AUTH", b"ENHANCEDSTATUSCODES", b"CHUNKING"];
        let known = lines::all(p.payload)
            .filter_map(lines::code)
            .filter(|(code, _, text)| {
                let keyword = lines::split(text).0;
                *code == 250 && KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(keyword))
            })
            .count();
        return match known {
            2.. => yes,
            _ if p.payload.len() < 2048 => Verdict::Later,
            _ => Verdict::No,
        };
    }
    if lines::greeting(text) == Greeting::Smtp {
        return yes;
    }
    // Many greetings don't say what they are; the client's first command does.
    match lines::all(p.other).next() {
        None => Verdict::Later,
        Some(first) if ["EHLO ", "HELO ", "LHLO "].iter().any(|v| lines::starts(first, v.as_bytes())) => yes,
        Some(_) => Verdict::No,
    }
}

/// A command whose reply is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Auth,
    StartTls,
    Data,
    EndOfData,
    Other,
}

/// Replies can lag behind by this many commands; beyond, they are no longer matched.
const WAITING_MAX: usize = 64;

/// What the client is sending.
#[derive(Debug, Default)]
enum Sending {
    #[default]
    Commands,
    Login(Sasl),
    /// A message, up to a line with a single dot.
    Message,
    /// A chunk of a message: so many bytes are left of it, and whether it is the last.
    Chunk(u64, bool),
}

#[derive(Default)]
struct Smtp {
    sending: Sending,
    waiting: VecDeque<Command>,
    replies: lines::Replies,
    failures: Failures,
    message: Message,
    messages: u64,
    /// The transaction for the log: the envelope, and when it began.
    envelope: Vec<(FieldRef, Value)>,
    recipients: Vec<Value>,
    began_ns: i64,
    /// Messages whose final reply is still to come.
    sent: VecDeque<Event>,
    helo: Option<Box<str>>,
    greeted: bool,
    commanded: bool,
    tls_asked: bool,
}

impl Parser for Smtp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        // STARTTLS was asked for and a TLS record follows, though the reply in between was not seen.
        if self.tls_asked && bytes[0] == 0x16 {
            return self.secured(0, out);
        }
        match (dir, &mut self.sending) {
            (Dir::Client, Sending::Message) => return self.text(bytes, out),
            (Dir::Client, Sending::Chunk(..)) => return self.chunk(bytes, out),
            _ => {}
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
            Dir::Client => self.command(line, used, out),
            Dir::Server => self.reply(line, used, out),
        }
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        // A message that was cut off: its header is known all the same.
        if matches!(self.sending, Sending::Message | Sending::Chunk(..)) && self.message.is_begun() {
            self.end(out);
        }
        self.sent.drain(..).for_each(|event| out.event(event));
    }
}

impl Smtp {
    fn wait_for(&mut self, command: Command) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(command);
        }
    }

    fn command(&mut self, line: &[u8], used: usize, out: &mut Sink<'_>) -> Step {
        if let Sending::Login(sasl) = &mut self.sending {
            if let Some(user) = sasl.response(line) {
                out.set(USER, user);
            }
            if sasl.is_over() || line == b"*" {
                self.sending = Sending::Commands;
            }
            return Step::Consumed(used);
        }
        let (verb, rest) = lines::split(line);
        let mut waiting = Command::Other;
        self.commanded = true;
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" | b"HELO" | b"LHLO" => {
                out.set_text(HELO, rest);
                self.helo = Some(lines::shown(rest).into());
            }
            b"AUTH" => {
                waiting = Command::Auth;
                let (mechanism, initial) = lines::split(rest);
                let mut sasl = Sasl::new(mechanism);
                out.push(AUTH, sasl.mechanism().to_owned());
                let user = if initial.is_empty() { None } else { sasl.response(initial) };
                if let Some(user) = &user {
                    out.set(USER, user.clone());
                }
                if sasl.is_exposed() {
                    out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || format!("smtp.auth={}", sasl.mechanism()));
                }
                if !sasl.is_over() {
                    self.sending = Sending::Login(sasl);
                }
            }
            b"MAIL" if lines::starts(rest, b"FROM:") => {
                let path = path(&rest[5..]);
                out.set_text(MAIL_FROM, path);
                self.began_ns = out.now_ns();
                self.recipients.clear();
                self.envelope = vec![(MAIL_FROM, Value::text(path))];
            }
            b"RCPT" if lines::starts(rest, b"TO:") => {
                let path = path(&rest[3..]);
                out.push(RCPT_TO, Value::text(path));
                if self.recipients.len() < crate::LIST_MAX {
                    self.recipients.push(Value::text(path));
                }
            }
            b"DATA" => {
                waiting = Command::Data;
                self.sending = Sending::Message;
                self.message = Message::default();
            }
            b"BDAT" => {
                let (size, last) = lines::split(rest);
                let Some(size) = lines::number(size) else { return Step::Malformed(0) };
                let last = last.eq_ignore_ascii_case(b"LAST");
                if size > 0 {
                    self.sending = Sending::Chunk(size, last);
                } else if last {
                    self.end(out);
                    return Step::Consumed(used);
                }
                if last {
                    // The reply to this command is that to the message: `end` waits for it.
                    return Step::Consumed(used);
                }
            }
            b"STARTTLS" | b"X-ANONYMOUSTLS" => {
                waiting = Command::StartTls;
                self.tls_asked = true;
            }
            _ => {}
        }
        self.wait_for(waiting);
        Step::Consumed(used)
    }

    fn reply(&mut self, line: &[u8], used: usize, out: &mut Sink<'_>) -> Step {
        let Some(reply) = self.replies.line(line) else {
            // Before the first reply this is the rest of one: the capture began in the middle.
            return if self.greeted { Step::Malformed(0) } else { Step::Consumed(used) };
        };
        let greeting = !self.greeted && self.waiting.is_empty() && matches!(reply.code, 220 | 421 | 554);
        if greeting && out.found.value(BANNER).is_none() {
            out.set_text(BANNER, reply.text);
            let name = lines::split(reply.text).0;
            let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if reply.code == 220 && name.len() > 1 && name.iter().all(is_name) {
                out.hostname(name);
            }
        }
        if !reply.last {
            return Step::Consumed(used);
        }
        self.greeted = true;
        if self.commanded {
            out.confirm();
        }
        // 334 asks for the next response of a login, so the command is not over.
        if greeting || reply.code == 334 {
            return Step::Consumed(used);
        }
        match (self.waiting.pop_front(), reply.code) {
            (Some(Command::StartTls), 220) => return self.secured(used, out),
            (Some(Command::StartTls), _) => self.tls_asked = false,
            (Some(Command::Auth), code) => {
                if matches!(self.sending, Sending::Login(_)) {
                    self.sending = Sending::Commands;
                }
                // 535 5.7.8: authentication credentials invalid (RFC 4954 §6)
                if code == 535 {
                    self.failures.refused("smtp", out);
                }
            }
            (Some(Command::Data), code) if code != 354 && matches!(self.sending, Sending::Message) => {
                self.sending = Sending::Commands;
            }
            (Some(Command::EndOfData), code) => {
                let text = Value::Str(format!("{code} {}", lines::shown(reply.text)).into());
                out.set(LAST_REPLY, text.clone());
                if let Some(mut event) = self.sent.pop_front() {
                    event.fields.push((LAST_REPLY, text));
                    out.event(event);
                }
            }
            _ => {}
        }
        Step::Consumed(used)
    }

    /// Lines of a message.
    fn text(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut used = 0;
        loop {
            match lines::next(&bytes[used..]) {
                Line::Whole(b".", n) => {
                    self.sending = Sending::Commands;
                    self.end(out);
                    return Step::Consumed(used + n);
                }
                Line::Whole(line, n) => {
                    // RFC 5321 §4.5.2: a dot at the start of a line is doubled.
                    self.message.line(if line.starts_with(b"..") { &line[1..] } else { line });
                    used += n;
                }
                Line::Partial(n) if used == 0 => return Step::Need(n),
                Line::Partial(_) => return Step::Consumed(used),
                // No line of a header is that long; the end of the message can't be in it.
                Line::TooLong => return Step::Consumed(used + lines::LINE_MAX),
            }
        }
    }

    /// Lines of a chunk of a message: its last one need not have an end.
    fn chunk(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Sending::Chunk(left, last) = self.sending else { return Step::Done };
        let here = bytes.get(..left as usize).unwrap_or(bytes);
        let whole = here.len() as u64 == left;
        let mut used = 0;
        while used < here.len() {
            let rest = &here[used..];
            let (line, n) = match lines::next(rest) {
                Line::Whole(line, n) => (line, n),
                Line::Partial(_) if whole => (rest, rest.len()),
                Line::Partial(n) if used == 0 => return Step::Need(n),
                Line::Partial(_) => break,
                // Read in parts, as if there were lines of that length.
                Line::TooLong => (&rest[..lines::LINE_MAX], lines::LINE_MAX),
            };
            self.message.line(line.trim_ascii_end());
            used += n;
        }
        self.sending = Sending::Chunk(left - used as u64, last);
        if used as u64 == left {
            self.sending = Sending::Commands;
            if last {
                self.end(out);
            }
        }
        Step::Consumed(used)
    }

    /// A message is complete.
    fn end(&mut self, out: &mut Sink<'_>) {
        self.wait_for(Command::EndOfData);
        self.message.close();
        let message = std::mem::take(&mut self.message);
        self.messages += 1;
        out.replace(MESSAGES, self.messages);
        const KEPT: &[(&str, FieldRef)] = &[
            ("from", FROM),
            ("to", TO),
            ("cc", CC),
            ("reply-to", REPLY_TO),
            ("date", DATE),
            ("subject", SUBJECT),
            ("message-id", MESSAGE_ID),
            ("in-reply-to", IN_REPLY_TO),
            ("x-originating-ip", X_ORIGINATING_IP),
            ("x-mailer", common::USER_AGENT),
            ("user-agent", common::USER_AGENT),
        ];
        let kept: Vec<_> = KEPT
            .iter()
            .filter_map(|(name, field)| message.field(name).map(|v| (*field, Value::text(v))))
            .collect();
        if self.messages == 1 {
            kept.iter().for_each(|(field, value)| out.set(*field, value.clone()));
        }
        for name in &message.attachments {
            out.push(ATTACHMENTS, name.clone());
            if is_executable(name) {
                out.risk(&EXECUTABLE_ATTACHMENT, || format!("smtp.attachments={name}"));
            }
        }
        if out.wants_events() && self.sent.len() < WAITING_MAX {
            let mut fields = std::mem::take(&mut self.envelope);
            if let Some(helo) = &self.helo {
                fields.insert(0, (HELO, Value::Str(helo.clone())));
            }
            let recipients = std::mem::take(&mut self.recipients);
            if !recipients.is_empty() {
                fields.push((RCPT_TO, Value::List(Box::new(recipients))));
            }
            fields.extend(kept);
            let files: Vec<_> = message.attachments.into_iter().map(Value::from).collect();
            if !files.is_empty() {
                fields.push((ATTACHMENTS, Value::List(Box::new(files))));
            }
            self.sent.push_back(Event { kind: "smtp", ts_ns: self.began_ns, fields });
        }
    }

    fn secured(&mut self, used: usize, out: &mut Sink<'_>) -> Step {
        out.set(STARTTLS, true);
        out.relabel(ProtocolId::Smtps);
        Step::Switch(used, Some(ProtocolId::Tls))
    }
}

/// The address in `<address> PARAMETER=VALUE`.
fn path(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    match text.strip_prefix(b"<") {
        Some(inner) => inner.split(|b| *b == b'>').next().unwrap_or(inner),
        None => lines::split(text).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::Flow;

    // After RFC 5321 appendix D.1.
    const CLIENT: [&[u8]; 4] = [
        b"EHLO bar.com\r\n",
        b"MAIL FROM:<Smith@bar.com> SIZE=100\r\nRCPT TO:<Jones@foo.com>\r\nRCPT TO:<Brown@foo.com>\r\nDATA\r\n",
        b"From: Smith <Smith@bar.com>\r\nSubject: Plans\r\n for May\r\nX-Mailer: Postcard 1.0\r\n\r\n\
          ..dots\r\n--b\r\nContent-Disposition: attachment; filename=\"plan.js\"\r\n\r\nx\r\n.\r\n",
        b"QUIT\r\n",
    ];
    const SERVER: [&[u8]; 5] = [
        b"220 foo.com Simple Mail Transfer Service Ready\r\n",
        b"250-foo.com greets bar.com\r\n250-8BITMIME\r\n250 PIPELINING\r\n",
        b"250 OK\r\n250 OK\r\n550 No such user here\r\n354 Start mail input\r\n",
        b"250 OK queued as 17\r\n",
        b"221 foo.com closing\r\n",
    ];

    #[test]
    fn a_mail() {
        let mut flow = Flow::tcp(25).server(SERVER[0]);
        for i in 0..4 {
            flow = flow.client(CLIENT[i]).server(SERVER[i + 1]);
        }
        let seen = flow.run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Smtp, Confidence::Handshake));
        assert_eq!(seen.show(common::HOSTNAME), "foo.com");
        assert_eq!(seen.show(HELO), "bar.com");
        assert_eq!(seen.show(MAIL_FROM), "Smith@bar.com");
        assert_eq!(seen.show(RCPT_TO), "Jones@foo.com,Brown@foo.com");
        assert_eq!(seen.show(SUBJECT), "Plans for May");
        assert_eq!(seen.show(common::USER_AGENT), "Postcard 1.0");
        assert_eq!(seen.show(ATTACHMENTS), "plan.js");
        assert_eq!(seen.show(LAST_REPLY), "250 OK queued as 17");
        assert_eq!(seen.risks(), ["executable-attachment"]);
        assert_eq!(seen.events.len(), 1);
        assert!(seen.events[0].fields.contains(&(LAST_REPLY, Value::from("250 OK queued as 17".to_owned()))));
    }

    #[test]
    fn a_mail_that_was_cut_off() {
        let seen = Flow::tcp(25)
            .client(b"EHLO b\r\nMAIL FROM:<a@b>\r\nDATA\r\n")
            .client(b"Subject: half\r\n\r\nDear")
            .run_split();
        assert_eq!(seen.show(SUBJECT), "half");
        assert_eq!(seen.events.len(), 1);
    }

    #[test]
    fn a_chunked_mail() {
        let seen = Flow::tcp(25)
            .server(b"220 a ESMTP\r\n")
            .client(b"EHLO b\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nBDAT 12 LAST\r\nSubject: x\r\nQUIT\r\n")
            .server(b"250 a\r\n250 ok\r\n250 ok\r\n250 done\r\n221 bye\r\n")
            .run_split();
        assert_eq!(seen.show(SUBJECT), "x");
        assert_eq!(seen.show(LAST_REPLY), "250 done");
        assert_eq!(seen.show(MESSAGES), "1");
    }

    #[test]
    fn a_login_names_the_user_but_not_the_password() {
        let seen = Flow::tcp(587)
            .server(b"220 mx ESMTP\r\n")
            .client(b"EHLO me\r\n")
            .server(b"250-mx\r\n250 AUTH LOGIN PLAIN\r\n")
            .client(b"AUTH LOGIN\r\n")
            .server(b"334 VXNlcm5hbWU6\r\n")
            .client(b"dGlt\r\n")
            .server(b"334 UGFzc3dvcmQ6\r\n")
            .client(b"dGFuc3RhYWY=\r\n")
            .server(b"535 5.7.8 no\r\n")
            .client(b"MAIL FROM:<a@b>\r\n")
            .server(b"530 no\r\n")
            .run_split();
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert_eq!(&*seen.found.risks[0].evidence, "smtp.auth=LOGIN");
        assert_eq!(seen.show(USER), "tim");
        assert_eq!(seen.show(MAIL_FROM), "a@b");
        let all = format!("{seen:?}");
        assert!(!all.contains("tanstaaf") && !all.contains("dGFuc3RhYWY"));
    }

    #[test]
    fn guessing_is_noticed() {
        let mut flow = Flow::tcp(25).server(b"220 a ESMTP\r\n");
        for _ in 0..5 {
            flow = flow.client(b"AUTH PLAIN AHRpbQB4\r\n").server(b"535 no\r\n");
        }
        let seen = flow.run_split();
        assert_eq!(seen.risks(), ["clear-text-credentials", "repeated-login-failures"]);
    }

    #[test]
    fn starttls_makes_it_smtps() {
        let seen = Flow::tcp(25)
            .server(b"220 a.example ESMTP\r\n")
            .client(b"EHLO b\r\n")
            .server(b"250-a.example\r\n250 STARTTLS\r\n")
            .client(b"STARTTLS\r\n")
            .server(b"220 go ahead\r\n")
            .run_split();
        assert_eq!(seen.protocol, ProtocolId::Smtps);
        assert_eq!(seen.show(STARTTLS), "true");
    }

    #[test]
    fn the_client_decides_where_the_banner_does_not() {
        let banner = b"220 mail.example.com ready\r\n";
        assert_eq!(Flow::tcp(99).server(banner).run().protocol, ProtocolId::Unknown);
        assert_eq!(Flow::tcp(99).server(banner).client(b"EHLO x\r\n").run_split().protocol, ProtocolId::Smtp);
        assert_ne!(Flow::tcp(25).server(banner).client(b"USER x\r\n").run().protocol, ProtocolId::Smtp);
        assert_ne!(Flow::tcp(25).server(b"220 ESMTP FTP server\r\n").run().protocol, ProtocolId::Smtp);
    }

    #[test]
    fn only_one_side_or_the_middle() {
        assert_eq!(
            Flow::tcp(99).client(b"HELO x\r\nMAIL FROM:<a@b>\r\n").run_split().protocol,
            ProtocolId::Smtp
        );
        let answer = b"250-mx at your service\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 HELP\r\n";
        assert_eq!(Flow::tcp(99).server(answer).run_split().protocol, ProtocolId::Smtp);
    }

    #[test]
    fn near_misses() {
        for payload in
            [&b"EHLO \r\n"[..], b"EHLO \x01\x02\r\n", b"220 \x00\xff\r\n", b"HELO\r\n", b"250-x\r\n250 y\r\n"]
        {
            assert_eq!(Flow::tcp(25).client(payload).run().protocol, ProtocolId::Unknown, "{payload:?}");
        }
    }
}
