//! Internet Control Message Protocol (RFC 792): echoes, errors and the packets they complain of, redirects, router
//! discovery (RFC 1256).
//!
//! It is what IP protocol 1 says it is; nothing is left to identify.

use std::net::Ipv4Addr;

use crate::cursor::Cursor;
use crate::network::echo::{Echo, quoted};
use crate::{Dir, Family, Parser, Pattern, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, risks};

fields! { ProtocolId::Icmp;
    TYPES: [Str] "types" "Message types, with their code after a slash where it means something";
    ECHO_BYTES: [Uint] "echo_bytes" "Sizes of the data in echo requests";
    QUOTED_PROTOCOL: Uint "quoted_protocol" "IP protocol of the first packet that an error quotes";
    QUOTED_SRC: Ip "quoted_src" "Its source";
    QUOTED_SRC_PORT: Uint "quoted_src_port" "Its source port";
    QUOTED_DST: Ip "quoted_dst" "Its destination";
    QUOTED_DST_PORT: Uint "quoted_dst_port" "Its destination port";
    MTU: Uint "mtu" "Largest packet that the next link takes (fragmentation needed)";
    GATEWAY: Ip "gateway" "Gateway that a redirect points to";
    ROUTERS: [Ip] "routers" "Addresses in router advertisements";
}

risks! {
    ICMP_TUNNEL: Medium Both "icmp-tunnel-like" "Echoes that carry a conversation: three or more replies whose data are not their request's, or requests of eight or more different sizes above 100 bytes. Searches for the largest packet have many sizes too.";
    ICMP_REDIRECT: Low Server "icmp-redirect" "A redirect tells a host to send its packets another way: who forges one can read them. Harmless from the network's own router.";
    ROUTER_ADVERTISEMENT: Low Server "icmp-router-advertisement" "An ICMP router advertisement (RFC 1256): hardly any network uses them, and who forges one becomes the default gateway.";
}

/// Internet Control Message Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "icmp",
    title: "Internet Control Message Protocol",
    family: Family::Network,
    source: "RFC 792, RFC 1256",
    patterns: &[Pattern::ip(1)],
    identify: |_| Verdict::Yes,
    parser: Some(|| Box::new(Icmp::default())),
    fields: FIELDS,
    risks: RISKS,
    ..Protocol::BASE
};

/// Type and code as the field has them.
fn type_name(kind: u8, code: u8) -> Value {
    let unreachable = || {
        [
            "net-unreachable",
            "host-unreachable",
            "protocol-unreachable",
            "port-unreachable",
            "fragmentation-needed",
            "source-route-failed",
            "net-unknown",
            "host-unknown",
            "source-host-isolated",
            "net-prohibited",
            "host-prohibited",
            "net-tos",
            "host-tos",
            "communication-prohibited",
            "host-precedence",
            "precedence-cutoff",
        ]
        .get(usize::from(code))
        .copied()
    };
    let (name, code_name) = match kind {
        0 => ("echo-reply", None),
        3 => ("destination-unreachable", unreachable()),
        4 => ("source-quench", None),
        5 => ("redirect", ["net", "host", "tos-net", "tos-host"].get(usize::from(code)).copied()),
        8 => ("echo-request", None),
        9 => ("router-advertisement", None),
        10 => ("router-solicitation", None),
        11 => ("time-exceeded", ["ttl", "reassembly"].get(usize::from(code)).copied()),
        12 => ("parameter-problem", None),
        13 => ("timestamp-request", None),
        14 => ("timestamp-reply", None),
        15 => ("information-request", None),
        16 => ("information-reply", None),
        17 => ("address-mask-request", None),
        18 => ("address-mask-reply", None),
        30 => ("traceroute", None),
        40 => ("photuris", None),
        42 => ("extended-echo-request", None),
        43 => ("extended-echo-reply", None),
        _ => return Value::from(kind.to_string()),
    };
    match code_name {
        Some(code) => Value::from(format!("{name}/{code}")),
        None => Value::from(name),
    }
}

#[derive(Default)]
struct Icmp {
    echo: Echo,
    asked: [bool; 2],
    /// The last type and code: flows of one type alone need no list built again and again.
    last: Option<(u8, u8)>,
}

impl Parser for Icmp {
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
            8 | 13 | 15 | 17 | 42 => self.asked[dir.index()] = true,
            0 | 14 | 16 | 18 | 43 if self.asked[dir.other().index()] => out.confirm(),
            _ => {}
        }
        let body = c.rest();
        match kind {
            8 => {
                if body.len() >= 4 {
                    out.push(ECHO_BYTES, body.len() - 4);
                }
                if let Some(evidence) = self.echo.request(body) {
                    out.risk(&ICMP_TUNNEL, || format!("icmp.{evidence}"));
                }
            }
            0 => {
                if let Some(evidence) = self.echo.reply(body) {
                    out.risk(&ICMP_TUNNEL, || format!("icmp.{evidence}"));
                }
            }
            3 | 4 | 5 | 11 | 12 => error(kind, code, body, out),
            9 => {
                out.risk(&ROUTER_ADVERTISEMENT, || "icmp.types=router-advertisement".into());
                if routers(body, out).is_none() {
                    return Step::Malformed(4);
                }
            }
            _ => {}
        }
        Step::Consumed(bytes.len())
    }
}

