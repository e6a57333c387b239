//! NetBIOS name service: Windows' names before DNS (RFC 1001, RFC 1002 §4.2).
//!
//! UDP port 137, with messages in the format of DNS. A name has 15 characters, padded with spaces, and a suffix that
//! says what kind of service has it. On the wire each half byte is a letter from A to P ("first-level encoding"), which
//! makes 32 letters: that, and the header, is what it is known by. Responses carry no question.
//!
//! A response to a query on port 53 with such a name is DNS: somebody asked a DNS server for it.

use super::dns;
use super::dns::message::{Header, Name, Reader, Record, Section};
use crate::cursor::Cursor;
use crate::{
    Dir, Event, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte,
    fields, masked, risk, udp,
};

fields! { ProtocolId::NetbiosNs;
    OPCODE: Str "opcode" "query, registration, release, wack, refresh or multi-homed-registration";
    NAME: [Str] "name" "Names that messages are about, lower case";
    SUFFIX: Uint "suffix" "Kind of the first name: its sixteenth byte";
    SERVICE: Str "service" "What the suffix stands for";
    SCOPE: Str "scope" "NetBIOS scope, where there is one";
    QTYPE: Str "qtype" "NB (name) or NBSTAT (node status)";
    RCODE: Uint "rcode" "Result code of the first response; 3 is that there is no such name";
    ADDRESSES: [Ip] "addresses" "Addresses that have a name, or register it";
    NODE_NAMES: [Str] "node_names" "All names of a node, with their suffixes, from its status";
    MAC: Str "mac" "The node's hardware address, from its status";
}

/// NetBIOS name service.
pub const PROTOCOL: Protocol = Protocol {
    name: "netbios-ns",
    title: "NetBIOS name service",
    family: Family::Names,
    source: "RFC 1001, RFC 1002",
    ports: &[udp(137)],
    well_known: true,
    patterns: &[
        // Fewer than 256 of everything; the first name is at once after the header: 32 letters.
        Pattern::udp().min(50).tests(&[
            byte(4, 0),
            byte(6, 0),
            byte(8, 0),
            byte(10, 0),
            byte(12, 32),
            masked(13, 0xe0, 0x40),
            masked(14, 0xe0, 0x40),
            masked(15, 0xe0, 0x40),
            masked(16, 0xe0, 0x40),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(NameService)),
    fields: FIELDS,
    idle_timeout_s: Some(10),
    ..Protocol::BASE
};

const NB: u16 = 0x20;
const NBSTAT: u16 = 0x21;

/// A NetBIOS name: up to 15 characters, and the suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::names) struct NetbiosName {
    pub(in crate::names) text: String,
    pub(in crate::names) suffix: u8,
}

impl NetbiosName {
    /// From the 32 letters of the first-level encoding (RFC 1001 §14.1).
    pub(in crate::names) fn decode(label: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        if label.len() != 32 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(label.chunks_exact(2)) {
            let half = |b: u8| b.checked_sub(b'A').filter(|n| *n < 16);
            *byte = half(pair[0])? << 4 | half(pair[1])?;
        }
        Some(Self::from_bytes(&bytes))
    }

    /// From 16 bytes as they are. Padding (spaces, or zeros after `*`) is left out.
    pub(in crate::names) fn from_bytes(bytes: &[u8; 16]) -> Self {
        let end = bytes[..15].iter().rposition(|b| !matches!(b, b' ' | 0)).map_or(0, |i| i + 1);
        // Code page unknown: what is not ASCII is shown as Latin-1. __MSBROWSE__ stands between control characters.
        let text = bytes[..end].iter().filter(|b| !b.is_ascii_control());
        Self { text: text.map(|b| b.to_ascii_lowercase() as char).collect(), suffix: bytes[15] }
    }
}

/// What a suffix stands for (Microsoft's table of NetBIOS suffixes).
pub(in crate::names) fn service(suffix: u8) -> &'static str {
    match suffix {
        0x00 => "workstation",
        0x01 => "browser",
        0x03 => "messenger",
        0x1b => "domain-master-browser",
        0x1c => "domain-controllers",
        0x1d => "master-browser",
        0x1e => "browser-elections",
        0x1f => "netdde",
        0x20 => "file-server",
        0x21 => "ras-client",
        _ => "other",
    }
}

fn opcode_name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        0 => "query",
        5 => "registration",
        6 => "release",
        7 => "wack",
        8 | 9 => "refresh",
        15 => "multi-homed-registration",
        _ => return None,
    })
}

