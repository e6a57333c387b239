//! Zoom's media over UDP, between a client and its servers (ports 8801 to 8810).
//!
//! Zoom documents none of it; what is known comes from measurement (Michel et al., "Enabling Passive Measurement of
//! Zoom Performance in Production Networks", IMC 2022) and from looking. Numbers are big-endian.
//!
//! | type | what | form |
//! |---|---|---|
//! | 1 | client hello | 0, a version, 16-byte session, 8 bytes that count 2, a number twice, 64 as a 32-bit length, a MAC |
//! | 2 | server hello | the same start, connection, the client's number, 8 zeros |
//! | 3, 4 | ping and its echo | counter, milliseconds, connection: the echo repeats all twelve bytes |
//! | 5 | media | 16-bit sequence, connection, direction, then the kind: 15 audio, 16 video, 13 screen, 33 to 35 RTCP |
//!
//! What is claimed at once is a hello with its inner repetition; pings and media only where a second datagram agrees
//! and the port is one of Zoom's. Media between two clients has no such frame and is not claimed.

use crate::cursor::Cursor;
use crate::{
    Dir, Earlier, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, byte, fields,
    udp,
};

fields! { ProtocolId::Zoom;
    SESSION: Bytes "session" "Session of the hello: 16 bytes";
    CONNECTION: Uint "connection" "Number that the server gives the connection";
    MEDIA: [Str] "media" "Kinds of media seen: audio, video, screen, rtcp, control";
}

