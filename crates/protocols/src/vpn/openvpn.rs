//! OpenVPN: TLS and data behind an own reliable layer, over UDP, or over TCP with a two-byte length before each packet.
//!
//! A packet starts with an opcode (5 bits) and a key ID (3 bits); control packets go on with the sender's session ID
//! (8 bytes). What follows depends on the protection of the control channel:
//!
//! | mode | after the session ID |
//! |---|---|
//! | none | acknowledgements (count, numbers, the peer's session ID), packet number, TLS |
//! | tls-auth | an HMAC of 16 to 64 bytes, replay number and time, then as above |
//! | tls-crypt | replay number and time, a 32-byte HMAC, then the rest encrypted |
//! | tls-crypt-v2 | the same in the client's first packet, and at its end the client's key, wrapped |
//!
//! Sure signs are a first packet whose counters all have their starting values, and an answer that repeats the session
//! ID of the other side. Data packets alone, and OpenVPN behind a scrambler, are not claimed.
//!
//! The TLS inside the control channel is not read.

use crate::cursor::Cursor;
use crate::{
    Dir, Earlier, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict, byte,
    fields, masked, tcp, udp,
};

fields! { ProtocolId::Openvpn;
    PACKETS: [Str] "packets" "Kinds of packets seen, by the names of their opcodes without P_";
    PROTECTION: Str "protection" "Of the control channel: none, tls-auth, tls-crypt or tls-crypt-v2";
    HMAC_BITS: Uint "hmac_bits" "Size of tls-auth's HMAC: 128 MD5, 160 SHA-1, 256 SHA-256, 512 SHA-512";
    CLIENT_SESSION: Bytes "client_session" "Session ID of the client: 8 bytes";
    SERVER_SESSION: Bytes "server_session" "Session ID of the server: 8 bytes";
}

/// OpenVPN.
pub const PROTOCOL: Protocol = Protocol {
    name: "openvpn",
    title: "OpenVPN",
    family: Family::Vpn,
    source: "OpenVPN Wire Protocol (draft-openvpn-openvpn-protocol); OpenVPN 2.6 doc/tls-crypt-v2.txt",
    ports: &[udp(1194), tcp(1194)],
    patterns: &[
        // Hard resets have key 0; what acknowledges them, any key.
        Pattern::udp().min(14).tests(&[byte(0, HARD_RESET_CLIENT_V1 << 3)]),
        Pattern::udp().min(14).tests(&[byte(0, HARD_RESET_SERVER_V1 << 3)]),
        Pattern::udp().min(14).tests(&[byte(0, HARD_RESET_CLIENT_V2 << 3)]),
        Pattern::udp().min(14).tests(&[byte(0, HARD_RESET_SERVER_V2 << 3)]),
        Pattern::udp().min(54).tests(&[byte(0, HARD_RESET_CLIENT_V3 << 3)]),
        Pattern::udp().min(22).tests(&[masked(0, 0xf8, CONTROL_V1 << 3)]),
        Pattern::udp().min(22).tests(&[masked(0, 0xf8, ACK_V1 << 3)]),
        Pattern::tcp().min(3).tests(&[masked(0, 0xfe, 0), byte(2, HARD_RESET_CLIENT_V2 << 3)]),
        Pattern::tcp().min(3).tests(&[masked(0, 0xfe, 0), byte(2, HARD_RESET_SERVER_V2 << 3)]),
        Pattern::tcp().min(3).tests(&[masked(0, 0xfe, 0), byte(2, HARD_RESET_CLIENT_V1 << 3)]),
        Pattern::tcp().min(3).tests(&[masked(0, 0xfe, 0), byte(2, HARD_RESET_SERVER_V1 << 3)]),
        Pattern::tcp().min(3).tests(&[masked(0, 0xfc, 0), byte(2, HARD_RESET_CLIENT_V3 << 3)]),
    ],
    identify,
    parser: Some(|| Box::new(Openvpn::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

const HARD_RESET_CLIENT_V1: u8 = 1;
const HARD_RESET_SERVER_V1: u8 = 2;
const CONTROL_V1: u8 = 4;
const ACK_V1: u8 = 5;
const HARD_RESET_CLIENT_V2: u8 = 7;
const HARD_RESET_SERVER_V2: u8 = 8;
const HARD_RESET_CLIENT_V3: u8 = 10;

/// Opcode and session ID.
const SESSION_END: usize = 9;
/// Sizes of HMACs: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512.
const HMACS: [usize; 6] = [16, 20, 28, 32, 48, 64];
/// Replay number and time.
const REPLAY: usize = 8;
/// tls-crypt's HMAC.
const TAG: usize = 32;

fn is_reset(packet: &[u8]) -> bool {
    packet.first().is_some_and(|b| matches!(b >> 3, 1 | 2 | 7 | 8 | 10) && b & 7 == 0)
}

fn session(packet: &[u8]) -> Option<[u8; 8]> {
    packet.get(1..SESSION_END)?.try_into().ok().filter(|s| *s != [0; 8])
}

/// How the control channel of a first packet is protected, as far as the packet itself shows it without doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    None,
    Auth { hmac: usize },
    Crypt,
    CryptV2,
}

impl Protection {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Auth { .. } => "tls-auth",
            Self::Crypt => "tls-crypt",
            Self::CryptV2 => "tls-crypt-v2",
        }
    }
}

