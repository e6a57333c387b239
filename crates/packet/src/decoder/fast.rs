//! The straight path: Ethernet, at most one tag, IPv4 without options or IPv6 without extension headers, TCP or UDP.
//!
//! Everything is inlined into [`Decoder::decode_into`]; `None` sends a frame to the walk. Nothing here decides what is
//! broken: it only takes what is plainly right. Each of the four ends (IPv4 or IPv6, TCP or UDP) writes the packet itself:
//! a single place for all of them would have to be told everything through memory.

use super::Decoder;
use super::transport::{self, Envelope, Extent, Network, Parts, Transport};
use super::udp_tunnel::may_be_tunnel_port;
use crate::decoded::{Issues, Packet, TransportKind};

#[inline(always)]
pub(super) fn ethernet(
    decoder: Decoder,
    bytes: &[u8],
    ts_ns: i64,
    wire_len: u32,
    packet: &mut Packet,
) -> Option<()> {
    let head: &[u8; 34] = bytes.first_chunk()?;
    let frame_len = wire_len.max(bytes.len() as u32);
    let mut envelope = Envelope { ts_ns, frame_len, vlan: 0, tunnel: 0 };
    let mut ethertype = u16::from_be_bytes([head[12], head[13]]);
    let mut at = 14;
    if ethertype == 0x8100 {
        envelope.vlan = u32::from(u16::from_be_bytes([head[14], head[15]]) & 0xfff);
        ethertype = u16::from_be_bytes([head[16], head[17]]);
        at = 18;
    }
    match ethertype {
        0x0800 => ipv4(decoder, bytes, at, envelope, packet),
        0x86dd => ipv6(bytes, at, envelope, packet),
        _ => None,
    }
}

#[inline(always)]
fn ipv4(decoder: Decoder, bytes: &[u8], at: usize, envelope: Envelope, packet: &mut Packet) -> Option<()> {
    let header: &[u8; 20] = bytes.get(at..)?.first_chunk()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    if header[0] != 0x45 || fragment != 0 {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let wire_end = at + len;
    if len < 28 || wire_end > envelope.frame_len as usize {
        return None;
    }
    let mut network = Network {
        source: transport::address_v4([header[12], header[13], header[14], header[15]]),
        destination: transport::address_v4([header[16], header[17], header[18], header[19]]),
        version: 4,
        ttl: header[8],
        len: len as u32,
        issues: Issues::default(),
    };
    if decoder.verify_checksums && transport::checksum(header) != 0 {
        network.issues = Issues::IP_CHECKSUM;
    }
    let extent = Extent { at: at + 20, end: wire_end.min(bytes.len()), wire_end };
    tcp_or_udp(bytes, extent, envelope, network, header[9], packet)
}

#[inline(always)]
fn ipv6(bytes: &[u8], at: usize, envelope: Envelope, packet: &mut Packet) -> Option<()> {
    let header: &[u8; 40] = bytes.get(at..)?.first_chunk()?;
    let len = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let wire_end = at + len;
    if header[0] >> 4 != 6 || len < 48 || wire_end > envelope.frame_len as usize {
        return None;
    }
    let (source, destination) = (header[8..].first_chunk()?, header[24..].first_chunk()?);
    let network = Network {
        source: transport::address_v6(*source),
        destination: transport::address_v6(*destination),
        version: 6,
        ttl: header[7],
        len: len as u32,
        issues: Issues::default(),
    };
    let extent = Extent { at: at + 40, end: wire_end.min(bytes.len()), wire_end };
    tcp_or_udp(bytes, extent, envelope, network, header[6], packet)
}

#[inline(always)]
fn tcp_or_udp(
    bytes: &[u8],
    extent: Extent,
    envelope: Envelope,
    network: Network,
    protocol: u8,
    packet: &mut Packet,
) -> Option<()> {
    let parts = |protocol, transport: Transport| Parts { envelope, network, protocol, transport };
    match protocol {
        TransportKind::TCP => {
            *packet = parts(TransportKind::TCP, transport::tcp(bytes, extent)?).assemble();
        }
        TransportKind::UDP => {
            let header = transport::udp(bytes, extent)?;
            if may_be_tunnel_port(header.source_port, header.destination_port) {
                return None;
            }
            *packet = parts(TransportKind::UDP, header).assemble();
        }
        _ => return None,
    }
    Some(())
}
