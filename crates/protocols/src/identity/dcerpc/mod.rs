//! Distributed Computing Environment RPC, as Windows and PROFINET speak it: which interfaces are bound, which
//! operations are called, and how the caller authenticates.
//!
//! Over TCP each fragment starts with version 5, its type, the data representation and its length (C706 §12.6.3); over
//! UDP each datagram has the 80-byte header of version 4 (§12.5.1). Both are identified by that header's inner
//! consistency. RPC inside SMB pipes belongs to SMB; RPC over HTTP is not read. Stub data is never looked at.

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Value, Verdict, byte,
    fields, masked, tcp, udp,
};

mod interfaces;

use interfaces::INTERFACE_TABLE;

fields! { ProtocolId::Dcerpc;
    VERSION: Str "version" "5.0 or 5.1 over TCP, 4 over UDP";
    PACKETS: [Str] "packets" "Packet types seen: bind, bind-ack, request, response, fault …";
    INTERFACES: [Str] "interfaces" "UUIDs of the interfaces that are bound or called";
    INTERFACE_NAMES: [Str] "interface_names" "Names of those that are well known";
    OPNUMS: [Uint] "opnums" "Numbers of the operations called";
    OBJECT: Str "object" "UUID of the object that is called, if one is";
    AUTH_TYPE: Str "auth_type" "Security provider: ntlm, kerberos, spnego, netlogon, schannel …";
    AUTH_LEVEL: Str "auth_level" "none, connect, call, packet, integrity or privacy";
    SECONDARY_ADDRESS: Str "secondary_address" "The server's endpoint from its bind-ack: a port or a pipe";
    REJECT: Bool "reject" "The server refused a bind, or an interface in it";
    FAULT: Uint "fault" "Status of the first fault";
}

