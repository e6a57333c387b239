//! Real-time Transport Protocol: audio and video, one packet a datagram.
//!
//! RTP has no magic. It is known by several packets that agree: the same source (SSRC) and payload type, sequence
//! numbers that follow each other, timestamps that move by little. One packet alone is never enough. Over TCP each
//! packet has a two-byte length before it (RFC 4571).
//!
//! SRTP (RFC 3711) leaves the header in clear and encrypts the rest, so it carries the label `rtp` too: nothing in a
//! packet tells the two apart. RTCP on the same ports (RFC 5761) is read for its fields.
//!
//! Discord opens its RTP flows with a datagram of its own that asks for the client's address ("IP discovery"); it
//! counts as a part of them.

use std::cmp::Ordering;

use crate::{
    Dir, Earlier, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict,
    fields, masked,
};

use super::rtcp;

fields! { ProtocolId::Rtp;
    SSRC: [Uint] "ssrc" "Synchronisation sources: one a stream";
    PAYLOAD_TYPE: [Uint] "payload_type" "Payload types, 0 to 127; from 96 on the session decides what they mean";
    CODEC: [Str] "codec" "Names of the static payload types (RFC 3551)";
    EXTENSION: [Uint] "extension" "Profiles of header extensions: 0xBEDE is RFC 8285's one-byte form";
}

