//! Dynamic Host Configuration Protocol (RFC 2131, RFC 2132), and BOOTP below it: who asks for an address, under which
//! name, and what it is given.
//!
//! A message is 236 bytes of BOOTP, a magic number and options. The magic number with a consistent head is enough to
//! know it by, on any port.

use std::net::Ipv4Addr;

use crate::cursor::Cursor;
use crate::{
    Dir, Family, FieldRef, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, byte,
    fields, masked, udp,
};

fields! { ProtocolId::Dhcp;
    MESSAGES: [Str] "messages" "Message types: discover, offer, request, decline, ack, nak, release, inform …, or bootp";
    MAC: Str "mac" "Hardware address of the client";
    HOST_NAME: Str "host_name" "Host name that the client gives, or is given (option 12)";
    FQDN: Str "fqdn" "Full name that the client gives (option 81)";
    VENDOR_CLASS: Str "vendor_class" "Vendor class identifier (option 60)";
    USER_CLASS: Str "user_class" "User class (option 77)";
    CLIENT_ID: Bytes "client_id" "Client identifier (option 61)";
    PARAMETERS: Str "parameters" "Options that the client asks for, in its order, with commas between: a fingerprint of its system (option 55)";
    REQUESTED_IP: Ip "requested_ip" "Address that the client asks for (option 50)";
    ASSIGNED_IP: Ip "assigned_ip" "Address that the server gives";
    SERVER_ID: Ip "server_id" "Address of the server (option 54)";
    RELAY: Ip "relay" "Address of the relay agent";
    SUBNET_MASK: Ip "subnet_mask" "Subnet mask (option 1)";
    ROUTERS: [Ip] "routers" "Routers (option 3)";
    DNS_SERVERS: [Ip] "dns_servers" "DNS servers (option 6)";
    DOMAIN: Str "domain" "Domain (option 15)";
    LEASE_S: Uint "lease_s" "For how long the address is lent, in seconds (option 51)";
    MESSAGE: Str "message" "Text of a refusal (option 56)";
    BOOT_SERVER: Str "boot_server" "Server to boot from (option 66 or header)";
    BOOT_FILE: Str "boot_file" "File to boot (option 67 or header)";
    WPAD: Str "wpad" "Address of the proxy configuration (option 252)";
}

/// Dynamic Host Configuration Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    title: "Dynamic Host Configuration Protocol",
    family: Family::Network,
    source: "RFC 2131, RFC 2132",
    ports: &[udp(67), udp(68)],
    well_known: true,
    patterns: &[
        // Request or reply; hardware type below 64; addresses of at most 16 bytes; few hops.
        Pattern::udp().min(240).tests(&[
            byte(0, 1),
            masked(1, 0xc0, 0),
            masked(2, 0xe0, 0),
            masked(3, 0xe0, 0),
        ]),
        Pattern::udp().min(240).tests(&[
            byte(0, 2),
            masked(1, 0xc0, 0),
            masked(2, 0xe0, 0),
            masked(3, 0xe0, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Dhcp)),
    fields: FIELDS,
    ..Protocol::BASE
};

const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// Where the server's name, the file's name and the magic number stand.
const SNAME: usize = 44;
const FILE: usize = 108;
const OPTIONS: usize = 240;

fn identify(p: &Probe<'_>) -> Verdict {
    let b = p.payload;
    if b.len() < OPTIONS || b[236..240] != MAGIC || !matches!(b[0], 1 | 2) || b[1] == 0 || b[2] > 16 {
        return Verdict::No;
    }
    let sender = if b[0] == 1 { Dir::Client } else { Dir::Server };
    if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed }
}

struct Dhcp;

