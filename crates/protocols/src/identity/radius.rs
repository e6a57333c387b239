//! Remote Authentication Dial-In User Service: who asks to be let in, through which access server, and the accounting.
//!
//! A datagram is a code, an identifier, its own length, a 16-byte authenticator, and attributes of type, length and
//! value up to the end (RFC 2865, RFC 2866, RFC 5176). On its ports code and length are enough; elsewhere every
//! attribute has to fit, and at least two have to be of a known shape.
//!
//! Passwords are hidden by a keyed MD5 and never kept in any form. EAP inside is named, not read.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, masked,
    risks, udp,
};

fields! { ProtocolId::Radius;
    CODES: [Str] "codes" "Packet types seen: access-request, access-accept, access-reject, access-challenge, accounting-request …";
    USER_NAME: Str "user_name" "User-Name";
    AUTH: Str "auth" "How the user authenticates: pap, chap, mschap or eap";
    EAP_IDENTITY: Str "eap_identity" "Identity that the user gave in EAP";
    NAS_IP: Ip "nas_ip" "Address of the access server";
    NAS_IDENTIFIER: Str "nas_identifier" "Name of the access server";
    NAS_PORT: Uint "nas_port" "Port of the access server";
    NAS_PORT_TYPE: Str "nas_port_type" "Kind of that port (RFC 2865 §5.41)";
    SERVICE_TYPE: Uint "service_type" "Service-Type (RFC 2865 §5.6)";
    CALLED_STATION: Str "called_station" "Called-Station-Id: what the user called, for Wi-Fi the access point and its SSID";
    CALLING_STATION: Str "calling_station" "Calling-Station-Id: where the user called from, for Wi-Fi the MAC address";
    FRAMED_IP: Ip "framed_ip" "Address given to the user";
    REPLY_MESSAGE: Str "reply_message" "Text for the user";
    ACCT_STATUS: [Str] "acct_status" "Accounting: start, stop, interim-update, accounting-on, accounting-off";
    ACCT_SESSION: Str "acct_session" "Accounting session identifier";
    ACCT_TERMINATE: Uint "acct_terminate" "Why the session ended (RFC 2866 §5.10)";
    VENDORS: [Uint] "vendors" "IANA enterprise numbers of vendor-specific attributes";
    MESSAGE_AUTHENTICATOR: Bool "message_authenticator" "The first access packet carries a Message-Authenticator";
}

risks! {
    UNSIGNED: Medium Both "radius-unsigned" "An Access-Request or its answer carries no Message-Authenticator: somebody on the path can forge an Access-Accept (CVE-2024-3596). Harmless within IPsec.";
}