/// A known operation, one name whose 32 letters decode, and a type and class of RFC 1002.
fn identify(p: &Probe<'_>) -> Verdict {
    let Some(header) = Header::read(p.payload) else { return Verdict::No };
    let [questions, answers, ..] = header.counts;
    if p.port(53) || opcode_name(header.opcode()).is_none() || header.flags & 0x0060 != 0 {
        return Verdict::No;
    }
    if questions > 1 || (questions == 0 && !(header.is_response() && answers == 1)) {
        return Verdict::No;
    }
    // Question and record begin alike: name, type, class.
    let Ok(start) = Reader::new(p.payload).question() else { return Verdict::No };
    let encoded = start.name.labels().next().and_then(NetbiosName::decode).is_some();
    if !encoded || start.qclass != 1 || !matches!(start.qtype, NB | NBSTAT | 1 | 2 | 10) {
        return Verdict::No;
    }
    if header.is_response() && p.dir == Dir::Client { Verdict::YesReversed } else { Verdict::Yes }
}

struct NameService;

impl Parser for NameService {
    fn datagram(&mut self, _: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(header) = Header::read(bytes) else { return Step::Consumed(bytes.len()) };
        if let Some(name) = opcode_name(header.opcode()) {
            out.set(OPCODE, name);
        }
        let mut reader = Reader::new(bytes);
        let mut read = || {
            for _ in 0..header.counts[0] {
                let question = reader.question()?;
                let Some(name) = found_name(&question.name, out) else { continue };
                out.set(QTYPE, if question.qtype == NBSTAT { "NBSTAT" } else { "NB" });
                if !header.is_response() && out.wants_events() {
                    let ts_ns = out.now_ns();
                    out.event(event(&header, name.text, question.qtype, ts_ns));
                }
            }
            for (count, section) in
                header.counts[1..].iter().zip([Section::Answer, Section::Authority, Section::Additional])
            {
                for _ in 0..*count {
                    let record = reader.record()?;
                    if section != Section::Authority {
                        found_name(&record.name, out);
                        found_record(&record, out);
                    }
                }
            }
            Ok(())
        };
        let result: Result<(), dns::message::Trouble> = read();
        if header.is_response() {
            out.set(RCODE, header.rcode());
            out.confirm();
        }
        if result.is_err() {
            out.risk(&risk::MALFORMED_PACKET, || format!("datagram.bytes={}", bytes.len()));
        }
        Step::Consumed(bytes.len())
    }
}

fn found_name(name: &Name<'_>, out: &mut Sink<'_>) -> Option<NetbiosName> {
    let mut labels = name.labels();
    let decoded = NetbiosName::decode(labels.next()?)?;
    out.hostname(decoded.text.as_bytes());
    if out.wants(NAME) {
        out.push(NAME, decoded.text.clone());
    }
    out.set(SUFFIX, decoded.suffix);
    out.set(SERVICE, service(decoded.suffix));
    let scope: Vec<_> = labels.map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    if !scope.is_empty() {
        out.set(SCOPE, scope.join("."));
    }
    Some(decoded)
}

fn found_record(record: &Record<'_>, out: &mut Sink<'_>) {
    let mut c = Cursor::new(record.rdata);
    match record.rtype {
        // Pairs of flags and an address.
        NB => {
            while let (Some(_), Some(address)) = (c.u16(), c.array::<4>()) {
                out.push(ADDRESSES, std::net::Ipv4Addr::from(address));
            }
        }
        // Count, then names of 15 bytes with suffix and flags, then the adapter's address.
        NBSTAT => {
            let Some(count) = c.u8() else { return };
            for _ in 0..count {
                let (Some(name), Some(_)) = (c.array::<16>(), c.u16()) else { return };
                let name = NetbiosName::from_bytes(&name);
                out.push(NODE_NAMES, format!("{}<{:02x}>", name.text, name.suffix));
            }
            if let Some(mac) = c.array::<6>().filter(|mac| *mac != [0; 6]) {
                out.set(MAC, mac.map(|b| format!("{b:02x}")).join(":"));
            }
        }
        _ => {}
    }
}

/// As Zeek has it: in the terms of DNS.
fn event(header: &Header, name: String, qtype: u16, ts_ns: i64) -> Event {
    let fields = vec![
        (dns::ID, Value::from(header.id)),
        (dns::QUERY, Value::from(name)),
        (dns::QTYPE_CODE, Value::from(qtype)),
        (dns::QTYPE, Value::Name(if qtype == NBSTAT { "NBSTAT" } else { "NB" })),
        (dns::QCLASS_CODE, Value::from(1u8)),
        (dns::QCLASS, Value::Name("IN")),
        (dns::AA, Value::Bool(false)),
        (dns::TC, Value::Bool(header.truncated())),
        (dns::RD, Value::Bool(header.recursion_desired())),
        (dns::RA, Value::Bool(false)),
        (dns::Z, Value::from(header.z())),
    ];
    Event { kind: "dns", ts_ns, fields }
}

