//! Syslog: which program on which host logs what kind of thing.
//!
//! A message begins with its priority in angle brackets, then either version 1 and the fields of RFC 5424, or the date
//! that programs have always written (RFC 3164), or, on its ports, anything readable. Over TCP messages end with a line
//! end or begin with their length (RFC 6587). Texts of messages are not kept.
//!
//! Syslog's are UDP 514, and TCP 6514 for TLS (RFC 5425). TCP 514 is the remote shell's; senders of syslog use it all the
//! same (RFC 6587), so that there only the payload tells.

use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Value, Verdict, byte,
    fields, masked, tcp, udp,
};

fields! { ProtocolId::Syslog;
    FORMAT: Str "format" "rfc5424, rfc3164, iso (a date as in RFC 5424 without its version) or other";
    FACILITIES: [Str] "facilities" "Facilities: kern, user, mail, daemon, auth, local0 …";
    SEVERITIES: [Str] "severities" "Severities: emerg, alert, crit, err, warning, notice, info, debug";
    HOSTS: [Str] "hosts" "Hosts that the messages come from";
    APPS: [Str] "apps" "Programs that wrote them";
    MSG_ID: Str "msg_id" "Kind of the first message that has one (RFC 5424)";
    OCTET_COUNTING: Bool "octet_counting" "Over TCP: messages begin with their length (RFC 6587)";
}

/// Syslog.
pub const PROTOCOL: Protocol = Protocol {
    name: "syslog",
    title: "Syslog",
    family: Family::Network,
    source: "RFC 5424, RFC 3164, RFC 6587, RFC 5425",
    ports: &[udp(514), tcp(601), tcp(6514)],
    patterns: &[
        Pattern::udp().min(5).tests(&[byte(0, b'<'), masked(1, 0xf0, 0x30)]),
        Pattern::tcp().min(2).tests(&[byte(0, b'<'), masked(1, 0xf0, 0x30)]),
        // "123 <": the message's length.
        Pattern::tcp().min(5).tests(&[
            masked(0, 0xf0, 0x30),
            masked(1, 0xf0, 0x30),
            byte(2, b' '),
            byte(3, b'<'),
        ]),
        Pattern::tcp().min(6).tests(&[
            masked(0, 0xf0, 0x30),
            masked(1, 0xf0, 0x30),
            masked(2, 0xf0, 0x30),
            byte(3, b' '),
            byte(4, b'<'),
        ]),
        Pattern::tcp().min(7).tests(&[
            masked(0, 0xf0, 0x30),
            masked(1, 0xf0, 0x30),
            masked(2, 0xf0, 0x30),
            masked(3, 0xf0, 0x30),
            byte(4, b' '),
            byte(5, b'<'),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Syslog::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// After this many messages of a flow nothing new is expected.
const MESSAGES_MAX: u32 = 64;
/// A longer line is not waited for; its start is read.
const LINE_MAX: usize = 8192;
/// The head of a message ends within this.
const HEAD_MAX: usize = 512;

/// The head of a message.
#[derive(Debug, PartialEq)]
struct Head<'a> {
    priority: u8,
    format: &'static str,
    host: &'a [u8],
    app: &'a [u8],
    msg_id: &'a [u8],
}

/// The next word, and what follows its space.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| *b == b' ')?;
    Some((&text[..end], &text[end + 1..]))
}

/// `<0>` to `<191>`, without leading zeros.
fn priority(text: &[u8]) -> Option<(u8, &[u8])> {
    let end = text.iter().take(5).position(|b| *b == b'>')?;
    let digits =
        text.get(1..end).filter(|d| (1..=3).contains(&d.len()) && d.iter().all(u8::is_ascii_digit))?;
    if text[0] != b'<' || digits.len() > 1 && digits[0] == b'0' {
        return None;
    }
    let n = digits.iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    (n <= 191).then(|| (n as u8, &text[end + 1..]))
}

/// Does it look like `2003-10-11T22:14:15`?
fn is_iso(text: &[u8]) -> bool {
    const SHAPE: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";
    text.len() >= 19
        && SHAPE.iter().zip(text).all(|(s, b)| if *s == b'd' { b.is_ascii_digit() } else { s == b })
}

/// `Oct 11 22:14:15 `, the day with a space or a zero before it; some add a year or fractions. What follows it.
fn after_old_date(text: &[u8]) -> Option<&[u8]> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let month = MONTHS.contains(&text.get(..3)?);
    let day = matches!(text.get(3..6)?, [b' ', b' ' | b'0'..=b'3', b'0'..=b'9']);
    if !month || !day || text.get(6) != Some(&b' ') {
        return None;
    }
    let mut rest = &text[7..];
    if let [b'1' | b'2', b'0' | b'9', b'0'..=b'9', b'0'..=b'9', b' ', after @ ..] = rest {
        rest = after;
    }
    let clock = matches!(
        rest.get(..8)?,
        [b'0'..=b'2', b'0'..=b'9', b':', b'0'..=b'5', b'0'..=b'9', b':', b'0'..=b'6', b'0'..=b'9']
    );
    let end = rest.iter().skip(8).take(12).position(|b| matches!(b, b' ' | b':'))? + 8;
    clock.then(|| &rest[end + 1..])
}

/// Reads the head. `None` if there is no priority.
fn head(message: &[u8]) -> Option<Head<'_>> {
    let message = message.get(..HEAD_MAX).unwrap_or(message);
    let (priority, rest) = priority(message)?;
    let nil = |text| if text == b"-" { &[][..] } else { text };
    if let Some(rest) = rest.strip_prefix(b"1 ")
        && let Some((time, rest)) = word(rest)
        && (is_iso(time) || time == b"-")
        && let Some((host, rest)) = word(rest)
        && let Some((app, rest)) = word(rest)
        && let Some((_process, rest)) = word(rest)
        && let Some((msg_id, data)) = word(rest)
        && matches!(data.first(), Some(b'-' | b'['))
    {
        return Some(Head {
            priority,
            format: "rfc5424",
            host: nil(host),
            app: nil(app),
            msg_id: nil(msg_id),
        });
    }
    let (format, rest) = if let Some(rest) = after_old_date(rest) {
        ("rfc3164", rest)
    } else if is_iso(rest) {
        ("iso", word(rest).map_or(&[][..], |(_, rest)| rest))
    } else {
        return Some(Head {
            priority,
            format: "other",
            host: &[],
            app: tag(rest).unwrap_or_default(),
            msg_id: &[],
        });
    };
    // The host may be left out: then the tag comes at once.
    let (host, rest) = match word(rest) {
        Some((host, rest)) if !host.ends_with(b":") && !host.ends_with(b"]") => (host, rest),
        _ => (&[][..], rest),
    };
    Some(Head { priority, format, host, app: tag(rest).unwrap_or_default(), msg_id: &[] })
}