/// Real-time Transport Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "rtp",
    title: "Real-time Transport Protocol, also encrypted (SRTP)",
    family: Family::Media,
    source: "RFC 3550, RFC 3551, RFC 3711, RFC 4571, RFC 5761",
    patterns: &[
        Pattern::udp().min(13).tests(&[masked(0, 0xc0, 0x80)]),
        Pattern::udp().len(74, 74).starts(&[0, 1, 0, 70]),
        Pattern::udp().len(74, 74).starts(&[0, 2, 0, 70]),
        Pattern::tcp().min(15).tests(&[masked(0, 0xf8, 0), masked(2, 0xc0, 0x80)]),
    ],
    identify,
    parser: Some(|| Box::new(Rtp::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// The fixed header.
#[derive(Clone, Copy, Debug)]
struct Header {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Header {
    /// The header, if there can be one: version 2, and not a packet type of RTCP.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3, ..] = *bytes else { return None };
        if first & 0xc0 != 0x80 || (192..=223).contains(&second) {
            return None;
        }
        Some(Self {
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
        })
    }

    /// Where `next` stands in the same stream: `Greater` if it can follow this packet, `Equal` if it repeats it,
    /// `Less` if it belongs elsewhere.
    fn followed_by(&self, next: &Self) -> Ordering {
        let step = next.sequence.wrapping_sub(self.sequence);
        let moved = next.timestamp.wrapping_sub(self.timestamp).cast_signed();
        if self.ssrc != next.ssrc || self.payload_type != next.payload_type {
            Ordering::Less
        } else if step == 0 && moved == 0 {
            Ordering::Equal
        // Up to 23 seconds at 90 kHz; back by little where video frames are sent out of order.
        } else if (1..=32).contains(&step) && (-(1 << 16)..1 << 21).contains(&moved) {
            Ordering::Greater
        } else {
            Ordering::Less
        }
    }
}

/// Where the payload starts, if the whole packet is sound: CSRC list, extension and padding must fit.
fn payload_offset(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    let mut at = 12 + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = bytes.get(at + 2..at + 4)?;
        at += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (bytes.len() >= at).then_some(at)
}

/// Where SRTP encrypts, the padding count is encrypted as well: only clear padding can be checked, so it is not.
fn is_sound(bytes: &[u8]) -> bool {
    Header::parse(bytes).is_some() && payload_offset(bytes).is_some()
}

fn identify(p: &Probe<'_>) -> Verdict {
    if p.transport == Transport::Tcp {
        return stream(p.payload);
    }
    if let Some(answer) = discovery(p.payload) {
        return if answer && p.dir == Dir::Client { Verdict::YesReversed } else { Verdict::Yes };
    }
    // RTCP may come first, or something that only looks like a discovery.
    if matches!(p.payload, [_, 192..=223, ..] | [0, ..]) {
        return Verdict::Later;
    }
    if !is_sound(p.payload) {
        return Verdict::No;
    }
    if agree(p) { Verdict::Yes } else { Verdict::Later }
}

/// True for Discord's answer to an IP discovery, false for the request, `None` for anything else. Type, length, SSRC,
/// 64 bytes for the address as text, empty in a request, and a port (Discord's API documentation, "Voice").
fn discovery(bytes: &[u8]) -> Option<bool> {
    let [0, kind @ (1 | 2), 0, 70, _, _, _, _, rest @ ..] = bytes else { return None };
    let (address, port) = rest.split_at_checked(64)?;
    let end = address.iter().position(|b| *b == 0)?;
    let empty = address[end..].iter().all(|b| *b == 0);
    let text = std::str::from_utf8(&address[..end]).ok()?;
    let sound = match kind {
        1 => end == 0,
        _ => text.parse::<std::net::IpAddr>().is_ok(),
    };
    (empty && sound && port.len() == 2).then_some(*kind == 2)
}

/// Counts how often a packet follows the one before it in its direction. A follow is worth 60 bits against chance
/// (32 SSRC, 7 payload type, 11 sequence, 10 timestamp), but other protocols have counters and constants as well,
/// so two are asked for; one is enough for a static audio payload type that moves by exactly its frame.
fn agree(p: &Probe<'_>) -> bool {
    let mut links = 0;
    for dir in [Dir::Client, Dir::Server] {
        let heads = p.earlier.iter().filter(|e| e.dir == dir).filter_map(head);
        let now = (p.dir == dir).then(|| Header::parse(p.payload)).flatten();
        let headers: Vec<_> = heads.chain(now).collect();
        for pair in headers.windows(2) {
            let [a, b] = pair else { continue };
            if a.ssrc != 0 && a.followed_by(b) == Ordering::Greater {
                links += if exact_audio(a, b) { 2 } else { 1 };
            }
        }
    }
    links >= 2
}

fn head(e: &Earlier) -> Option<Header> {
    if e.len < 12 { None } else { Header::parse(&e.head) }
}

/// 8 kHz audio, the next packet, and a frame of 10 to 60 ms between them.
fn exact_audio(a: &Header, b: &Header) -> bool {
    let moved = b.timestamp.wrapping_sub(a.timestamp);
    matches!(a.payload_type, 0 | 3 | 4 | 8 | 9 | 18)
        && b.sequence.wrapping_sub(a.sequence) == 1
        && (80..=480).contains(&moved)
        && moved.is_multiple_of(80)
}

/// Three packets behind each other, each with its length before it.
fn stream(bytes: &[u8]) -> Verdict {
    let mut at = 0;
    let mut last: Option<Header> = None;
    for _ in 0..3 {
        let Some(prefix) = bytes.get(at..at + 2) else { return Verdict::Need(at + 2) };
        let len = usize::from(u16::from_be_bytes([prefix[0], prefix[1]]));
        if !(13..=1600).contains(&len) {
            return Verdict::No;
        }
        at += 2;
        let rest = &bytes[at..];
        if rest.len() < 12 {
            return Verdict::Need(at + 12);
        }
        let Some(header) = Header::parse(rest) else { return Verdict::No };
        if last.is_some_and(|l| l.followed_by(&header) != Ordering::Greater) {
            return Verdict::No;
        }
        last = Some(header);
        at += len;
    }
    Verdict::Yes
}

/// What a datagram on a media port turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
    Neither,
}

/// Follows the media on a flow that another protocol began: the same rule as [`identify`], packet by packet.
#[derive(Debug, Default)]
pub(super) struct Follow {
    last: [Option<Header>; 2],
    links: u8,
    extension: bool,
}

impl Follow {
    /// Looks at a datagram. It is RTP once enough packets agree.
    pub(super) fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Kind {
        if rtcp::is_compound(bytes) || rtcp::is_srtcp(bytes) {
            rtcp::read(bytes, out);
            return Kind::Rtcp;
        }
        let (Some(header), true) = (Header::parse(bytes), is_sound(bytes)) else { return Kind::Neither };
        let last = &mut self.last[dir.index()];
        if last.is_some_and(|l| l.followed_by(&header) == Ordering::Greater) {
            self.links = self.links.saturating_add(1);
        }
        *last = Some(header);
        self.extension |= whatsapp(bytes);
        if self.links < 2 {
            return Kind::Neither;
        }
        if self.extension {
            out.application("whatsapp");
        }
        describe(&header, bytes, out);
        Kind::Rtp
    }
}

/// The extension profile that WhatsApp's calls use, and no specification.
fn whatsapp(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|b| b & 0x1f == 0x10) && bytes.get(12..14) == Some(&[0xde, 0xbe])
}

