//! Headers to bytes: whole IP packets with right lengths and checksums, for those who may send some.

use std::net::{IpAddr, SocketAddr};

use crate::TcpHeader;

const TCP_LEN: usize = 20;
const UDP_LEN: usize = 8;

/// Where a packet goes from and to, and what its IP header says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpEnds {
    /// The sender.
    pub src: SocketAddr,
    /// The receiver, of the same IP version.
    pub dst: SocketAddr,
    /// TTL, or hop limit.
    pub ttl: u8,
    /// IPv4: the identification.
    pub id: u16,
}

impl IpEnds {
    /// With a TTL of 64 and an identification of 0.
    pub fn new(src: SocketAddr, dst: SocketAddr) -> Self {
        Self { src, dst, ttl: 64, id: 0 }
    }

    /// The other way round.
    pub fn reversed(self) -> Self {
        Self { src: self.dst, dst: self.src, ..self }
    }
}

/// A UDP datagram in an IP packet. `None` if the addresses are of different versions or it becomes too long.
pub fn udp(ends: &IpEnds, payload: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(UDP_LEN + payload.len()).ok()?;
    let mut datagram = Vec::with_capacity(len.into());
    datagram.extend(ends.src.port().to_be_bytes());
    datagram.extend(ends.dst.port().to_be_bytes());
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let sum = transport_checksum(ends, 17, &datagram)?;
    // Zero says that there is none (RFC 768).
    datagram[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    ip(ends, 17, &datagram)
}

/// A TCP segment, of which `header` gives sequence number, acknowledgement, flags and window, in an IP packet. `None` if the
/// addresses are of different versions or it becomes too long.
pub fn tcp(ends: &IpEnds, header: &TcpHeader, payload: &[u8]) -> Option<Vec<u8>> {
    let mut segment = Vec::with_capacity(TCP_LEN + payload.len());
    segment.extend(ends.src.port().to_be_bytes());
    segment.extend(ends.dst.port().to_be_bytes());
    segment.extend(header.seq.to_be_bytes());
    segment.extend(header.ack.to_be_bytes());
    segment.extend([(TCP_LEN as u8 / 4) << 4, header.flags]);
    segment.extend(header.window.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(payload);
    let sum = transport_checksum(ends, 6, &segment)?;
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(ends, 6, &segment)
}

fn ip(ends: &IpEnds, protocol: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(40 + payload.len());
    match (ends.src.ip(), ends.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let len = u16::try_from(20 + payload.len()).ok()?;
            packet.extend([0x45, 0]);
            packet.extend(len.to_be_bytes());
            packet.extend(ends.id.to_be_bytes());
            packet.extend([0x40, 0, ends.ttl, protocol, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            let sum = !fold(sum(&packet));
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(u16::try_from(payload.len()).ok()?.to_be_bytes());
            packet.extend([protocol, ends.ttl]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        _ => return None,
    }
    packet.extend(payload);
    Some(packet)
}

/// The checksum of a UDP or TCP packet (or, with the right number, of any other over the same pseudo-header) whose own
/// checksum field is zero. `None` if the addresses are of different versions.
pub fn transport_checksum(ends: &IpEnds, protocol: u8, bytes: &[u8]) -> Option<u16> {
    let addresses = match (ends.src.ip(), ends.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => sum(&src.octets()) + sum(&dst.octets()),
        (IpAddr::V6(src), IpAddr::V6(dst)) => sum(&src.octets()) + sum(&dst.octets()),
        _ => return None,
    };
    Some(!fold(addresses + u64::from(protocol) + bytes.len() as u64 + sum(bytes)))
}

/// The sum of 16-bit words (RFC 1071), not folded yet.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |last| u64::from(*last) << 8);
    words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>() + last
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoded, Decoder, LinkType, TransportKind};

    fn decoded(packet: &[u8]) -> crate::Packet {
        let decoder = Decoder { verify_checksums: true };
        match decoder.decode(LinkType::RAW, packet, 0, packet.len() as u32) {
            Decoded::Packet(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    fn ends() -> [IpEnds; 2] {
        ["192.0.2.1:40000 198.51.100.7:443", "[2001:db8::1]:40000 [2001:db8:1::7]:443"].map(|text| {
            let (src, dst) = text.split_once(' ').unwrap();
            IpEnds::new(src.parse().unwrap(), dst.parse().unwrap())
        })
    }

    #[test]
    fn what_is_built_is_decoded() {
        for ends in ends() {
            for payload in [&b""[..], b"odd", b"even"] {
                let packet = udp(&ends, payload).unwrap();
                let found = decoded(&packet);
                assert_eq!(found.key.protocol, TransportKind::UDP);
                assert_eq!(&packet[found.payload_offset as usize..], payload);
                let header = TcpHeader {
                    seq: 0xffff_fff0,
                    ack: 7,
                    flags: TcpHeader::ACK | TcpHeader::FIN,
                    window: 1000,
                };
                let packet = tcp(&ends, &header, payload).unwrap();
                let found = decoded(&packet);
                assert_eq!((found.tcp.seq, found.tcp.ack, found.tcp.flags), (header.seq, 7, header.flags));
                assert_eq!(&packet[found.payload_offset as usize..], payload);
                assert_eq!(found.key.ports.iter().sum::<u16>(), 40443);
            }
        }
    }

    /// The example of RFC 1071 §3, and a datagram whose checksum another implementation worked out.
    #[test]
    fn checksums() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
        for ends in ends() {
            let packet = udp(&ends, b"payload").unwrap();
            let udp = &packet[packet.len() - 15..];
            // Over itself, a right checksum gives zero.
            assert_eq!(transport_checksum(&ends, 17, udp), Some(0));
        }
        let [v4, v6] = ends();
        assert_eq!(udp(&IpEnds { dst: v6.dst, ..v4 }, b""), None);
        assert_eq!(udp(&v4, &[0; 65_530]), None);
    }
}
