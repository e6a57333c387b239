//! IPsec Authentication Header, IP protocol 51: proves who sent a packet, and hides nothing of it.

use crate::cursor::Cursor;
use crate::{Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Verdict, fields};

fields! { ProtocolId::Ah;
    SPI: [Uint] "spi" "Security parameters indexes, one a direction";
    SEQUENCE: Uint "sequence" "First sequence number seen";
    NEXT_HEADER: Uint "next_header" "IP protocol number of what is inside";
}

/// IPsec Authentication Header.
pub const PROTOCOL: Protocol = Protocol {
    name: "ah",
    title: "IPsec Authentication Header",
    family: Family::Vpn,
    source: "RFC 4302",
    patterns: &[Pattern::ip(51)],
    identify,
    parser: Some(|| Box::new(Ah::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// Next header, SPI and sequence number.
fn header(bytes: &[u8]) -> Option<(u8, u32, u32)> {
    let mut c = Cursor::new(bytes);
    let next = c.u8()?;
    // Length in words of four, less two: the fixed part has three, an integrity check value at least one.
    let words = usize::from(c.u8()?) + 2;
    let (reserved, spi, sequence) = (c.u16()?, c.u32()?, c.u32()?);
    (words >= 4 && words * 4 <= bytes.len() && reserved == 0 && spi > 255).then_some((next, spi, sequence))
}

fn identify(p: &Probe<'_>) -> Verdict {
    if header(p.payload).is_some() { Verdict::Yes } else { Verdict::No }
}

#[derive(Default)]
struct Ah {
    seen: u8,
    spoke: [bool; 2],
}

impl Parser for Ah {
    fn datagram(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        self.seen += 1;
        if let Some((next, spi, sequence)) = header(bytes) {
            out.set(NEXT_HEADER, next);
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
    use crate::testing::{Flow, hex};

    #[test]
    fn a_header_with_a_96_bit_check_value() {
        let packet = hex("32040000 00001234 00000007 000102030405060708090a0b 45000014");
        let seen = Flow::ip(51).client(&packet).run();
        assert_eq!(seen.protocol, ProtocolId::Ah);
        assert_eq!(
            (seen.show(NEXT_HEADER).as_str(), seen.show(SPI).as_str(), seen.show(SEQUENCE).as_str()),
            ("50", "4660", "7")
        );
        for (at, value) in [(1, 9), (2, 1), (6, 0)] {
            let mut broken = packet.clone();
            broken[at] = value;
            assert_eq!(Flow::ip(51).client(&broken).run().protocol, ProtocolId::Unknown, "byte {at}");
        }
    }
}
