//! ICMP for IPv6 (RFC 4443): echoes and errors as in ICMP, and what IPv6 does with it besides: neighbour and router
//! discovery (RFC 4861), and multicast listeners (RFC 2710, RFC 3810).
//!
//! It is what IP protocol 58 says it is; nothing is left to identify.

use std::net::Ipv6Addr;

use crate::cursor::Cursor;
use crate::network::echo::{Echo, quoted};
use crate::{Dir, Family, Parser, Pattern, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, risks};

fields! { ProtocolId::Icmpv6;
    TYPES: [Str] "types" "Message types, with their code after a slash where it means something";
    ECHO_BYTES: [Uint] "echo_bytes" "Sizes of the data in echo requests";
    QUOTED_PROTOCOL: Uint "quoted_protocol" "Next header of the first packet that an error quotes";
    QUOTED_SRC: Ip "quoted_src" "Its source";
    QUOTED_SRC_PORT: Uint "quoted_src_port" "Its source port";
    QUOTED_DST: Ip "quoted_dst" "Its destination";
    QUOTED_DST_PORT: Uint "quoted_dst_port" "Its destination port";
    MTU: Uint "mtu" "Largest packet that the next link takes, or that a router announces";
    TARGETS: [Ip] "targets" "Addresses that neighbours are asked for or announce";
    LINK_ADDRESSES: [Str] "link_addresses" "Link-layer addresses in neighbour and router discovery";
    GATEWAY: Ip "gateway" "Neighbour that a redirect points to";
    ROUTER_LIFETIME_S: Uint "router_lifetime_s" "For how long a router wants to be the default one, in seconds";
    ROUTER_FLAGS: Str "router_flags" "Of a router advertisement: managed, other, both or none (RFC 4861 §4.2)";
    PREFIXES: [Str] "prefixes" "Prefixes that routers announce";
    DNS_SERVERS: [Ip] "dns_servers" "DNS servers that routers announce (RFC 8106)";
    DNS_SEARCH: [Str] "dns_search" "DNS search domains that routers announce (RFC 8106)";
    GROUPS: [Ip] "groups" "Multicast groups that are asked for, joined or left";
}

risks! {
    ICMPV6_TUNNEL: Medium Both "icmpv6-tunnel-like" "As icmp-tunnel-like: three or more echo replies whose data are not their request's, or echo requests of eight or more different sizes above 100 bytes.";
    ICMPV6_REDIRECT: Low Server "icmpv6-redirect" "A redirect tells a host to send its packets another way: who forges one can read them. Harmless from the network's own router.";
}