/// The first-level encoding, for tests here and in the other NetBIOS files.
#[cfg(test)]
pub(in crate::names) fn encode(name: &str, suffix: u8) -> Vec<u8> {
    let mut bytes = [b' '; 16];
    if name == "*" {
        bytes = [0; 16];
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[15] = suffix;
    let letters = bytes.iter().flat_map(|b| [b'A' + (b >> 4), b'A' + (b & 15)]);
    [32].into_iter().chain(letters).chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};
    use crate::{Confidence, common};

    fn message(head: &str, name: &[u8], tail: &str) -> Vec<u8> {
        [hex(head), name.to_vec(), hex(tail)].concat()
    }

    #[test]
    fn the_rfc_example_decodes() {
        // RFC 1002 §4.1: FRED, padded with spaces.
        let name = NetbiosName::decode(b"EGFCEFEECACACACACACACACACACACACA").unwrap();
        assert_eq!((name.text.as_str(), name.suffix), ("fred", b' '));
        assert_eq!(NetbiosName::decode(b"EGFCEFEECACACACACACACACACACACACQ"), None);
    }

    #[test]
    fn a_query_and_its_answer() {
        let name = encode("FILESRV", 0x20);
        let q = message("0001 0110 0001 0000 0000 0000", &name, "0020 0001");
        let r = message("0001 8500 0000 0001 0000 0000", &name, "0020 0001 000493e0 0006 0000 c0000205");
        let seen = Flow::udp(137).client_port(137).client(&q).server(&r).run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::NetbiosNs, Confidence::Handshake));
        assert_eq!(seen.show(common::HOSTNAME), "filesrv");
        assert_eq!(seen.show(SUFFIX), "32");
        assert_eq!(seen.show(SERVICE), "file-server");
        assert_eq!(seen.show(ADDRESSES), "192.0.2.5");
        assert_eq!(seen.show(RCODE), "0");
        assert_eq!(seen.events.len(), 1);
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn a_registration() {
        let m = message(
            "0002 2910 0001 0000 0000 0001",
            &encode("PC-17", 0),
            "0020 0001 c00c 0020 0001 000493e0 0006 0000 c0000211",
        );
        let seen = Flow::udp(137).client_port(137).client(&m).run();
        assert_eq!(seen.show(OPCODE), "registration");
        assert_eq!(seen.show(NAME), "pc-17");
        assert_eq!(seen.show(ADDRESSES), "192.0.2.17");
    }

    #[test]
    fn node_status() {
        let star = encode("*", 0);
        let q = message("0003 0000 0001 0000 0000 0000", &star, "0021 0001");
        let mut data = vec![2];
        data.extend(b"PC-17          \x00\x04\x00WORKGROUP      \x00\x84\x00");
        data.extend(hex("0242ac110002"));
        let mut r = message("0003 8400 0000 0001 0000 0000", &star, "0021 0001 00000000");
        r.extend((data.len() as u16).to_be_bytes());
        r.extend(data);
        let seen = Flow::udp(137).client(&q).server(&r).run();
        assert_eq!(seen.show(common::HOSTNAME), "*");
        assert_eq!(seen.show(NODE_NAMES), "pc-17<00>,workgroup<00>");
        assert_eq!(seen.show(MAC), "02:42:ac:11:00:02");
    }

    #[test]
    fn near_misses() {
        let good = message("0001 0110 0001 0000 0000 0000", &encode("FILESRV", 0x20), "0020 0001");
        assert_eq!(Flow::udp(1137).client(&good).run().protocol, ProtocolId::NetbiosNs);
        assert_eq!(Flow::udp(53).client(&good).run().protocol, ProtocolId::Dns);
        let changes: [fn(&mut Vec<u8>); 5] =
            [|m| m[20] = b'Q', |m| m[5] = 2, |m| m[2] = 0x18, |m| m[49] = 3, |m| m[46] = 1];
        for change in changes {
            let mut odd = good.clone();
            change(&mut odd);
            assert_ne!(Flow::udp(137).client(&odd).run().protocol, ProtocolId::NetbiosNs, "{odd:02x?}");
        }
    }
}
