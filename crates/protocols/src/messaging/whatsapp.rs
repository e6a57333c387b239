//! WhatsApp's chat connection (TCP ports 5222, 443 and 80).
//!
//! The client opens with `WA`, two bytes of version, and frames with a three-byte length. Since version 2 the first
//! frame is a Noise handshake message in protocol buffers; before, it was WhatsApp's binary XMPP (FunXMPP), which
//! names the client. A client that was told where to go puts `ED`, 0, 1 and a routing block before it. The server
//! answers with frames alone. WhatsApp publishes a white paper, not the format: it is known from open clients.
//!
//! Calls are STUN and RTP, and are found there.

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict, common,
    fields, tcp,
};

fields! { ProtocolId::Whatsapp;
    VERSION: Str "version" "Version of the protocol";
    CLIENT: Str "client" "What the client says it runs (up to version 1.x): platform and version";
    ROUTED: Bool "routed" "The client was told which edge to go to";
}

/// WhatsApp's chat connection.
pub const PROTOCOL: Protocol = Protocol {
    name: "whatsapp",
    title: "WhatsApp chat",
    family: Family::Messaging,
    source: "WhatsApp Encryption Overview (white paper); open clients",
    ports: &[tcp(5222), tcp(443)],
    patterns: &[Pattern::tcp().client().starts(b"ED\0\x01"), Pattern::tcp().client().starts(b"WA")],
    identify,
    parser: Some(|| Box::new(Whatsapp::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// A routing block longer than this is not believed.
const ROUTING_MAX: usize = 4096;
/// A first frame longer than this is not believed.
const FRAME_MAX: usize = 16 * 1024;

/// What the client opens with.
struct Opening {
    routed: bool,
    version: [u8; 2],
    /// Where the first frame starts: its length.
    frame_at: usize,
}

/// Reads it. The error is how many bytes it takes to tell, or 0 if it is something else.
fn opening(bytes: &[u8]) -> Result<Opening, usize> {
    let mut c = Cursor::new(bytes);
    let routed = bytes.starts_with(b"ED\0\x01");
    if routed {
        let len = c.skip(4).and_then(|()| c.u24()).ok_or(7usize)? as usize;
        if len > ROUTING_MAX {
            return Err(0);
        }
        c.skip(len).ok_or(7 + len)?;
    }
    let at = c.position();
    let version = c.array::<4>().ok_or(at + 4)?;
    let [b'W', b'A', major @ 1..=15, minor @ 0..=31] = version else { return Err(0) };
    Ok(Opening { routed, version: [major, minor], frame_at: at + 4 })
}

fn identify(p: &Probe<'_>) -> Verdict {
    debug_assert_eq!(p.transport, Transport::Tcp);
    let bytes = p.payload;
    let opening = match opening(bytes) {
        Ok(opening) => opening,
        Err(0) => return Verdict::No,
        Err(need) => return Verdict::Need(need),
    };
    let at = opening.frame_at;
    let Some(&[flags, high, low, first]) = bytes.get(at..at + 4) else { return Verdict::Need(at + 4) };
    let len = usize::from(flags & 0x0f) << 16 | usize::from(high) << 8 | usize::from(low);
    if !(2..=FRAME_MAX).contains(&len) || flags & 0xf0 != 0 {
        return Verdict::No;
    }
    // Version 1: a list (0xf8). Later: field 2, the client's hello, with length.
    let plausible = if opening.version[0] == 1 { first == 0xf8 } else { first == 0x12 };
    if plausible { Verdict::Yes } else { Verdict::No }
}

#[derive(Default)]
struct Whatsapp {
    opened: bool,
}

impl Parser for Whatsapp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if dir == Dir::Server {
            let [flags, high, low, ..] = *bytes else { return Step::Need(3) };
            if flags & 0x70 == 0 && (high, low) != (0, 0) {
                out.confirm();
            }
            return Step::Done;
        }
        out.application("whatsapp");
        if !self.opened {
            return match opening(bytes) {
                Ok(opening) => {
                    self.opened = true;
                    out.set(ROUTED, opening.routed);
                    let [major, minor] = opening.version;
                    out.set(VERSION, format!("{major}.{minor}"));
                    if major == 1 { Step::Consumed(opening.frame_at) } else { Step::Done }
                }
                Err(0) => Step::Done,
                Err(need) => Step::Need(need),
            };
        }
        let [flags, high, low, rest @ ..] = bytes else { return Step::Need(3) };
        let len = usize::from(flags & 0x0f) << 16 | usize::from(*high) << 8 | usize::from(*low);
        let Some(frame) = rest.get(..len.min(FRAME_MAX)) else { return Step::Need(3 + len.min(FRAME_MAX)) };
        // In the stream's opening list the resource is the first text in clear (0xfc, length, text).
        if let Some(at) = frame.iter().position(|b| *b == 0xfc)
            && let Some(text) = Cursor::new(&frame[at + 1..]).vec8()
            && text.iter().all(u8::is_ascii_graphic)
        {
            out.set_text(CLIENT, text);
            out.set_text(common::USER_AGENT, text);
        }
        Step::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    #[test]
    fn noise_with_and_without_routing() {
        let hello = hex("57410603 000024 12220a20");
        let routed = hex("45440001 000004 08010802 57410502 00010e 128b020a20");
        let answer = hex("00015e 1adb020a20");
        let seen = Flow::tcp(443).client(&hello).server(&answer).run_split();
        assert_eq!(seen.protocol, ProtocolId::Whatsapp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(VERSION), "6.3");
        assert_eq!(seen.found.application, Some("whatsapp"));
        let seen = Flow::tcp(5222).client(&routed).run_split();
        assert_eq!((seen.show(VERSION).as_str(), seen.show(ROUTED).as_str()), ("5.2", "true"));
    }

    #[test]
    fn the_old_form_names_the_client() {
        let hello = hex("57410105 000018 f80501a59189fc0f 54656c6c792d312e322e333435363700 00");
        let seen = Flow::tcp(5222).client(&hello).run_split();
        assert_eq!(seen.protocol, ProtocolId::Whatsapp);
        assert_eq!(seen.show(CLIENT), "Telly-1.2.34567");
    }

    #[test]
    fn near_misses_are_not_claimed() {
        for text in [
            &b"WAIT until noon, please"[..],
            b"WA\x06\x03\xf0\x00\x24\x12",
            b"WA\x06\x03\0\0\x24\x13",
            b"ED\0\x01\xff\xff\xff\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Flow::tcp(5222).client(text).run().protocol, ProtocolId::Unknown);
        }
    }
}