fn describe(header: &Header, bytes: &[u8], out: &mut Sink<'_>) {
    out.push(SSRC, header.ssrc);
    out.push(PAYLOAD_TYPE, header.payload_type);
    if let Some(codec) = codec(header.payload_type) {
        out.push(CODEC, codec);
    }
    let at = 12 + 4 * usize::from(bytes[0] & 0x0f);
    if let (0x10, Some([high, low])) = (bytes[0] & 0x10, bytes.get(at..at + 2)) {
        out.push(EXTENSION, u16::from_be_bytes([*high, *low]));
    }
}

/// RFC 3551 §6.
fn codec(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        5 | 6 | 16 | 17 => "DVI4",
        7 => "LPC",
        8 => "PCMA",
        9 => "G722",
        10 | 11 => "L16",
        12 => "QCELP",
        13 => "CN",
        14 => "MPA",
        15 => "G728",
        18 => "G729",
        25 => "CelB",
        26 => "JPEG",
        28 => "nv",
        31 => "H261",
        32 => "MPV",
        33 => "MP2T",
        34 => "H263",
        _ => return None,
    })
}

/// Packets to read for the fields.
const PACKETS_MAX: u8 = 12;

#[derive(Default)]
struct Rtp {
    seen: u8,
    spoke: [bool; 2],
}

impl Rtp {
    fn packet(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> bool {
        self.seen += 1;
        if discovery(bytes).is_some() {
            out.application("discord");
        } else if let (Some(header), true) = (Header::parse(bytes), is_sound(bytes)) {
            if whatsapp(bytes) {
                out.application("whatsapp");
            }
            describe(&header, bytes, out);
            self.spoke[dir.index()] = true;
            if self.spoke == [true; 2] {
                out.confirm();
            }
        } else if rtcp::is_compound(bytes) {
            rtcp::read(bytes, out);
        }
        self.seen < PACKETS_MAX
    }
}

impl Parser for Rtp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let [high, low, rest @ ..] = bytes else { return Step::Need(2) };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(packet) = rest.get(..len) else { return Step::Need(2 + len) };
        if self.packet(dir, packet, out) { Step::Consumed(2 + len) } else { Step::Finished }
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.packet(dir, bytes, out) { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    /// A packet as RFC 3550 §5.1 draws it, with 20 bytes of audio.
    fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
        let mut p = vec![0x80, payload_type];
        p.extend(sequence.to_be_bytes());
        p.extend(timestamp.to_be_bytes());
        p.extend(ssrc.to_be_bytes());
        p.extend([0x55; 20]);
        p
    }

    #[test]
    fn three_packets_that_agree() {
        let p: Vec<_> = (0..3).map(|n| packet(111, 9 + n, 7000 + 960 * u32::from(n), 0xdead_0001)).collect();
        let two = Flow::udp(4000).client(&p[0]).client(&p[1]).run();
        assert_eq!(two.protocol, ProtocolId::Unknown);
        let seen = Flow::udp(4000).client(&p[0]).client(&p[1]).client(&p[2]).run();
        assert_eq!(seen.protocol, ProtocolId::Rtp);
        assert_eq!(seen.show(PAYLOAD_TYPE), "111");
        assert_eq!(seen.show(SSRC), 0xdead_0001u32.to_string());
    }

