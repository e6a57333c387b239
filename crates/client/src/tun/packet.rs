//! What is read of packets before anything else, and datagrams that go back.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpPacket, UdpPacket, UdpRepr};

/// Of packets that this machine makes.
const HOP_LIMIT: u8 = 64;
const UDP_HEADER_LEN: usize = 8;

/// Both ends of a connection of this machine's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Flow {
    /// The program's end.
    pub(super) source: SocketAddr,
    /// Where it wants to go.
    pub(super) destination: SocketAddr,
}

/// What a packet is.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// TCP's first segment.
    Syn(Flow),
    /// Another of TCP's.
    Tcp,
    Udp(Flow, Bytes),
    /// Fragments, ICMP, what is cut, and other protocols: nothing that a tunnel carries.
    Other,
}

/// Looks into a packet. IPv6 extension headers are not followed: this machine's own TCP and UDP have none.
pub(super) fn classify(packet: &[u8]) -> Kind {
    read(packet).unwrap_or(Kind::Other)
}

fn read(packet: &[u8]) -> Option<Kind> {
    let (source, destination, protocol, payload): (IpAddr, IpAddr, _, _) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            if ip.more_frags() || ip.frag_offset() != 0 {
                return None;
            }
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
        _ => return None,
    };
    let flow = |from, to| Flow { source: (source, from).into(), destination: (destination, to).into() };
    match protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(payload).ok()?;
            let is_first = tcp.syn() && !tcp.ack() && !tcp.rst();
            Some(if is_first { Kind::Syn(flow(tcp.src_port(), tcp.dst_port())) } else { Kind::Tcp })
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(payload).ok()?;
            Some(Kind::Udp(flow(udp.src_port(), udp.dst_port()), Bytes::copy_from_slice(udp.payload())))
        }
        _ => None,
    }
}

/// A UDP datagram as a packet; none if it is too long for one, or the addresses are of two kinds.
pub(super) fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let udp = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let payload_len = UDP_HEADER_LEN + data.len();
    u16::try_from(payload_len).ok()?;
    let checksums = ChecksumCapabilities::default();
    let (mut packet, header_len) = match (from.ip(), to.ip()) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let next_header = IpProtocol::Udp;
            let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOP_LIMIT };
            let mut packet = vec![0; ip.buffer_len() + payload_len];
            u16::try_from(packet.len()).ok()?;
            ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &checksums);
            (packet, ip.buffer_len())
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let next_header = IpProtocol::Udp;
            let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOP_LIMIT };
            let mut packet = vec![0; ip.buffer_len() + payload_len];
            ip.emit(&mut Ipv6Packet::new_unchecked(&mut packet));
            (packet, ip.buffer_len())
        }
        _ => return None,
    };
    let mut out = UdpPacket::new_unchecked(packet.get_mut(header_len..)?);
    let (from, to) = (from.ip().into(), to.ip().into());
    udp.emit(&mut out, &from, &to, data.len(), |payload| payload.copy_from_slice(data), &checksums);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn datagrams_come_back(a: [u8; 4], b: [u8; 16], from: u16, to in 1_u16.., data in prop::collection::vec(any::<u8>(), 0..3000)) {
            for (source, destination) in [(IpAddr::from(a), IpAddr::from([a[3], a[2], a[1], a[0]])), (b.into(), [b[15]; 16].into())] {
                let flow = Flow { source: (source, from).into(), destination: (destination, to).into() };
                let packet = datagram(flow.source, flow.destination, &data).expect("a packet");
                prop_assert_eq!(classify(&packet), Kind::Udp(flow, data.clone().into()));
                for cut in 0..packet.len().min(60) {
                    prop_assert_eq!(classify(&packet[..cut]), Kind::Other);
                }
            }
        }

        #[test]
        fn anything_may_come(bytes: Vec<u8>) {
            classify(&bytes);
        }
    }

    #[test]
    fn what_does_not_fit() {
        let v4 = SocketAddr::from(([192, 0, 2, 1], 1));
        let v6 = SocketAddr::from(([1; 16], 1));
        assert_eq!(datagram(v4, v6, b""), None);
        assert_eq!(datagram(v4, v4, &[0; 65_508]), None);
        assert!(datagram(v4, v4, &[0; 65_507]).is_some());
        assert_eq!(datagram(v6, v6, &[0; 65_528]), None);
    }
}