/// A replay number and a time that an OpenVPN could send first: 1, and a time since it exists, 2001.
fn first_replay(packet: &[u8], at: usize) -> bool {
    let Some(&[n0, n1, n2, n3, t0, t1, t2, t3]) = packet.get(at..at + REPLAY) else { return false };
    u32::from_be_bytes([n0, n1, n2, n3]) == 1 && u32::from_be_bytes([t0, t1, t2, t3]) > 0x3a4f_c880
}

/// The same for tls-crypt-v2, where a client puts flags for early negotiation into the upper half of the number.
fn first_replay_v2(packet: &[u8]) -> bool {
    let Some(&[_, _, low0, low1, time, ..]) = packet.get(SESSION_END..) else { return false };
    [low0, low1] == [0, 1] && time >= 0x3a
}

/// What protects a client's first packet. The packet must have exactly the length of its kind.
fn first_packet(packet: &[u8]) -> Option<Protection> {
    session(packet)?;
    let opcode = packet.first()? >> 3;
    // No acknowledgement, packet number 0.
    let fresh = |at: usize| packet.get(at..) == Some(&[0; 5]);
    if opcode == HARD_RESET_CLIENT_V3 {
        // The wrapped key ends with its length, and fills what tls-crypt leaves.
        let fixed = SESSION_END + REPLAY + TAG + 5;
        let wrapped = packet.len().checked_sub(2).and_then(|at| packet.get(at..))?;
        let len = usize::from(u16::from_be_bytes([wrapped[0], wrapped[1]]));
        return (len > 200 && packet.len() == fixed + len && first_replay_v2(packet))
            .then_some(Protection::CryptV2);
    }
    if !matches!(opcode, HARD_RESET_CLIENT_V1 | HARD_RESET_CLIENT_V2) {
        return None;
    }
    if packet.len() == SESSION_END + 5 && fresh(SESSION_END) {
        return Some(Protection::None);
    }
    let auth = HMACS.into_iter().find(|hmac| {
        packet.len() == SESSION_END + hmac + REPLAY + 5
            && first_replay(packet, SESSION_END + hmac)
            && fresh(SESSION_END + hmac + REPLAY)
    });
    if let Some(hmac) = auth {
        return Some(Protection::Auth { hmac });
    }
    let crypt = packet.len() == SESSION_END + REPLAY + TAG + 5 && first_replay(packet, SESSION_END);
    crypt.then_some(Protection::Crypt)
}

/// True if a control packet acknowledges packets of the session `peer`: after the count and the numbers stands the
/// session ID they belong to.
fn acknowledges(packet: &[u8], peer: [u8; 8]) -> bool {
    let named = |at: usize| {
        let count = usize::from(*packet.get(at)?);
        let id = packet.get(at + 1 + 4 * count..)?.get(..8)?;
        ((1..=8).contains(&count) && id == peer).then_some(())
    };
    let plain = named(SESSION_END);
    plain.or_else(|| HMACS.into_iter().find_map(|hmac| named(SESSION_END + hmac + REPLAY))).is_some()
}

/// True if a packet can be the server's first under tls-crypt. It shows no more than a replay number and a time.
fn crypt_answer(packet: &[u8]) -> bool {
    // Behind the tag: an acknowledgement of one packet, a packet number, perhaps flags.
    let len = SESSION_END + REPLAY + TAG + 1 + 4 + 8 + 4;
    packet.first() == Some(&(HARD_RESET_SERVER_V2 << 3))
        && (len..=len + 16).contains(&packet.len())
        && session(packet).is_some()
        && first_replay(packet, SESSION_END)
}

