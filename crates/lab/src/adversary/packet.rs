//! A packet as an adversary sees it.
//!
//! Not the inspector's decoder: that follows tags and tunnels, which the boxes modelled here do not, and leaves out what forged
//! packets have to copy or contradict (IP identification, the DF bit). Fragments are not put together: their transport is
//! [`Transport::Other`], as it is to boxes that look at the first fragment's address only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use daylight_packet::TcpHeader;
use daylight_packet::build::{fold, ones_sum, transport_sum};

/// Length of an Ethernet header.
pub const ETHERNET_BYTES: usize = 14;

/// An IP packet, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// All of it, from the IP header on, without link-layer padding.
    pub ip: &'a [u8],
    /// Length of the IP header and its options or extension headers.
    pub header_bytes: usize,
    /// Who sent it.
    pub source: IpAddr,
    /// Who is to have it.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification.
    pub ip_id: Option<u16>,
    /// IP protocol number of what it carries.
    pub protocol: u8,
    /// What it carries.
    pub transport: Transport<'a>,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
    /// Anything else, fragments, and headers that are broken.
    Other,
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Source and destination port.
    pub ports: [u16; 2],
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// The flag byte, as in [`TcpHeader`].
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// Its data.
    pub payload: &'a [u8],
}

/// A UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Source and destination port.
    pub ports: [u16; 2],
    /// Its data.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// How far the segment moves the sequence number: data, SYN and FIN count.
    pub fn sequence_len(&self) -> u32 {
        let marks = u32::from(self.flags & TcpHeader::SYN != 0) + u32::from(self.flags & TcpHeader::FIN != 0);
        u32::try_from(self.payload.len()).unwrap_or(0).wrapping_add(marks)
    }

    /// True if all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

impl<'a> Packet<'a> {
    /// Takes an untagged Ethernet frame apart. `None` if it carries no IP packet, or a broken one.
    pub fn from_frame(frame: &'a [u8]) -> Option<Self> {
        match frame.get(12..ETHERNET_BYTES)? {
            [0x08, 0x00] | [0x86, 0xdd] => Self::from_ip(frame.get(ETHERNET_BYTES..)?),
            _ => None,
        }
    }

    /// Takes an IP packet apart. `None` if it is none, or cut short.
    pub fn from_ip(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::v4(bytes),
            6 => Self::v6(bytes),
            _ => None,
        }
    }

    fn v4(bytes: &'a [u8]) -> Option<Self> {
        let h: &[u8; 20] = bytes.first_chunk()?;
        let header_bytes = usize::from(h[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([h[2], h[3]]));
        let ip = bytes.get(..total)?;
        let is_fragment = u16::from_be_bytes([h[6], h[7]]) & 0x3fff != 0;
        let payload = ip.get(header_bytes.max(20)..)?;
        Some(Self {
            ip,
            header_bytes,
            source: Ipv4Addr::new(h[12], h[13], h[14], h[15]).into(),
            destination: Ipv4Addr::new(h[16], h[17], h[18], h[19]).into(),
            ttl: h[8],
            ip_id: Some(u16::from_be_bytes([h[4], h[5]])),
            protocol: h[9],
            transport: if is_fragment { Transport::Other } else { Transport::read(h[9], payload) },
        })
    }

    fn v6(bytes: &'a [u8]) -> Option<Self> {
        let h: &[u8; 40] = bytes.first_chunk()?;
        let ip = bytes.get(..40 + usize::from(u16::from_be_bytes([h[4], h[5]])))?;
        let address = |at: usize| {
            let octets: [u8; 16] = h[at..at + 16].try_into().unwrap_or_default();
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        let (mut protocol, mut at) = (h[6], 40);
        // Hop-by-hop, routing and destination options (RFC 8200 §4); a fragment header ends the walk.
        while let (0 | 43 | 60, Some(&[next, len])) = (protocol, ip.get(at..at + 2)) {
            protocol = next;
            at += (usize::from(len) + 1) * 8;
        }
        Some(Self {
            ip,
            header_bytes: at,
            source: address(8),
            destination: address(24),
            ttl: h[7],
            ip_id: None,
            protocol,
            transport: Transport::read(protocol, ip.get(at..).unwrap_or_default()),
        })
    }

    /// The segment, if it is TCP.
    pub fn tcp(&self) -> Option<&Segment<'a>> {
        if let Transport::Tcp(segment) = &self.transport { Some(segment) } else { None }
    }

    /// The datagram, if it is UDP.
    pub fn udp(&self) -> Option<&Datagram<'a>> {
        if let Transport::Udp(datagram) = &self.transport { Some(datagram) } else { None }
    }

    /// Source and destination port, 0 where there are none.
    pub fn ports(&self) -> [u16; 2] {
        match &self.transport {
            Transport::Tcp(s) => s.ports,
            Transport::Udp(d) => d.ports,
            Transport::Other => [0; 2],
        }
    }
}

impl<'a> Transport<'a> {
    fn read(protocol: u8, bytes: &'a [u8]) -> Self {
        let read = match protocol {
            6 => Self::segment(bytes),
            17 => Self::datagram(bytes),
            _ => None,
        };
        read.unwrap_or(Self::Other)
    }

    fn segment(bytes: &'a [u8]) -> Option<Self> {
        let h: &[u8; 20] = bytes.first_chunk()?;
        let header = usize::from(h[12] >> 4) * 4;
        Some(Self::Tcp(Segment {
            ports: [u16::from_be_bytes([h[0], h[1]]), u16::from_be_bytes([h[2], h[3]])],
            seq: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
            ack: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
            flags: h[13],
            window: u16::from_be_bytes([h[14], h[15]]),
            payload: bytes.get(header.max(20)..)?,
        }))
    }

    fn datagram(bytes: &'a [u8]) -> Option<Self> {
        let h: &[u8; 8] = bytes.first_chunk()?;
        Some(Self::Udp(Datagram {
            ports: [u16::from_be_bytes([h[0], h[1]]), u16::from_be_bytes([h[2], h[3]])],
            payload: &bytes[8..],
        }))
    }
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
    use daylight_packet::build;
    use proptest::prelude::*;

    #[test]
    fn extension_headers_are_walked_over_and_fragments_are_not_read() {
        let a: IpAddr = "fd00::1".parse().unwrap();
        let plain = build::udp(a, a, [1, 2], &build::Stamp::default(), b"xyz");
        let mut with_options = plain[..40].to_vec();
        with_options[6] = 60;
        with_options[5] += 8;
        with_options.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        with_options.extend(&plain[40..]);
        let packet = Packet::from_ip(&with_options).unwrap();
        assert_eq!((packet.header_bytes, packet.udp().unwrap().payload), (48, &b"xyz"[..]));
        with_options[6] = 44;
        assert_eq!(Packet::from_ip(&with_options).unwrap().transport, Transport::Other);
        let a: IpAddr = "10.0.0.1".parse().unwrap();
        let mut fragment = build::udp(a, a, [1, 2], &build::Stamp::default(), b"xyz");
        fragment[6] = 0x20;
        assert_eq!(Packet::from_ip(&fragment).unwrap().transport, Transport::Other);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), version in 0..3) {
            if let (Some(first), 1..) = (bytes.first_mut(), version) {
                *first = if version == 1 { 0x45 } else { 0x60 };
            }
            let _ = Packet::from_ip(&bytes);
            let _ = Packet::from_frame(&bytes);
        }
    }
}
