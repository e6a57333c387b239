//! Tunnels in UDP. The port says where to look; the header must be right in every bit that has only one right value,
//! the lengths must agree, and an IP packet must come out, or it is a UDP packet like any other.

use super::ip::NO_NEXT_HEADER;
use super::transport::Transport;
use super::walk::{Layer, Stop, Walk};
use crate::decoded::TransportKind;
use crate::tunnels::TunnelKind;

const L2TP: u16 = 1701;
const GTP_U: u16 = 2152;
const TEREDO: u16 = 3544;
const VXLAN: u16 = 4789;
const CAPWAP_DATA: u16 = 5247;
const GENEVE: u16 = 6081;
/// What Linux used for VXLAN before the port was assigned, and still uses if not told otherwise.
const VXLAN_LINUX: u16 = 8472;
const TZSP: u16 = 37008;

/// One bit for each port above, at its [`bucket`].
const PORT_BITS: u64 = {
    let ports = [L2TP, GTP_U, TEREDO, VXLAN, CAPWAP_DATA, GENEVE, VXLAN_LINUX, TZSP];
    let mut bits = 0;
    let mut index = 0;
    while index < ports.len() {
        bits |= 1 << bucket(ports[index]);
        index += 1;
    }
    bits
};

/// Spreads ports over 64 buckets. The multiplier was searched for: the ports above share five buckets, and none of the
/// ports with much UDP traffic (53, 123, 443, 500, 1900, 3478, 4500, 5060, 5353, 51820 …) falls into one of those.
const fn bucket(port: u16) -> u16 {
    port.wrapping_mul(3875) >> 7 & 63
}

/// How many extension headers of GTP-U, and how many fields of TZSP, are skipped.
const EXTENSIONS_MAX: usize = 16;

/// False if neither port belongs to a tunnel; wrong for one pair of other ports in six, which costs only time.
#[inline(always)]
pub(super) fn may_be_tunnel_port(source: u16, destination: u16) -> bool {
    (PORT_BITS >> bucket(source) | PORT_BITS >> bucket(destination)) & 1 != 0
}

/// A header that was recognised: how many bytes of the UDP payload it takes, and what follows.
struct Found {
    kind: TunnelKind,
    id: Option<u32>,
    header_len: usize,
    layer: Layer,
}

impl Walk<'_, '_> {
    /// Goes into the tunnel, if there is one; `None` if not.
    pub(super) fn udp_tunnel(&mut self, header: Transport) -> Result<Option<Layer>, Stop> {
        let (source, destination) = (header.source_port, header.destination_port);
        if !may_be_tunnel_port(source, destination) || header.issues != Default::default() {
            return Ok(None);
        }
        let either = |port| source == port || destination == port;
        let before = self.extent;
        self.enter_payload(header.payload);
        let found = if destination == VXLAN || destination == VXLAN_LINUX {
            self.vxlan()
        } else if destination == GENEVE {
            self.geneve()
        } else if either(GTP_U) {
            self.gtp_u()
        } else if either(L2TP) {
            self.l2tp()
        } else if either(CAPWAP_DATA) {
            self.capwap()
        } else if either(TEREDO) {
            self.teredo()
        } else if destination == TZSP {
            self.tzsp()
        } else {
            None
        };
        let Some(found) = found else {
            self.extent = before;
            return Ok(None);
        };
        self.set_fallback(TransportKind::UDP, header);
        self.enter_tunnel(found.kind, found.id, found.id.unwrap_or(0))?;
        self.context.strict = true;
        self.advance(found.header_len)?;
        Ok(Some(found.layer))
    }

    /// RFC 7348 §5, with the group policy bits of draft-smith-vxlan-group-policy.
    fn vxlan(&self) -> Option<Found> {
        let header = self.rest().first_chunk::<8>()?;
        let group = header[0] & 0x80 != 0;
        let plain = header[1] == 0 && header[2..4] == [0, 0];
        if header[0] & 0x7f != 0x08 || !(plain || group && header[1] & !0x48 == 0) || header[7] != 0 {
            return None;
        }
        let id = Some(u32::from_be_bytes([0, header[4], header[5], header[6]]));
        Some(Found { kind: TunnelKind::Vxlan, id, header_len: 8, layer: Layer::Ethernet })
    }

    /// RFC 8926 §3.4.
    fn geneve(&self) -> Option<Found> {
        let header = self.rest().first_chunk::<8>()?;
        if header[0] >> 6 != 0 || header[1] & 0x3f != 0 || header[7] != 0 {
            return None;
        }
        let layer = match u16::from_be_bytes([header[2], header[3]]) {
            0x6558 => Layer::Ethernet,
            0x0800 => Layer::Ipv4,
            0x86dd => Layer::Ipv6,
            _ => return None,
        };
        let id = Some(u32::from_be_bytes([0, header[4], header[5], header[6]]));
        let header_len = 8 + usize::from(header[0] & 0x3f) * 4;
        Some(Found { kind: TunnelKind::Geneve, id, header_len, layer })
    }

