//! Network Time Protocol (RFC 5905; version 3: RFC 1305): 48 bytes of clock, and for control and private messages a
//! shorter header.

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, masked,
    risks, udp,
};

fields! { ProtocolId::Ntp;
    VERSION: Uint "version" "Protocol version, 1 to 4";
    MODE: Str "mode" "client, server, broadcast, symmetric-active, symmetric-passive, control or private";
    STRATUM: Uint "stratum" "Distance of the server from its reference clock, 1 to 15; 16 is unsynchronised";
    REF_ID: Str "ref_id" "The server's reference: a code at stratum 0 and 1, else an IPv4 address";
    MONLIST: Bool "monlist" "Seen: the private request that amplifies 500-fold (CVE-2013-5211)";
}

risks! {
    NTP_MONLIST: High Both "ntp-monlist" "An NTP monlist request or answer: used to amplify floods (CVE-2013-5211). Harmless only between an operator and their own server.";
}

/// Network Time Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ntp",
    title: "Network Time Protocol",
    family: Family::Network,
    source: "RFC 5905",
    ports: &[udp(123)],
    patterns: &[
        // Version 1 to 4 in bits 3 to 5 of the first byte.
        Pattern::udp().min(48).tests(&[masked(0, 0x38, 0x08)]),
        Pattern::udp().min(48).tests(&[masked(0, 0x38, 0x10)]),
        Pattern::udp().min(48).tests(&[masked(0, 0x38, 0x18)]),
        Pattern::udp().min(48).tests(&[masked(0, 0x38, 0x20)]),
        // Control (6) and private (7).
        Pattern::udp().min(8).tests(&[masked(0, 0x06, 0x06)]),
    ],
    identify,
    parser: Some(|| Box::new(Ntp)),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// NTP has no magic, so its port is asked for besides a plausible header; elsewhere nothing is claimed.
fn identify(p: &Probe<'_>) -> Verdict {
    let Some(first) = p.payload.first() else { return Verdict::No };
    let (version, mode) = (first >> 3 & 7, first & 7);
    if !p.port(123) || !(1..=4).contains(&version) {
        return Verdict::No;
    }
    let plausible = match mode {
        1..=5 => is_time(p.payload),
        6 => first & 0xc0 == 0 && is_control(p.payload),
        7 => is_private(p.payload),
        _ => false,
    };
    if plausible { Verdict::Yes } else { Verdict::No }
}

/// RFC 5905 §7.3: stratum at most 16, poll interval up to 2^17 s, precision 2^-32 to 1 s, root delay and dispersion
/// below 256 s (the delay can be negative), and from who answers a time.
fn is_time(payload: &[u8]) -> bool {
    let Some(&[first, stratum, poll, precision, delay, _, _, _, dispersion, ..]) =
        payload.first_chunk::<48>()
    else {
        return false;
    };
    stratum <= 16
        && (-7..=17).contains(&(poll as i8))
        && (-32..=0).contains(&(precision as i8))
        && matches!(delay, 0 | 0xff)
        && dispersion == 0
        && (matches!(first & 7, 1 | 3) || payload[40..48] != [0; 8])
        && is_tail(&payload[48..])
}

/// What may follow a time: extension fields (RFC 7822), then nothing, a crypto-NAK, or a key's number and a MAC of 8 to
/// 64 bytes.
fn is_tail(mut rest: &[u8]) -> bool {
    while !matches!(rest.len(), 0 | 4 | 12 | 20 | 24 | 36 | 52 | 68) {
        let Some(&[_, _, high, low]) = rest.first_chunk() else { return false };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len < 8 || !len.is_multiple_of(4) {
            return false;
        }
        let Some(next) = rest.get(len..) else { return false };
        rest = next;
    }
    true
}

/// RFC 9327 §2: a request tells no status and no error; data to a word's end, and perhaps a MAC.
fn is_control(payload: &[u8]) -> bool {
    let Some(&[_, flags, _, _, s1, s2, _, _, _, _, high, low]) = payload.first_chunk::<12>() else {
        return false;
    };
    let (is_response, opcode) = (flags & 0x80 != 0, flags & 0x1f);
    let rest = (payload.len() - 12).checked_sub(usize::from(u16::from_be_bytes([high, low])));
    (opcode <= 12 || opcode == 31)
        && (is_response || flags & 0x60 == 0 && [s1, s2] == [0, 0])
        && matches!(rest, Some(0..=3 | 20..=27))
}

/// ntpd's ntp_request.h: implementation 2 or 3, a request code that there is, as many items as there is room for, or an
/// error without any.
fn is_private(payload: &[u8]) -> bool {
    let Some(&[first, _, implementation, code, e, n, z, size]) = payload.first_chunk::<8>() else {
        return false;
    };
    let (error, count) = (e >> 4, usize::from(u16::from_be_bytes([e & 0x0f, n])));
    let size = usize::from(u16::from_be_bytes([z & 0x0f, size]));
    let room = payload.len() - 8;
    let fits = match (first & 0x80 != 0, error) {
        (false, 0) => count * size <= room,
        // Filled up to a word.
        (true, 0) => (count * size..count * size + 4).contains(&room),
        (true, 1..=7) => count * size == 0,
        _ => false,
    };
    fits && matches!(implementation, 2 | 3) && code <= 45 && z >> 4 == 0
}

