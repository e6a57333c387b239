//! MQTT 3.1, 3.1.1 and 5: who connects, with which identity, and to which topics.
//!
//! A client's CONNECT names the protocol and is unmistakable. In mid-stream two packets that belong together are asked
//! for: a ping and its answer, or a message and its acknowledgement with the same number. Contents of messages are not
//! kept. Not read: MQTT-SN.

use crate::cursor::Cursor;
use crate::risk::CLEAR_TEXT_CREDENTIALS;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    masked, tcp,
};

fields! { ProtocolId::Mqtt;
    VERSION: Str "version" "3.1, 3.1.1 or 5.0";
    CLIENT_ID: Str "client_id" "Client identifier; for version 5 the one that the server assigns if the client gives none";
    USER: Str "user" "User name";
    KEEP_ALIVE_S: Uint "keep_alive_s" "Keep-alive interval in seconds";
    CLEAN: Bool "clean" "The client wants to start a new session";
    WILL_TOPIC: Str "will_topic" "Topic of the message to be sent when the client is lost";
    AUTH_METHOD: Str "auth_method" "Authentication method (version 5)";
    CONNACK: Str "connack" "The server's answer to CONNECT";
    PACKETS: [Str] "packets" "Packet types seen";
    PUBLISHED: [Str] "published" "Topics of messages, of both directions";
    SUBSCRIBED: [Str] "subscribed" "Topic filters that the client subscribes to";
}

/// MQTT.
pub const PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    title: "MQTT",
    family: Family::Messaging,
    source: "OASIS MQTT 3.1.1 and 5.0",
    ports: &[tcp(1883)],
    well_known: true,
    patterns: &[
        // CONNECT with a remaining length of one, two or three bytes, then "MQTT" or "MQIsdp" with its length.
        Pattern::tcp().min(12).tests(&[
            byte(0, 0x10),
            masked(1, 0x80, 0),
            byte(2, 0),
            byte(4, b'M'),
            byte(5, b'Q'),
        ]),
        Pattern::tcp().min(12).tests(&[
            byte(0, 0x10),
            masked(1, 0x80, 0x80),
            byte(3, 0),
            byte(5, b'M'),
            byte(6, b'Q'),
        ]),
        Pattern::tcp().min(12).tests(&[
            byte(0, 0x10),
            masked(1, 0x80, 0x80),
            masked(2, 0x80, 0x80),
            byte(4, 0),
            byte(6, b'M'),
            byte(7, b'Q'),
        ]),
        // CONNACK, PUBLISH, PUBACK, and the pings.
        Pattern::tcp().min(4).tests(&[byte(0, 0x20), masked(1, 0x80, 0), masked(2, 0xfe, 0)]),
        Pattern::tcp().min(6).tests(&[masked(0, 0xf6, 0x32)]),
        Pattern::tcp().min(4).starts(&[0x40, 2]),
        Pattern::tcp().starts(&[0xc0, 0]),
        Pattern::tcp().starts(&[0xd0, 0]),
    ],
    identify,
    parser: Some(|| Box::new(Mqtt::default())),
    fields: FIELDS,
    risks: &[&CLEAR_TEXT_CREDENTIALS],
    ..Protocol::BASE
};

/// Packets are read this far.
const READ_MAX: usize = 2048;
/// After this many packets of a flow it is left alone.
const PACKETS_MAX: u32 = 256;

/// The fixed header: first byte, its own length, and how many bytes follow. `Err(None)` if it is none, `Err(Some(n))`
/// if n bytes are needed to tell.
fn fixed_header(bytes: &[u8]) -> Result<(u8, usize, usize), Option<usize>> {
    let first = *bytes.first().ok_or(Some(2usize))?;
    let mut length = 0;
    for i in 0..4 {
        let byte = *bytes.get(1 + i).ok_or(Some(2 + i))?;
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((first, 2 + i, length));
        }
    }
    Err(None)
}

/// Names of the packet types; `None` if the flags are not those that the type demands.
fn packet_name(first: u8) -> Option<&'static str> {
    const NAMES: [&str; 16] = [
        "reserved",
        "connect",
        "connack",
        "publish",
        "puback",
        "pubrec",
        "pubrel",
        "pubcomp",
        "subscribe",
        "suback",
        "unsubscribe",
        "unsuback",
        "pingreq",
        "pingresp",
        "disconnect",
        "auth",
    ];
    let flags = first & 0xf;
    let fits = match first >> 4 {
        0 => false,
        3 => flags & 6 != 6,
        // Version 3.1 also has a duplicate flag here.
        6 | 8 | 10 => matches!(flags, 2 | 0xa),
        _ => flags == 0,
    };
    fits.then(|| NAMES[usize::from(first >> 4)])
}

