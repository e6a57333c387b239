//! RTP Control Protocol: reports on the quality of RTP streams, and who sends them.
//!
//! A datagram is a compound of packets, each with its type and length, that fill it exactly. RTCP that is protected
//! (SRTCP, RFC 3711 §3.4) leaves only the first eight bytes in clear and ends with a counter whose top bit says that
//! it is encrypted, and a tag. Feedback (RFC 4585) may come alone (RFC 5506).

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte, fields,
    masked,
};

use super::rtp;

fields! { ProtocolId::Rtcp;
    PACKETS: [Str] "packets" "Kinds of packets seen: SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR";
    SSRC: [Uint] "ssrc" "Sources that sent them";
    CNAME: Str "cname" "Canonical name of a source, often user@host (SDES)";
    NAME: Str "name" "Name of a participant (SDES)";
    TOOL: Str "tool" "Program of a participant (SDES)";
    LOST_PERCENT: Float "lost_percent" "Largest share of packets that a report says were lost, in percent";
    JITTER: Uint "jitter" "Largest interarrival jitter reported, in units of the stream's timestamps";
    FEEDBACK: [Str] "feedback" "Kinds of feedback: NACK, PLI, FIR, REMB, transport-cc …";
    APP: [Str] "app" "Names of application-defined packets";
    ENCRYPTED: Bool "encrypted" "It is SRTCP: all but the first header is hidden";
}

/// RTP Control Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "rtcp",
    title: "RTP Control Protocol",
    family: Family::Media,
    source: "RFC 3550, RFC 3711, RFC 4585, RFC 5104, RFC 5506",
    patterns: &[
        // Packet types 200 to 207.
        Pattern::udp().min(8).tests(&[masked(0, 0xc0, 0x80), masked(1, 0xf8, 0xc8), byte(2, 0)]),
        Pattern::udp().min(8).tests(&[masked(0, 0xc0, 0x80), masked(1, 0xf8, 0xc8), byte(2, 1)]),
    ],
    identify,
    parser: Some(|| Box::new(Rtcp::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// One packet of a compound.
struct Packet<'a> {
    count: u8,
    kind: u8,
    padded: bool,
    /// What follows the four bytes of header.
    body: &'a [u8],
}

fn next<'a>(c: &mut Cursor<'a>) -> Option<Packet<'a>> {
    let first = c.u8()?;
    let kind = c.u8()?;
    let body = c.u16().and_then(|words| c.take(4 * usize::from(words)))?;
    (first & 0xc0 == 0x80 && (200..=207).contains(&kind)).then_some(Packet {
        count: first & 0x1f,
        kind,
        padded: first & 0x20 != 0,
        body,
    })
}

impl Packet<'_> {
    /// Has it the form that its type asks for?
    fn is_sound(&self) -> bool {
        let count = usize::from(self.count);
        let len = self.body.len();
        match self.kind {
            200 => len >= 24 + 24 * count,
            201 => len >= 4 + 24 * count,
            202 => chunks(self.body, count, |_, _, _| {}).is_some(),
            203 => count > 0 && len >= 4 * count,
            204 => len >= 8 && self.body[4..8].iter().all(u8::is_ascii_graphic),
            205 => len >= 8 && matches!(self.count, 1..=16),
            206 => len >= 8 && matches!(self.count, 1..=4 | 15),
            _ => len >= 4,
        }
    }
}

/// Walks the chunks of an SDES packet. `None` if they do not fill it.
fn chunks(body: &[u8], count: usize, mut item: impl FnMut(u32, u8, &[u8])) -> Option<()> {
    let mut c = Cursor::new(body);
    for _ in 0..count {
        let source = c.u32()?;
        loop {
            match c.u8()? {
                0 => break,
                kind @ 1..=8 => item(source, kind, c.vec8()?),
                _ => return None,
            }
        }
        while !c.position().is_multiple_of(4) {
            (c.u8()? == 0).then_some(())?;
        }
    }
    c.is_empty().then_some(())
}

/// How many packets the compound has, if it is sound to its last byte; only the last may be padded.
fn compound(bytes: &[u8]) -> Option<usize> {
    let mut c = Cursor::new(bytes);
    let mut packets = 0;
    while !c.is_empty() {
        let packet = next(&mut c)?;
        let padding = !packet.padded
            || (c.is_empty()
                && matches!(bytes.last(), Some(n) if *n > 0 && n.is_multiple_of(4) && usize::from(*n) <= packet.body.len()));
        if !padding || !(packet.is_sound() || packet.padded) {
            return None;
        }
        packets += 1;
    }
    (packets > 0).then_some(packets)
}

