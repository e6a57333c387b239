//! Remote Desktop Protocol (MS-RDPBCGR) over TPKT (RFC 1006) and X.224: the client asks for a connection and names the
//! security it can do, the server chooses. If that is TLS, TLS follows, and its parser goes on; with the old security of
//! RDP itself, the client's first settings are in clear and are read.
//!
//! Over UDP (MS-RDPEUDP) the opening datagrams are recognised by their fixed fields and their padding.

use crate::cursor::Cursor;
use crate::mail::lines;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict, byte, fields,
    risks, tcp, udp,
};

fields! { ProtocolId::Rdp;
    USER: Str "user" "User name in the cookie of the connection request (mstshash), often cut to nine characters";
    ROUTING_TOKEN: Str "routing_token" "Token for a load balancer (msts)";
    REQUESTED: [Str] "requested" "Security protocols the client can do; rdp is always among them";
    SELECTED: Str "selected" "Security protocol the server chose: rdp, ssl, hybrid, rdstls, hybrid-ex, aad";
    FAILURE: Str "failure" "Why the server refused";
    CLIENT_NAME: Str "client_name" "Name of the client's machine";
    CLIENT_BUILD: Uint "client_build" "Build number of the client";
    DESKTOP: Str "desktop" "Size of the client's desktop, pixels";
    KEYBOARD_LAYOUT: Uint "keyboard_layout" "Keyboard layout of the client (Windows locale identifier)";
    ENCRYPTION: Str "encryption" "Encryption of RDP itself: none, 40-bit, 56-bit, 128-bit, fips";
    UDP_VERSION: Uint "udp_version" "Version of RDP's UDP transport: 1, 2 or 3";
}

risks! {
    RDP_LEGACY_SECURITY: High Server "rdp-legacy-security" "The connection uses RDP's own security, without TLS: no proof of who the server is, RC4, and names in clear.";
    RDP_WITHOUT_NLA: Medium Server "rdp-without-nla" "The server lets clients connect before they log in (no Network Level Authentication), so that flaws such as CVE-2019-0708 are open to everybody.";
}

