//! DHCP for IPv6 (RFC 8415): who asks for addresses, under which name, and what it is given.
//!
//! A message is a type, a transaction and options (a relay's: a type, hops, two addresses, and options with the message
//! inside). It has no magic number, so it is only claimed on its ports, and if every option fits to the byte.

use std::net::Ipv6Addr;

use crate::cursor::Cursor;
use crate::network::icmpv6::domain;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, masked,
    udp,
};

fields! { ProtocolId::Dhcpv6;
    MESSAGES: [Str] "messages" "Message types: solicit, advertise, request, renew, reply, information-request …";
    CLIENT_DUID: Bytes "client_duid" "The client's unique identifier (option 1)";
    SERVER_DUID: Bytes "server_duid" "The server's unique identifier (option 2)";
    MAC: Str "mac" "Link-layer address in the client's identifier";
    FQDN: Str "fqdn" "Name that the client gives, or is given (option 39)";
    VENDOR_CLASS: Str "vendor_class" "Vendor class (option 16)";
    ENTERPRISE: Uint "enterprise" "IANA enterprise number of the vendor class";
    PARAMETERS: Str "parameters" "Options that the client asks for, in its order, with commas between: a fingerprint of its system (option 6)";
    ADDRESSES: [Ip] "addresses" "Addresses asked for or given (option 5)";
    PREFIXES: [Str] "prefixes" "Prefixes asked for or delegated (option 26)";
    DNS_SERVERS: [Ip] "dns_servers" "DNS servers (option 23)";
    DNS_SEARCH: [Str] "dns_search" "DNS search domains (option 24)";
    RELAY: Ip "relay" "Link address of the first relay agent";
    STATUS: Str "status" "The first status that is not success (option 13)";
}