/// The program's name before `[` or `:`.
fn tag(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().take(65).position(|b| !(b.is_ascii_alphanumeric() || b"-_./%".contains(b)))?;
    (end > 0 && !text[0].is_ascii_digit() && matches!(text[end], b':' | b'[')).then(|| &text[..end])
}

/// The length before a message over TCP, and how many bytes it takes.
fn octet_count(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.iter().take(6).position(|b| *b == b' ')?;
    let digits = &bytes[..end];
    let fits = !digits.is_empty() && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit);
    let n = digits.iter().fold(0, |n, d| n * 10 + usize::from(d.wrapping_sub(b'0')));
    (fits && bytes.get(end + 1).is_none_or(|b| *b == b'<')).then_some((n, end + 1))
}

fn readable(text: &[u8]) -> bool {
    text.iter().all(|b| *b >= b' ' || matches!(b, b'\t' | b'\r' | b'\n' | 0x1b | 0))
}

fn identify(p: &Probe<'_>) -> Verdict {
    let tcp = p.transport == Transport::Tcp;
    let bytes = match octet_count(p.payload).filter(|_| tcp) {
        Some((_, used)) => &p.payload[used..],
        None => p.payload,
    };
    let start = &bytes[..bytes.len().min(HEAD_MAX)];
    let whole = !tcp || start.len() == HEAD_MAX || start.contains(&b'\n');
    let Some(head) = head(bytes) else {
        return if !whole && start.len() < 5 { Verdict::Need(p.payload.len() + 1) } else { Verdict::No };
    };
    if !readable(start) {
        return Verdict::No;
    }
    let at_home =
        p.port(514) || PROTOCOL.ports.iter().any(|port| port.transport == p.transport && p.port(port.number));
    let dated = head.format != "other";
    match dated || (at_home && bytes.len() > 8 && whole) {
        true => Verdict::Yes,
        // The date may come with the next segment.
        false if tcp && !whole && start.len() < 256 => Verdict::Need(p.payload.len() + 1),
        false => Verdict::No,
    }
}

#[derive(Default)]
struct Syslog {
    messages: u32,
}

impl Parser for Syslog {
    fn stream(&mut self, _: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if bytes[0].is_ascii_digit() {
            return self.counted(bytes, out);
        }
        let line = bytes.get(..LINE_MAX).unwrap_or(bytes);
        let Some(end) = line.iter().position(|b| *b == b'\n') else {
            if line.len() < LINE_MAX {
                return Step::Need(line.len() + 1);
            }
            self.message(line, out);
            return Step::Consumed(line.len());
        };
        // Lines without a priority go on with the message before them.
        self.message(&bytes[..end], out);
        self.next(end + 1)
    }

    fn datagram(&mut self, _: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.message(bytes, out);
        self.next(bytes.len())
    }
}