impl Parser for Dhcp {
    fn datagram(&mut self, _: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        if bytes.len() < OPTIONS || bytes[236..240] != MAGIC {
            return Step::Malformed(0);
        }
        let reply = bytes[0] == 2;
        let len = usize::from(bytes[2]).min(16);
        if len > 0 {
            let text: Vec<_> = bytes[28..28 + len].iter().map(|b| format!("{b:02x}")).collect();
            out.set(MAC, text.join(":"));
        }
        let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        if reply && !address(16).is_unspecified() {
            out.replace(ASSIGNED_IP, address(16));
        }
        if !address(24).is_unspecified() {
            out.set(RELAY, address(24));
        }
        let mut overload = 0;
        let mut typed = false;
        let mut whole = options(&bytes[OPTIONS..], &mut overload, &mut typed, out);
        // The server's and the file's name may be used for more options (option 52).
        let texts = [(1, FILE, OPTIONS - 4, BOOT_FILE), (2, SNAME, FILE, BOOT_SERVER)];
        for (bit, start, end, field) in texts {
            if overload & bit != 0 {
                whole &= options(&bytes[start..end], &mut 0, &mut typed, out);
            } else if let Some(text) = Cursor::new(&bytes[start..end]).until(0).filter(|t| !t.is_empty()) {
                out.set_text(field, text);
            }
        }
        if !typed {
            out.push(MESSAGES, "bootp");
        }
        let asked = matches!(out.found.value(MESSAGES), Some(Value::List(list)) if list.iter().any(|v| is_question(v.as_str())));
        if reply && asked {
            out.confirm();
        }
        if whole { Step::Consumed(bytes.len()) } else { Step::Malformed(OPTIONS) }
    }
}

fn is_question(message: Option<&str>) -> bool {
    matches!(message, Some("discover" | "request" | "inform" | "decline"))
}

/// Reads options up to their end. False if one does not fit.
fn options(bytes: &[u8], overload: &mut u8, typed: &mut bool, out: &mut Sink<'_>) -> bool {
    let mut c = Cursor::new(bytes);
    while let Some(code) = c.u8() {
        match code {
            0 => continue,
            255 => return true,
            _ => {}
        }
        let Some(value) = c.vec8() else { return false };
        match (code, value) {
            (53, [kind]) => {
                *typed = true;
                out.push(MESSAGES, message_name(*kind));
            }
            (52, [which]) => *overload = *which,
            _ => option(code, value, out),
        }
    }
    // The end may be left out by old clients.
    true
}

fn option(code: u8, value: &[u8], out: &mut Sink<'_>) {
    let addresses = || value.chunks_exact(4).map(|a| Ipv4Addr::new(a[0], a[1], a[2], a[3]));
    match code {
        1 => set_ip(SUBNET_MASK, value, out),
        3 => addresses().for_each(|a| out.push(ROUTERS, a)),
        6 => addresses().for_each(|a| out.push(DNS_SERVERS, a)),
        12 => {
            let name = clean(value);
            out.set_text(HOST_NAME, name);
            out.hostname(name);
        }
        15 => out.set_text(DOMAIN, clean(value)),
        50 => set_ip(REQUESTED_IP, value, out),
        51 => {
            if let Ok(seconds) = value.try_into().map(u32::from_be_bytes) {
                out.set(LEASE_S, seconds);
            }
        }
        54 => set_ip(SERVER_ID, value, out),
        55 if out.wants(PARAMETERS) => {
            let text: Vec<_> = value.iter().map(u8::to_string).collect();
            out.set(PARAMETERS, text.join(","));
        }
        56 => out.set_text(MESSAGE, clean(value)),
        60 => out.set_text(VENDOR_CLASS, clean(value)),
        61 => out.set(CLIENT_ID, value),
        66 => out.set_text(BOOT_SERVER, clean(value)),
        67 => out.set_text(BOOT_FILE, clean(value)),
        77 => out.set_text(USER_CLASS, value),
        81 => fqdn(value, out),
        252 => out.set_text(WPAD, clean(value)),
        _ => {}
    }
}

/// Flags, two old result codes, and the name: as text, or as in DNS if the flag says so (RFC 4702).
fn fqdn(value: &[u8], out: &mut Sink<'_>) {
    let Some((&[flags, _, _], name)) = value.split_first_chunk::<3>() else { return };
    if flags & 4 != 0 {
        let mut c = Cursor::new(name);
        let mut text = super::icmpv6::domain(&mut c).unwrap_or_default();
        // A name that is not full has no final zero.
        if text.is_empty() {
            text = super::icmpv6::domain(&mut Cursor::new(&[name, &[0]].concat())).unwrap_or_default();
        }
        if !text.is_empty() {
            out.hostname(text.as_bytes());
            out.set(FQDN, text);
        }
    } else if !name.is_empty() {
        out.set_text(FQDN, clean(name));
        out.hostname(clean(name));
    }
}

/// Texts may end with zeros, which do not belong to them.
fn clean(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    &text[..end]
}

fn set_ip(field: FieldRef, value: &[u8], out: &mut Sink<'_>) {
    if let Ok(a) = <[u8; 4]>::try_from(value) {
        out.set(field, Ipv4Addr::from(a));
    }
}

