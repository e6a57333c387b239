//! Session Traversal Utilities for NAT and its relay extension TURN: who am I seen as, can you reach me, relay for me.
//!
//! A message has a 14-bit type, a length, since RFC 5389 the magic cookie 0x2112A442, a transaction ID and attributes.
//! Over UDP a message is a datagram; over TCP messages follow each other, bare (RFC 8489), each behind a two-byte
//! length (RFC 4571, as ICE-TCP does), or behind Microsoft's four-byte TURN header.
//!
//! A flow that begins with STUN usually goes on with something else on the same ports (RFC 7983): DTLS, SRTP, SRTCP or
//! TURN's ChannelData. DTLS takes the label over, unless it comes through a relay: it is what the flow turned out to
//! carry. Media alone does not; that it is there is in the field `carries`.
//!
//! Applications are named only by what the standard leaves to vendors: attributes in the private ranges with the
//! structure their vendor gives them. Realms that are domain names become the host name, and the catalog names those.

mod message;

use message::{Class, HEADER, Message, address, name, xor_address};

use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict, byte, fields,
    masked, tcp, udp,
};

use super::rtp;

fields! { ProtocolId::Stun;
    MESSAGES: [Str] "messages" "Kinds of messages seen: method and class, such as binding-request";
    MAPPED_ADDRESS: Ip "mapped_address" "The client's address as the server sees it ((XOR-)MAPPED-ADDRESS)";
    MAPPED_PORT: Uint "mapped_port" "The port that goes with it";
    RELAYED_ADDRESS: Ip "relayed_address" "The address a TURN server relays for (XOR-RELAYED-ADDRESS)";
    RELAYED_PORT: Uint "relayed_port" "The port that goes with it";
    PEERS: [Ip] "peers" "Addresses a TURN client talks to through the relay (XOR-PEER-ADDRESS)";
    SOFTWARE: Str "software" "What the sender says it runs (SOFTWARE)";
    USERNAME: Str "username" "USERNAME: two ICE fragments, or a TURN user";
    REALM: Str "realm" "REALM of a TURN server";
    ERROR_CODE: Uint "error_code" "First error code, 300 to 699";
    ICE_ROLE: Str "ice_role" "What the client says it is to ICE: controlling or controlled";
    CARRIES: [Str] "carries" "What else was seen on the flow: dtls, rtp, rtcp, channel-data";
}