/// The protocol's name and level at the start of a CONNECT's body.
fn level(c: &mut Cursor<'_>) -> Option<u8> {
    let name = c.vec16()?;
    // Bridges set the top bit.
    let level = c.u8()? & 0x7f;
    matches!((name, level), (b"MQIsdp", 3) | (b"MQTT", 4 | 5)).then_some(level)
}

fn identify(p: &Probe<'_>) -> Verdict {
    let (first, head, length) = match fixed_header(p.payload) {
        Ok(found) => found,
        Err(Some(n)) => return Verdict::Need(n),
        Err(None) => return Verdict::No,
    };
    let body = &p.payload[head..];
    match first {
        0x10 => {
            if length < 10 {
                return Verdict::No;
            }
            if body.len() < 10 {
                return Verdict::Need(head + 10);
            }
            match level(&mut Cursor::new(body)) {
                Some(_) => from(p, Dir::Client),
                None => Verdict::No,
            }
        }
        // Two packets that belong together, in both directions.
        0x20 if body.len() >= 2 && body[0] <= 1 && (length == 2 || p.port(1883)) => match p.other.first() {
            None => Verdict::Later,
            Some(0x10) => from(p, Dir::Server),
            Some(_) => Verdict::No,
        },
        0xc0 if length == 0 => pair(p, b"\xd0\0", Dir::Client),
        0xd0 if length == 0 => pair(p, b"\xc0\0", Dir::Server),
        0x32 | 0x33 | 0x3a | 0x3b => acknowledged(p, p.payload, p.other),
        0x40 if length == 2 => acknowledged(p, p.other, p.payload),
        _ => Verdict::No,
    }
}

fn from(p: &Probe<'_>, sender: Dir) -> Verdict {
    if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed }
}

/// Is the stream, as far as it is there, packets and nothing else? The last may be cut.
fn all_packets(mut bytes: &[u8]) -> bool {
    while let Ok((first, head, length)) = fixed_header(bytes) {
        if packet_name(first).is_none() {
            return false;
        }
        bytes = bytes.get(head + length..).unwrap_or_default();
    }
    bytes.first().is_none_or(|first| packet_name(*first).is_some()) && fixed_header(bytes) != Err(None)
}

/// A ping and its answer, with nothing but packets after them.
fn pair(p: &Probe<'_>, answer: &[u8], sender: Dir) -> Verdict {
    match p.other.get(..2) {
        None => Verdict::Later,
        Some(other) if other == answer && all_packets(p.payload) && all_packets(p.other) => from(p, sender),
        Some(_) => Verdict::No,
    }
}

/// A message with quality of service 1 in one direction, its acknowledgement with the same number in the other.
fn acknowledged(p: &Probe<'_>, message: &[u8], answer: &[u8]) -> Verdict {
    if message.is_empty() || answer.is_empty() {
        return Verdict::Later;
    }
    let number = || -> Option<u16> {
        let (first, head, length) = fixed_header(message).ok()?;
        let mut c = Cursor::new(message.get(head..head + length)?);
        let topic = c.vec16()?;
        (first & 0xf6 == 0x32 && plausible_topic(topic)).then_some(())?;
        c.u16()
    };
    match (number(), answer.get(..4)) {
        (Some(number), Some(&[0x40, 2, a, b]))
            if number == u16::from_be_bytes([a, b])
                && number != 0
                && all_packets(p.payload)
                && all_packets(p.other) =>
        {
            // Either end can publish. With the usual port the server's is known.
            if p.client_port == 1883 && p.server_port != 1883 { Verdict::YesReversed } else { Verdict::Yes }
        }
        _ => Verdict::No,
    }
}

/// Topics of messages are text without wildcards.
fn plausible_topic(topic: &[u8]) -> bool {
    std::str::from_utf8(topic)
        .is_ok_and(|t| !t.is_empty() && !t.contains(['+', '#']) && !t.contains(char::is_control))
}

#[derive(Default)]
struct Mqtt {
    packets: u32,
    level: u8,
    started: [bool; 2],
}

impl Parser for Mqtt {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let started = self.started[dir.index()];
        let broken = if started { Step::Malformed(0) } else { Step::Done };
        let (first, head, length) = match fixed_header(bytes) {
            Ok(found) => found,
            Err(Some(n)) => return Step::Need(n),
            Err(None) => return broken,
        };
        let Some(name) = packet_name(first) else { return broken };
        let want = head + length.min(READ_MAX);
        let Some(body) = bytes.get(head..want) else { return Step::Need(want) };
        self.started[dir.index()] = true;
        self.packets += 1;
        if self.started == [true, true] {
            out.confirm();
        }
        out.push(PACKETS, name);
        if self.body(dir, first, body, out).is_none() && body.len() == length {
            return Step::Malformed(head);
        }
        if self.packets >= PACKETS_MAX { Step::Finished } else { Step::Skip((head + length) as u64) }
    }
}