/// Zoom.
pub const PROTOCOL: Protocol = Protocol {
    name: "zoom",
    title: "Zoom media",
    family: Family::Media,
    source: "Michel et al., IMC 2022; observation",
    ports: &[
        udp(8801),
        udp(8802),
        udp(8803),
        udp(8804),
        udp(8805),
        udp(8806),
        udp(8807),
        udp(8808),
        udp(8809),
        udp(8810),
    ],
    patterns: &[
        Pattern::udp().min(103).tests(&[
            byte(0, 1),
            byte(1, 0),
            byte(19, 0),
            byte(20, 0),
            byte(21, 0),
            byte(22, 0),
            byte(23, 0),
        ]),
        Pattern::udp().min(35).tests(&[byte(0, 2), byte(1, 0)]),
        Pattern::udp().min(13).tests(&[byte(0, 3), byte(1, 0), byte(2, 0)]),
        Pattern::udp().min(13).tests(&[byte(0, 4), byte(1, 0), byte(2, 0)]),
        Pattern::udp().min(12).tests(&[byte(0, 5)]),
    ],
    identify,
    parser: Some(|| Box::new(Zoom::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// The session of a client hello, if all of it repeats and counts as it should: 150 bits of evidence.
fn hello(bytes: &[u8]) -> Option<[u8; 16]> {
    let mut c = Cursor::new(bytes);
    let (1, 0, 1..=15) = (c.u8()?, c.u8()?, c.u8()?) else { return None };
    let session = c.array()?;
    let count = c.u64()?;
    let (a, b) = (c.u32()?, c.u32()?);
    (count == 2 && a == b && c.u32()? == 64 && c.take(64).is_some()).then_some(session)
}

fn identify(p: &Probe<'_>) -> Verdict {
    let ports = (8801..=8810).any(|port| p.port(port));
    let bytes = p.payload;
    let other = |e: &&Earlier| e.dir != p.dir;
    match bytes.first() {
        Some(1) if hello(bytes).is_some() => Verdict::Yes,
        // Its session must be that of a hello; and the first of a flow comes from the server.
        Some(2)
            if p.earlier
                .iter()
                .filter(other)
                .any(|e| e.head[0] == 1 && bytes.get(3..16) == Some(&e.head[3..])) =>
        {
            Verdict::Yes
        }
        Some(2) if ports && p.earlier.is_empty() => Verdict::Later,
        Some(kind @ (3 | 4)) if ports => {
            let echo = |e: &Earlier| {
                e.len >= 13 && e.head[0] == 7 - kind && bytes.get(1..13) == Some(&e.head[1..13])
            };
            if p.earlier.iter().filter(other).any(echo) { Verdict::Yes } else { Verdict::Later }
        }
        Some(5) if ports && media(bytes).is_some() => {
            let follows = |e: &&Earlier| {
                let step = sequence(bytes).wrapping_sub(sequence(&e.head));
                e.dir == p.dir && e.head[0] == 5 && e.head[3..8] == bytes[3..8] && (1..=16).contains(&step)
            };
            if p.earlier.iter().any(|e| follows(&e)) { Verdict::Yes } else { Verdict::Later }
        }
        _ => Verdict::No,
    }
}

fn sequence(bytes: &[u8]) -> u16 {
    bytes.get(1..3).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
}

/// The kind of what a media datagram carries, behind the header of the server, or, in older versions, without one.
fn media(bytes: &[u8]) -> Option<&'static str> {
    match *bytes.get(8)? {
        15 => Some("audio"),
        16 => Some("video"),
        13 => Some("screen"),
        33..=35 => Some("rtcp"),
        12 | 14 | 21 | 30 => Some("control"),
        _ => None,
    }
}

/// Datagrams to read for the fields.
const DATAGRAMS_MAX: u8 = 32;

#[derive(Default)]
struct Zoom {
    seen: u8,
    hello: Option<[u8; 16]>,
}

impl Parser for Zoom {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        out.application("zoom");
        let mut c = Cursor::new(bytes);
        match c.u8() {
            Some(1) => {
                if let Some(session) = hello(bytes) {
                    self.hello = Some(session);
                    out.set(SESSION, &session[..]);
                }
            }
            Some(2) => {
                let session = c.skip(2).and_then(|()| c.array::<16>());
                if session.is_some() && (self.hello == session || self.hello.is_none()) {
                    if dir == Dir::Server {
                        out.confirm();
                    }
                    if let Some(connection) = c.u32() {
                        out.set(CONNECTION, connection);
                    }
                }
            }
            Some(3 | 4) => {
                if let Some(connection) = c.skip(8).and_then(|()| c.u32()) {
                    out.set(CONNECTION, connection);
                }
            }
            Some(5) => {
                let connection = bytes.get(3..7).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
                // Without the server's header another thing stands there.
                if let (Some(kind), Some(connection)) = (media(bytes), connection)
                    && out.found.value(CONNECTION).and_then(crate::Value::as_uint) == Some(connection.into())
                {
                    out.push(MEDIA, kind);
                }
            }
            _ => {}
        }
        if self.seen < DATAGRAMS_MAX { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn client_hello() -> Vec<u8> {
        let mut h =
            hex("010003 00112233445566778899aabbccddeeff 0000000000000002 00000101 00000101 00000040");
        h.extend((0..64).map(|n| n * 3));
        h.extend([0; 4]);
        h
    }

    fn server_hello() -> Vec<u8> {
        hex("020003 00112233445566778899aabbccddeeff 0000abcd 00000101 0000000000000000")
    }

    #[test]
    fn hellos_pings_and_media() {
        let ping = hex("03 00000001 00010203 0000abcd");
        let audio = hex("05 0001 0000abcd 00 0f 000000000000");
        let seen = Flow::udp(8801)
            .client(&client_hello())
            .server(&server_hello())
            .server(&ping)
            .client(&audio)
            .run();
        assert_eq!(seen.protocol, ProtocolId::Zoom);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.found.application, Some("zoom"));
        assert_eq!(seen.show(SESSION), "00112233445566778899aabbccddeeff");
        assert_eq!(seen.show(CONNECTION), "43981");
        assert_eq!(seen.show(MEDIA), "audio");
    }

    #[test]
    fn in_the_middle_two_datagrams_must_agree_on_its_port() {
        let ping = hex("03 00000012 0a0b0c0d 0000abcd 00");
        let pong = hex("04 00000012 0a0b0c0d 0000abcd 00");
        let flow = |port| Flow::udp(port).client(&ping).server(&pong).run().protocol;
        assert_eq!(flow(8803), ProtocolId::Zoom);
        assert_eq!(flow(9000), ProtocolId::Unknown);
        let media: Vec<_> = (7..9).map(|n| hex(&format!("05 00{n:02x} 0000abcd 04 10 00000000"))).collect();
        let seen = Flow::udp(8801).client(&media[0]).client(&media[1]).run();
        assert_eq!(seen.protocol, ProtocolId::Zoom);
        assert_eq!(Flow::udp(8801).client(&media[0]).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn a_hello_that_does_not_repeat_is_not_claimed() {
        for at in [19, 26, 30, 38] {
            let mut odd = client_hello();
            odd[at] ^= 1;
            assert_eq!(Flow::udp(8801).client(&odd).run().protocol, ProtocolId::Unknown, "byte {at}");
        }
    }
}
