//! WebSocket (RFC 6455).
//!
//! It begins as an HTTP/1.1 request with `Upgrade: websocket`; `http` hands the flow over after status 101. Where the
//! beginning was not seen, it is recognised by text frames: a client's must, unmasked, be readable text of exactly the
//! length that the frame says; a server's needs a client's beside it. Frames' headers are followed; payloads are not
//! kept.

use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, byte, fields, masked, tcp,
};

fields! { ProtocolId::Websocket;
    SUBPROTOCOL: Str "subprotocol" "Sec-WebSocket-Protocol: what the server chose, else what the client offers";
    OPCODES: [Str] "opcodes" "Kinds of frames that were seen: text, binary, ping …";
    COMPRESSED: Bool "compressed" "A message is compressed (RFC 7692)";
    CLOSE_CODE: Uint "close_code" "Why the connection was closed; 1000 is ordinary";
}

/// WebSocket.
pub const PROTOCOL: Protocol = Protocol {
    name: "websocket",
    title: "WebSocket",
    family: Family::Web,
    source: "RFC 6455, RFC 7692",
    ports: &[tcp(80), tcp(8080)],
    patterns: &[
        // A final, uncompressed text frame; masked or not.
        Pattern::tcp().min(10).tests(&[byte(0, 0x81), masked(1, 0x80, 0x80)]),
        Pattern::tcp().min(6).tests(&[byte(0, 0x81), masked(1, 0x80, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(WebSocket::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// Frames of a flow that are looked at if nobody wants more.
const FRAMES_MAX: u32 = 32;
/// Text that must be readable: so many characters are 17 bits of evidence, besides 16 of header and length.
const TEXT_MIN: usize = 12;
/// With frames from the other side these are enough.
const TEXT_MIN_BOTH: usize = 4;
/// Of longer frames only so much is looked at.
const LOOK_MAX: usize = 1024;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    last: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    header_bytes: usize,
    payload_bytes: u64,
}

impl Frame {
    /// `Err` says how many bytes it takes.
    fn read(bytes: &[u8]) -> Result<Self, usize> {
        let [first, second, ..] = *bytes else { return Err(2) };
        let short = second & 0x7f;
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let header_bytes = 2 + extended + if second & 0x80 != 0 { 4 } else { 0 };
        let rest = bytes.get(2..header_bytes).ok_or(header_bytes)?;
        let length = rest[..extended].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        Ok(Self {
            last: first & 0x80 != 0,
            reserved: first >> 4 & 7,
            opcode: first & 15,
            mask: rest[extended..].first_chunk().copied(),
            header_bytes,
            payload_bytes: if extended == 0 { short.into() } else { length },
        })
    }

    fn name(&self) -> Option<&'static str> {
        Some(match self.opcode {
            0 => "continuation",
            1 => "text",
            2 => "binary",
            8 => "close",
            9 => "ping",
            10 => "pong",
            _ => return None,
        })
    }

    /// RFC 6455 §5.2 and §5.5: known opcodes, control frames whole and short, the shortest form of the length.
    fn is_sound(&self) -> bool {
        let control = self.opcode >= 8;
        let masked = if self.mask.is_some() { 4 } else { 0 };
        let shortest = match self.header_bytes - masked {
            2 => true,
            4 => self.payload_bytes > 125,
            _ => self.payload_bytes > 0xffff && self.payload_bytes >> 63 == 0,
        };
        self.name().is_some()
            && self.reserved & 3 == 0
            && shortest
            && (!control || (self.last && self.payload_bytes <= 125 && self.reserved == 0))
    }
}

/// True if these are the bytes of readable text. The last character may be cut if the text is.
fn is_readable(bytes: impl Iterator<Item = u8>, cut: bool) -> bool {
    let text: Vec<u8> = bytes.take(LOOK_MAX).collect();
    let valid = match std::str::from_utf8(&text) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none() && cut,
    };
    valid && !text.iter().any(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\r' | b'\n'))
}

/// A text frame at the start of `bytes` that can be believed: how many characters were looked at, and if it is masked.
fn text_frame(bytes: &[u8]) -> Result<Option<(usize, bool)>, usize> {
    let frame = Frame::read(bytes)?;
    if frame.opcode != 1 || !frame.last || frame.reserved != 0 || !frame.is_sound() {
        return Ok(None);
    }
    let length = usize::try_from(frame.payload_bytes).unwrap_or(usize::MAX);
    let wanted = length.min(LOOK_MAX);
    let payload = &bytes[frame.header_bytes..];
    let payload = payload.get(..wanted).unwrap_or(payload);
    let mask = frame.mask.unwrap_or_default();
    if !is_readable(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m), payload.len() < length) {
        return Ok(None);
    }
    // Only what is readable so far is waited for.
    if payload.len() < wanted {
        return Err(frame.header_bytes + wanted);
    }
    // What follows, if anything, must be a frame of the same side.
    let next = frame.header_bytes.saturating_add(length);
    if bytes.len() > next
        && !Frame::read(&bytes[next..])
            .is_ok_and(|f| f.is_sound() && f.mask.is_some() == frame.mask.is_some())
    {
        return Ok(None);
    }
    Ok(Some((wanted, frame.mask.is_some())))
}

fn identify(p: &Probe<'_>) -> Verdict {
    let (length, masked) = match text_frame(p.payload) {
        Ok(Some(found)) => found,
        Ok(None) => return Verdict::No,
        Err(n) => return Verdict::Need(n),
    };
    // Only clients mask (RFC 6455 §5.1).
    let other = matches!(text_frame(p.other), Ok(Some((_, m))) if m != masked);
    let enough = if other { length >= TEXT_MIN_BOTH } else { masked && length >= TEXT_MIN };
    match (enough, masked == (p.dir == Dir::Client)) {
        (true, true) => Verdict::Yes,
        (true, false) => Verdict::YesReversed,
        (false, _) => Verdict::Later,
    }
}

#[derive(Default)]
struct WebSocket {
    frames: [u32; 2],
}

impl Parser for WebSocket {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let frame = match Frame::read(bytes) {
            Ok(frame) => frame,
            Err(n) => return Step::Need(n),
        };
        if !frame.is_sound() {
            return Step::Malformed(0);
        }
        if frame.opcode == 8 && frame.payload_bytes >= 2 {
            let Some(code) = bytes.get(frame.header_bytes..frame.header_bytes + 2) else {
                return Step::Need(frame.header_bytes + 2);
            };
            let mask = frame.mask.unwrap_or_default();
            out.set(CLOSE_CODE, u16::from_be_bytes([code[0] ^ mask[0], code[1] ^ mask[1]]));
        }
        if let Some(name) = frame.name() {
            out.push(OPCODES, name);
        }
        if frame.reserved & 4 != 0 && frame.opcode < 8 {
            out.set(COMPRESSED, true);
        }
        let frames = &mut self.frames[dir.index()];
        *frames += 1;
        if self.frames.iter().all(|n| *n > 0) {
            out.confirm();
        }
        if self.frames.iter().sum::<u32>() >= FRAMES_MAX {
            return Step::Finished;
        }
        Step::Skip(frame.payload_bytes.saturating_add(frame.header_bytes as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};
    use crate::{Confidence, common};

    // RFC 6455 §5.7: a masked "Hello", an unmasked one, a ping, and an unmasked close with 1000.
    const MASKED: &str = "81 85 37fa213d 7f9f4d5158";
    const PLAIN: &str = "81 05 48656c6c6f";

    fn masked(text: &[u8]) -> Vec<u8> {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let body = text.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k);
        [0x81, 0x80 | text.len() as u8].into_iter().chain(key).chain(body).collect()
    }

    #[test]
    fn frames_of_the_rfc() {
        let frame = Frame::read(&hex(MASKED)).unwrap();
        assert_eq!((frame.opcode, frame.last, frame.payload_bytes, frame.header_bytes), (1, true, 5, 6));
        assert_eq!(text_frame(&hex(MASKED)), Ok(Some((5, true))));
        assert_eq!(text_frame(&hex(PLAIN)), Ok(Some((5, false))));
        assert_eq!(Frame::read(&hex("827e0100")).unwrap().payload_bytes, 256);
        assert_eq!(Frame::read(&hex("827f0000000000010000")).unwrap().payload_bytes, 65536);
    }

    #[test]
    fn after_an_upgrade() {
        let request = b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let mut response =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
                .to_vec();
        response.extend(hex(PLAIN));
        let client = [hex(MASKED), hex("898537fa213d7f9f4d5158")].concat();
        let server = hex("c10348656c 880203e8");
        let seen =
            Flow::tcp(80).client(request).server(&response).client(&client).server(&server).run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Websocket, Confidence::Handshake));
        assert_eq!(seen.show(common::HOSTNAME), "server.example.com");
        assert_eq!(seen.show(SUBPROTOCOL), "chat");
        assert_eq!(seen.show(OPCODES), "text,ping,close");
        assert_eq!(seen.show(COMPRESSED), "true");
        assert_eq!(seen.show(CLOSE_CODE), "1000");
        assert_eq!(seen.events.len(), 1);
    }

    #[test]
    fn in_mid_stream() {
        let (client, server) = (masked(b"what time is it?"), hex(PLAIN));
        assert_eq!(Flow::tcp(9000).client(&client).run_split().protocol, ProtocolId::Websocket);
        let seen = Flow::tcp(9000).server(&server).client(&hex(MASKED)).run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Websocket, Confidence::Handshake));
        // A server's alone, or a short one, is not enough.
        assert_eq!(Flow::tcp(9000).server(&server).run().protocol, ProtocolId::Unknown);
        assert_eq!(Flow::tcp(9000).client(&hex(MASKED)).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn near_misses() {
        let good = masked(b"what time is it?");
        let changes: [fn(&mut Vec<u8>); 4] =
            [|m| m[0] = 0x91, |m| m[9] ^= 0x80, |m| m.push(7), |m| m[1] = 0x80 | 9];
        for change in changes {
            let mut odd = good.clone();
            change(&mut odd);
            assert_eq!(Flow::tcp(9000).client(&odd).run().protocol, ProtocolId::Unknown, "{odd:02x?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(48))]
        #[test]
        fn random_bytes_are_none(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 16..80)) {
            bytes[0] = 0x81;
            bytes[1] |= 0x80;
            proptest::prop_assert_ne!(Flow::tcp(9000).client(&bytes).run().protocol, ProtocolId::Websocket);
        }
    }
}