fn error(kind: u8, code: u8, body: &[u8], out: &mut Sink<'_>) {
    let Some((&[a, b, high, low], packet)) = body.split_first_chunk::<4>() else { return };
    if (kind, code) == (3, 4) {
        out.set(MTU, u16::from_be_bytes([high, low]));
    }
    if kind == 5 {
        let gateway = Ipv4Addr::from([a, b, high, low]);
        out.set(GATEWAY, gateway);
        out.risk(&ICMP_REDIRECT, || format!("icmp.gateway={gateway}"));
    }
    if out.found.value(QUOTED_PROTOCOL).is_some() {
        return;
    }
    if let Some(q) = quoted(packet) {
        out.set(QUOTED_PROTOCOL, q.protocol);
        out.set(QUOTED_SRC, q.ends[0]);
        out.set(QUOTED_DST, q.ends[1]);
        if let Some([src, dst]) = q.ports {
            out.set(QUOTED_SRC_PORT, src);
            out.set(QUOTED_DST_PORT, dst);
        }
    }
}

/// Count, words per entry, lifetime; then per entry an address and a preference.
fn routers(body: &[u8], out: &mut Sink<'_>) -> Option<()> {
    let mut c = Cursor::new(body);
    let (count, words) = (c.u8()?, usize::from(c.u8()?));
    c.skip(2)?;
    for _ in 0..count {
        let entry = c.take(words * 4)?;
        out.push(ROUTERS, Ipv4Addr::from(*entry.first_chunk::<4>()?));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn echo(kind: u8, sequence: u8, data: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0, 0, 0, 7, 0, sequence], data].concat()
    }

    #[test]
    fn a_ping() {
        let (ask, tell) = (echo(8, 1, &[5; 56]), echo(0, 1, &[5; 56]));
        let seen = Flow::ip(1).client(&ask).server(&tell).run();
        assert_eq!(seen.protocol, ProtocolId::Icmp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(TYPES), "echo-request,echo-reply");
        assert_eq!(seen.show(ECHO_BYTES), "56");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn errors_name_what_they_are_about() {
        let error =
            hex("03 03 0000 00000000 45000054 00004000 4011 0000 c0000201 c6336401 9c40 0035 0040 0000");
        let seen = Flow::ip(1).client(&error).run();
        assert_eq!(seen.show(TYPES), "destination-unreachable/port-unreachable");
        assert_eq!((seen.show(QUOTED_SRC), seen.show(QUOTED_SRC_PORT)), ("192.0.2.1".into(), "40000".into()));
        assert_eq!((seen.show(QUOTED_DST), seen.show(QUOTED_DST_PORT)), ("198.51.100.1".into(), "53".into()));
        let mtu = hex("03 04 0000 0000 0578 45000054 00004000 4006 0000 c0000201 c6336401");
        assert_eq!(Flow::ip(1).client(&mtu).run().show(MTU), "1400");
    }

    #[test]
    fn redirects_and_router_advertisements_are_risks() {
        let redirect = hex("05 01 0000 c0000263 45000054 00004000 4006 0000 c0000201 c6336401 9c40 0050");
        let seen = Flow::ip(1).client(&redirect).run();
        assert_eq!((seen.risks(), seen.show(GATEWAY)), (vec!["icmp-redirect"], "192.0.2.99".into()));
        let routers = hex("09 00 0000 01 02 0708 c0000201 00000000");
        let seen = Flow::ip(1).client(&routers).run();
        assert_eq!(
            (seen.risks(), seen.show(ROUTERS)),
            (vec!["icmp-router-advertisement"], "192.0.2.1".into())
        );
    }

    #[test]
    fn a_conversation_in_echoes_is_a_risk() {
        let packets: Vec<_> = (0..3).map(|n| (echo(8, n, b"how are you"), echo(0, n, b"fine"))).collect();
        let flow = packets.iter().fold(Flow::ip(1), |flow, (ask, tell)| flow.client(ask).server(tell));
        let seen = flow.run();
        assert_eq!(seen.risks(), ["icmp-tunnel-like"]);
        assert_eq!(&*seen.found.risks[0].evidence, "icmp.echo_replies_unlike_requests=3");
    }

    #[test]
    fn short_packets_do_no_harm() {
        for n in 1..8 {
            assert_eq!(Flow::ip(1).client(&echo(8, 1, &[])[..n]).run().protocol, ProtocolId::Icmp);
        }
        assert_eq!(Flow::ip(1).client(&hex("09 00 0000 05 02 0708 c0000201")).run().risks().len(), 2);
    }
}