/// ICMP for IPv6.
pub const PROTOCOL: Protocol = Protocol {
    name: "icmpv6",
    title: "Internet Control Message Protocol for IPv6",
    family: Family::Network,
    source: "RFC 4443, RFC 4861, RFC 8106, RFC 3810",
    patterns: &[Pattern::ip(58)],
    identify: |_| Verdict::Yes,
    parser: Some(|| Box::new(Icmpv6::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// Type and code as the field has them.
fn type_name(kind: u8, code: u8) -> Value {
    let unreachable = [
        "no-route",
        "prohibited",
        "beyond-scope",
        "address-unreachable",
        "port-unreachable",
        "policy",
        "reject-route",
    ];
    let problem = ["header", "next-header", "option"];
    let (name, codes): (_, &[&str]) = match kind {
        1 => ("destination-unreachable", &unreachable),
        2 => ("packet-too-big", &[]),
        3 => ("time-exceeded", &["hop-limit", "reassembly"]),
        4 => ("parameter-problem", &problem),
        128 => ("echo-request", &[]),
        129 => ("echo-reply", &[]),
        130 => ("mld-query", &[]),
        131 => ("mld-report", &[]),
        132 => ("mld-done", &[]),
        133 => ("router-solicitation", &[]),
        134 => ("router-advertisement", &[]),
        135 => ("neighbor-solicitation", &[]),
        136 => ("neighbor-advertisement", &[]),
        137 => ("redirect", &[]),
        138 => ("router-renumbering", &[]),
        139 => ("node-information-query", &[]),
        140 => ("node-information-response", &[]),
        143 => ("mldv2-report", &[]),
        151 => ("multicast-router-advertisement", &[]),
        152 => ("multicast-router-solicitation", &[]),
        153 => ("multicast-router-termination", &[]),
        155 => ("rpl-control", &[]),
        160 => ("extended-echo-request", &[]),
        161 => ("extended-echo-reply", &[]),
        _ => return Value::from(kind.to_string()),
    };
    match codes.get(usize::from(code)) {
        Some(code) => Value::from(format!("{name}/{code}")),
        None => Value::from(name),
    }
}

#[derive(Default)]
struct Icmpv6 {
    echo: Echo,
    asked: [bool; 2],
    last: Option<(u8, u8)>,
}

impl Parser for Icmpv6 {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let mut c = Cursor::new(bytes);
        let (Some(kind), Some(code)) = (c.u8(), c.u8()) else { return Step::Malformed(0) };
        if self.last.replace((kind, code)) != Some((kind, code)) {
            out.push(TYPES, type_name(kind, code));
        }
        if c.skip(2).is_none() {
            return Step::Malformed(bytes.len());
        }
        match kind {
            128 | 133 | 135 | 139 | 160 => self.asked[dir.index()] = true,
            129 | 134 | 136 | 140 | 161 if self.asked[dir.other().index()] => out.confirm(),
            _ => {}
        }
        let read = match kind {
            1..=4 => error(kind, c.rest(), out),
            128 | 129 => {
                self.echo(kind, c.rest(), out);
                Some(())
            }
            130..=132 => listener(c, out),
            133 => c.skip(4).and_then(|()| options(c, out)),
            134 => router(c, out),
            135 | 136 => neighbor(c, out),
            137 => redirect(c, out),
            143 => reports(c, out),
            _ => Some(()),
        };
        if read.is_none() { Step::Malformed(4) } else { Step::Consumed(bytes.len()) }
    }
}

impl Icmpv6 {
    fn echo(&mut self, kind: u8, body: &[u8], out: &mut Sink<'_>) {
        let evidence = if kind == 128 {
            if body.len() >= 4 {
                out.push(ECHO_BYTES, body.len() - 4);
            }
            self.echo.request(body)
        } else {
            self.echo.reply(body)
        };
        if let Some(evidence) = evidence {
            out.risk(&ICMPV6_TUNNEL, || format!("icmpv6.{evidence}"));
        }
    }
}

fn error(kind: u8, body: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let (number, packet) = body.split_first_chunk::<4>()?;
    if kind == 2 {
        out.set(MTU, u32::from_be_bytes(*number));
    }
    if let Some(q) = quoted(packet).filter(|_| out.found.value(QUOTED_PROTOCOL).is_none()) {
        out.set(QUOTED_PROTOCOL, q.protocol);
        out.set(QUOTED_SRC, q.ends[0]);
        out.set(QUOTED_DST, q.ends[1]);
        if let Some([src, dst]) = q.ports {
            out.set(QUOTED_SRC_PORT, src);
            out.set(QUOTED_DST_PORT, dst);
        }
    }
    Some(())
}

/// MLD version 1, and the start of a version 2 query.
fn listener(mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    c.skip(4)?;
    let group = Ipv6Addr::from(c.array()?);
    // The general query asks for all.
    if !group.is_unspecified() {
        out.push(GROUPS, group);
    }
    Some(())
}

/// MLD version 2: records of a type, auxiliary words, sources, and a group.
fn reports(mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    c.skip(2)?;
    for _ in 0..c.u16()? {
        c.skip(1)?;
        let (words, sources) = (usize::from(c.u8()?), usize::from(c.u16()?));
        out.push(GROUPS, Ipv6Addr::from(c.array()?));
        c.skip(words * 4 + sources * 16)?;
    }
    Some(())
}

fn neighbor(mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    c.skip(4)?;
    out.push(TARGETS, Ipv6Addr::from(c.array()?));
    options(c, out)
}

fn redirect(mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    c.skip(4)?;
    let gateway = Ipv6Addr::from(c.array()?);
    out.set(GATEWAY, gateway);
    out.push(TARGETS, Ipv6Addr::from(c.array()?));
    out.risk(&ICMPV6_REDIRECT, || format!("icmpv6.gateway={gateway}"));
    options(c, out)
}

fn router(mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    c.skip(1)?;
    let flags = c.u8()?;
    out.set(ROUTER_FLAGS, ["none", "other", "managed", "both"][usize::from(flags >> 6)]);
    out.set(ROUTER_LIFETIME_S, c.u16()?);
    c.skip(8)?;
    options(c, out)
}

/// Options of neighbour discovery: type, length in units of eight bytes, value.
fn options(mut c: Cursor<'_>, out: &mut Sink<'_>) -> Option<()> {
    while !c.is_empty() {
        let (kind, units) = (c.u8()?, usize::from(c.u8()?));
        let mut o = Cursor::new(c.take((units * 8).checked_sub(2)?)?);
        match kind {
            // Source and target link-layer address.
            1 | 2 => {
                let text: Vec<_> = o.rest().iter().take(8).map(|b| format!("{b:02x}")).collect();
                out.push(LINK_ADDRESSES, Value::from(text.join(":")));
            }
            3 => {
                let len = o.u8()?;
                o.skip(13)?;
                out.push(PREFIXES, Value::from(format!("{}/{len}", Ipv6Addr::from(o.array()?))));
            }
            5 => {
                o.skip(2)?;
                out.set(MTU, o.u32()?);
            }
            25 => {
                o.skip(6)?;
                while let Some(address) = o.array::<16>() {
                    out.push(DNS_SERVERS, Ipv6Addr::from(address));
                }
            }
            31 => {
                o.skip(6)?;
                while let Some(name) = domain(&mut o) {
                    out.push(DNS_SEARCH, Value::from(name));
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// A name in DNS' form without compression. `None` at the end or at padding.
pub(super) fn domain(c: &mut Cursor<'_>) -> Option<String> {
    let mut name = String::new();
    loop {
        let len = c.u8()?;
        if len == 0 {
            return (!name.is_empty()).then_some(name);
        }
        if len > 63 || name.len() > 255 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(c.take(len.into())?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    const TARGET: &str = "20010db8 00000000 00000000 00000007";

    #[test]
    fn neighbours() {
        let ask = hex(&format!("87 00 0000 00000000 {TARGET} 01 01 020000000001"));
        let tell = hex(&format!("88 00 0000 60000000 {TARGET} 02 01 020000000002"));
        let seen = Flow::ip(58).client(&ask).server(&tell).run();
        assert_eq!(seen.protocol, ProtocolId::Icmpv6);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(TYPES), "neighbor-solicitation,neighbor-advertisement");
        assert_eq!(seen.show(TARGETS), "2001:db8::7");
        assert_eq!(seen.show(LINK_ADDRESSES), "02:00:00:00:00:01,02:00:00:00:00:02");
    }

    #[test]
    fn a_router() {
        let mut ra = hex("86 00 0000 40 c0 0708 00000000 00000000 05 01 0000 000005dc");
        ra.extend(hex("03 04 40 c0 00278d00 00093a80 00000000 20010db8 00000000 00000000 00000000"));
        ra.extend(hex(&format!("19 03 0000 00000e10 {TARGET}")));
        ra.extend(hex("1f 03 0000 00000e10 03 6c616e 07 6578616d706c65 00 00 00 00"));
        let seen = Flow::ip(58).client(&ra).run();
        assert_eq!((seen.show(ROUTER_FLAGS), seen.show(ROUTER_LIFETIME_S)), ("both".into(), "1800".into()));
        assert_eq!((seen.show(PREFIXES), seen.show(MTU)), ("2001:db8::/64".into(), "1500".into()));
        assert_eq!(
            (seen.show(DNS_SERVERS), seen.show(DNS_SEARCH)),
            ("2001:db8::7".into(), "lan.example".into())
        );
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn multicast_listeners() {
        let v2 = hex("8f 00 0000 0000 0001 04 00 0000 ff020000 00000000 00000001 ff0000fb");
        assert_eq!(Flow::ip(58).client(&v2).run().show(GROUPS), "ff02::1:ff00:fb");
        let v1 = hex("83 00 0000 00000000 ff020000 00000000 00000000 000000fb");
        assert_eq!(Flow::ip(58).client(&v1).run().show(GROUPS), "ff02::fb");
    }

    #[test]
    fn errors_and_redirects() {
        let big = hex(&format!("02 00 0000 00000500 60000000 0008 11 40 {TARGET} {TARGET} 9c40 01bb"));
        let seen = Flow::ip(58).client(&big).run();
        assert_eq!((seen.show(MTU), seen.show(QUOTED_DST_PORT)), ("1280".into(), "443".into()));
        let redirect = hex(&format!("89 00 0000 00000000 fe80000000000000 0000000000000001 {TARGET}"));
        let seen = Flow::ip(58).client(&redirect).run();
        assert_eq!((seen.risks(), seen.show(GATEWAY)), (vec!["icmpv6-redirect"], "fe80::1".into()));
    }

    #[test]
    fn an_option_without_length_is_malformed() {
        let bytes = hex(&format!("87 00 0000 00000000 {TARGET} 01 00 020000000001"));
        assert_eq!(Flow::ip(58).client(&bytes).run().risks(), ["malformed-packet"]);
    }
}