/// True for a datagram that is RTCP in clear.
pub(super) fn is_compound(bytes: &[u8]) -> bool {
    compound(bytes).is_some()
}

/// True for a datagram that can be SRTCP: a first header that leaves room for the trailer, and a counter with the
/// encryption bit that is still small, before a tag of 80 or 32 bits, or at the very end (AEAD, RFC 7714).
pub(super) fn is_srtcp(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..8) else { return false };
    let first = 4 + 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[0] & 0xc0 == 0x80
        && matches!(header[1], 200..=207)
        && [14, 8, 4].into_iter().any(|from_end| {
            let Some(at) = bytes.len().checked_sub(from_end) else { return false };
            at >= 8 && first <= at && matches!(bytes.get(at..at + 2), Some([0x80, 0]))
        })
}

fn identify(p: &Probe<'_>) -> Verdict {
    let packets = compound(p.payload);
    if packets.is_none() && !is_srtcp(p.payload) {
        // It may be the header extension of somebody's RTP; or a report that the capture cut.
        return Verdict::No;
    }
    // Two packets that fill the datagram, or one and a second datagram from the same source: 48 bits and more.
    let again = p.earlier.iter().any(|e| {
        e.dir == p.dir
            && e.len >= 8
            && e.head[0] & 0xc0 == 0x80
            && matches!(e.head[1], 200..=207)
            && e.head[4..8] == p.payload[4..8]
    });
    let named = packets == Some(1) && p.payload[1] == 206 && p.payload.get(12..16) == Some(b"REMB");
    if packets.is_some_and(|n| n > 1) || again || named { Verdict::Yes } else { Verdict::Later }
}

/// Datagrams to read for the fields.
const DATAGRAMS_MAX: u8 = 16;

#[derive(Default)]
struct Rtcp {
    seen: u8,
    spoke: [bool; 2],
    rtp: rtp::Follow,
}