impl Syslog {
    fn next(&self, used: usize) -> Step {
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Consumed(used) }
    }

    fn counted(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some((length, used)) = octet_count(bytes) else {
            let line = bytes.get(..LINE_MAX).unwrap_or(bytes);
            let digits = line.len() < 6 && line.iter().all(u8::is_ascii_digit);
            // A line that happens to begin with a digit.
            return match line.iter().position(|b| *b == b'\n') {
                _ if digits => Step::Need(line.len() + 1),
                Some(end) => Step::Consumed(end + 1),
                None if line.len() < LINE_MAX => Step::Need(line.len() + 1),
                None => Step::Consumed(line.len()),
            };
        };
        // It is a count if a priority follows it.
        if bytes.len() == used {
            return Step::Need(used + 1);
        }
        let want = used + length.min(HEAD_MAX);
        let Some(message) = bytes.get(used..want) else { return Step::Need(want) };
        out.set(OCTET_COUNTING, true);
        self.message(message, out);
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Skip((used + length) as u64) }
    }

    fn message(&mut self, message: &[u8], out: &mut Sink<'_>) {
        let Some(head) = head(message) else { return };
        self.messages += 1;
        out.set(FORMAT, head.format);
        out.push(FACILITIES, FACILITY_NAMES[usize::from(head.priority >> 3).min(23)]);
        out.push(SEVERITIES, SEVERITY_NAMES[usize::from(head.priority & 7)]);
        for (field, text) in [(HOSTS, head.host), (APPS, head.app)] {
            if !text.is_empty() {
                out.push(field, Value::text(text));
            }
        }
        if !head.msg_id.is_empty() {
            out.set_text(MSG_ID, head.msg_id);
        }
    }
}

#[rustfmt::skip]
const FACILITY_NAMES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITY_NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    // RFC 5424 §6.5, RFC 3164 §5.4.
    const NEW: &[u8] = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\"] x";
    const OLD: &[u8] = b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8";

    #[test]
    fn both_formats_over_udp() {
        let seen = Flow::udp(514).client(NEW).client(OLD).run();
        assert_eq!(seen.protocol, ProtocolId::Syslog);
        assert_eq!(seen.show(FORMAT), "rfc5424");
        assert_eq!(
            (seen.show(FACILITIES), seen.show(SEVERITIES)),
            ("local4,auth".into(), "notice,crit".into())
        );
        assert_eq!(seen.show(HOSTS), "mymachine.example.com,mymachine");
        assert_eq!((seen.show(APPS), seen.show(MSG_ID)), ("evntslog,su".into(), "ID47".into()));
    }

    #[test]
    fn over_tcp_however_it_is_cut() {
        let lines = [OLD, b"\n\tgoes on\n", NEW, b"\n"].concat();
        let seen = Flow::tcp(514).client(&lines).run_split();
        assert_eq!((seen.protocol, seen.show(APPS)), (ProtocolId::Syslog, "su,evntslog".into()));
        let counted =
            [format!("{} ", NEW.len()).as_bytes(), NEW, format!("{} ", OLD.len()).as_bytes(), OLD].concat();
        let seen = Flow::tcp(6514).client(&counted).run_split();
        assert_eq!((seen.protocol, seen.show(APPS)), (ProtocolId::Syslog, "evntslog,su".into()));
        assert_eq!(seen.show(OCTET_COUNTING), "true");
    }

    #[test]
    fn other_ways_to_write_it() {
        let shown = |text: &'static [u8]| head(text).map(|h| (h.format, h.host, h.app)).unwrap();
        let iso = b"<167>2016-05-24T09:50:52.926451+02:00 ldap01 slapd[34534]: conn=1";
        assert_eq!(shown(iso), ("iso", &b"ldap01"[..], &b"slapd"[..]));
        assert_eq!(shown(b"<13>Feb  5 17:32:18 cron[7]: x"), ("rfc3164", &b""[..], &b"cron"[..]));
        assert_eq!(
            shown(b"<189>Mar  1 2024 18:46:11.123: %SYS-5-CONFIG_I: x"),
            ("rfc3164", &b""[..], &b"%SYS-5-CONFIG_I"[..])
        );
        assert_eq!(shown(b"<30>dnsmasq[1]: x"), ("other", &b""[..], &b"dnsmasq"[..]));
    }

    #[test]
    fn without_a_date_it_takes_the_port() {
        let text = b"<189>123: %SYS-5-CONFIG_I: Configured from console";
        assert_eq!(Flow::udp(514).client(text).run().protocol, ProtocolId::Syslog);
        assert_eq!(Flow::udp(5140).client(text).run().protocol, ProtocolId::Unknown);
        let line = [&text[..], b"\n"].concat();
        for (port, label) in
            [(514, ProtocolId::Syslog), (601, ProtocolId::Syslog), (5140, ProtocolId::Unknown)]
        {
            assert_eq!(Flow::tcp(port).client(&line).run().protocol, label, "{port}");
        }
        for text in [
            &b"<192>Oct 11 22:14:15 h a: x"[..],
            b"<034>Oct 11 22:14:15 h a: x",
            b"<34 Oct 11 22:14:15",
            b"<1>\x01\x02\x03\x04\x05\x06\x07\x08",
        ] {
            assert_eq!(Flow::udp(514).client(text).run().protocol, ProtocolId::Unknown, "{text:?}");
        }
    }
}
