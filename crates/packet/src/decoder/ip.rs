//! IPv4 and IPv6 headers, fragments, and what IP carries.

use super::transport::{self, Extent, Network};
use super::walk::{FragmentAt, Layer, Step, Stop, Walk};
use crate::decoded::{Issues, TransportKind};
use crate::tunnels::TunnelKind;

/// How many IPv6 extension headers are followed.
const EXTENSION_HEADERS_MAX: usize = 16;

/// IPv6's "no next header", which is also what an IPv6 header without payload must name.
pub(super) const NO_NEXT_HEADER: u8 = 59;

impl Walk<'_, '_> {
    pub(super) fn ip(&mut self) -> Step {
        match self.head::<1>()?[0] >> 4 {
            4 => self.ipv4(),
            6 => self.ipv6(),
            _ => Err(Stop::Broken),
        }
    }

    /// The length of an IP packet on the wire: what its header says, but no more than there is.
    fn ip_len(&self, said: usize) -> Result<(usize, Issues), Stop> {
        let left = self.wire_left();
        match said <= left {
            true => Ok((said, Issues::default())),
            false if self.context.strict => Err(Stop::Broken),
            false => Ok((left, Issues::IP_LENGTH)),
        }
    }

    #[inline(never)]
    pub(super) fn ipv4(&mut self) -> Step {
        let header = self.head::<20>()?;
        let header_len = usize::from(header[0] & 15) * 4;
        let said = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
            // A network card would have filled it in.
            0 if !self.context.strict => self.wire_left(),
            said => said,
        };
        let (len, issues) = self.ip_len(said)?;
        if header[0] >> 4 != 4 || header_len < 20 || len < header_len {
            return Err(Stop::Broken);
        }
        self.trim(len);
        let Some(whole_header) = self.rest().get(..header_len) else { return Err(Stop::Broken) };
        let mut network = Network {
            source: transport::address_v4([header[12], header[13], header[14], header[15]]),
            destination: transport::address_v4([header[16], header[17], header[18], header[19]]),
            version: 4,
            ttl: header[8],
            len: len as u32,
            issues: self.context.issues.with(issues),
        };
        if self.decoder.verify_checksums && transport::checksum(whole_header) != 0 {
            network.issues = network.issues.with(Issues::IP_CHECKSUM);
        }
        self.network = Some(network);
        let ip_at = self.extent.at;
        self.advance(header_len)?;
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        if fragment & 0x3fff == 0 {
            return self.payload(header[9]);
        }
        Err(Stop::Fragment(FragmentAt {
            context: self.context,
            version: 4,
            source: network.source,
            destination: network.destination,
            id: u32::from(u16::from_be_bytes([header[4], header[5]])),
            protocol: header[9],
            offset: u32::from(fragment & 0x1fff) * 8,
            more: fragment & 0x2000 != 0,
            ip_at,
            header_end: self.extent.at,
            next_header_at: ip_at,
            data: self.extent,
        }))
    }

    #[inline(never)]
    pub(super) fn ipv6(&mut self) -> Step {
        let header = self.head::<40>()?;
        if header[0] >> 4 != 6 {
            return Err(Stop::Broken);
        }
        let said = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
            // A jumbogram (RFC 2675), or a network card would have filled it in.
            0 if header[6] != NO_NEXT_HEADER && !self.context.strict => self.wire_left(),
            payload_len => 40 + payload_len,
        };
        let (len, issues) = self.ip_len(said)?;
        if len < 40 {
            return Err(Stop::Broken);
        }
        self.trim(len);
        let (Some(source), Some(destination)) = (header[8..].first_chunk(), header[24..].first_chunk())
        else {
            return Err(Stop::Broken);
        };
        let network = Network {
            source: transport::address_v6(*source),
            destination: transport::address_v6(*destination),
            version: 6,
            ttl: header[7],
            len: len as u32,
            issues: self.context.issues.with(issues),
        };
        self.network = Some(network);
        let ip_at = self.extent.at;
        self.advance(40)?;
        self.extension_headers(ip_at, header[6], network)
    }

    fn extension_headers(&mut self, ip_at: usize, first: u8, network: Network) -> Step {
        let mut next = first;
        let mut next_header_at = ip_at + 6;
        for _ in 0..EXTENSION_HEADERS_MAX {
            let at = self.extent.at;
            match next {
                // Hop-by-hop, routing, destination, mobility, HIP, shim6: RFC 6564's form, or one like it.
                0 | 43 | 60 | 135 | 139 | 140 => {
                    let header = self.head::<2>()?;
                    next = header[0];
                    self.advance(usize::from(header[1]) * 8 + 8)?;
                }
                // Authentication header (RFC 4302).
                51 => {
                    let header = self.head::<2>()?;
                    next = header[0];
                    self.advance(usize::from(header[1]) * 4 + 8)?;
                }
                // Fragment header; one that says it is the only one (RFC 6946) is skipped.
                44 => {
                    let header = self.head::<8>()?;
                    let offset = u16::from_be_bytes([header[2], header[3]]);
                    next = header[0];
                    let header_end = self.extent.at;
                    self.advance(8)?;
                    if offset & 0xfff9 != 0 {
                        return Err(Stop::Fragment(FragmentAt {
                            context: self.context,
                            version: 6,
                            source: network.source,
                            destination: network.destination,
                            id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                            protocol: next,
                            offset: u32::from(offset & 0xfff8),
                            more: offset & 1 != 0,
                            ip_at,
                            header_end,
                            next_header_at,
                            data: self.extent,
                        }));
                    }
                }
                _ => return self.payload(next),
            }
            next_header_at = at;
        }
        Err(Stop::Broken)
    }

    pub(super) fn payload(&mut self, protocol: u8) -> Step {
        let (bytes, extent) = (self.bytes, self.extent);
        let version = self.network.map_or(0, |network| network.version);
        let transport = match (protocol, version) {
            (TransportKind::TCP, _) => transport::tcp(bytes, extent),
            (TransportKind::UDP, _) => {
                let udp = transport::udp(bytes, extent);
                if let Some(header) = udp
                    && let Some(layer) = self.udp_tunnel(header)?
                {
                    return Ok(layer);
                }
                udp
            }
            (TransportKind::UDP_LITE, _) => transport::udp_lite(bytes, extent),
            (TransportKind::SCTP, _) => transport::sctp(bytes, extent),
            (TransportKind::ICMP, 4) => Some(transport::icmp(bytes, extent, false)),
            (TransportKind::ICMPV6, 6) => Some(transport::icmp(bytes, extent, true)),
            (4 | 41 | 47 | 97 | 115 | 137, _) => {
                self.set_fallback(protocol, transport::other(extent));
                return self.ip_tunnel(protocol, version);
            }
            _ => Some(transport::other(extent)),
        };
        self.stop_with(protocol, transport)
    }

    /// A tunnel that has an IP protocol number of its own.
    fn ip_tunnel(&mut self, protocol: u8, version: u8) -> Step {
        match (protocol, version) {
            (4, 4) => self.enter_tunnel(TunnelKind::FourInFour, None, 0).map(|()| Layer::Ipv4),
            (4, _) => self.enter_tunnel(TunnelKind::FourInSix, None, 0).map(|()| Layer::Ipv4),
            (41, 4) => self.enter_tunnel(TunnelKind::SixInFour, None, 0).map(|()| Layer::Ipv6),
            (41, _) => self.enter_tunnel(TunnelKind::SixInSix, None, 0).map(|()| Layer::Ipv6),
            (47, _) => Ok(Layer::Gre),
            // RFC 3378: version 3, and twelve reserved bits.
            (97, _) => {
                if self.u16_at(0)? != 0x3000 {
                    return Err(Stop::Broken);
                }
                self.enter_tunnel(TunnelKind::EtherIp, None, 0)?;
                self.advance(2)?;
                Ok(Layer::Ethernet)
            }
            (115, _) => self.enter_tunnel(TunnelKind::L2tpV3, None, 0).map(|()| Layer::L2tpV3),
            _ => Ok(Layer::Mpls),
        }
    }

    /// True if what is at `offset` of the current layer is an IP header whose length is possible.
    pub(super) fn looks_like_ip(&self, offset: usize) -> bool {
        let Some(rest) = self.rest().get(offset..) else { return false };
        let left = self.wire_left().saturating_sub(offset);
        match *rest {
            [0x45..=0x4f, _, high, low, ..] => {
                (20..=left).contains(&usize::from(u16::from_be_bytes([high, low])))
            }
            [0x60..=0x6f, _, _, _, high, low, ..] => {
                40 + usize::from(u16::from_be_bytes([high, low])) <= left
            }
            _ => false,
        }
    }

    /// True if what is at `offset` of the current layer is an Ethernet header with an IP packet after it.
    pub(super) fn looks_like_ethernet(&self, offset: usize) -> bool {
        let ethertype = self.u16_at(offset + 12).unwrap_or(0);
        matches!(ethertype, 0x8100 | 0x88a8)
            || matches!(ethertype, 0x0800 | 0x86dd) && self.looks_like_ip(offset + 14)
    }

    /// How many bytes of UDP payload there were on the wire, and where they were captured.
    pub(super) fn enter_payload(&mut self, payload: Extent) {
        self.extent = payload;
        self.extent.end = payload.end.min(payload.wire_end);
    }
}