/// Remote Authentication Dial-In User Service.
pub const PROTOCOL: Protocol = Protocol {
    name: "radius",
    title: "Remote Authentication Dial-In User Service",
    family: Family::Identity,
    source: "RFC 2865, RFC 2866, RFC 2869, RFC 5176",
    ports: &[udp(1812), udp(1813), udp(3799), udp(1645), udp(1646)],
    well_known: true,
    patterns: &[
        // Codes 1 to 15 and 32 to 47; lengths below 4096.
        Pattern::udp().len(20, 4096).tests(&[masked(0, 0xf0, 0x00), masked(2, 0xf0, 0)]),
        Pattern::udp().len(20, 4096).tests(&[masked(0, 0xf0, 0x20), masked(2, 0xf0, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Radius::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// After this many packets of a flow nothing new is expected.
const PACKETS_MAX: u32 = 64;

/// Packet types: name, and who sends them where that is one end only. For RFC 5176 the server is the access server.
fn code_name(code: u8) -> Option<(&'static str, Dir)> {
    Some(match code {
        1 => ("access-request", Dir::Client),
        2 => ("access-accept", Dir::Server),
        3 => ("access-reject", Dir::Server),
        4 => ("accounting-request", Dir::Client),
        5 => ("accounting-response", Dir::Server),
        11 => ("access-challenge", Dir::Server),
        12 => ("status-server", Dir::Client),
        13 => ("status-client", Dir::Client),
        40 => ("disconnect-request", Dir::Client),
        41 => ("disconnect-ack", Dir::Server),
        42 => ("disconnect-nak", Dir::Server),
        43 => ("coa-request", Dir::Client),
        44 => ("coa-ack", Dir::Server),
        45 => ("coa-nak", Dir::Server),
        _ => return None,
    })
}

/// Walks the attributes. How many there are, and how many are of a known type with a fitting length; `None` if they
/// do not fill the packet.
fn attributes_fit(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut c = Cursor::new(bytes);
    let (mut all, mut known) = (0, 0);
    while !c.is_empty() {
        let (kind, len) = (c.u8()?, c.u8()?);
        let value = c.take(usize::from(len).checked_sub(2)?)?;
        all += 1;
        let fits = match kind {
            0 => return None,
            // Four-byte numbers and addresses; the password in blocks of 16; CHAP; authenticators.
            4..=10
            | 12
            | 13
            | 15
            | 16
            | 23
            | 27..=29
            | 37
            | 38
            | 40..=43
            | 45..=49
            | 51..=53
            | 55
            | 61
            | 62 => value.len() == 4,
            2 => !value.is_empty() && value.len() % 16 == 0 && value.len() <= 128,
            3 => value.len() == 17,
            80 => value.len() == 16,
            95 => value.len() == 16,
            1 | 30 | 31 | 32 | 44 | 87 => !value.is_empty() && !value.iter().any(u8::is_ascii_control),
            // The enterprise number has a zero byte on top.
            26 => value.len() >= 6 && value[0] == 0,
            _ => {
                continue;
            }
        };
        if !fits {
            return None;
        }
        known += 1;
    }
    Some((all, known))
}

fn identify(p: &Probe<'_>) -> Verdict {
    let [code, _, high, low, ..] = *p.payload else { return Verdict::No };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let Some((_, sender)) = code_name(code) else { return Verdict::No };
    if !(20..=4096).contains(&length) || (p.whole && length != p.payload.len()) || length < p.payload.len() {
        return Verdict::No;
    }
    let fit = attributes_fit(&p.payload[20..]);
    let at_home = PROTOCOL.ports.iter().any(|port| p.port(port.number));
    let sure = match fit {
        // The length to the byte, the code and the port; broken attributes are then worth telling of.
        _ if at_home => true,
        Some((all, known)) => known >= 2 && known * 2 >= all,
        None => false,
    };
    match sure {
        false => Verdict::No,
        true if sender == p.dir => Verdict::Yes,
        true => Verdict::YesReversed,
    }
}

#[derive(Default)]
struct Radius {
    packets: u32,
    seen: [bool; 2],
}

impl Parser for Radius {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut c = Cursor::new(bytes);
        let (Some(code), Some(_id), Some(length)) = (c.u8(), c.u8(), c.u16()) else {
            return Step::Malformed(0);
        };
        let Some((name, _)) = code_name(code) else { return Step::Malformed(0) };
        // What follows the length is padding (RFC 2865 §3).
        let end = usize::from(length).min(bytes.len());
        let Some(attributes) = bytes.get(20..end) else { return Step::Malformed(2) };
        self.packets += 1;
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        out.push(CODES, name);
        let mut signed = false;
        let mut c = Cursor::new(attributes);
        while !c.is_empty() {
            let at = 20 + c.position();
            let (Some(kind), Some(len)) = (c.u8(), c.u8()) else { return Step::Malformed(at) };
            let Some(value) = usize::from(len).checked_sub(2).and_then(|n| c.take(n)) else {
                return Step::Malformed(at);
            };
            signed |= kind == 80;
            attribute(code, kind, value, out);
        }
        if matches!(code, 1 | 2 | 3 | 11) {
            out.set(MESSAGE_AUTHENTICATOR, signed);
            if !signed {
                out.risk(&UNSIGNED, || format!("radius.message_authenticator=false radius.codes={name}"));
            }
        }
        if self.packets >= PACKETS_MAX { Step::Finished } else { Step::Consumed(bytes.len()) }
    }
}

fn attribute(code: u8, kind: u8, value: &[u8], out: &mut Sink<'_>) {
    let number = || <[u8; 4]>::try_from(value).ok().map(u32::from_be_bytes);
    match kind {
        1 => out.set_text(USER_NAME, value),
        2 => out.set(AUTH, "pap"),
        3 => out.set(AUTH, "chap"),
        4 | 8 => {
            if let Some(n) = number() {
                out.set(if kind == 4 { NAS_IP } else { FRAMED_IP }, Ipv4Addr::from(n));
            }
        }
        95 => {
            if let Ok(ip) = <[u8; 16]>::try_from(value) {
                out.set(NAS_IP, Ipv6Addr::from(ip));
            }
        }
        5 => set_number(NAS_PORT, number(), out),
        6 => set_number(SERVICE_TYPE, number(), out),
        49 => set_number(ACCT_TERMINATE, number(), out),
        18 => out.set_text(REPLY_MESSAGE, value),
        26 => {
            let Some((vendor, rest)) = value.split_first_chunk::<4>() else { return };
            let vendor = u32::from_be_bytes(*vendor);
            out.push(VENDORS, vendor);
            // Microsoft's MS-CHAP-Response and MS-CHAP2-Response (RFC 2548).
            if vendor == 311 && matches!(rest.first(), Some(1 | 25)) {
                out.set(AUTH, "mschap");
            }
        }
        30 => out.set_text(CALLED_STATION, value),
        31 => out.set_text(CALLING_STATION, value),
        32 => out.set_text(NAS_IDENTIFIER, value),
        40 => {
            let status = match number() {
                Some(1) => "start",
                Some(2) => "stop",
                Some(3) => "interim-update",
                Some(7) => "accounting-on",
                Some(8) => "accounting-off",
                _ => "other",
            };
            out.push(ACCT_STATUS, status);
        }
        44 => out.set_text(ACCT_SESSION, value),
        61 => out.set(NAS_PORT_TYPE, port_type(number())),
        79 => {
            out.set(AUTH, "eap");
            // EAP response (2), identifier, length, type identity (1).
            if code == 1
                && let [2, _, _, _, 1, identity @ ..] = value
            {
                out.set(EAP_IDENTITY, Value::text(identity));
            }
        }
        _ => {}
    }
}

fn set_number(field: crate::FieldRef, n: Option<u32>, out: &mut Sink<'_>) {
    if let Some(n) = n {
        out.set(field, n);
    }
}

/// RFC 2865 §5.41 and IANA.
fn port_type(n: Option<u32>) -> &'static str {
    match n {
        Some(0) => "async",
        Some(1) => "sync",
        Some(2) => "isdn",
        Some(5) => "virtual",
        Some(15) => "ethernet",
        Some(16) => "xdsl",
        Some(17) => "cable",
        Some(18) => "wireless-other",
        Some(19) => "wireless-802.11",
        Some(32) => "pppoa",
        Some(33) => "pppoeoa",
        Some(34) => "pppoe-vlan",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    fn packet(code: u8, attributes: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![code, 7, 0, 0];
        bytes.extend([0x5a; 16]);
        for (kind, value) in attributes {
            bytes.extend([*kind, value.len() as u8 + 2]);
            bytes.extend_from_slice(value);
        }
        let length = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    }

    fn request() -> Vec<u8> {
        packet(
            1,
            &[
                (1, b"alice"),
                (2, &[9; 16]),
                (4, &[192, 0, 2, 5]),
                (30, b"00-10-A4-23-19-C0:office"),
                (31, b"02-00-00-00-00-01"),
                (61, &[0, 0, 0, 19]),
            ],
        )
    }

    #[test]
    fn a_login() {
        let accept = packet(2, &[(8, &[198, 51, 100, 7]), (80, &[1; 16])]);
        let seen = Flow::udp(1812).client(&request()).server(&accept).run();
        assert_eq!(seen.protocol, ProtocolId::Radius);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(CODES), "access-request,access-accept");
        assert_eq!(seen.show(USER_NAME), "alice");
        assert_eq!(seen.show(AUTH), "pap");
        assert_eq!(seen.show(NAS_IP), "192.0.2.5");
        assert_eq!(seen.show(NAS_PORT_TYPE), "wireless-802.11");
        assert_eq!(seen.show(CALLED_STATION), "00-10-A4-23-19-C0:office");
        assert_eq!(seen.show(FRAMED_IP), "198.51.100.7");
        assert_eq!(seen.risks(), ["radius-unsigned"]);
    }

    #[test]
    fn eap_and_accounting() {
        let eap = packet(1, &[(79, &[2, 1, 0, 8, 1, b'b', b'o', b'b']), (80, &[1; 16])]);
        let seen = Flow::udp(1812).client(&eap).run();
        assert_eq!((seen.show(AUTH), seen.show(EAP_IDENTITY)), ("eap".into(), "bob".into()));
        assert!(seen.risks().is_empty());
        let stop =
            packet(4, &[(40, &[0, 0, 0, 2]), (44, b"0001"), (49, &[0, 0, 0, 1]), (26, &[0, 0, 0, 9, 1, 2])]);
        let seen = Flow::udp(40002).client(&stop).server(&packet(5, &[])).run();
        assert_eq!((seen.show(ACCT_STATUS), seen.show(ACCT_SESSION)), ("stop".into(), "0001".into()));
        assert_eq!(seen.show(VENDORS), "9");
    }

    #[test]
    fn an_answer_from_the_presumed_client_is_reversed() {
        let accept = packet(2, &[(80, &[1; 16])]);
        let probe = Probe { client_port: 1812, ..crate::testing::probe(crate::Transport::Udp, &accept) };
        assert_eq!(identify(&probe), Verdict::YesReversed);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown =
            |port, bytes: &[u8]| Flow::udp(port).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(!unknown(50000, &request()));
        assert!(unknown(1812, &request()[..40]), "the length does not fit");
        let mut attribute = request();
        attribute[21] = 1; // an attribute shorter than its own head
        assert!(unknown(50000, &attribute));
        assert_eq!(Flow::udp(1812).client(&attribute).run().risks(), ["malformed-packet"]);
        assert!(unknown(50000, &packet(3, &[])), "no attributes, no port: not enough to go by");
        assert!(unknown(1812, &packet(6, &[(1, b"x")])), "no such code");
    }
}