fn identify(p: &Probe<'_>) -> Verdict {
    if p.transport == Transport::Tcp {
        let (client, server) = match p.dir {
            Dir::Client => (p.payload, p.other),
            Dir::Server => (p.other, p.payload),
        };
        return stream(client, server);
    }
    match first_packet(p.payload) {
        // 72 bits of counters in their places.
        Some(Protection::Auth { .. } | Protection::CryptV2) => return Verdict::Yes,
        // 40 bits of zeros and the length; and the port.
        Some(Protection::None) if p.port(1194) => return Verdict::Yes,
        _ => {}
    }
    let mut others = p.earlier.iter().filter(|e| e.dir != p.dir);
    let control = |e: &Earlier| matches!(e.head[0] >> 3, 1..=5 | 7 | 8 | 10 | 11);
    let sure = others.any(|e| {
        let peer = session(&e.head).filter(|_| control(e));
        let asked =
            e.head[0] == HARD_RESET_CLIENT_V2 << 3 && e.len == 54 || e.head[0] == HARD_RESET_CLIENT_V3 << 3;
        // Under tls-crypt both sides send the time: of the other's, the first three bytes were kept.
        let same_time = e.head[13..15] == p.payload.get(13..15).unwrap_or_default()[..];
        peer.is_some_and(|peer| acknowledges(p.payload, peer))
            || (asked && same_time && crypt_answer(p.payload))
    });
    if sure { Verdict::Yes } else { Verdict::Later }
}

/// The packet at the start of a stream. The error is how many bytes it takes.
fn framed(stream: &[u8]) -> Result<&[u8], usize> {
    let [high, low, rest @ ..] = stream else { return Err(2) };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    rest.get(..len).ok_or(2 + len)
}

fn stream(client: &[u8], server: &[u8]) -> Verdict {
    let first = match framed(client) {
        Ok(first) => first,
        Err(_) if client.is_empty() => return Verdict::Later,
        Err(need) if need <= 1024 => return Verdict::Need(need),
        Err(_) => return Verdict::No,
    };
    match first_packet(first) {
        None => return Verdict::No,
        Some(Protection::Auth { .. } | Protection::CryptV2) => return Verdict::Yes,
        Some(Protection::None | Protection::Crypt) => {}
    }
    let Some(peer) = session(first) else { return Verdict::No };
    match framed(server) {
        Ok(answer) if is_reset(answer) && (acknowledges(answer, peer) || crypt_answer(answer)) => {
            Verdict::Yes
        }
        Ok(_) => Verdict::No,
        Err(_) => Verdict::Later,
    }
}

/// Packets to read for the fields.
const PACKETS_MAX: u8 = 12;

#[derive(Default)]
struct Openvpn {
    seen: u8,
    sessions: [Option<[u8; 8]>; 2],
}

impl Openvpn {
    fn packet(&mut self, dir: Dir, packet: &[u8], out: &mut Sink<'_>) -> bool {
        self.seen += 1;
        let opcode = packet.first().map_or(0, |b| b >> 3);
        if let Some(name) = name(opcode) {
            out.push(PACKETS, name);
        }
        if matches!(opcode, 1..=5 | 7 | 8 | 10 | 11)
            && let Some(id) = session(packet)
        {
            self.sessions[dir.index()] = Some(id);
            out.set(if dir == Dir::Client { CLIENT_SESSION } else { SERVER_SESSION }, &id[..]);
        }
        if let Some(protection) = first_packet(packet) {
            out.set(PROTECTION, protection.name());
            if let Protection::Auth { hmac } = protection {
                out.set(HMAC_BITS, hmac * 8);
            }
        }
        if is_reset(packet) && self.sessions.iter().all(Option::is_some) {
            out.confirm();
        }
        let mut c = Cursor::new(packet);
        // Data: the handshake is over.
        let data = matches!(c.u8().map(|b| b >> 3), Some(6 | 9));
        self.seen < PACKETS_MAX && !data
    }
}

