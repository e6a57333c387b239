//! Headers to bytes: whole IP packets with right lengths and checksums, for those who may send some.

use std::net::{IpAddr, Ipv6Addr};

/// What of an IP header is its sender's to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification.
    pub ip_id: u16,
    /// The DF bit of IPv4.
    pub dont_fragment: bool,
}

impl Default for Stamp {
    fn default() -> Self {
        Self { ttl: 64, ip_id: 0, dont_fragment: true }
    }
}

/// A TCP segment to be built. It has no options.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Who seems to send it.
    pub source: IpAddr,
    /// Who is to have it.
    pub destination: IpAddr,
    /// Port of the one.
    pub source_port: u16,
    /// Port of the other.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// The flag byte.
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification.
    pub ip_id: u16,
    /// The DF bit of IPv4.
    pub dont_fragment: bool,
    /// Data.
    pub payload: &'a [u8],
}

impl Default for Tcp<'_> {
    fn default() -> Self {
        let nobody = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Self {
            source: nobody,
            destination: nobody,
            source_port: 0,
            destination_port: 0,
            seq: 0,
            ack: 0,
            flags: 0,
            window: 0,
            ttl: 64,
            ip_id: 0,
            dont_fragment: true,
            payload: &[],
        }
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// The IP packet with this segment.
pub fn tcp(tcp: &Tcp<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + tcp.payload.len());
    bytes.extend_from_slice(&tcp.source_port.to_be_bytes());
    bytes.extend_from_slice(&tcp.destination_port.to_be_bytes());
    bytes.extend_from_slice(&tcp.seq.to_be_bytes());
    bytes.extend_from_slice(&tcp.ack.to_be_bytes());
    bytes.extend_from_slice(&[5 << 4, tcp.flags]);
    bytes.extend_from_slice(&tcp.window.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(tcp.payload);
    let stamp = Stamp { ttl: tcp.ttl, ip_id: tcp.ip_id, dont_fragment: tcp.dont_fragment };
    ip(tcp.source, tcp.destination, TCP, &stamp, Some(16), bytes)
}

/// The IP packet with a datagram.
pub fn udp(source: IpAddr, destination: IpAddr, ports: [u16; 2], stamp: &Stamp, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + payload.len());
    bytes.extend(ports.iter().flat_map(|p| p.to_be_bytes()));
    bytes.extend_from_slice(&u16::try_from(8 + payload.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(payload);
    ip(source, destination, UDP, stamp, Some(6), bytes)
}

/// An IP packet around `payload`, which has its checksum at `checksum_at`. Of addresses of different versions, the IPv4 one is
/// mapped into IPv6. A payload beyond what the length field can say makes a broken packet.
pub fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    stamp: &Stamp,
    checksum_at: Option<usize>,
    mut payload: Vec<u8>,
) -> Vec<u8> {
    let header = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
            let mut h = vec![0x45, 0];
            h.extend(len.to_be_bytes());
            h.extend(stamp.ip_id.to_be_bytes());
            h.extend([u8::from(stamp.dont_fragment) << 6, 0, stamp.ttl, protocol, 0, 0]);
            h.extend(source.octets());
            h.extend(destination.octets());
            let sum = !fold(ones_sum(0, &h));
            h[10..12].copy_from_slice(&sum.to_be_bytes());
            h
        }
        (source, destination) => {
            let octets = |a: IpAddr| match a {
                IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
                IpAddr::V6(a) => a.octets(),
            };
            let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            let mut h = vec![0x60, 0, 0, 0];
            h.extend(len.to_be_bytes());
            h.extend([protocol, stamp.ttl]);
            h.extend(octets(source));
            h.extend(octets(destination));
            h
        }
    };
    if let Some(place) = checksum_at.and_then(|at| payload.get_mut(at..at + 2)) {
        place.fill(0);
        let mut sum = !transport_sum(&header, protocol, &payload);
        if sum == 0 && protocol == UDP {
            sum = 0xffff;
        }
        if let Some(place) = checksum_at.and_then(|at| payload.get_mut(at..at + 2)) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    }
    [header, payload].concat()
}

/// The sum over pseudo-header and payload (RFC 9293 §3.1, RFC 8200 §8.1): all ones if the payload's checksum is right. `header`
/// is the IP header. ICMP over IPv4 has no pseudo-header.
pub fn transport_sum(header: &[u8], protocol: u8, payload: &[u8]) -> u16 {
    let len = payload.len() as u64;
    let start = match (header[0] >> 4, protocol) {
        (4, ICMP) => 0,
        (4, _) => ones_sum(len + u64::from(protocol), &header[12..20]),
        _ => ones_sum(len + u64::from(protocol), &header[8..40]),
    };
    fold(ones_sum(start, payload))
}

/// Adds 16-bit words to a sum (RFC 1071); an odd byte at the end is the high half of a word. In the machine's own byte order and
/// two words at a time, as its §2 permits.
pub fn ones_sum(sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let native: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    sum + u64::from(u16::from_be(fold(native + u64::from(u32::from_ne_bytes(last)))))
}

/// A sum as 16 bits, with the carries added in.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoded, Decoder, LinkType, TcpHeader};

    fn decoded(packet: &[u8]) -> crate::Packet {
        let decoder = Decoder { verify_checksums: true };
        match decoder.decode(LinkType::RAW, packet, 0, packet.len() as u32) {
            Decoded::Packet(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    /// The example of RFC 1071 §3.
    #[test]
    fn the_sum_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(ones_sum(0, &bytes)), 0xddf2);
        for len in 0..bytes.len() {
            let words = bytes[..len]
                .chunks(2)
                .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
            assert_eq!(fold(ones_sum(0, &bytes[..len])), fold(words.sum::<u32>().into()), "{len}");
        }
    }

    #[test]
    fn what_is_built_is_decoded() {
        for (a, b) in [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::2")] {
            let (source, destination) = (a.parse().unwrap(), b.parse().unwrap());
            for payload in [&b""[..], b"odd", b"even"] {
                let sent = udp(source, destination, [40_000, 53], &Stamp::default(), payload);
                let found = decoded(&sent);
                assert_eq!(&sent[found.payload_offset as usize..], payload);
                let header = if source.is_ipv4() { 20 } else { 40 };
                let (ip, datagram) = sent.split_at(header);
                assert_eq!(transport_sum(ip, UDP, datagram), 0xffff);
                let built = Tcp {
                    source,
                    destination,
                    source_port: 443,
                    destination_port: 40_000,
                    seq: 0xffff_fff0,
                    ack: 7,
                    flags: TcpHeader::ACK | TcpHeader::FIN,
                    window: 1000,
                    payload,
                    ..Tcp::default()
                };
                let sent = tcp(&built);
                let found = decoded(&sent);
                assert_eq!((found.tcp.seq, found.tcp.ack), (0xffff_fff0, 7));
                assert_eq!((found.tcp.flags, found.tcp.window), (built.flags, 1000));
                assert_eq!(&sent[found.payload_offset as usize..], payload);
                let (ip, segment) = sent.split_at(header);
                assert_eq!(transport_sum(ip, TCP, segment), 0xffff);
            }
        }
    }
}
