//! Multicast DNS (RFC 6762) and DNS service discovery over it (RFC 6763).
//!
//! DNS messages on UDP port 5353, to 224.0.0.251 or ff02::fb, or straight back to who asked. Hosts answer for
//! themselves and announce what they are unasked, so there is often only one side, and several questions and known
//! answers in one message. The fields are those of DNS, `dns.*`.

use super::dns::{Flavour, Messages, message};
use crate::{Family, Pattern, Probe, Protocol, Verdict, byte, masked, udp};

/// Multicast DNS.
pub const PROTOCOL: Protocol = Protocol {
    name: "mdns",
    title: "Multicast DNS",
    family: Family::Names,
    source: "RFC 6762, 6763",
    ports: &[udp(5353)],
    well_known: true,
    patterns: &[
        // Opcode 0; fewer than 256 of everything.
        Pattern::udp().min(12).tests(&[masked(2, 0x78, 0), byte(4, 0), byte(6, 0), byte(8, 0), byte(10, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Messages::new(Flavour::Mdns))),
    ..Protocol::BASE
};

/// The port, a header without errors, and names and records that end where the message does.
fn identify(p: &Probe<'_>) -> Verdict {
    let Some(header) = message::Header::read(p.payload) else { return Verdict::No };
    if !p.port(5353) || header.opcode() != 0 || header.rcode() != 0 || header.counts == [0; 4] {
        return Verdict::No;
    }
    let mut reader = message::Reader::new(p.payload);
    if header.counts[0] > 0 {
        match reader.question() {
            Ok(q) if matches!(q.qclass & 0x7fff, 1 | 255) => {}
            _ => return Verdict::No,
        }
    } else if header.is_response() {
        match reader.record() {
            Ok(r) if matches!(r.class & 0x7fff, 1 | 255) || r.rtype == 41 => {}
            _ => return Verdict::No,
        }
    } else {
        return Verdict::No;
    }
    match message::walk(p.payload) {
        Ok(end) if end == p.payload.len() => Verdict::Yes,
        Err(message::Trouble::Short) if !p.whole => Verdict::Yes,
        _ => Verdict::No,
    }
}

#[cfg(test)]
mod tests {
    use crate::names::dns;
    use crate::testing::{Flow, hex};
    use crate::{Fact, ProtocolId, common};

    // _ipp._tcp.local PTR, with a unicast answer wanted.
    const QUERY: &str = "0000 0000 0001 0000 0000 0000 04 5f697070 04 5f746370 05 6c6f63616c 00 000c 8001";

    #[test]
    fn a_query_for_a_service() {
        let q = hex(QUERY);
        let seen = Flow::udp(5353).client_port(5353).client(&q).run();
        assert_eq!(seen.protocol, ProtocolId::Mdns);
        assert_eq!(seen.show(common::HOSTNAME), "_ipp._tcp.local");
        assert_eq!(seen.show(dns::QTYPE), "PTR");
        assert_eq!(seen.show(dns::QCLASS), "IN");
        assert_eq!(seen.events.len(), 1);
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn an_announcement_names_a_host() {
        // mac.local A 192.0.2.9, cache flush
        let r =
            hex("0000 8400 0000 0001 0000 0000 03 6d6163 05 6c6f63616c 00 0001 8001 00000078 0004 c0000209");
        let seen = Flow::udp(5353).client_port(5353).client(&r).run();
        assert_eq!(seen.protocol, ProtocolId::Mdns);
        assert_eq!(seen.show(common::HOSTNAME), "mac.local");
        assert_eq!(seen.show(dns::ANSWERS), "192.0.2.9");
        assert_eq!(
            seen.facts,
            [Fact::Named { name: "mac.local".into(), addresses: vec![[192, 0, 2, 9].into()] }]
        );
    }

    #[test]
    fn instance_names_are_free_text() {
        let q = hex(
            "0000 0000 0001 0000 0000 0000 04 4dc3bc20 04 5f697070 04 5f746370 05 6c6f63616c 00 0010 0001",
        );
        let seen = Flow::udp(5353).client_port(5353).client(&q).run();
        assert_eq!(seen.show(common::HOSTNAME), "mü ._ipp._tcp.local");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn near_misses() {
        let q = hex(QUERY);
        assert_ne!(Flow::udp(5354).client(&q).run().protocol, ProtocolId::Mdns);
        let changes: [fn(&mut Vec<u8>); 5] =
            [|q| q.push(0), |q| q[3] = 3, |q| q[5] = 2, |q| q[2] = 0x28, |q| q[32] = 9];
        for change in changes {
            let mut odd = q.clone();
            change(&mut odd);
            assert_eq!(Flow::udp(5353).client(&odd).run().protocol, ProtocolId::Unknown, "{odd:02x?}");
        }
    }
}
