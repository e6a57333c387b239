//! Packets to be put in, with right checksums.

use std::net::{IpAddr, Ipv6Addr};

use super::packet::Packet;

/// What of an IP header tells one injector from another.
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

/// A TCP segment to be built. It has no options, like those of the injectors that are known.
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
const ICMPV6: u8 = 58;

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

/// An IP packet around `payload`, whose checksum is `checksum_at`.
fn ip(
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

/// The sum over pseudo-header and payload (RFC 9293 §3.1, RFC 8200 §8.1). ICMP over IPv4 has no pseudo-header.
fn transport_sum(header: &[u8], protocol: u8, payload: &[u8]) -> u16 {
    let len = payload.len() as u64;
    let start = match (header[0] >> 4, protocol) {
        (4, ICMP) => 0,
        (4, _) => ones_sum(len + u64::from(protocol), &header[12..20]),
        _ => ones_sum(len + u64::from(protocol), &header[8..40]),
    };
    fold(ones_sum(start, payload))
}

/// Adds 16-bit words to a sum (RFC 1071); an odd byte at the end is the high half of a word.
pub fn ones_sum(sum: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(2);
    let sum = words.by_ref().fold(sum, |sum, w| sum + u64::from(u16::from_be_bytes([w[0], w[1]])));
    sum + words.remainder().first().map_or(0, |b| u64::from(*b) << 8)
}

/// A sum as 16 bits, with the carries added in.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// True if a packet's checksums (IPv4 header; TCP, UDP, ICMP) are right.
pub fn checksums_hold(ip: &[u8]) -> bool {
    let Some(packet) = Packet::from_ip(ip) else { return false };
    let (header, payload) = packet.ip.split_at(packet.header_bytes.min(packet.ip.len()));
    let header_holds = packet.source.is_ipv6() || fold(ones_sum(0, header)) == 0xffff;
    header_holds && transport_sum(header, packet.protocol, payload) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::packet::{Transport, flag};
    use proptest::prelude::*;

    /// The example of RFC 1071 §3.
    #[test]
    fn the_sum_of_the_rfc() {
        assert_eq!(fold(ones_sum(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn what_is_built_reads_back() {
        for (a, b) in [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::2")] {
            let (source, destination) = (a.parse().unwrap(), b.parse().unwrap());
            let built = Tcp {
                source,
                destination,
                source_port: 443,
                destination_port: 40_000,
                seq: 7,
                ack: 9,
                flags: flag::RST | flag::ACK,
                window: 502,
                ttl: 53,
                ip_id: 0x3412,
                dont_fragment: false,
                payload: b"odd",
            };
            let bytes = tcp(&built);
            assert!(checksums_hold(&bytes));
            let packet = Packet::from_ip(&bytes).unwrap();
            assert_eq!((packet.source, packet.destination, packet.ttl), (source, destination, 53));
            assert_eq!(packet.ip_id, source.is_ipv4().then_some(0x3412));
            let Transport::Tcp(s) = packet.transport else { panic!("not TCP") };
            assert_eq!(
                (s.ports, s.seq, s.ack, s.flags, s.window, s.payload),
                ([443, 40_000], 7, 9, 20, 502, &b"odd"[..])
            );
            let mut wrong = bytes.clone();
            *wrong.last_mut().unwrap() ^= 1;
            assert!(!checksums_hold(&wrong));
        }
    }

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

    proptest! {
        #[test]
        fn checksums_are_right(payload in proptest::collection::vec(any::<u8>(), 0..200), v6: bool) {
            let a: IpAddr = if v6 { "fd00::1" } else { "10.9.8.7" }.parse().unwrap();
            prop_assert!(checksums_hold(&udp(a, a, [5, 6], &Stamp::default(), &payload)));
            let segment = Tcp { source: a, destination: a, payload: &payload, ..Tcp::default() };
            prop_assert!(checksums_hold(&tcp(&segment)));
        }
    }
}
