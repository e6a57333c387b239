//! IPsec Encapsulating Security Payload: as IP protocol 50, or in UDP port 4500 behind a NAT (RFC 3948).
//!
//! All that is in clear is the security parameters index (SPI) and a sequence number. In UDP that is too little to
//! know it by: two datagrams of one SPI with rising sequence numbers, and the port, are asked for.

use crate::{
    Dir, Earlier, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Transport, Verdict, byte,
    fields, udp,
};

fields! { ProtocolId::Esp;
    SPI: [Uint] "spi" "Security parameters indexes, one a direction";
    SEQUENCE: Uint "sequence" "First sequence number seen: 1 if the tunnel was new";
}

/// IPsec Encapsulating Security Payload.
pub const PROTOCOL: Protocol = Protocol {
    name: "esp",
    title: "IPsec Encapsulating Security Payload",
    family: Family::Vpn,
    source: "RFC 4303, RFC 3948",
    ports: &[udp(4500)],
    patterns: &[
        Pattern::ip(50),
        // The sequence number is small: a tunnel that was picked up after 16 million packets is not found.
        Pattern::udp().min(24).tests(&[byte(4, 0)]),
    ],
    identify,
    parser: Some(|| Box::new(Esp::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// SPI and sequence number. 0 is not for the wire, 1 to 255 are reserved (RFC 4303 §2.1).
fn header(bytes: &[u8]) -> Option<(u32, u32)> {
    let [a, b, c, d, e, f, g, h, ..] = *bytes else { return None };
    let (spi, sequence) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    (spi > 255 && sequence > 0).then_some((spi, sequence))
}

fn identify(p: &Probe<'_>) -> Verdict {
    let Some((spi, sequence)) = header(p.payload) else { return Verdict::No };
    if p.transport == Transport::Ip(50) {
        return Verdict::Yes;
    }
    if !p.port(4500) {
        return Verdict::No;
    }
    // Padded so that what ends with the next header fills words of four bytes (RFC 4303 §2.4), as does every ICV in use.
    // The other direction has another SPI.
    let has_spi = |e: &&Earlier| header(&e.head).is_some_and(|(s, _)| s == spi);
    let same = |e: &&Earlier| e.dir == p.dir && has_spi(e);
    let odd = |e: &Earlier| has_spi(&e) && (e.dir != p.dir || !e.len.is_multiple_of(4));
    if !p.payload.len().is_multiple_of(4) || p.earlier.iter().any(odd) {
        return Verdict::No;
    }
    let follows = p
        .earlier
        .iter()
        .filter(same)
        .filter(|e| e.len >= 24)
        .any(|e| header(&e.head).is_some_and(|(_, n)| (1..=32).contains(&sequence.wrapping_sub(n))));
    if follows { Verdict::Yes } else { Verdict::Later }
}

#[derive(Default)]
struct Esp {
    seen: u8,
    spoke: [bool; 2],
}

impl Parser for Esp {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        if let Some((spi, sequence)) = header(bytes) {
            out.push(SPI, spi);
            out.set(SEQUENCE, sequence);
            self.spoke[dir.index()] = true;
            if self.spoke == [true; 2] {
                out.confirm();
                return Step::Finished;
            }
        }
        if self.seen < 16 { Step::Consumed(bytes.len()) } else { Step::Finished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Flow;

    fn packet(spi: u32, sequence: u32) -> Vec<u8> {
        [&spi.to_be_bytes()[..], &sequence.to_be_bytes(), &[0xa5; 32]].concat()
    }

    #[test]
    fn as_an_ip_protocol() {
        let seen = Flow::ip(50).client(&packet(0xc0de_0001, 1)).server(&packet(0xc0de_0002, 1)).run();
        assert_eq!(seen.protocol, ProtocolId::Esp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(SPI), format!("{},{}", 0xc0de_0001u32, 0xc0de_0002u32));
        assert_eq!(Flow::ip(50).client(&packet(7, 1)).run().protocol, ProtocolId::Unknown);
    }

    #[test]
    fn in_udp_two_packets_must_agree_on_the_port() {
        let (a, b, c) = (packet(0xc0de_0001, 8), packet(0xc0de_0001, 9), packet(0xc0de_0003, 9));
        let label = |port, x: &[u8], y: &[u8]| Flow::udp(port).client(x).client(y).run().protocol;
        assert_eq!(label(4500, &a, &b), ProtocolId::Esp);
        assert_eq!(label(4501, &a, &b), ProtocolId::Unknown);
        assert_eq!(label(4500, &a, &c), ProtocolId::Unknown);
        assert_eq!(label(4500, &a, &a), ProtocolId::Unknown);
        // A keep-alive and an IKE marker are not ESP.
        assert_eq!(label(4500, &[0xff], &packet(0, 1)), ProtocolId::Unknown);
    }

    #[test]
    fn a_length_that_is_not_padded_is_not_claimed() {
        let odd = |n| [packet(0xc0de_0001, n), vec![7]].concat();
        let (one, two) = (odd(1), odd(2));
        let seen = Flow::udp(4500).client(&one).client(&two).run();
        assert_eq!(seen.protocol, ProtocolId::Unknown);
    }
}