/// Remote Desktop Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "rdp",
    title: "Remote Desktop Protocol",
    family: Family::Remote,
    source: "MS-RDPBCGR",
    ports: &[tcp(3389), udp(3389)],
    well_known: true,
    patterns: &[
        // TPKT version 3; X.224 connection request, connection confirm, and data.
        Pattern::tcp().min(11).tests(&[byte(0, 3), byte(1, 0), byte(5, 0xe0)]),
        Pattern::tcp().min(11).tests(&[byte(0, 3), byte(1, 0), byte(5, 0xd0)]),
        Pattern::tcp().min(11).tests(&[
            byte(0, 3),
            byte(1, 0),
            byte(4, 2),
            byte(5, 0xf0),
            byte(6, 0x80),
            byte(7, 0x7f),
        ]),
        // A SYN datagram: nothing acknowledged yet; flag SYN. And its answer: flags SYN and ACK.
        Pattern::udp().len(1132, 1280).tests(&[
            byte(0, 0xff),
            byte(1, 0xff),
            byte(2, 0xff),
            byte(3, 0xff),
            masked_syn(),
        ]),
        Pattern::udp().len(1132, 1280).tests(&[crate::masked(7, 0x05, 0x05)]),
    ],
    identify,
    parser: Some(|| Box::new(Rdp::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

const fn masked_syn() -> crate::ByteTest {
    crate::masked(7, 0x01, 0x01)
}

fn identify(p: &Probe<'_>) -> Verdict {
    if p.transport == Transport::Udp {
        let right = syn(p.payload).is_some_and(|s| {
            // An answer is only believed after the question that it acknowledges.
            s.acknowledges.is_none_or(|n| {
                p.earlier
                    .iter()
                    .any(|e| e.dir != p.dir && e.head[..4] == [0xff; 4] && e.head[8..12] == n.to_be_bytes())
            })
        });
        return if right { Verdict::Yes } else { Verdict::No };
    }
    let bytes = p.payload;
    if bytes.len() < 11 {
        return Verdict::Need(11);
    }
    let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    if bytes[5] == 0xf0 {
        return settings(p, len);
    }
    // The X.224 header fills the packet; class 0, no destination yet in the request.
    if !(11..=512).contains(&len) || usize::from(bytes[4]) + 5 != len || bytes[10] != 0 {
        return Verdict::No;
    }
    let Some(packet) = bytes.get(..len) else { return Verdict::Need(len) };
    let (dir, sure) = match packet[5] {
        0xe0 if packet[6..8] == [0, 0] => (Dir::Client, request(&packet[11..]).map(|r| r.names_rdp)),
        0xd0 => (Dir::Server, confirm(&packet[11..]).map(|c| c.is_some())),
        _ => return Verdict::No,
    };
    let yes = if p.dir == dir { Verdict::Yes } else { Verdict::YesReversed };
    match sure {
        Some(true) => yes,
        // Nothing but X.224: other protocols begin like that too.
        Some(false) if p.port(3389) => yes,
        _ => Verdict::No,
    }
}

/// Picked up after X.224: the conference's settings, with the keys that MS-RDPBCGR §2.2.1.3 and §2.2.1.4 give them.
fn settings(p: &Probe<'_>, len: usize) -> Verdict {
    let (dir, key) = match p.payload[8] {
        0x65 => (Dir::Client, b"Duca"),
        0x66 => (Dir::Server, b"McDn"),
        _ => return Verdict::No,
    };
    let packet = p.payload.get(..len).unwrap_or(p.payload);
    if packet.windows(4).take(400).any(|w| w == key) {
        return if p.dir == dir { Verdict::Yes } else { Verdict::YesReversed };
    }
    if packet.len() < len.min(404) { Verdict::Need(len.min(404)) } else { Verdict::No }
}

/// What follows X.224 in a connection request.
#[derive(Default)]
struct Request<'a> {
    user: Option<&'a [u8]>,
    token: Option<&'a [u8]>,
    protocols: Option<u32>,
    /// There is something in it that only RDP has.
    names_rdp: bool,
}

/// Reads a cookie or routing token and the negotiation request (MS-RDPBCGR §2.2.1.1). `None` if it is something else.
fn request(mut rest: &[u8]) -> Option<Request<'_>> {
    let mut request = Request::default();
    if rest.starts_with(b"Cookie: ") {
        let (line, used) = crate::cursor::line(rest)?;
        request.user = line.strip_prefix(b"Cookie: mstshash=");
        request.token = line.strip_prefix(b"Cookie: msts=");
        request.names_rdp = request.user.is_some() || request.token.is_some();
        rest = &rest[used..];
    }
    match rest {
        [] => {}
        // Type 1, flags, length 8, protocols; a correlation ID of 36 bytes may follow (flag 8).
        [1, flags, 8, 0, a, b, c, d, more @ ..]
            if more.is_empty() || (flags & 8 != 0 && more.len() == 36) =>
        {
            request.protocols = Some(u32::from_le_bytes([*a, *b, *c, *d]));
            request.names_rdp = true;
        }
        _ => return None,
    }
    Some(request)
}

/// What the server answers: the protocol it chose, or why it refuses.
enum Answer {
    Selected(u32),
    Refused(u32),
}

/// `None`: it is something else. `Some(None)`: the server is too old to choose.
fn confirm(rest: &[u8]) -> Option<Option<Answer>> {
    match rest {
        [] => Some(None),
        [2, _, 8, 0, a, b, c, d] => Some(Some(Answer::Selected(u32::from_le_bytes([*a, *b, *c, *d])))),
        [3, _, 8, 0, a, b, c, d] => Some(Some(Answer::Refused(u32::from_le_bytes([*a, *b, *c, *d])))),
        _ => None,
    }
}

fn protocol_name(number: u32) -> &'static str {
    match number {
        0 => "rdp",
        1 => "ssl",
        2 => "hybrid",
        4 => "rdstls",
        8 => "hybrid-ex",
        16 => "aad",
        _ => "other",
    }
}

fn failure_name(number: u32) -> &'static str {
    match number {
        1 => "ssl-required",
        2 => "ssl-not-allowed",
        3 => "no-certificate",
        4 => "inconsistent-flags",
        5 => "hybrid-required",
        6 => "ssl-with-user-auth-required",
        _ => "other",
    }
}