impl Mqtt {
    /// `None` if a packet's body ends too early.
    fn body(&mut self, dir: Dir, first: u8, body: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(body);
        match first >> 4 {
            1 => self.connect(c, out)?,
            2 => {
                c.skip(1)?;
                let code = c.u8()?;
                out.set(CONNACK, connack_name(code));
                if self.level == 5 {
                    properties(&mut c, out)?;
                }
            }
            3 => {
                let topic = c.vec16()?;
                // Version 5 may put an alias in its place.
                if !topic.is_empty() {
                    out.push(PUBLISHED, Value::text(topic));
                }
            }
            8 if dir == Dir::Client => {
                c.skip(2)?;
                if self.level == 5 {
                    let n = varint(&mut c)?;
                    c.skip(n)?;
                }
                while !c.is_empty() {
                    let filter = c.vec16()?;
                    c.skip(1)?;
                    out.push(SUBSCRIBED, Value::text(filter));
                }
            }
            _ => {}
        }
        Some(())
    }

    fn connect(&mut self, mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
        self.level = level(&mut c)?;
        out.set(
            VERSION,
            match self.level {
                3 => "3.1",
                4 => "3.1.1",
                _ => "5.0",
            },
        );
        let flags = c.u8()?;
        out.set(KEEP_ALIVE_S, c.u16()?);
        out.set(CLEAN, flags & 2 != 0);
        if self.level == 5 {
            properties(&mut c, out)?;
        }
        let id = c.vec16()?;
        if !id.is_empty() {
            out.set_text(CLIENT_ID, id);
        }
        if flags & 4 != 0 {
            if self.level == 5 {
                let n = varint(&mut c)?;
                c.skip(n)?;
            }
            out.set_text(WILL_TOPIC, c.vec16()?);
            c.vec16()?;
        }
        let mut user = &[][..];
        if flags & 0x80 != 0 {
            user = c.vec16()?;
            out.set_text(USER, user);
        }
        if flags & 0x40 != 0 && !c.vec16()?.is_empty() {
            out.risk(&CLEAR_TEXT_CREDENTIALS, || format!("mqtt.user={}", String::from_utf8_lossy(user)));
        }
        Some(())
    }
}