struct Ntp;

impl Parser for Ntp {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut c = Cursor::new(bytes);
        let (Some(first), Some(stratum)) = (c.u8(), c.u8()) else { return Step::Malformed(0) };
        out.set(VERSION, first >> 3 & 7);
        let mode = [
            "reserved",
            "symmetric-active",
            "symmetric-passive",
            "client",
            "server",
            "broadcast",
            "control",
            "private",
        ][(first & 7) as usize];
        out.set(MODE, mode);
        match mode {
            "server" | "broadcast" => {
                out.set(STRATUM, stratum);
                if let Some(id) = c.skip(10).and_then(|()| c.array::<4>()) {
                    let printable = id.iter().all(|b| *b == 0 || b.is_ascii_graphic());
                    let text = if stratum <= 1 && printable {
                        String::from_utf8_lossy(&id).trim_end_matches('\0').to_owned()
                    } else {
                        std::net::Ipv4Addr::from(id).to_string()
                    };
                    out.set(REF_ID, Value::from(text));
                }
            }
            // Private mode, implementation XNTPD (2 or 3), request code MON_GETLIST (20) or MON_GETLIST_1 (42).
            "private" if matches!((bytes.get(2), bytes.get(3)), (Some(2 | 3), Some(20 | 42))) => {
                out.set(MONLIST, true);
                out.risk(&NTP_MONLIST, || format!("ntp.request_code={}", bytes[3]));
            }
            _ => {}
        }
        if dir == Dir::Server {
            out.confirm();
            return Step::Finished;
        }
        Step::Consumed(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    // RFC 5905 §7.3: leap 0, version 4, mode 3, poll 6, precision -20; then a server at stratum 2 below 192.0.2.7.
    fn query() -> Vec<u8> {
        let mut q = hex("23 00 06 ec");
        q.resize(48, 0);
        q
    }

    fn answer() -> Vec<u8> {
        let mut a = hex("24 02 06 ec 00000000 00000000 c0000207");
        a.resize(48, 1);
        a
    }

    #[test]
    fn a_query_and_its_answer() {
        let seen = Flow::udp(123).client(&query()).server(&answer()).run();
        assert_eq!(seen.protocol, ProtocolId::Ntp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(VERSION), "4");
        assert_eq!(seen.show(MODE), "client");
        assert_eq!(seen.show(STRATUM), "2");
        assert_eq!(seen.show(REF_ID), "192.0.2.7");
    }

    #[test]
    fn monlist_is_a_risk() {
        let seen = Flow::udp(123).client(&hex("17 00 03 2a 00000000")).run();
        assert_eq!(seen.risks(), ["ntp-monlist"]);
    }

    #[test]
    fn control_and_private_mode() {
        // A readvar request, and a response whose nine bytes of data are filled up to a word.
        let request = hex("16 02 0001 0000 0000 0000 0000");
        let response = hex("16 82 0001 0615 0000 0000 0009 76657273696f6e3d34 000000");
        let seen = Flow::udp(123).client(&request).server(&response).run();
        assert_eq!((seen.protocol, seen.show(MODE)), (ProtocolId::Ntp, "control".into()));
        // Two items of 72 bytes.
        let mut list = hex("97 00 03 2a 0002 0048");
        list.resize(8 + 144, 7);
        assert_eq!(Flow::udp(123).server(&list).run().protocol, ProtocolId::Ntp);
        list.truncate(100);
        assert_eq!(Flow::udp(123).server(&list).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn what_only_begins_like_it_is_not_claimed() {
        let with = |at: usize, value: u8| {
            let mut odd = query();
            odd[at] = value;
            Flow::udp(123).client(&odd).run().protocol
        };
        assert_eq!(with(20, 0x80), ProtocolId::Ntp);
        let long = |n| {
            let mut long = query();
            long.resize(n, 0);
            Flow::udp(123).client(&long).run().protocol
        };
        assert_eq!([long(68), long(128)], [ProtocolId::Ntp, ProtocolId::Unknown]);
        for (at, value) in [(1, 17), (2, 18), (3, 1), (4, 2), (8, 1)] {
            assert_eq!(with(at, value), ProtocolId::Unknown, "byte {at}");
        }
        // Text and compressed data whose first byte has version and mode by chance.
        for other in [
            &b"WRITE 637 to light that morni\r\n"[..],
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x65\x55\x41",
            b"\x16-data",
        ] {
            assert_eq!(Flow::udp(123).client(other).run().protocol, ProtocolId::Unknown, "{other:?}");
        }
    }

    #[test]
    fn another_port_or_version_is_not_claimed() {
        assert_eq!(Flow::udp(5000).client(&query()).run().protocol, ProtocolId::Unknown);
        let mut odd = query();
        odd[0] = 0x3b; // version 7
        assert_eq!(Flow::udp(123).client(&odd).run().protocol, ProtocolId::Unknown);
    }
}
