//! Packets that whoever they are for throws away: their transport checksum or length is wrong.

use crate::build::transport_sum;
use crate::{Decoded, Decoder, LinkType, TransportKind};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;

/// True if the TCP segment or UDP datagram in an IP packet (from its IP header on) has a wrong checksum, or lengths that
/// contradict each other: hosts discard those unread (RFC 9293 §3.1, RFC 1122 §4.1.3.4, RFC 8200 §8.1). False if it is sound,
/// and where that can't be told: cut packets, fragments, other transports, and what goes by way of a routing header. What
/// is in a tunnel is not looked at.
///
/// Only for packets that came from a wire: a sender that leaves checksums to its network card writes none. Costs a pass over
/// the packet.
#[must_use]
pub fn is_damaged(ip: &[u8]) -> bool {
    let found = match ip.first().map(|byte| byte >> 4) {
        Some(4) => v4(ip),
        Some(6) => v6(ip),
        _ => None,
    };
    let Some((header, protocol, segment)) = found else { return false };
    match protocol {
        TransportKind::TCP => {
            let header_len = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
            header_len < 20
                || header_len > segment.len()
                || transport_sum(header, protocol, segment) != 0xffff
        }
        TransportKind::UDP => {
            let [Some(len), Some(sum)] = [4, 6].map(|at| field(segment, at)) else { return true };
            match segment.get(..usize::from(len)) {
                // A jumbogram.
                _ if len == 0 && header.len() > 20 => false,
                Some(datagram) if len >= 8 && sum != 0 => transport_sum(header, protocol, datagram) != 0xffff,
                // None is to be computed over IPv4; over IPv6 only tunnels may do without (RFC 6935).
                Some(_) if len >= 8 => header.len() > 20 && !is_tunnel(ip),
                _ => true,
            }
        }
        _ => false,
    }
}

/// The header that the pseudo-header is made of, the transport, and its bytes, if all of them are there.
type Found<'a> = Option<(&'a [u8], u8, &'a [u8])>;

fn v4(ip: &[u8]) -> Found<'_> {
    let header_len = usize::from(ip[0] & 15) * 4;
    let packet = ip.get(..field(ip, 2)?.into())?;
    let is_fragment = field(ip, 6)? & 0x3fff != 0;
    let segment = packet.get(header_len.max(20)..).filter(|_| !is_fragment)?;
    Some((packet.get(..20)?, packet[9], segment))
}

fn v6(ip: &[u8]) -> Found<'_> {
    let header = ip.get(..40)?;
    let mut protocol = header[6];
    let mut rest = ip.get(40..40 + usize::from(field(ip, 4)?))?;
    while let HOP_BY_HOP | DESTINATION | ROUTING = protocol {
        // The pseudo-header has the last of the addresses that it is routed by.
        if protocol == ROUTING && *rest.get(3)? != 0 {
            return None;
        }
        protocol = *rest.first()?;
        rest = rest.get(8 + usize::from(*rest.get(1)?) * 8..)?;
    }
    Some((header, protocol, rest))
}

fn field(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

fn is_tunnel(ip: &[u8]) -> bool {
    let decoded = Decoder::new().decode(LinkType::RAW, ip, 0, ip.len() as u32);
    matches!(decoded, Decoded::Packet(packet) if packet.key.tunnel != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Stamp, Tcp, ip, tcp, udp};

    const ENDS: [[&str; 2]; 2] = [["192.0.2.1", "198.51.100.7"], ["2001:db8::1", "2001:db8::2"]];

    /// A segment and a datagram for both families, and where their payload begins.
    fn samples() -> Vec<(Vec<u8>, usize)> {
        let made = ENDS.map(|ends| {
            let [source, destination] = ends.map(|end| end.parse().unwrap());
            let header = if ends[0].contains(':') { 40 } else { 20 };
            let segment = tcp(&Tcp { source, destination, payload: b"odd", ..Tcp::default() });
            let datagram = udp(source, destination, [4000, 53], &Stamp::default(), b"even");
            [(segment, header + 20), (datagram, header + 8)]
        });
        made.concat()
    }

    #[test]
    fn any_changed_bit_is_found() {
        for (packet, payload) in samples() {
            assert!(!is_damaged(&packet), "{packet:02x?}");
            for bit in (payload - 8) * 8..packet.len() * 8 {
                let mut changed = packet.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(is_damaged(&changed), "bit {bit} of {packet:02x?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_damaged() {
        for (packet, payload) in samples() {
            (0..packet.len()).for_each(|len| assert!(!is_damaged(&packet[..len]), "{len} of {packet:02x?}"));
            let mut changed = packet.clone();
            changed[payload] ^= 1;
            if packet[0] >> 4 == 4 {
                changed[6] = 0x20;
            } else {
                changed[6] = 44;
            }
            assert!(!is_damaged(&changed), "a fragment");
        }
        assert!(!is_damaged(&[]));
    }

    #[test]
    fn behind_extension_headers() {
        let (packet, _) = &samples()[2];
        for kind in [HOP_BY_HOP, DESTINATION, ROUTING] {
            let mut extended = packet.clone();
            extended.splice(40..40, [packet[6], 0, 1, 0, 0, 0, 0, 0]);
            extended[6] = kind;
            extended[5] += 8;
            assert!(!is_damaged(&extended));
            *extended.last_mut().unwrap() ^= 1;
            assert!(is_damaged(&extended));
            // … still to be routed.
            extended[43] = 1;
            assert_eq!(is_damaged(&extended), kind != ROUTING);
        }
    }

    #[test]
    fn a_datagram_without_a_checksum() {
        for ends in ENDS {
            let [source, destination] = ends.map(|end| end.parse().unwrap());
            let is_v6 = ends[0].contains(':');
            let without = |port: u16, payload: &[u8]| {
                let mut datagram = udp(source, destination, [4000, port], &Stamp::default(), payload);
                let sum = datagram.len() - payload.len() - 2;
                datagram[sum..sum + 2].fill(0);
                datagram
            };
            assert_eq!(is_damaged(&without(53, b"question")), is_v6);
            // VXLAN around an Ethernet frame.
            let inner = udp(source, destination, [4000, 53], &Stamp::default(), b"question");
            let kind = if is_v6 { [0x86, 0xdd] } else { [8, 0] };
            let frame = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &[2; 12], &kind, &inner].concat();
            assert!(!is_damaged(&without(4789, &frame)));
        }
    }

    #[test]
    fn lengths_that_contradict_each_other() {
        for (packet, payload) in samples() {
            let mut changed = packet.clone();
            if payload % 20 == 0 {
                changed[payload - 8] = 4 << 4;
            } else {
                changed[payload - 3] = 200;
            }
            assert!(is_damaged(&changed));
        }
        let [source, destination] = ENDS[0].map(|end| end.parse().unwrap());
        assert!(is_damaged(&ip(source, destination, 17, &Stamp::default(), None, vec![0; 7])));
    }
}