impl Parser for Rtcp {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        match self.rtp.datagram(dir, bytes, out) {
            rtp::Kind::Rtcp => {
                self.spoke[dir.index()] = true;
                if self.spoke == [true; 2] {
                    out.confirm();
                }
            }
            // Reports and media share the ports (RFC 5761): the flow is there for the media.
            rtp::Kind::Rtp => out.relabel(ProtocolId::Rtp),
            rtp::Kind::Neither => {}
        }
        if self.seen < DATAGRAMS_MAX { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

/// Reads the packets of a datagram that is RTCP or SRTCP.
pub(super) fn read(bytes: &[u8], out: &mut Sink<'_>) {
    if compound(bytes).is_none() {
        out.set(ENCRYPTED, true);
        if let Some(head) = bytes.get(..8) {
            out.push(PACKETS, name(head[1]));
            out.push(SSRC, u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
        }
        return;
    }
    let mut c = Cursor::new(bytes);
    while let Some(packet) = next(&mut c) {
        out.push(PACKETS, name(packet.kind));
        let mut body = Cursor::new(packet.body);
        if packet.kind != 202
            && let Some(source) = body.u32()
        {
            out.push(SSRC, source);
        }
        match packet.kind {
            // Time stamps and counts come first.
            200 if body.skip(20).is_some() => reports(&mut body, packet.count, out),
            201 => reports(&mut body, packet.count, out),
            202 => {
                let found = chunks(packet.body, packet.count.into(), |_, kind, value| match kind {
                    1 => out.set_text(CNAME, value),
                    2 => out.set_text(NAME, value),
                    6 => out.set_text(TOOL, value),
                    _ => {}
                });
                if found.is_none() {
                    return;
                }
            }
            204 => {
                if let Some(name) = body.take(4) {
                    out.push(APP, Value::text(name));
                }
            }
            205 => out.push(FEEDBACK, transport_feedback(packet.count)),
            206 => {
                let remb = packet.count == 15 && packet.body.get(8..12) == Some(b"REMB");
                out.push(FEEDBACK, if remb { "REMB" } else { payload_feedback(packet.count) });
            }
            _ => {}
        }
    }
}

/// Report blocks (RFC 3550 §6.4.1).
fn reports(c: &mut Cursor<'_>, count: u8, out: &mut Sink<'_>) {
    for _ in 0..count {
        let Some(block) = c.take(24) else { return };
        let lost = f64::from(block[4]) * 100.0 / 256.0;
        let jitter = u32::from_be_bytes([block[12], block[13], block[14], block[15]]);
        if !matches!(out.found.value(LOST_PERCENT), Some(Value::Float(before)) if *before >= lost) {
            out.replace(LOST_PERCENT, lost);
        }
        if out.found.value(JITTER).and_then(Value::as_uint).is_none_or(|before| before < jitter.into()) {
            out.replace(JITTER, jitter);
        }
    }
}

fn name(kind: u8) -> &'static str {
    match kind {
        200 => "SR",
        201 => "RR",
        202 => "SDES",
        203 => "BYE",
        204 => "APP",
        205 => "RTPFB",
        206 => "PSFB",
        _ => "XR",
    }
}

/// RFC 4585 §6.2, RFC 5104, draft-holmer-rmcat-transport-wide-cc-extensions.
fn transport_feedback(format: u8) -> &'static str {
    match format {
        1 => "NACK",
        3 => "TMMBR",
        4 => "TMMBN",
        8 => "ECN",
        11 => "CCFB",
        15 => "transport-cc",
        _ => "other",
    }
}

/// RFC 4585 §6.3, RFC 5104.
fn payload_feedback(format: u8) -> &'static str {
    match format {
        1 => "PLI",
        2 => "SLI",
        3 => "RPSI",
        4 => "FIR",
        15 => "AFB",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    /// A sender report with one report block (RFC 3550 §6.4.1), then SDES with a CNAME (§6.5).
    fn report() -> Vec<u8> {
        hex("81c8000c 11223344 e6b4a1f8 00000000 000004d2 00000010 00000a00
             55667788 40000001 00000010 00000063 00000000 00000000
             81ca0004 11223344 0109 6a6f40686f73742e78 00")
    }

    #[test]
    fn a_compound_with_a_name() {
        let bytes = report();
        assert_eq!(bytes.len() % 4, 0);
        let seen = Flow::udp(5005).client(&bytes).run();
        assert_eq!(seen.protocol, ProtocolId::Rtcp);
        assert_eq!(seen.show(PACKETS), "SR,SDES");
        assert_eq!(seen.show(CNAME), "jo@host.x");
        assert_eq!(seen.show(LOST_PERCENT), "25");
        assert_eq!(seen.show(JITTER), "99");
    }

    #[test]
    fn one_empty_report_takes_a_second() {
        let rr = hex("80c90001a1b2c3d4");
        assert_eq!(Flow::udp(5005).client(&rr).run().protocol, ProtocolId::Unknown);
        let seen = Flow::udp(5005).client(&rr).client(&rr).run();
        assert_eq!(seen.protocol, ProtocolId::Rtcp);
        assert_eq!(seen.show(SSRC), 0xa1b2_c3d4u32.to_string());
    }

    #[test]
    fn protected_reports_show_their_source() {
        let one = hex("80c900010a0b0c0d 80000005 a0a1a2a3a4a5a6a7a8a9");
        let two = hex("80c900010a0b0c0d 80000007 b0b1b2b3b4b5b6b7b8b9");
        let seen = Flow::udp(5005).client(&one).client(&two).run();
        assert_eq!(seen.protocol, ProtocolId::Rtcp);
        assert_eq!(seen.show(ENCRYPTED), "true");
    }

    #[test]
    fn feedback_has_names() {
        let bytes = hex("80c90001a1b2c3d4 81cd0003a1b2c3d4010203040001ffff 81ce0002a1b2c3d401020304
                         8fce0005a1b2c3d400000000 52454d42 01020304 05060708");
        let seen = Flow::udp(5005).client(&bytes).run();
        assert_eq!(seen.show(FEEDBACK), "NACK,PLI,REMB");
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let whole = report();
        for (at, value) in [(3, 13), (53, 5), (55, 9), (60, 9), (61, 12)] {
            let mut broken = whole.clone();
            broken[at] = value;
            let seen = Flow::udp(5005).client(&broken).run();
            assert_eq!(seen.protocol, ProtocolId::Unknown, "byte {at}");
        }
        let mut long = whole;
        long.push(0);
        assert_eq!(Flow::udp(5005).client(&long).run().protocol, ProtocolId::Unknown);
    }
}
