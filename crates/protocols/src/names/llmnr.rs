//! Link-Local Multicast Name Resolution (RFC 4795): Windows asks its neighbours for a name.
//!
//! DNS messages on port 5355, over UDP to 224.0.0.252 or ff02::1:3 and over TCP. The flags differ from DNS: C, T and
//! four reserved bits stand where AA, RD and the rest do. The answer comes from the neighbour's own address, so it is a
//! flow of its own. The fields are those of DNS, `dns.*`. Answers can be spoofed by anybody on the network: they name
//! nothing that would need to be trusted.

use super::dns::{Flavour, Messages, codes, message, tcp_message};
use crate::{Dir, Family, Pattern, Probe, Protocol, Transport, Verdict, byte, masked, tcp, udp};

/// Link-Local Multicast Name Resolution.
pub const PROTOCOL: Protocol = Protocol {
    name: "llmnr",
    title: "Link-Local Multicast Name Resolution",
    family: Family::Names,
    source: "RFC 4795",
    ports: &[udp(5355), tcp(5355)],
    well_known: true,
    patterns: &[
        // Opcode 0, reserved bits 0, one question, fewer than 256 of everything.
        Pattern::udp().min(17).tests(&[
            masked(2, 0x78, 0),
            masked(3, 0xf0, 0),
            byte(4, 0),
            byte(5, 1),
            byte(6, 0),
            byte(8, 0),
            byte(10, 0),
        ]),
        Pattern::tcp().min(14).tests(&[
            masked(4, 0x78, 0),
            masked(5, 0xf0, 0),
            byte(6, 0),
            byte(7, 1),
            byte(8, 0),
            byte(10, 0),
            byte(12, 0),
        ]),
    ],
    identify,
    parser: Some(|| Box::new(Messages::new(Flavour::Llmnr))),
    idle_timeout_s: Some(10),
    ..Protocol::BASE
};

/// The port, the flags of RFC 4795 §2.1.1, and a message that ends where it should.
fn identify(p: &Probe<'_>) -> Verdict {
    if !p.port(5355) {
        return Verdict::No;
    }
    let (bytes, whole) = match p.transport {
        Transport::Tcp => match tcp_message(p.payload, true) {
            Ok(found) => found,
            Err(verdict) => return verdict,
        },
        _ => (p.payload, p.whole),
    };
    let Some(header) = message::Header::read(bytes) else { return Verdict::No };
    let [questions, answers, authorities, additionals] = header.counts;
    let query = !header.is_response();
    if questions != 1
        || header.flags & 0x78f0 != 0
        || (query && (answers, authorities) != (0, 0))
        || additionals > 16
    {
        return Verdict::No;
    }
    let question = message::Reader::new(bytes).question();
    if !question.is_ok_and(|q| q.qclass == 1 && codes::type_name(q.qtype).is_some()) {
        return Verdict::No;
    }
    match message::walk(bytes) {
        Ok(end) if end == bytes.len() => {}
        Err(message::Trouble::Short) if !whole => {}
        _ => return Verdict::No,
    }
    if query == (p.dir == Dir::Client) { Verdict::Yes } else { Verdict::YesReversed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::dns;
    use crate::testing::{Flow, hex, probe};
    use crate::{Confidence, ProtocolId, common};

    const QUERY: &str = "a4d2 0000 0001 0000 0000 0000 04 77706164 00 0001 0001";
    const ANSWER: &str =
        "a4d2 8000 0001 0001 0000 0000 04 77706164 00 0001 0001 c00c 0001 0001 0000001e 0004 c0000214";

    #[test]
    fn a_query_and_its_answer() {
        let (q, r) = (hex(QUERY), hex(ANSWER));
        let seen = Flow::udp(5355).client(&q).server(&r).run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Llmnr, Confidence::Handshake));
        assert_eq!(seen.show(common::HOSTNAME), "wpad");
        assert_eq!(seen.show(dns::ANSWERS), "192.0.2.20");
        assert_eq!(seen.events.len(), 1);
    }

    #[test]
    fn over_tcp() {
        let frame = |m: Vec<u8>| [(m.len() as u16).to_be_bytes().to_vec(), m].concat();
        let (q, r) = (frame(hex(QUERY)), frame(hex(ANSWER)));
        let seen = Flow::tcp(5355).client(&q).server(&r).run_split();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Llmnr, Confidence::Handshake));
    }

    #[test]
    fn an_answer_comes_from_the_server() {
        let r = hex(ANSWER);
        let p = Probe { client_port: 5355, ..probe(Transport::Udp, &r) };
        assert_eq!(identify(&p), Verdict::YesReversed);
    }

    #[test]
    fn near_misses() {
        let q = hex(QUERY);
        // On a port of its own it is DNS, as far as anybody can tell.
        assert_eq!(Flow::udp(5399).client(&q).run().protocol, ProtocolId::Dns);
        let changes: [fn(&mut Vec<u8>); 5] =
            [|q| q.push(0), |q| q[3] = 0x10, |q| q[5] = 2, |q| q[7] = 1, |q| q[21] = 3];
        for change in changes {
            let mut odd = q.clone();
            change(&mut odd);
            assert_eq!(Flow::udp(5355).client(&odd).run().protocol, ProtocolId::Unknown, "{odd:02x?}");
        }
    }
}