/// Session Traversal Utilities for NAT.
pub const PROTOCOL: Protocol = Protocol {
    name: "stun",
    title: "Session Traversal Utilities for NAT, and TURN",
    family: Family::Media,
    source: "RFC 8489, RFC 8656, RFC 3489, RFC 7983, MS-TURN, MS-ICE2",
    ports: &[udp(3478), tcp(3478), udp(5349), tcp(5349), udp(19302), udp(3479), udp(3480), udp(3481)],
    patterns: &[
        Pattern::udp().min(20).tests(&COOKIE_AT_4),
        // RFC 3489: no cookie, but few types.
        Pattern::udp().min(20).starts(&[0x00, 0x01]),
        Pattern::udp().min(20).starts(&[0x01, 0x01]),
        Pattern::udp().min(20).starts(&[0x01, 0x11]),
        Pattern::udp().min(20).starts(&[0x00, 0x02]),
        Pattern::udp().min(20).starts(&[0x01, 0x02]),
        Pattern::udp().min(20).starts(&[0x01, 0x12]),
        // Microsoft's TURN: its own cookie is the first attribute.
        Pattern::udp().min(28).tests(&[
            masked(0, 0xc0, 0),
            byte(20, 0),
            byte(21, 0x0f),
            byte(22, 0),
            byte(23, 4),
        ]),
        // The same, multiplexed: a session ID before the message.
        Pattern::udp().min(32).tests(&[
            byte(0, 0xff),
            byte(1, 0x10),
            byte(16, 0x21),
            byte(17, 0x12),
            byte(18, 0xa4),
            byte(19, 0x42),
        ]),
        Pattern::tcp().min(8).tests(&COOKIE_AT_4),
        Pattern::tcp().min(10).tests(&[byte(6, 0x21), byte(7, 0x12), byte(8, 0xa4), byte(9, 0x42)]),
        Pattern::tcp().min(12).tests(&[
            byte(0, 2),
            byte(1, 0),
            byte(8, 0x21),
            byte(9, 0x12),
            byte(10, 0xa4),
            byte(11, 0x42),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Stun::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

const COOKIE_AT_4: [crate::ByteTest; 5] =
    [masked(0, 0xc0, 0), byte(4, 0x21), byte(5, 0x12), byte(6, 0xa4), byte(7, 0x42)];

/// How messages lie in a TCP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Bare,
    /// Two bytes of length (RFC 4571).
    Length,
    /// 2 (control) or 3 (data), 0, two bytes of length (MS-TURN §2.1).
    Microsoft,
}

impl Framing {
    fn header(self) -> usize {
        match self {
            Self::Bare => 0,
            Self::Length => 2,
            Self::Microsoft => 4,
        }
    }
}

fn identify(p: &Probe<'_>) -> Verdict {
    if p.transport == Transport::Tcp { stream(p.payload) } else { datagram(p) }
}

/// The cookie, and lengths that agree: some 50 bits of evidence.
fn stream(bytes: &[u8]) -> Verdict {
    let Some(framing) = framing(bytes) else {
        return if bytes.len() < 4 + HEADER { Verdict::Need(4 + HEADER) } else { Verdict::No };
    };
    let at = framing.header();
    let Some(message) = bytes.get(at..) else { return Verdict::No };
    if message.len() < HEADER {
        return Verdict::Need(at + HEADER);
    }
    let len = HEADER + usize::from(u16::from_be_bytes([message[2], message[3]]));
    let framed = match framing {
        Framing::Bare => len,
        Framing::Length => u16::from_be_bytes([bytes[0], bytes[1]]).into(),
        Framing::Microsoft => u16::from_be_bytes([bytes[2], bytes[3]]).into(),
    };
    if framed != len || !len.is_multiple_of(4) || len > 2048 {
        return Verdict::No;
    }
    if message.len() < len {
        return Verdict::Need(at + len);
    }
    match Message::parse(message) {
        Some(m) if m.cookie && m.is_sound() => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn framing(bytes: &[u8]) -> Option<Framing> {
    [Framing::Bare, Framing::Length, Framing::Microsoft].into_iter().find(|f| {
        let at = f.header() + 4;
        bytes.get(at..at + 4) == Some(&message::MAGIC_COOKIE.to_be_bytes())
    })
}

fn datagram(p: &Probe<'_>) -> Verdict {
    let Some(message) = parse_datagram(p.payload) else { return Verdict::No };
    let sure = if message.is_microsoft() {
        true
    } else if message.cookie {
        message.is_sound() || message.body.len().is_multiple_of(4)
    } else if !message.is_classic() {
        return Verdict::No;
    } else {
        // Attributes of the right form are evidence enough (64 bits at least); a bare request is not, but that
        // its answer repeats the 128 bits of its transaction ID is.
        let answered = p
            .earlier
            .iter()
            .any(|e| e.dir != p.dir && e.head[..2] != p.payload[..2] && e.head[4..16] == p.payload[4..16]);
        !message.body.is_empty() || answered
    };
    if !sure {
        return if message.cookie { Verdict::No } else { Verdict::Later };
    }
    // Nobody answers what was not asked: the flow's start was not seen.
    let answers = matches!(message.class(), Class::Success | Class::Error);
    if answers && p.earlier.is_empty() && p.dir == Dir::Client { Verdict::YesReversed } else { Verdict::Yes }
}

/// The message of a datagram, which must fill it; also behind Microsoft's session ID.
fn parse_datagram(bytes: &[u8]) -> Option<Message<'_>> {
    let inner = match bytes {
        [0xff, 0x10, high, low, rest @ ..] => {
            if usize::from(u16::from_be_bytes([*high, *low])) != rest.len() {
                return None;
            }
            rest.get(8..)?
        }
        _ => bytes,
    };
    Message::parse(inner).filter(|m| m.len() == inner.len())
}

/// Datagrams to look at for what follows STUN on its flow.
const DATAGRAMS_MAX: u8 = 48;
/// Messages of a stream to look at.
const MESSAGES_MAX: u8 = 16;

#[derive(Default)]
struct Stun {
    framing: Option<Framing>,
    /// Transaction ID of the last request of each direction.
    asked: [Option<[u8; 12]>; 2],
    seen: u8,
    /// Reads the DTLS that runs beside STUN.
    dtls: Option<Box<dyn Parser>>,
    dtls_done: bool,
    rtp: rtp::Follow,
}

impl Parser for Stun {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let framing = match self.framing {
            Some(framing) => framing,
            None => match framing(bytes) {
                Some(framing) => *self.framing.insert(framing),
                // The magic cookie ends after 8, 10 or 12 bytes.
                None if bytes.len() < 12 => return Step::Need((bytes.len() + 1).next_multiple_of(2).max(8)),
                None => return Step::Done,
            },
        };
        if self.seen == MESSAGES_MAX {
            return Step::Finished;
        }
        let at = framing.header();
        if bytes.len() < at + 4 {
            return Step::Need(at + 4);
        }
        let frame = match framing {
            Framing::Length => 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]])),
            Framing::Microsoft => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
            // ChannelData is padded to four bytes on a stream (RFC 8656 §12.5).
            Framing::Bare if bytes[0] & 0xc0 == 0x40 => {
                out.push(CARRIES, "channel-data");
                4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])).next_multiple_of(4)
            }
            Framing::Bare if bytes[0] & 0xc0 == 0 => {
                HEADER + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))
            }
            Framing::Bare => return Step::Malformed(0),
        };
        let Some(frame) = bytes.get(..frame) else { return Step::Need(frame) };
        self.seen += 1;
        let inner = frame.get(at..).unwrap_or_default();
        match inner.first() {
            Some(0..=3) => match Message::parse(inner) {
                Some(message) => self.read(dir, &message, out),
                None => return Step::Malformed(at),
            },
            Some(_) if framing != Framing::Bare => self.beside(dir, inner, false, out),
            _ => {}
        }
        Step::Consumed(frame.len())
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        if let Some(message) = parse_datagram(bytes) {
            if bytes.starts_with(&[0xff, 0x10]) {
                out.application("teams");
            }
            if !message.is_sound() {
                return Step::Malformed(HEADER);
            }
            self.read(dir, &message, out);
        } else {
            self.beside(dir, bytes, false, out);
        }
        let busy = self.dtls.is_some() && !self.dtls_done;
        if self.seen < DATAGRAMS_MAX || (busy && self.seen < u8::MAX) {
            Step::Consumed(bytes.len())
        } else {
            self.finish(out);
            Step::Finished
        }
    }

    fn finish(&mut self, out: &mut Sink<'_>) {
        if let Some(dtls) = &mut self.dtls {
            dtls.finish(out);
        }
    }
}