/// A SYN datagram of MS-RDPEUDP §2.2.2.1 and §3.1.5.1.
struct Syn {
    acknowledges: Option<u32>,
    version: Option<u16>,
}

fn syn(bytes: &[u8]) -> Option<Syn> {
    const SYN: u16 = 0x0001;
    const ACK: u16 = 0x0004;
    const CORRELATION_ID: u16 = 0x0400;
    const SYNEX: u16 = 0x1000;
    // SYN, ACK, SYNLOSSY, CORRELATION_ID, SYNEX
    const POSSIBLE: u16 = SYN | ACK | 0x0200 | CORRELATION_ID | SYNEX;
    let mut c = Cursor::new(bytes);
    let (acknowledged, _window, flags) = (c.u32()?, c.u16()?, c.u16()?);
    let (_sequence, up, down) = (c.u32()?, c.u16()?, c.u16()?);
    let mtu = 1132..=1232;
    if flags & SYN == 0 || flags & !POSSIBLE != 0 || !mtu.contains(&up) || !mtu.contains(&down) {
        return None;
    }
    // Nothing is acknowledged by a question, and it says so with -1.
    if (flags & ACK == 0) != (acknowledged == u32::MAX) {
        return None;
    }
    if flags & CORRELATION_ID != 0 {
        c.skip(16)?;
        if c.take(16)?.iter().any(|b| *b != 0) {
            return None;
        }
    }
    let mut version = None;
    if flags & SYNEX != 0 {
        let (valid, number) = (c.u16()?, c.u16()?);
        if valid > 1 || !matches!(number, 0 | 1 | 2 | 0x0101) {
            return None;
        }
        version = (valid == 1).then_some(if number == 0x0101 { 3 } else { number });
        // A hash of the cookie, from version 3's client.
        if number == 0x0101 && flags & ACK == 0 {
            c.skip(32)?;
        }
    }
    // A SYN is padded with zeros up to the MTU; its answer may carry a list of acknowledgements first.
    let rest = c.rest();
    let zeros = rest.iter().rev().take_while(|b| **b == 0).count();
    if flags & ACK == 0 && zeros != rest.len() || zeros < rest.len().saturating_sub(64) {
        return None;
    }
    Some(Syn { acknowledges: (flags & ACK != 0).then_some(acknowledged), version })
}

#[derive(Default)]
struct Rdp {
    tls_asked: bool,
    settings: [bool; 2],
}

impl Parser for Rdp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        // The server's choice was not seen, but it was TLS.
        if self.tls_asked && bytes[0] == 0x16 {
            return Step::Switch(0, Some(ProtocolId::Tls));
        }
        let [version, _, high, low] = match bytes {
            [a, b, c, d, ..] => [*a, *b, *c, *d],
            _ => return Step::Need(4),
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        // After its settings RDP has packets of its own ("fast path"), encrypted: no more is to be learned.
        if version != 3 {
            return Step::Done;
        }
        if len < 7 {
            return Step::Malformed(2);
        }
        let Some(packet) = bytes.get(..len) else { return Step::Need(len) };
        match (dir, packet[5]) {
            (Dir::Client, 0xe0) => {
                let Some(request) = packet.get(11..).and_then(request) else { return Step::Malformed(11) };
                if let Some(user) = request.user {
                    out.set_text(USER, user);
                }
                if let Some(token) = request.token {
                    out.set_text(ROUTING_TOKEN, token);
                }
                let protocols = request.protocols.unwrap_or(0);
                out.push(REQUESTED, "rdp");
                (0..5)
                    .filter(|bit| protocols >> bit & 1 == 1)
                    .for_each(|bit| out.push(REQUESTED, protocol_name(1 << bit)));
                self.tls_asked = protocols != 0;
            }
            (Dir::Server, 0xd0) => {
                let Some(answer) = packet.get(11..).and_then(confirm) else { return Step::Malformed(11) };
                out.confirm();
                let selected = match answer {
                    Some(Answer::Refused(why)) => {
                        out.set(FAILURE, failure_name(why));
                        return Step::Finished;
                    }
                    Some(Answer::Selected(protocol)) => protocol,
                    None => 0,
                };
                out.set(SELECTED, protocol_name(selected));
                match selected {
                    0 => out.risk(&RDP_LEGACY_SECURITY, || "rdp.selected=rdp".to_owned()),
                    1 => out.risk(&RDP_WITHOUT_NLA, || "rdp.selected=ssl".to_owned()),
                    _ => {}
                }
                if selected != 0 {
                    return Step::Switch(len, Some(ProtocolId::Tls));
                }
            }
            (_, 0xf0) => {
                conference(dir, packet, out);
                self.settings[dir.index()] = true;
                if self.settings == [true; 2] {
                    out.confirm();
                    return Step::Finished;
                }
                return Step::Done;
            }
            _ => {}
        }
        Step::Consumed(len)
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if let Some(syn) = syn(bytes) {
            if let Some(version) = syn.version {
                out.replace(UDP_VERSION, version);
            }
            if syn.acknowledges.is_none() && dir == Dir::Client {
                return Step::Consumed(bytes.len());
            }
            out.confirm();
        }
        Step::Finished
    }
}