/// DHCP for IPv6.
pub const PROTOCOL: Protocol = Protocol {
    name: "dhcpv6",
    title: "Dynamic Host Configuration Protocol for IPv6",
    family: Family::Network,
    source: "RFC 8415",
    ports: &[udp(546), udp(547)],
    well_known: true,
    patterns: &[
        // Types 1 to 31; a relay's message (12 and 13) has its hops in the second byte.
        Pattern::udp().min(8).tests(&[masked(0, 0xe0, 0), masked(4, 0xff, 0)]),
        Pattern::udp().min(38).tests(&[masked(0, 0xfe, 12), masked(1, 0xc0, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Dhcpv6::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// Messages and options may lie within each other this deep.
const DEPTH_MAX: u32 = 8;

fn message_name(kind: u8) -> Option<(&'static str, Dir)> {
    Some(match kind {
        1 => ("solicit", Dir::Client),
        2 => ("advertise", Dir::Server),
        3 => ("request", Dir::Client),
        4 => ("confirm", Dir::Client),
        5 => ("renew", Dir::Client),
        6 => ("rebind", Dir::Client),
        7 => ("reply", Dir::Server),
        8 => ("release", Dir::Client),
        9 => ("decline", Dir::Client),
        10 => ("reconfigure", Dir::Server),
        11 => ("information-request", Dir::Client),
        12 => ("relay-forward", Dir::Client),
        13 => ("relay-reply", Dir::Server),
        14 => ("leasequery", Dir::Client),
        15 => ("leasequery-reply", Dir::Server),
        20 => ("dhcpv4-query", Dir::Client),
        21 => ("dhcpv4-response", Dir::Server),
        _ => return None,
    })
}

/// The head before the options.
fn head_len(kind: u8) -> usize {
    if matches!(kind, 12 | 13) { 34 } else { 4 }
}

/// Do the options fill `bytes`, and are there some?
fn options_fit(bytes: &[u8]) -> bool {
    let mut c = Cursor::new(bytes);
    while !c.is_empty() {
        // Codes are assigned up to 150 or so.
        match (c.u16(), c.vec16()) {
            (Some(1..=512), Some(_)) => {}
            _ => return false,
        }
    }
    !bytes.is_empty()
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some((_, sender)) = p.payload.first().and_then(|kind| message_name(*kind)) else {
        return Verdict::No;
    };
    let at_home = p.port(546) || p.port(547);
    if !at_home || !p.payload.get(head_len(p.payload[0])..).is_some_and(options_fit) {
        return Verdict::No;
    }
    if sender == p.dir { Verdict::Yes } else { Verdict::YesReversed }
}

#[derive(Default)]
struct Dhcpv6 {
    seen: [bool; 2],
}

impl Parser for Dhcpv6 {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen[dir.index()] = true;
        if self.seen == [true, true] {
            out.confirm();
        }
        match message(bytes, 0, out) {
            Some(()) => Step::Consumed(bytes.len()),
            None => Step::Malformed(0),
        }
    }
}

fn message(bytes: &[u8], depth: u32, out: &mut Sink<'_>) -> Option<()> {
    let kind = *bytes.first()?;
    let (name, _) = message_name(kind)?;
    out.push(MESSAGES, name);
    if matches!(kind, 12 | 13) {
        let link = Ipv6Addr::from(*bytes.get(2..)?.first_chunk::<16>()?);
        out.set(RELAY, link);
    }
    options(bytes.get(head_len(kind)..)?, depth, out)
}

fn options(bytes: &[u8], depth: u32, out: &mut Sink<'_>) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut c = Cursor::new(bytes);
    while !c.is_empty() {
        let (code, value) = (c.u16()?, c.vec16()?);
        let mut v = Cursor::new(value);
        match code {
            1 => {
                out.set(CLIENT_DUID, value);
                link_address(value, out);
            }
            2 => out.set(SERVER_DUID, value),
            // Identity associations: for addresses, for temporary ones, for prefixes.
            3 => options(value.get(12..)?, depth + 1, out)?,
            4 => options(value.get(4..)?, depth + 1, out)?,
            25 => options(value.get(12..)?, depth + 1, out)?,
            5 => {
                out.push(ADDRESSES, Ipv6Addr::from(v.array()?));
                v.skip(8)?;
                options(v.rest(), depth + 1, out)?;
            }
            26 => {
                v.skip(8)?;
                let len = v.u8()?;
                out.push(PREFIXES, Value::from(format!("{}/{len}", Ipv6Addr::from(v.array()?))));
                options(v.rest(), depth + 1, out)?;
            }
            6 if out.wants(PARAMETERS) => {
                let text: Vec<_> =
                    value.chunks_exact(2).map(|n| u16::from_be_bytes([n[0], n[1]]).to_string()).collect();
                out.set(PARAMETERS, text.join(","));
            }
            // A relayed message.
            9 => message(value, depth + 1, out)?,
            13 => {
                let status = v.u16()?;
                if status != 0 {
                    out.set(STATUS, status_name(status));
                }
            }
            16 => {
                out.set(ENTERPRISE, v.u32()?);
                if let Some(class) = v.vec16() {
                    out.set_text(VENDOR_CLASS, class);
                }
            }
            23 => {
                while let Some(address) = v.array::<16>() {
                    out.push(DNS_SERVERS, Ipv6Addr::from(address));
                }
            }
            24 => {
                while let Some(name) = domain(&mut v) {
                    out.push(DNS_SEARCH, Value::from(name));
                }
            }
            39 => {
                v.skip(1)?;
                // A name that is not full has no final zero.
                let open = [v.rest(), &[0]].concat();
                if let Some(name) = domain(&mut Cursor::new(&open)) {
                    out.hostname(name.as_bytes());
                    out.set(FQDN, name);
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// The link-layer address in a DUID of type 1 (with a time) or 3, of Ethernet hardware.
fn link_address(duid: &[u8], out: &mut Sink<'_>) {
    let mac = match duid {
        [0, 1, 0, 1, _, _, _, _, mac @ ..] | [0, 3, 0, 1, mac @ ..] if mac.len() == 6 => mac,
        _ => return,
    };
    let text: Vec<_> = mac.iter().map(|b| format!("{b:02x}")).collect();
    out.set(MAC, text.join(":"));
}

fn status_name(status: u16) -> &'static str {
    match status {
        1 => "unspec-fail",
        2 => "no-addrs-avail",
        3 => "no-binding",
        4 => "not-on-link",
        5 => "use-multicast",
        6 => "no-prefix-avail",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    fn solicit() -> Vec<u8> {
        [
            hex("01 6633dc"),
            option(8, &[0, 0]),
            option(1, &hex("0001 0001 1774d607 020000000001")),
            option(39, b"\0\x09Endian-PC"),
            option(16, &[&hex("00000137 0008")[..], b"MSFT 5.0"].concat()),
            option(6, &hex("0018 0017 0011 0027")),
        ]
        .concat()
    }

    fn advertise() -> Vec<u8> {
        let address = [hex("20010db8 00000000 00000000 00000007"), vec![0; 8]].concat();
        let prefix = [vec![0; 8], vec![56], hex("20010db8 00001100 00000000 00000000")].concat();
        [
            hex("02 6633dc"),
            option(2, &hex("0003 0001 020000000002")),
            option(3, &[vec![0; 12], option(5, &address)].concat()),
            option(25, &[vec![0; 12], option(26, &prefix)].concat()),
            option(24, b"\x03lan\x07example\0"),
            option(13, &[0, 2]),
        ]
        .concat()
    }

    #[test]
    fn a_question_and_an_answer() {
        let seen = Flow::udp(547).client_port(546).client(&solicit()).server(&advertise()).run();
        assert_eq!(seen.protocol, ProtocolId::Dhcpv6);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(MESSAGES), "solicit,advertise");
        assert_eq!((seen.show(FQDN), seen.show(MAC)), ("Endian-PC".into(), "02:00:00:00:00:01".into()));
        assert_eq!((seen.show(VENDOR_CLASS), seen.show(ENTERPRISE)), ("MSFT 5.0".into(), "311".into()));
        assert_eq!(seen.show(PARAMETERS), "24,23,17,39");
        assert_eq!(seen.show(ADDRESSES), "2001:db8::7");
        assert_eq!(seen.show(PREFIXES), "2001:db8:0:1100::/56");
        assert_eq!(
            (seen.show(DNS_SEARCH), seen.show(STATUS)),
            ("lan.example".into(), "no-addrs-avail".into())
        );
    }

    #[test]
    fn a_relayed_message() {
        let mut relay = hex("0c 00 20010db8 00000000 00000000 00000001 fe800000 00000000 00000000 00000002");
        relay.extend(option(9, &solicit()));
        let seen = Flow::udp(547).client_port(547).client(&relay).run();
        assert_eq!(
            (seen.show(MESSAGES), seen.show(RELAY)),
            ("relay-forward,solicit".into(), "2001:db8::1".into())
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let mut m = solicit();
        for _ in 0..20 {
            m = [vec![12, 0], vec![0; 32], option(9, &m)].concat();
        }
        assert_eq!(Flow::udp(547).client(&m).run().risks(), ["malformed-packet"]);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let label = |port, bytes: &[u8]| Flow::udp(port).client(bytes).run().protocol;
        assert_eq!(label(5000, &solicit()), ProtocolId::Unknown, "another port");
        assert_eq!(label(547, &solicit()[..20]), ProtocolId::Unknown, "an option that does not fit");
        assert_eq!(label(547, &hex("01 6633dc")), ProtocolId::Unknown, "no option at all");
    }
}