fn message_name(kind: u8) -> &'static str {
    const NAMES: [&str; 19] = [
        "other",
        "discover",
        "offer",
        "request",
        "decline",
        "ack",
        "nak",
        "release",
        "inform",
        "force-renew",
        "lease-query",
        "lease-unassigned",
        "lease-unknown",
        "lease-active",
        "bulk-lease-query",
        "lease-query-done",
        "active-lease-query",
        "lease-query-status",
        "tls",
    ];
    NAMES.get(usize::from(kind)).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    fn message(op: u8, assigned: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut m = vec![op, 1, 6, 0, 1, 2, 3, 4];
        m.resize(16, 0);
        m.extend(assigned);
        m.resize(28, 0);
        m.extend([2, 0, 0, 0, 0, 1]);
        m.resize(236, 0);
        m.extend(MAGIC);
        for (code, value) in options {
            m.extend([*code, value.len() as u8]);
            m.extend_from_slice(value);
        }
        m.push(255);
        m
    }

    fn discover() -> Vec<u8> {
        message(
            1,
            [0; 4],
            &[
                (53, &[1]),
                (61, &[1, 2, 0, 0, 0, 0, 1]),
                (50, &[192, 0, 2, 77]),
                (12, b"Kevin-PC"),
                (60, b"MSFT 5.0"),
                (55, &[1, 3, 6, 15]),
            ],
        )
    }

    #[test]
    fn a_question_and_an_offer() {
        let offer = message(
            2,
            [192, 0, 2, 77],
            &[
                (53, &[2]),
                (54, &[192, 0, 2, 1]),
                (51, &[0, 0, 0x0e, 0x10]),
                (3, &[192, 0, 2, 1]),
                (6, &[192, 0, 2, 1, 192, 0, 2, 2]),
                (15, b"example.org\0"),
            ],
        );
        let seen = Flow::udp(67).client_port(68).client(&discover()).server(&offer).run();
        assert_eq!(seen.protocol, ProtocolId::Dhcp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(MESSAGES), "discover,offer");
        assert_eq!(seen.show(crate::common::HOSTNAME), "kevin-pc");
        assert_eq!(seen.show(MAC), "02:00:00:00:00:01");
        assert_eq!((seen.show(VENDOR_CLASS), seen.show(PARAMETERS)), ("MSFT 5.0".into(), "1,3,6,15".into()));
        assert_eq!(
            (seen.show(REQUESTED_IP), seen.show(ASSIGNED_IP)),
            ("192.0.2.77".into(), "192.0.2.77".into())
        );
        assert_eq!((seen.show(LEASE_S), seen.show(DOMAIN)), ("3600".into(), "example.org".into()));
        assert_eq!(seen.show(DNS_SERVERS), "192.0.2.1,192.0.2.2");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn an_offer_by_itself_comes_from_the_server() {
        let offer = message(2, [192, 0, 2, 77], &[(53, &[2])]);
        assert_eq!(identify(&crate::testing::probe(crate::Transport::Udp, &offer)), Verdict::YesReversed);
    }

    #[test]
    fn options_in_the_file_name_and_a_dns_name() {
        let mut m = message(
            1,
            [0; 4],
            &[(53, &[3]), (52, &[1]), (81, &[4, 0, 0, 3, b'b', b'o', b'x', 3, b'l', b'a', b'n', 0])],
        );
        m[FILE..FILE + 6].copy_from_slice(&[60, 3, b'a', b'b', b'c', 255]);
        let seen = Flow::udp(67).client(&m).run();
        assert_eq!((seen.show(VENDOR_CLASS), seen.show(FQDN)), ("abc".into(), "box.lan".into()));
        assert_eq!(seen.show(BOOT_FILE), "");
    }

    #[test]
    fn bootp_and_broken_options() {
        let seen = Flow::udp(67).client(&message(1, [0; 4], &[])).run();
        assert_eq!(seen.show(MESSAGES), "bootp");
        let mut broken = discover();
        broken.pop();
        broken.extend([12, 200, b'x']);
        assert_eq!(Flow::udp(67).client(&broken).run().risks(), ["malformed-packet"]);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let mut m = discover();
        m[236] = 0x64;
        assert_eq!(Flow::udp(67).client(&m).run().protocol, ProtocolId::Unknown);
    }
}