/// The settings of one side: blocks of type, length, content (little-endian), after the key and a length.
fn conference(dir: Dir, packet: &[u8], out: &mut Sink<'_>) {
    let key = if dir == Dir::Client { b"Duca" } else { b"McDn" };
    let Some(at) = packet.windows(4).take(400).position(|w| w == key) else { return };
    let mut c = Cursor::new(&packet[at + 4..]);
    // A length in PER: one byte, or two if the highest bit is set.
    if c.u8().is_some_and(|b| b & 0x80 != 0) {
        c.skip(1);
    }
    while let (Some(kind), Some(len)) = (c.u16_le(), c.u16_le()) {
        let Some(block) = usize::from(len).checked_sub(4).and_then(|n| c.take(n)) else { return };
        match kind {
            0xc001 => client_core(block, out),
            0x0c02 => {
                let mut b = Cursor::new(block);
                if let Some(method) = b.u32_le() {
                    out.set(
                        ENCRYPTION,
                        match method {
                            0 => "none",
                            1 => "40-bit",
                            2 => "128-bit",
                            8 => "56-bit",
                            16 => "fips",
                            _ => "other",
                        },
                    );
                }
            }
            _ => {}
        }
    }
}

/// TS_UD_CS_CORE (MS-RDPBCGR §2.2.1.3.2) after its header.
fn client_core(block: &[u8], out: &mut Sink<'_>) {
    let mut c = Cursor::new(block);
    let read = |c: &mut Cursor<'_>| {
        c.skip(4)?;
        let (width, height) = (c.u16_le()?, c.u16_le()?);
        c.skip(4)?;
        Some((width, height, c.u32_le()?, c.u32_le()?))
    };
    let Some((width, height, keyboard, build)) = read(&mut c) else { return };
    out.set(DESKTOP, format!("{width}x{height}"));
    out.set(KEYBOARD_LAYOUT, keyboard);
    out.set(CLIENT_BUILD, build);
    if let Some(name) = c.take(32) {
        let units: Vec<u16> =
            name.chunks_exact(2).map(|u| u16::from_le_bytes([u[0], u[1]])).take_while(|u| *u != 0).collect();
        let name = String::from_utf16_lossy(&units);
        if !name.is_empty() && lines::is_text(name.as_bytes()) {
            out.set(CLIENT_NAME, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;
    use crate::testing::{Flow, hex};

    // MS-RDPBCGR §4.1.1 and §4.1.2.
    const REQUEST: &str =
        "03 00 00 2c 27 e0 00 00 00 00 00 43 6f 6f 6b 69 65 3a 20 6d 73 74 73 68 61 73 68 3d
        65 6c 74 6f 6e 73 0d 0a 01 00 08 00 00 00 00 00";
    const CONFIRM: &str = "03 00 00 13 0e d0 00 00 12 34 00 02 00 08 00 00 00 00 00";

    fn client_settings() -> Vec<u8> {
        let mut core = hex("01c0 d800 0400 0800 0005 0004 01ca 03aa 09040000 ce0e0000");
        for b in b"ELTONS-DEV2" {
            core.extend([*b, 0]);
        }
        core.resize(0xd8, 0);
        let mut p = hex("0300 0000 02f080 7f65 8201 00 44756361 80d8");
        p.extend(core);
        let n = p.len() as u16;
        p[2..4].copy_from_slice(&n.to_be_bytes());
        p
    }

    #[test]
    fn the_old_security() {
        let server = hex("0300 0020 02f080 7f66 0000 4d63446e 10 020c 0c00 02000000 02000000 0000 0000");
        let seen = Flow::tcp(3389)
            .client(&hex(REQUEST))
            .server(&hex(CONFIRM))
            .client(&client_settings())
            .server(&server)
            .run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Rdp, Confidence::Handshake));
        assert_eq!(seen.show(USER), "eltons");
        assert_eq!(seen.show(SELECTED), "rdp");
        assert_eq!(seen.show(CLIENT_NAME), "ELTONS-DEV2");
        assert_eq!(seen.show(CLIENT_BUILD), "3790");
        assert_eq!(seen.show(DESKTOP), "1280x1024");
        assert_eq!(seen.show(ENCRYPTION), "128-bit");
        assert_eq!(seen.risks(), ["rdp-legacy-security"]);
    }

    #[test]
    fn tls_with_and_without_nla() {
        for (protocol, name, risks) in [("01", "ssl", vec!["rdp-without-nla"]), ("02", "hybrid", vec![])] {
            let request = hex("03000013 0e e0 0000 0000 00 01 00 0800 0b000000");
            let confirm = hex(&format!("03000013 0e d0 0000 1234 00 02 1f 0800 {protocol}000000"));
            let seen = Flow::tcp(5000).client(&request).server(&confirm).run_split();
            assert_eq!(seen.show(REQUESTED), "rdp,ssl,hybrid,hybrid-ex");
            assert_eq!(seen.show(SELECTED), name);
            assert_eq!(seen.risks(), risks);
        }
    }

    #[test]
    fn a_refusal() {
        let refusal = hex("03000013 0e d0 0000 1234 00 03 00 0800 05000000");
        let seen = Flow::tcp(3389).client(&hex(REQUEST)).server(&refusal).run_split();
        assert_eq!(seen.show(FAILURE), "hybrid-required");
    }

    #[test]
    fn picked_up_in_the_middle() {
        assert_eq!(Flow::tcp(99).client(&client_settings()).run_split().protocol, ProtocolId::Rdp);
    }

    fn syn_datagram(ack: u32, flags: u16, sequence: u32) -> Vec<u8> {
        let mut d = ack.to_be_bytes().to_vec();
        d.extend(64u16.to_be_bytes());
        d.extend(flags.to_be_bytes());
        d.extend(sequence.to_be_bytes());
        d.extend([0x04, 0xd0, 0x04, 0xd0, 0, 1, 0, 2]);
        d.resize(1232, 0);
        d
    }

    #[test]
    fn over_udp() {
        let question = syn_datagram(u32::MAX, 0x1001, 0x1234_5678);
        let answer = syn_datagram(0x1234_5678, 0x1005, 9);
        let seen = Flow::udp(3389).client(&question).server(&answer).run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Rdp, Confidence::Handshake));
        assert_eq!(seen.show(UDP_VERSION), "2");
        assert_eq!(Flow::udp(3389).server(&answer).run().protocol, ProtocolId::Unknown);
        let mut unpadded = question;
        unpadded[600] = 1;
        assert_eq!(Flow::udp(3389).client(&unpadded).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn near_misses() {
        // S7 on COTP: parameters where RDP has its request. H.225 on TPKT. A bare X.224 request off the port.
        for (port, bytes) in [
            (3389, "03000016 11 e0 0000 0001 00 c1020100 c2020102 c0010a"),
            (3389, "0300001d 08020000050401020304050607080900000000000000000000"),
            (102, "0300000b 06 e0 0000 0000 00"),
        ] {
            assert_eq!(Flow::tcp(port).client(&hex(bytes)).run().protocol, ProtocolId::Unknown, "{bytes}");
        }
    }
}