/// Distributed Computing Environment RPC.
pub const PROTOCOL: Protocol = Protocol {
    name: "dcerpc",
    title: "Distributed Computing Environment RPC",
    family: Family::Identity,
    source: "C706; MS-RPCE",
    ports: &[tcp(135), udp(135), tcp(593), udp(34964)],
    patterns: &[
        // Version 5.0 or 5.1; integers little- or big-endian, ASCII, IEEE; padding.
        Pattern::tcp().min(16).tests(&[
            byte(0, 5),
            masked(1, 0xfe, 0),
            masked(2, 0xe0, 0),
            masked(4, 0xef, 0),
            byte(5, 0),
            byte(6, 0),
            byte(7, 0),
        ]),
        Pattern::udp().min(80).tests(&[
            byte(0, 4),
            masked(1, 0xf0, 0),
            masked(4, 0xef, 0),
            byte(5, 0),
            byte(6, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Dcerpc::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// After this many fragments with nothing new the flow is left alone.
const FRAGMENTS_MAX: u32 = 256;
/// Presentation contexts of a bind beyond this are not read.
const CONTEXTS_MAX: u8 = 64;
/// Fragments are read this far: what is wanted stands at the front.
const READ_MAX: usize = 4096;

/// The connection-oriented header.
#[derive(Clone, Copy)]
struct Header {
    minor: u8,
    kind: u8,
    flags: u8,
    little: bool,
    length: usize,
    auth: usize,
}

/// The packet types of version 5: name, and who sends them.
fn kind_name(kind: u8) -> Option<(&'static str, Option<Dir>)> {
    Some(match kind {
        0 => ("request", Some(Dir::Client)),
        2 => ("response", Some(Dir::Server)),
        3 => ("fault", Some(Dir::Server)),
        11 => ("bind", Some(Dir::Client)),
        12 => ("bind-ack", Some(Dir::Server)),
        13 => ("bind-nak", Some(Dir::Server)),
        14 => ("alter-context", Some(Dir::Client)),
        15 => ("alter-context-resp", Some(Dir::Server)),
        16 => ("auth3", Some(Dir::Client)),
        17 => ("shutdown", Some(Dir::Server)),
        18 => ("co-cancel", Some(Dir::Client)),
        19 => ("orphaned", Some(Dir::Client)),
        20 => ("rts", None),
        _ => return None,
    })
}

fn number(bytes: &[u8], little: bool) -> usize {
    let fold = |n: usize, b: &u8| n << 8 | usize::from(*b);
    if little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
}

impl Header {
    /// `None` if it is not one.
    fn read(h: &[u8; 16]) -> Option<Self> {
        let little = h[4] == 0x10;
        let header = Self {
            minor: h[1],
            kind: h[2],
            flags: h[3],
            little,
            length: number(&h[8..10], little),
            auth: number(&h[10..12], little),
        };
        let trailer = if header.auth > 0 { header.auth + 8 } else { 0 };
        let least = match header.kind {
            0 | 2 => 24,
            3 => 24,
            11 | 14 => 28,
            12 | 15 => 26,
            13 => 18,
            _ => 16,
        };
        let fits = h[0] == 5
            && h[1] <= 1
            && kind_name(h[2]).is_some()
            && matches!(h[4..8], [0x00 | 0x10, 0, 0, 0])
            && header.length >= least + trailer;
        fits.then_some(header)
    }
}

fn identify(p: &Probe<'_>) -> Verdict {
    if p.transport == Transport::Udp {
        return match Datagram::read(p.payload) {
            Some(d) if !p.whole || d.body + 80 <= p.payload.len() => Verdict::Yes,
            _ => Verdict::No,
        };
    }
    let Some(head) = p.payload.first_chunk::<16>() else { return Verdict::Need(16) };
    let Some(header) = Header::read(head) else { return Verdict::No };
    // First and last fragment but for large calls: those two bits, and the reserved one.
    if header.flags & 0x08 != 0 && header.kind == 11 {
        return Verdict::No;
    }
    let sender = match header.kind {
        11 | 14 => {
            // One context at least, the first with a transfer syntax; the usual one is enough evidence by itself.
            let Some(body) = p.payload.get(16..72) else {
                return if header.length >= 72 { Verdict::Need(72) } else { Verdict::No };
            };
            if body[8] == 0 || body[14] == 0 {
                return Verdict::No;
            }
            Dir::Client
        }
        // The middle of a large call, neither first nor last fragment, has too many zeros to be known by.
        _ if header.flags & 0x03 == 0 => return Verdict::Later,
        kind => match kind_name(kind) {
            Some((_, Some(sender))) => sender,
            _ => return Verdict::Later,
        },
    };
    if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed }
}

/// The connectionless header, version 4.
struct Datagram {
    kind: u8,
    object: [u8; 16],
    interface: [u8; 16],
    little: bool,
    opnum: usize,
    body: usize,
    auth: u8,
}

impl Datagram {
    fn read(bytes: &[u8]) -> Option<Self> {
        let h = bytes.first_chunk::<80>()?;
        let little = h[4] == 0x10;
        let at = |i: usize| -> [u8; 16] { std::array::from_fn(|n| h[i + n]) };
        let d = Self {
            kind: h[1],
            object: at(8),
            interface: at(24),
            little,
            opnum: number(&h[68..70], little),
            body: number(&h[74..76], little),
            auth: h[78],
        };
        // The body fills the datagram but for an authentication trailer; the second flag byte has one bit that means
        // something; the activity is never nil; the variant of a UUID is 10 in its top bits.
        let rest = bytes.len() - 80;
        let fits = h[0] == 4
            && datagram_kind(h[1]).is_some()
            && h[3] & 0xfd == 0
            && matches!(h[4..7], [0x00 | 0x10, 0, 0])
            && (d.body == rest || (d.auth != 0 && d.body < rest && rest - d.body <= 64))
            && d.opnum < 0x1000
            && h[48] & 0xc0 == 0x80
            && h[32] & 0xc0 != 0x40;
        fits.then_some(d)
    }
}

/// The packet types of version 4.
fn datagram_kind(kind: u8) -> Option<&'static str> {
    const NAMES: [&str; 11] = [
        "request",
        "ping",
        "response",
        "fault",
        "working",
        "nocall",
        "reject",
        "ack",
        "cl-cancel",
        "fack",
        "cancel-ack",
    ];
    NAMES.get(usize::from(kind)).copied()
}

#[derive(Default)]
struct Dcerpc {
    fragments: u32,
    seen: [bool; 2],
    /// A header was read in this direction before.
    started: [bool; 2],
}

impl Parser for Dcerpc {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(head) = bytes.first_chunk::<16>() else { return Step::Need(16) };
        let Some(header) = Header::read(head) else {
            return if self.started[dir.index()] { Step::Malformed(0) } else { Step::Done };
        };
        let want = header.length.min(READ_MAX);
        let Some(fragment) = bytes.get(..want) else { return Step::Need(want) };
        self.started[dir.index()] = true;
        out.set(VERSION, if header.minor == 0 { "5.0" } else { "5.1" });
        self.note(dir, kind_name(header.kind).map(|(name, _)| name), out);
        let _ = body(header, fragment, out);
        if self.fragments >= FRAGMENTS_MAX {
            return Step::Finished;
        }
        Step::Skip(header.length as u64)
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(d) = Datagram::read(bytes) else { return Step::Malformed(0) };
        out.set(VERSION, "4");
        self.note(dir, datagram_kind(d.kind), out);
        interface(&d.interface, d.little, out);
        if d.object != [0; 16] {
            out.set(OBJECT, uuid(&d.object, d.little));
        }
        match d.kind {
            0 => out.push(OPNUMS, d.opnum),
            3 | 6 => {
                if let Some(status) = bytes.get(80..84) {
                    out.set(FAULT, number(status, d.little));
                }
            }
            _ => {}
        }
        if d.auth != 0 {
            out.set(AUTH_TYPE, auth_type(d.auth));
        }
        if self.fragments >= FRAGMENTS_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

impl Dcerpc {
    fn note(&mut self, dir: Dir, name: Option<&'static str>, out: &mut Sink<'_>) {
        self.fragments += 1;
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        if let Some(name) = name {
            out.push(PACKETS, name);
        }
    }
}

/// What a fragment says; `None` if it ends too early.
fn body(header: Header, fragment: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let little = header.little;
    if header.auth > 0
        && let Some(trailer) =
            header.length.checked_sub(header.auth + 8).and_then(|at| fragment.get(at..at + 2))
    {
        out.set(AUTH_TYPE, auth_type(trailer[0]));
        out.set(AUTH_LEVEL, auth_level(trailer[1]));
    }
    let mut c = Cursor::new(fragment.get(16..)?);
    match header.kind {
        11 | 14 => {
            c.skip(8)?;
            let contexts = c.u8()?.min(CONTEXTS_MAX);
            c.skip(3)?;
            for _ in 0..contexts {
                c.skip(2)?;
                let transfers = c.u8()?;
                c.skip(1)?;
                interface(c.take(16)?.first_chunk()?, little, out);
                c.skip(4 + 20 * usize::from(transfers))?;
            }
        }
        12 | 15 => {
            c.skip(8)?;
            let len = number(c.take(2)?, little);
            let address = c.take(len)?;
            let address = address.strip_suffix(&[0]).unwrap_or(address);
            if !address.is_empty() {
                out.set_text(SECONDARY_ADDRESS, address);
            }
            // Results are aligned to four bytes.
            c.skip((4 - (c.position() & 3)) & 3)?;
            let results = c.u8()?.min(CONTEXTS_MAX);
            c.skip(3)?;
            for _ in 0..results {
                let result = number(c.take(2)?, little);
                let reason = number(c.take(2)?, little);
                c.skip(20)?;
                // Two for "provider rejection"; a transfer syntax that isn't known (2) is how NDR64 is declined.
                if result == 2 && reason != 2 {
                    out.set(REJECT, true);
                }
            }
        }
        13 => out.set(REJECT, true),
        0 => {
            c.skip(6)?;
            out.push(OPNUMS, number(c.take(2)?, little));
            // The object's UUID stands here if the flag says so.
            if header.flags & 0x80 != 0 {
                out.set(OBJECT, uuid(c.take(16)?.first_chunk()?, little));
            }
        }
        3 => {
            c.skip(8)?;
            out.set(FAULT, number(c.take(4)?, little));
        }
        _ => {}
    }
    Some(())
}

fn interface(raw: &[u8; 16], little: bool, out: &mut Sink<'_>) {
    let text = uuid(raw, little);
    if let Some((_, name)) = INTERFACE_TABLE.iter().find(|(id, _)| Some(*id) == text.as_str()) {
        out.push(INTERFACE_NAMES, *name);
    }
    out.push(INTERFACES, text);
}

/// A UUID as text. Its first three members follow the byte order of the message.
fn uuid(b: &[u8; 16], little: bool) -> Value {
    let a = number(&b[..4], little);
    let (m, h) = (number(&b[4..6], little), number(&b[6..8], little));
    let node = number(&b[10..], false);
    Value::from(format!("{a:08x}-{m:04x}-{h:04x}-{:02x}{:02x}-{node:012x}", b[8], b[9]))
}

/// MS-RPCE §2.2.1.1.7.
fn auth_type(n: u8) -> &'static str {
    match n {
        0 => "none",
        9 => "spnego",
        10 => "ntlm",
        14 => "schannel",
        16 => "kerberos",
        68 => "netlogon",
        0xff => "default",
        _ => "other",
    }
}

/// MS-RPCE §2.2.1.1.8.
fn auth_level(n: u8) -> &'static str {
    ["default", "none", "connect", "call", "packet", "integrity", "privacy"]
        .get(usize::from(n))
        .copied()
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    /// The usual transfer syntax, NDR, as its UUID stands on the wire in little-endian order.
    const NDR: [u8; 16] =
        [0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60];

    fn fragment(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
        out.extend((16 + body.len() as u16).to_le_bytes());
        out.extend([0, 0, 1, 0, 0, 0]);
        out.extend_from_slice(body);
        out
    }

    fn bind() -> Vec<u8> {
        // samr 1.0 with NDR 2.0.
        let mut body = hex("d016 d016 00000000 01 000000 0000 01 00");
        body.extend(hex("78573412 3412 cdab ef00 0123456789ac 01000000"));
        body.extend(NDR);
        body.extend([2, 0, 0, 0]);
        fragment(11, 3, &body)
    }

    fn bind_ack(result: u8, reason: u8) -> Vec<u8> {
        let mut body = hex("d016 d016 01000000 0600");
        body.extend(b"49664\0");
        body.extend([1, 0, 0, 0, result, 0, reason, 0]);
        body.extend(NDR);
        body.extend([2, 0, 0, 0]);
        fragment(12, 3, &body)
    }

    #[test]
    fn a_bind_and_a_call_however_they_are_cut() {
        let call = fragment(0, 3, &hex("00000000 0000 4000 00112233"));
        let fault = fragment(3, 3, &hex("00000000 0000 0000 05000000 00000000"));
        let (ask, tell) = ([bind(), call].concat(), [bind_ack(0, 0), fault].concat());
        let seen = Flow::tcp(49664).client(&ask).server(&tell).run_split();
        assert_eq!(seen.protocol, ProtocolId::Dcerpc);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(INTERFACES), "12345778-1234-abcd-ef00-0123456789ac");
        assert_eq!(seen.show(INTERFACE_NAMES), "samr");
        assert_eq!(seen.show(OPNUMS), "64");
        assert_eq!(seen.show(SECONDARY_ADDRESS), "49664");
        assert_eq!(seen.show(FAULT), "5");
        assert_eq!(seen.show(REJECT), "");
        let seen = Flow::tcp(135).client(&bind()).server(&bind_ack(2, 1)).run();
        assert_eq!(seen.show(REJECT), "true");
    }

    #[test]
    fn authentication_is_named() {
        let mut with = bind();
        // auth_length 4: type NTLM (10), level privacy (6), padding, reserved, context, and the token.
        with.extend(hex("0a 06 00 00 00000000 4e544c4d"));
        with[10] = 4;
        let length = (with.len() as u16).to_le_bytes();
        with[8..10].copy_from_slice(&length);
        let seen = Flow::tcp(135).client(&with).run_split();
        assert_eq!((seen.show(AUTH_TYPE), seen.show(AUTH_LEVEL)), ("ntlm".into(), "privacy".into()));
    }

    /// PROFINET: big-endian, version 4.
    fn datagram(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![4, kind, 0x20, 0, 0, 0, 0, 0];
        out.extend(hex("dea00000 6c97 11d1 8271 00010101014d"));
        out.extend(hex("dea00001 6c97 11d1 8271 00a02442df7d"));
        out.extend(hex("35fda900 358a 1212 8004 001c060b26ed"));
        out.extend(hex("00000000 00000001 00000000 0002 ffff ffff"));
        out.extend((body.len() as u16).to_be_bytes());
        out.extend([0, 0, 0, 0]);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn version_4_over_udp() {
        let seen = Flow::udp(34964).client(&datagram(0, &[0; 20])).server(&datagram(2, &[0; 20])).run();
        assert_eq!(seen.protocol, ProtocolId::Dcerpc);
        assert_eq!(seen.show(VERSION), "4");
        assert_eq!(seen.show(INTERFACE_NAMES), "pnio-device");
        assert_eq!(seen.show(OBJECT), "dea00000-6c97-11d1-8271-00010101014d");
        assert_eq!(seen.show(PACKETS), "request,response");
        assert_eq!(seen.show(OPNUMS), "2");
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let udp = |bytes: &[u8]| Flow::udp(135).client(bytes).run().protocol == ProtocolId::Unknown;
        let mut short = datagram(0, &[0; 20]);
        short.pop();
        assert!(udp(&short), "the body does not fill the datagram");
        assert!(udp(&datagram(11, &[0; 20])), "no such type");
        let tcp = |bytes: &[u8]| Flow::tcp(135).client(bytes).run().protocol == ProtocolId::Unknown;
        let mut none = bind();
        none[24] = 0;
        assert!(tcp(&none), "a bind without a context");
        let mut tiny = bind();
        tiny[8] = 20;
        assert!(tcp(&tiny), "shorter than a bind can be");
        // SOCKS 5 starts with a 5 too.
        assert!(tcp(&hex("05 01 00")));
    }

    #[test]
    fn garbage_after_a_fragment_is_malformed() {
        let bytes = [bind(), vec![0xee; 40]].concat();
        assert_eq!(Flow::tcp(135).client(&bytes).run_split().risks(), ["malformed-packet"]);
    }
}