    /// A G-PDU (3GPP TS 29.281 §5), with its extension headers, and IP in it.
    fn gtp_u(&self) -> Option<Found> {
        let rest = self.rest();
        let header = rest.first_chunk::<8>()?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] & 0xf8 != 0x30 || header[1] != 255 || len + 8 != self.wire_left() {
            return None;
        }
        let mut header_len = 8;
        if header[0] & 7 != 0 {
            let mut extension = if header[0] & 4 != 0 { *rest.get(11)? } else { 0 };
            header_len = 12;
            for _ in 0..EXTENSIONS_MAX {
                if extension == 0 {
                    break;
                }
                let units = usize::from(*rest.get(header_len)?);
                if units == 0 {
                    return None;
                }
                header_len += units * 4;
                extension = *rest.get(header_len - 1)?;
            }
            if extension != 0 {
                return None;
            }
        }
        // The tunnel endpoint identifier is the receiver's: another one for the other direction.
        self.looks_like_ip(header_len).then_some(Found {
            kind: TunnelKind::GtpU,
            id: None,
            header_len,
            layer: Layer::Ip,
        })
    }

    /// RFC 2661 §3.1, data messages; or version 3 over UDP (RFC 3931 §4.1.2).
    fn l2tp(&self) -> Option<Found> {
        let rest = self.rest();
        let flags = u16::from_be_bytes(*rest.first_chunk()?);
        if flags == 0x0003 && rest.get(2..4)? == [0, 0] {
            return Some(Found { kind: TunnelKind::L2tpV3, id: None, header_len: 4, layer: Layer::L2tpV3 });
        }
        // Not a control message, version 2, and nothing in the reserved bits.
        if flags & 0xb4ff != 0x0002 {
            return None;
        }
        let (length, sequence, offset) = (flags & 0x4000 != 0, flags & 0x0800 != 0, flags & 0x0200 != 0);
        let mut at = 2;
        if length {
            if usize::from(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?)) != self.wire_left() {
                return None;
            }
            at += 2;
        }
        at += 4;
        if sequence {
            at += 4;
        }
        if offset {
            at += 2 + usize::from(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
        }
        Some(Found { kind: TunnelKind::L2tp, id: None, header_len: at, layer: Layer::Ppp })
    }

    /// RFC 5415 §4.3: not under DTLS, not a keep-alive, not a fragment.
    fn capwap(&self) -> Option<Found> {
        let rest = self.rest();
        let header = rest.first_chunk::<8>()?;
        let bits = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let header_len = (bits >> 19 & 0x1f) as usize * 4;
        let (binding, native) = (bits >> 9 & 0x1f, bits & 0x100 != 0);
        let (fragment, keep_alive) = (bits & 0x80 != 0, bits & 0x08 != 0);
        let reserved = bits & 0x07 != 0 || header[7] & 0x07 != 0;
        if header[0] != 0 || header_len < 8 || fragment || keep_alive || reserved || binding > 3 {
            return None;
        }
        let layer = if !native {
            Layer::Ethernet
        } else if binding == 1 {
            let control = rest.get(header_len..)?.first_chunk::<2>()?;
            match control.map(|byte| byte & 0x0f) {
                [0x08, _] => Layer::Wlan,
                [_, 0x08] => Layer::WlanSwapped,
                _ => return None,
            }
        } else {
            return None;
        };
        Some(Found { kind: TunnelKind::Capwap, id: None, header_len, layer })
    }

    /// RFC 4380 §5.1.1: authentication and origin, each optional, then an IPv6 packet with a Teredo address that ends
    /// where UDP does. Teredo's own messages (router solicitations between link-local addresses, and "bubbles", which
    /// carry nothing) are packets of the UDP flow.
    fn teredo(&self) -> Option<Found> {
        let rest = self.rest();
        let mut at = 0;
        if let [0, 1, id_len, authentication_len, ..] = *rest {
            at = 4 + usize::from(id_len) + usize::from(authentication_len) + 9;
        }
        if let Some([0, 0, ..]) = rest.get(at..) {
            at += 8;
        }
        let header = rest.get(at..)?.first_chunk::<40>()?;
        let len = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        let is_teredo = |address: &[u8]| address.starts_with(&[0x20, 0x01, 0, 0]);
        let known = is_teredo(&header[8..]) || is_teredo(&header[24..]);
        if header[0] >> 4 != 6 || header[6] == NO_NEXT_HEADER || at + len != self.wire_left() || !known {
            return None;
        }
        Some(Found { kind: TunnelKind::Teredo, id: None, header_len: at, layer: Layer::Ipv6 })
    }

    /// TZSP version 1: a received packet, and tagged fields up to the end tag.
    fn tzsp(&self) -> Option<Found> {
        let rest = self.rest();
        let [1, 0 | 1, 0, protocol] = *rest.first_chunk::<4>()? else { return None };
        let layer = match protocol {
            1 => Layer::Ethernet,
            18 => Layer::Wlan,
            _ => return None,
        };
        let mut at = 4;
        for _ in 0..EXTENSIONS_MAX {
            match *rest.get(at..)? {
                [0, ..] => at += 1,
                [1, ..] => {
                    return Some(Found { kind: TunnelKind::Tzsp, id: None, header_len: at + 1, layer });
                }
                [_, len, ..] => at += 2 + usize::from(len),
                _ => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_apart_cheaply() {
        for port in [L2TP, GTP_U, TEREDO, VXLAN, CAPWAP_DATA, GENEVE, VXLAN_LINUX, TZSP] {
            assert!(may_be_tunnel_port(port, 53) && may_be_tunnel_port(53, port));
        }
        for port in [53, 67, 68, 80, 123, 137, 161, 443, 500, 853, 1900, 3478, 4500, 5060, 5353, 51820] {
            assert!(!may_be_tunnel_port(port, port), "{port}");
        }
        let wrong = (0..=u16::MAX).filter(|port| may_be_tunnel_port(*port, 53)).count();
        assert!(wrong < 65536 / 10, "{wrong}");
    }
}
