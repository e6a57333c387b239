//! Risks that no single protocol sees: they need the whole flow. Protocols declare their own.

use std::net::IpAddr;

use daylight_packet::Issues;
use daylight_protocols::{Confidence, ProtocolId, Risk, RiskFound, Transport, risk, risks};

use crate::record::FlowRecord;
use crate::{indicators, ports};

risks! {
    NON_STANDARD_PORT: Low Server "non-standard-port" "A well-known protocol on a port that is not its own. Often an operator's choice; also a way past port filters.";
    UNSAFE_PROTOCOL: Low Both "unsafe-protocol" "A protocol that sends everything in clear, where an encrypted one exists. Harmless within one machine or a tunnel.";
    UNIDIRECTIONAL: Low Both "unidirectional" "At least three packets to one address (no group, no broadcast), and nothing came back. Also seen where the capture has one direction only.";
    UNEXPECTED_ENTROPY: Medium Both "unexpected-entropy" "A flow on the port of a clear-text protocol speaks something else whose payload is near random: at least 256 bytes with more than 7.2 bits a byte.";
    TCP_CONFLICT: High Both "tcp-overlap-conflict" "TCP segments for the same bytes with different contents: somebody injects, or tries to hide from inspection. The bytes that came first count. Broken middleboxes do this too.";
    TCP_FLAGS: Medium Client "tcp-flags" "Segments with flags that no system sends: SYN with FIN, none at all, or FIN, URG and PSH alone. Port scanners do.";
    TCP_LOSSY: Low Both "tcp-lossy" "More than a tenth of at least 20 segments were sent again.";
    TCP_REFUSED: Low Client "tcp-refused" "The connection was answered by a reset before any data. A closed port, a firewall, or a scan.";
    FRAGMENT_OVERLAP: Medium Both "fragment-overlap" "IP fragments that overlap: an old way to slip past inspection. IPv6 forbids them (RFC 5722).";
}

/// Every risk that there is: of the engine, of the indicator lists, and of all protocols; by name.
pub fn all() -> Vec<&'static Risk> {
    let protocols = ProtocolId::all().flat_map(|id| id.get().risks.iter().copied());
    let mut all: Vec<_> =
        RISKS.iter().chain(risk::RISKS).chain(indicators::RISKS).copied().chain(protocols).collect();
    all.sort_by_key(|r| r.name);
    all.dedup_by_key(|r| r.name);
    all
}

/// Raises what the whole flow shows.
pub(crate) fn add(record: &mut FlowRecord, issues: Issues, conflict: bool) {
    let mut found = Vec::new();
    let mut raise = |risk: &'static Risk, evidence: String| {
        found.push(RiskFound { risk, evidence: evidence.into() });
    };
    let ends = &record.ends;
    let protocol = record.protocol.get();
    let known = record.confidence >= Confidence::Payload;
    let tcp = ends.ip_protocol == 6;
    let transport = match ends.ip_protocol {
        6 => Some(Transport::Tcp),
        17 => Some(Transport::Udp),
        _ => None,
    };
    if known && protocol.well_known && transport.is_some() {
        let home = protocol.ports.iter().any(|p| Some(p.transport) == transport && p.number == ends.dst_port);
        if !home && protocol.ports.iter().any(|p| Some(p.transport) == transport) {
            raise(&NON_STANDARD_PORT, format!("dst_port={}", ends.dst_port));
        }
    }
    if known && protocol.cleartext {
        raise(&UNSAFE_PROTOCOL, format!("protocol={}", protocol.name));
    }
    if transport.is_some() && record.dst.packets == 0 && record.src.packets >= 3 && !is_group(ends.dst_ip) {
        raise(&UNIDIRECTIONAL, format!("src_packets={}", record.src.packets));
    }
    if record.protocol == ProtocolId::Unknown
        && let Some(entropy) = record.unidentified_entropy
        && entropy > 7.2
        && let Some(home) = ports::at_home(ends.ip_protocol, ends.dst_port)
        && home.get().cleartext
    {
        raise(
            &UNEXPECTED_ENTROPY,
            format!("first_payload_entropy={entropy:.2} on the port of {}", home.name()),
        );
    }
    if conflict {
        raise(&TCP_CONFLICT, "tcp.overlap=different content".into());
    }
    if issues.has(Issues::TCP_FLAGS) {
        raise(&TCP_FLAGS, "tcp.flags=impossible".into());
    }
    if tcp {
        let segments = record.src.packets + record.dst.packets;
        if segments >= 20 && record.retransmitted * 10 > segments {
            raise(&TCP_LOSSY, format!("retransmitted={} of {segments}", record.retransmitted));
        }
        if record.state == daylight_flow::ConnState::REJ {
            raise(&TCP_REFUSED, "state=REJ".into());
        }
    }
    if issues.has(Issues::FRAGMENT_OVERLAP) {
        raise(&FRAGMENT_OVERLAP, "ip.fragment=overlap".into());
    }
    for (issue, evidence) in [
        (Issues::IP_LENGTH, "ip.length=longer than the frame"),
        (Issues::TRANSPORT_HEADER, "transport.header=broken"),
        (Issues::IP_CHECKSUM, "ip.checksum=wrong"),
    ] {
        if issues.has(issue) && !record.found.has_risk(&risk::MALFORMED_PACKET) {
            raise(&risk::MALFORMED_PACKET, evidence.into());
            break;
        }
    }
    record.found.risks.extend(found);
}

/// True for multicast and broadcast (the limited one, and anything that ends like one of a /24).
fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast() || ip.octets()[3] == 255,
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}