    #[test]
    fn both_directions_count_together_and_sequence_numbers_wrap() {
        let a = [packet(96, 0xffff, 10, 7), packet(96, 0, 3010, 7)];
        let b = [packet(96, 40, 10, 9), packet(0xe0, 41, 3010, 9)];
        // 0xe0 is payload type 96 with the marker.
        let seen = Flow::udp(4000).client(&a[0]).server(&b[0]).client(&a[1]).server(&b[1]).run();
        assert_eq!(seen.protocol, ProtocolId::Rtp);
        assert_eq!(seen.confidence, crate::Confidence::Payload);
    }

    #[test]
    fn plain_telephone_audio_takes_two_packets() {
        let seen = Flow::udp(4000)
            .client(&packet(0x88, 1, 160, 3))
            .client(&packet(8, 2, 320, 3))
            .server(&packet(8, 9, 9, 4))
            .run();
        assert_eq!(seen.protocol, ProtocolId::Rtp);
        assert_eq!(seen.show(CODEC), "PCMA");
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
    }

    #[test]
    fn over_tcp_with_lengths() {
        let framed: Vec<u8> = (0..4)
            .flat_map(|n| {
                let p = packet(8, 100 + n, 160 * u32::from(n), 0);
                [vec![0, p.len() as u8], p].concat()
            })
            .collect();
        let seen = Flow::tcp(5000).client(&framed).run_split();
        assert_eq!(seen.protocol, ProtocolId::Rtp);
    }

    #[test]
    fn packets_that_do_not_agree_are_not_claimed() {
        // Sequence numbers stand still; jump; sources differ; the payload type is one of RTCP's.
        for (step, jump, other, pt) in [(0, 0, 0, 96), (500, 90, 0, 96), (1, 90, 1, 96), (1, 90, 0, 0xc8)] {
            let p: Vec<_> = (0..4u16)
                .map(|n| packet(pt, step * n, jump * u32::from(n), 5 + other * u32::from(n)))
                .collect();
            let seen = Flow::udp(4000).client(&p[0]).client(&p[1]).client(&p[2]).client(&p[3]).run();
            assert_eq!(seen.protocol, ProtocolId::Unknown, "{step} {jump} {other} {pt}");
        }
        let mut short = packet(96, 1, 1, 1);
        short[0] = 0x9f; // fifteen contributing sources and an extension do not fit
        assert_eq!(identify(&crate::testing::probe(Transport::Udp, &short)), Verdict::No);
    }

    #[test]
    fn discords_ip_discovery_opens_a_flow() {
        let mut ask = hex("00010046 0000abcd");
        ask.resize(72, 0);
        ask.extend([0xc3, 0x50]);
        let mut answer = hex("00020046 0000abcd");
        answer.extend(b"192.0.2.99");
        answer.resize(72, 0);
        answer.extend([0x12, 0x34]);
        let seen = Flow::udp(50001).client(&ask).server(&answer).client(&packet(120, 1, 1, 0xabcd)).run();
        assert_eq!((seen.protocol, seen.found.application), (ProtocolId::Rtp, Some("discord")));
        assert_eq!(seen.show(PAYLOAD_TYPE), "120");
        ask[40] = 1;
        assert_eq!(Flow::udp(50001).client(&ask).run().protocol, ProtocolId::Unknown);
        assert_eq!(identify(&crate::testing::probe(Transport::Udp, &answer)), Verdict::YesReversed);
    }

    #[test]
    fn the_extension_profile_of_whatsapp() {
        let p: Vec<_> = (0..3u16)
            .map(|n| {
                let mut p = packet(120, n, 320 * u32::from(n), 6);
                p[0] = 0x90;
                p[12..16].copy_from_slice(&hex("debe0001"));
                p
            })
            .collect();
        let seen = Flow::udp(4000).client(&p[0]).client(&p[1]).client(&p[2]).run();
        assert_eq!(seen.found.application, Some("whatsapp"));
    }
}