impl Stun {
    fn read(&mut self, dir: Dir, message: &Message<'_>, out: &mut Sink<'_>) {
        out.push(MESSAGES, name(message));
        match message.class() {
            Class::Request => self.asked[dir.index()] = Some(message.transaction),
            Class::Success | Class::Error if self.asked[dir.other().index()] == Some(message.transaction) => {
                out.confirm();
            }
            _ => {}
        }
        let to_client = dir == Dir::Server && message.class() == Class::Success;
        for (kind, value) in message.attributes() {
            match kind {
                0x0001 | 0x8020 | 0x0020 | 0x0103 if to_client => {
                    let xor = matches!(kind, 0x0020 | 0x8020);
                    let found = if xor { xor_address(value, &message.transaction) } else { address(value) };
                    if let Some((ip, port)) = found {
                        out.set(MAPPED_ADDRESS, ip);
                        out.set(MAPPED_PORT, port);
                    }
                }
                0x0016 => {
                    if let Some((ip, port)) = xor_address(value, &message.transaction) {
                        out.set(RELAYED_ADDRESS, ip);
                        out.set(RELAYED_PORT, port);
                    }
                }
                0x0012 => {
                    if let Some((ip, _)) = xor_address(value, &message.transaction) {
                        out.push(PEERS, ip);
                    }
                }
                0x0006 if message.cookie || message.body.len() > 8 => out.set_text(USERNAME, value),
                0x0009 => {
                    if let [_, _, class, number, ..] = value {
                        out.set(ERROR_CODE, u16::from(class & 7) * 100 + u16::from(*number));
                    }
                }
                // Some senders count a NUL in.
                0x0014 => {
                    let realm = value.strip_suffix(b"\0").unwrap_or(value);
                    out.set_text(REALM, realm);
                    if is_domain(realm) {
                        out.hostname(realm);
                    }
                }
                0x8022 => out.set_text(SOFTWARE, value.strip_suffix(b"\0").unwrap_or(value)),
                0x802a if dir == Dir::Client => out.set(ICE_ROLE, "controlling"),
                0x8029 if dir == Dir::Client => out.set(ICE_ROLE, "controlled"),
                0x0013 => self.inside(value, out),
                _ => {}
            }
            if let Some(application) = vendor(message, kind, value) {
                out.application(application);
            }
        }
    }