/// A variable byte integer.
fn varint(c: &mut Cursor<'_>) -> Option<usize> {
    let mut n = 0;
    for i in 0..4 {
        let byte = c.u8()?;
        n |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// The properties of a CONNECT or CONNACK (version 5, §2.2.2.2): two of them are kept.
fn properties(c: &mut Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    let n = varint(c)?;
    let mut p = Cursor::new(c.take(n)?);
    while let Some(kind) = p.u8() {
        match kind {
            // Bytes.
            0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => p.skip(1)?,
            // Two bytes.
            0x13 | 0x21 | 0x22 => p.skip(2)?,
            // Four bytes.
            0x11 | 0x18 | 0x27 => p.skip(4)?,
            0x26 => {
                p.vec16()?;
                p.vec16()?;
            }
            0x12 => out.set_text(CLIENT_ID, p.vec16()?),
            0x15 => out.set_text(AUTH_METHOD, p.vec16()?),
            0x16 | 0x1a | 0x1c | 0x1f => {
                p.vec16()?;
            }
            _ => return None,
        }
    }
    Some(())
}

fn connack_name(code: u8) -> &'static str {
    match code {
        0 => "accepted",
        // Version 3.
        1 => "unacceptable-protocol-version",
        2 => "identifier-rejected",
        3 => "server-unavailable",
        4 => "bad-user-name-or-password",
        5 => "not-authorised",
        // Version 5.
        0x80 => "unspecified-error",
        0x81 => "malformed-packet",
        0x82 => "protocol-error",
        0x84 => "unsupported-protocol-version",
        0x85 => "client-identifier-not-valid",
        0x86 => "bad-user-name-or-password",
        0x87 => "not-authorised",
        0x88 => "server-unavailable",
        0x89 => "server-busy",
        0x8a => "banned",
        0x8c => "bad-authentication-method",
        0x95 => "packet-too-large",
        0x97 => "quota-exceeded",
        0x9c => "use-another-server",
        0x9d => "server-moved",
        0x9f => "connection-rate-exceeded",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn text(s: &str) -> Vec<u8> {
        [&(s.len() as u16).to_be_bytes()[..], s.as_bytes()].concat()
    }

    fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let mut out = vec![first];
        let mut n = body.len();
        loop {
            let more = n > 0x7f;
            out.push((n & 0x7f) as u8 | if more { 0x80 } else { 0 });
            n >>= 7;
            if !more {
                break;
            }
        }
        out.extend(body);
        out
    }

    fn connect() -> Vec<u8> {
        packet(
            0x10,
            &[
                &text("MQTT"),
                &[4, 0xc6],
                &[0, 60],
                &text("sensor-7"),
                &text("gone/7"),
                &text("bye"),
                &text("alice"),
                &text("hunter2"),
            ],
        )
    }

    #[test]
    fn a_session_however_it_is_cut() {
        let ask = [
            connect(),
            packet(0x82, &[&[0, 1], &text("home/+/temp"), &[1], &text("alarm/#"), &[0]]),
            packet(0x32, &[&text("home/7/temp"), &[0, 2], &[b'x'; 5000]]),
        ]
        .concat();
        let tell =
            [packet(0x20, &[&[0, 0]]), packet(0x90, &[&[0, 1, 1, 0]]), packet(0x40, &[&[0, 2]])].concat();
        let seen = Flow::tcp(1883).client(&ask).server(&tell).run_split();
        assert_eq!(seen.protocol, ProtocolId::Mqtt);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!((seen.show(VERSION), seen.show(CLIENT_ID)), ("3.1.1".into(), "sensor-7".into()));
        assert_eq!((seen.show(KEEP_ALIVE_S), seen.show(WILL_TOPIC)), ("60".into(), "gone/7".into()));
        assert_eq!(seen.show(CONNACK), "accepted");
        assert_eq!(seen.show(SUBSCRIBED), "home/+/temp,alarm/#");
        assert_eq!(seen.show(PUBLISHED), "home/7/temp");
        assert_eq!(seen.risks(), ["clear-text-credentials"]);
        assert!(!format!("{:?}", seen.found).contains("hunter2"));
    }

    #[test]
    fn version_5() {
        // Session expiry, receive maximum, authentication method.
        let properties = [&hex("11 00000010 21 0014")[..], &[0x15], &text("SCRAM-SHA-1")].concat();
        let ask = packet(
            0x10,
            &[&text("MQTT"), &[5, 2], &[0, 30], &[properties.len() as u8], &properties, &text("")],
        );
        let assigned = [&[0x12][..], &text("auto-1")].concat();
        let tell = packet(0x20, &[&[0, 0x87], &[assigned.len() as u8], &assigned]);
        let seen = Flow::tcp(1883).client(&ask).server(&tell).run_split();
        assert_eq!((seen.show(VERSION), seen.show(CLIENT_ID)), ("5.0".into(), "auto-1".into()));
        assert_eq!(
            (seen.show(AUTH_METHOD), seen.show(CONNACK)),
            ("SCRAM-SHA-1".into(), "not-authorised".into())
        );
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn mid_stream_takes_two_packets_that_belong_together() {
        let label = |flow: Flow<'_>| flow.run().protocol;
        assert_eq!(label(Flow::tcp(17501).client(b"\xc0\0").server(b"\xd0\0")), ProtocolId::Mqtt);
        assert_eq!(label(Flow::tcp(17501).client(b"\xc0\0").server(b"\xd1\0")), ProtocolId::Unknown);
        assert_eq!(label(Flow::tcp(17501).client(b"\xc0\0")), ProtocolId::Unknown);
        assert_eq!(
            label(Flow::tcp(17501).client(b"\xc0\0").server(b"\xd0\0\xff\xff\xff")),
            ProtocolId::Unknown
        );
        let message = packet(0x32, &[&text("a/b"), &[1, 2], b"hi"]);
        assert_eq!(label(Flow::tcp(17501).server(&message).client(&[0x40, 2, 1, 2])), ProtocolId::Mqtt);
        assert_eq!(label(Flow::tcp(17501).server(&message).client(&[0x40, 2, 1, 3])), ProtocolId::Unknown);
        let wild = packet(0x32, &[&text("a/#"), &[1, 2], b"hi"]);
        assert_eq!(label(Flow::tcp(17501).server(&wild).client(&[0x40, 2, 1, 2])), ProtocolId::Unknown);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(1883).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(unknown(&packet(0x10, &[&text("MQTT"), &[9, 2], &[0, 30], &text("x")])), "no such level");
        assert!(unknown(&packet(0x10, &[&text("MQxx"), &[4, 2], &[0, 30], &text("x")])));
        assert!(unknown(&packet(0x20, &[&[0, 0]])), "CONNACK alone");
    }

    #[test]
    fn broken_packets_are_malformed() {
        // A subscription whose filter is longer than the packet.
        let bytes = [connect(), packet(0x82, &[&[0, 1], &[0, 99], b"abc"])].concat();
        assert!(Flow::tcp(1883).client(&bytes).run_split().risks().contains(&"malformed-packet"));
    }
}