impl Parser for Openvpn {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        match framed(bytes) {
            Ok(packet) => {
                if self.packet(dir, packet, out) {
                    Step::Consumed(2 + packet.len())
                } else {
                    Step::Finished
                }
            }
            Err(need) => Step::Need(need),
        }
    }

    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if self.packet(dir, bytes, out) { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

fn name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        1 => "CONTROL_HARD_RESET_CLIENT_V1",
        2 => "CONTROL_HARD_RESET_SERVER_V1",
        3 => "CONTROL_SOFT_RESET_V1",
        4 => "CONTROL_V1",
        5 => "ACK_V1",
        6 => "DATA_V1",
        7 => "CONTROL_HARD_RESET_CLIENT_V2",
        8 => "CONTROL_HARD_RESET_SERVER_V2",
        9 => "DATA_V2",
        10 => "CONTROL_HARD_RESET_CLIENT_V3",
        11 => "CONTROL_WKC_V1",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    const CLIENT: &str = "0102030405060708";
    const SERVER: &str = "a1a2a3a4a5a6a7a8";

    fn plain() -> [Vec<u8>; 3] {
        [
            hex(&format!("38 {CLIENT} 00 00000000")),
            hex(&format!("40 {SERVER} 01 00000000 {CLIENT} 00000000")),
            hex(&format!("28 {CLIENT} 01 00000000 {SERVER}")),
        ]
    }

    fn auth() -> [Vec<u8>; 2] {
        let hmac = "5c".repeat(20);
        [
            hex(&format!("38 {CLIENT} {hmac} 00000001 65000000 00 00000000")),
            hex(&format!("40 {SERVER} {hmac} 00000001 65000001 01 00000000 {CLIENT} 00000000")),
        ]
    }

    fn crypt() -> [Vec<u8>; 2] {
        let tag = "5c".repeat(32);
        [
            hex(&format!("38 {CLIENT} 00000001 65000000 {tag} 1122334455")),
            hex(&format!("40 {SERVER} 00000001 65000001 {tag} 112233445566778899aabbccddeeff0011")),
        ]
    }

    fn tcp(packet: &[u8]) -> Vec<u8> {
        [&(packet.len() as u16).to_be_bytes(), packet].concat()
    }

    #[test]
    fn without_protection() {
        let [q, a, ack] = plain();
        let seen = Flow::udp(443).client(&q).server(&a).client(&ack).run();
        assert_eq!(seen.protocol, ProtocolId::Openvpn);
        let over_tcp = Flow::tcp(443).client(&tcp(&q)).server(&tcp(&a)).run_split();
        assert_eq!(over_tcp.protocol, ProtocolId::Openvpn);
        assert_eq!(over_tcp.confidence, crate::Confidence::Handshake);
        assert_eq!(over_tcp.show(PROTECTION), "none");
        assert_eq!(
            (over_tcp.show(CLIENT_SESSION).as_str(), over_tcp.show(SERVER_SESSION).as_str()),
            (CLIENT, SERVER)
        );
        // Alone it is claimed on its own port only.
        assert_eq!(Flow::udp(1194).client(&q).run().protocol, ProtocolId::Openvpn);
        assert_eq!(Flow::udp(443).client(&q).run().protocol, ProtocolId::Unknown);
        // In the middle: an acknowledgement of the other side.
        let control = hex(&format!("20 {SERVER} 00 00000005 1603030001"));
        assert_eq!(Flow::udp(9).server(&control).client(&ack).run().protocol, ProtocolId::Openvpn);
    }

    #[test]
    fn with_tls_auth() {
        let [q, a] = auth();
        let seen = Flow::udp(9000).client(&q).server(&a).run();
        assert_eq!(seen.protocol, ProtocolId::Openvpn);
        assert_eq!((seen.show(PROTECTION).as_str(), seen.show(HMAC_BITS).as_str()), ("tls-auth", "160"));
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(Flow::tcp(9000).client(&tcp(&q)).run_split().protocol, ProtocolId::Openvpn);
    }

    #[test]
    fn with_tls_crypt() {
        let [q, a] = crypt();
        let seen = Flow::udp(9000).client(&q).server(&a).run();
        assert_eq!(seen.protocol, ProtocolId::Openvpn);
        assert_eq!(Flow::udp(1194).client(&q).run().protocol, ProtocolId::Unknown);
        let over_tcp = Flow::tcp(9000).client(&tcp(&q)).server(&tcp(&a)).run_split();
        assert_eq!(over_tcp.show(PROTECTION), "tls-crypt");
        let mut second = hex(&format!("50 {CLIENT} 0f000001 65000000 {} 1122334455", "5c".repeat(32)));
        second.resize(54 + 288, 0x77);
        second.extend((290u16).to_be_bytes());
        let seen = Flow::udp(9000).client(&second).run();
        assert_eq!(seen.show(PROTECTION), "tls-crypt-v2");
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let [q, a, _] = plain();
        let unknown = |q: &[u8], a: &[u8]| {
            assert_eq!(Flow::udp(9000).client(q).server(a).run().protocol, ProtocolId::Unknown);
            let (q, a) = (tcp(q), tcp(a));
            assert_eq!(Flow::tcp(9000).client(&q).server(&a).run().protocol, ProtocolId::Unknown);
        };
        let mut other = a.clone();
        other[14] ^= 1; // acknowledges somebody else
        unknown(&q, &other);
        let [mut q, a] = auth();
        q[32] = 2; // a replay number that is not the first; and the answer names another session
        q[1] ^= 1;
        unknown(&q, &a);
        let [q, mut a] = crypt();
        a[13] ^= 0x10; // half a year apart
        a[9] = 9;
        a[12] = 9;
        unknown(&q, &a);
    }
}