    /// The DATA attribute: what a relay passes on is often STUN itself.
    fn inside(&mut self, value: &[u8], out: &mut Sink<'_>) {
        if let Some(message) = Message::parse(value).filter(|m| m.cookie && m.len() == value.len()) {
            for (kind, value) in message.attributes() {
                if let Some(application) = vendor(&message, kind, value) {
                    out.application(application);
                }
            }
        }
    }

    fn dtls_datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) {
        if let (Some(dtls), false) = (&mut self.dtls, self.dtls_done) {
            let step = dtls.datagram(dir, bytes, out);
            self.dtls_done = !matches!(step, Step::Consumed(_) | Step::Need(_) | Step::Skip(_));
        }
    }

    /// What is not STUN on a STUN flow, told apart by its first byte (RFC 7983).
    fn beside(&mut self, dir: Dir, bytes: &[u8], relayed: bool, out: &mut Sink<'_>) {
        match bytes.first() {
            // An encrypted record of DTLS 1.3 has a header that proves nothing: it counts after a handshake (RFC 9147 §4).
            Some(32..=63) => self.dtls_datagram(dir, bytes, out),
            Some(20..=31) if is_dtls(bytes) => {
                out.push(CARRIES, "dtls");
                if !relayed {
                    out.relabel(ProtocolId::Dtls);
                }
                if self.dtls.is_none() && bytes[0] == 22 {
                    self.dtls = ProtocolId::Dtls.get().parser.map(|new| new());
                }
                self.dtls_datagram(dir, bytes, out);
            }
            Some(64..=79) => {
                let framed = bytes.get(2..4).map(|n| usize::from(u16::from_be_bytes([n[0], n[1]])));
                if let Some(inner) = framed.and_then(|n| bytes.get(4..4 + n)) {
                    out.push(CARRIES, "channel-data");
                    if inner.first().is_some_and(|b| !(64..=79).contains(b)) {
                        self.beside(dir, inner, true, out);
                    }
                }
            }
            Some(128..=191) => match self.rtp.datagram(dir, bytes, out) {
                rtp::Kind::Rtp => out.push(CARRIES, "rtp"),
                rtp::Kind::Rtcp => out.push(CARRIES, "rtcp"),
                rtp::Kind::Neither => {}
            },
            _ => {}
        }
    }
}

/// DTLS records with a plain header that fill the datagram, or that encrypted ones of version 1.3 follow.
fn is_dtls(mut bytes: &[u8]) -> bool {
    loop {
        let [20..=25, 0xfe, 0xfd | 0xff, _, _, _, _, _, _, _, _, high, low, rest @ ..] = bytes else {
            return false;
        };
        match rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) {
            Some([] | [32..=63, ..]) => return true,
            Some(next) => bytes = next,
            None => return false,
        }
    }
}

fn is_domain(text: &[u8]) -> bool {
    text.len() <= 253
        && text.contains(&b'.')
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && text.iter().any(u8::is_ascii_alphabetic)
}

/// The application that a vendor's attribute proves.
fn vendor(message: &Message<'_>, kind: u16, value: &[u8]) -> Option<&'static str> {
    match (kind, value) {
        // MS-TURN: its own magic cookie as an attribute, MS-Version; MS-ICE2: implementation version.
        (0x000f, [0x72, 0xc6, 0x4b, 0xc6]) => Some("teams"),
        (0x8008 | 0x8070, [0, 0, 0, 1..=15]) if message.cookie => Some("teams"),
        (0x0014, b"\"rtcmedia\"") => Some("teams"),
        // Meta's relays, as WhatsApp calls them: a token in Allocate, and in methods of their own (0x800 to 0x805).
        (0x4000, _)
            if message.cookie && value.len() >= 32 && matches!(message.kind, 0x0003 | 0x0800..=0x0805) =>
        {
            Some("whatsapp")
        }
        (0x4002 | 0x4007, _) if message.cookie && matches!(message.kind, 0x0103 | 0x0800..=0x0805) => {
            Some("whatsapp")
        }
        (0x0006, b"EDGERAY_DEFAULT_USERNAME:EDGERAY_DEFAULT_USERNAME") => Some("whatsapp"),
        (0x0014, b"turner.facebook" | b"turner.facebook\0") => Some("messenger"),
        // Zoom's NAT test: a fixed text in an attribute that RFC 3489 does not have.
        (0x0101, b"1234567890123456789\0") if !message.cookie => Some("zoom"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
