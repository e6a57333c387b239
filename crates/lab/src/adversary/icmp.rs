//! ICMP messages of a box on the way: a packet is too big for a link, or not allowed.

use daylight_packet::build::{Stamp, ip};

use super::packet::Packet;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The notice that a packet is too big for a link (RFC 792 with RFC 1191; RFC 4443 §3.2). It seems to come from the packet's
/// destination: a link has no address of its own. `None` if the packet is such a notice itself.
pub fn too_big(packet: &Packet<'_>, mtu: u16) -> Option<Vec<u8>> {
    let mtu = mtu.to_be_bytes();
    if packet.source.is_ipv4() {
        notice(packet, [3, 4], [0, 0, mtu[0], mtu[1]])
    } else {
        notice(packet, [2, 0], [0, 0, mtu[0], mtu[1]])
    }
}

/// The notice that an administrator forbids it (RFC 1812 §5.2.7.1; RFC 4443 §3.1).
pub fn prohibited(packet: &Packet<'_>) -> Option<Vec<u8>> {
    notice(packet, if packet.source.is_ipv4() { [3, 13] } else { [1, 1] }, [0; 4])
}

fn notice(packet: &Packet<'_>, type_code: [u8; 2], rest: [u8; 4]) -> Option<Vec<u8>> {
    if matches!(packet.protocol, ICMP | ICMPV6) {
        return None;
    }
    // RFC 792 asks for the header and eight bytes; RFC 4443 for as much as fits into 1280 bytes.
    let (protocol, quoted) =
        if packet.source.is_ipv4() { (ICMP, packet.header_bytes + 8) } else { (ICMPV6, 1280 - 48) };
    let mut bytes = [&type_code[..], &[0, 0], &rest].concat();
    bytes.extend_from_slice(&packet.ip[..quoted.min(packet.ip.len())]);
    Some(ip(packet.destination, packet.source, protocol, &Stamp::default(), Some(2), bytes))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use daylight_packet::build::udp;

    use super::*;
    use crate::adversary::packet::checksums_hold;

    #[test]
    fn notices_quote_what_they_are_about() {
        for a in ["10.0.0.1", "fd00::1"] {
            let (a, b): (IpAddr, IpAddr) = (a.parse().unwrap(), a.replace('1', "2").parse().unwrap());
            let (a, b) = if b.is_ipv4() { (a, "10.0.0.2".parse().unwrap()) } else { (a, b) };
            let sent = udp(a, b, [1, 2], &Stamp::default(), &[7; 2000]);
            let packet = Packet::from_ip(&sent).unwrap();
            for reply in [too_big(&packet, 1280).unwrap(), prohibited(&packet).unwrap()] {
                assert!(checksums_hold(&reply));
                let reply = Packet::from_ip(&reply).unwrap();
                assert_eq!((reply.source, reply.destination), (b, a));
                assert!(reply.ip.len() <= 1280);
                assert_eq!(reply.ip[reply.header_bytes + 8..][..28], sent[..28]);
                assert_eq!(too_big(&reply, 1280), None);
            }
        }
    }
}
