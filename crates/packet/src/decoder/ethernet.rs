//! Ethernet, LLC, what EtherTypes say, tags, PPPoE, PPP, MPLS, NSH.

use super::walk::{Layer, Step, Stop, Walk};
use crate::tunnels::TunnelKind;

/// How many labels an MPLS stack may have.
const LABELS_MAX: usize = 16;

impl Walk<'_, '_> {
    pub(super) fn ethernet(&mut self) -> Step {
        let ethertype = self.u16_at(12)?;
        self.advance(14)?;
        self.ethertype(ethertype)
    }

    pub(super) fn ethertype(&mut self, mut ethertype: u16) -> Step {
        while let 0x8100 | 0x88a8 | 0x9100 | 0x9200 = ethertype {
            let id = u32::from(self.u16_at(0)? & 0xfff);
            ethertype = self.u16_at(2)?;
            self.enter_tag(TunnelKind::Vlan, Some(id))?;
            self.context.vlan = (self.context.vlan << 12 | id) & 0xff_ffff;
            self.advance(4)?;
        }
        match ethertype {
            0x0800 => self.ipv4(),
            0x86dd => self.ipv6(),
            // Not a type but a length, with LLC after it.
            0..0x600 => {
                self.trim(usize::from(ethertype));
                Ok(Layer::Llc)
            }
            0x8847 | 0x8848 => Ok(Layer::Mpls),
            0x8864 => self.pppoe(),
            0x880b => Ok(Layer::Ppp),
            0x6558 => Ok(Layer::Ethernet),
            0x894f => Ok(Layer::Nsh),
            // FabricPath: an outer Ethernet header whose type is followed by a forwarding tag and a TTL.
            0x8903 => {
                self.enter_tag(TunnelKind::FabricPath, None)?;
                self.advance(2)?;
                Ok(Layer::Ethernet)
            }
            _ => Err(Stop::NotIp),
        }
    }

    /// LLC: SNAP with an EtherType, or IP under its own service access point (RFC 1042).
    pub(super) fn llc(&mut self) -> Step {
        match *self.rest() {
            [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, high, low, ..] => {
                self.advance(8)?;
                Ok(Layer::EtherType(u16::from_be_bytes([high, low])))
            }
            [0x06, 0x06, 0x03, ..] => {
                self.advance(3)?;
                Ok(Layer::Ipv4)
            }
            _ => Err(Stop::NotIp),
        }
    }

    /// A PPPoE session header (RFC 2516 §4); discovery has another EtherType and no IP.
    pub(super) fn pppoe(&mut self) -> Step {
        let header = self.head::<6>()?;
        if header[0] != 0x11 {
            return Err(Stop::Broken);
        }
        if header[1] != 0 {
            return Err(Stop::NotIp);
        }
        let id = u32::from(u16::from_be_bytes([header[2], header[3]]));
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        self.enter_tunnel(TunnelKind::Pppoe, Some(id), id)?;
        self.advance(6)?;
        self.trim(len);
        Ok(Layer::Ppp)
    }

    /// PPP (RFC 1661 §2, RFC 1662 §3.1): address and control may be left out, and so may the protocol's upper byte.
    pub(super) fn ppp(&mut self) -> Step {
        if let [0xff, 0x03, ..] = *self.rest() {
            self.advance(2)?;
        }
        let first = self.head::<1>()?[0];
        let protocol = if first & 1 == 1 {
            self.advance(1)?;
            u16::from(first)
        } else {
            let protocol = self.u16_at(0)?;
            self.advance(2)?;
            protocol
        };
        match protocol {
            0x0021 => Ok(Layer::Ipv4),
            0x0057 => Ok(Layer::Ipv6),
            0x0281 | 0x0283 => Ok(Layer::Mpls),
            _ => Err(Stop::NotIp),
        }
    }

    /// A label stack (RFC 3032), then IP, or a pseudo-wire with or without a control word (RFC 4385).
    ///
    /// Nothing in the stack says what comes after it, so that is guessed, as everywhere, from the first nibble; an IP
    /// header must also have a possible length, because MAC addresses can begin with 4 and 6 too.
    pub(super) fn mpls(&mut self) -> Step {
        for index in 0..LABELS_MAX {
            let entry = u32::from_be_bytes(*self.head::<4>()?);
            // Labels differ by direction, and the last hop may have taken them off: not part of a flow's identity.
            match index {
                0 => self.enter_tag(TunnelKind::Mpls, Some(entry >> 12))?,
                _ => self.note(TunnelKind::Mpls, Some(entry >> 12)),
            }
            self.advance(4)?;
            if entry & 0x100 == 0 {
                continue;
            }
            if self.looks_like_ip(0) {
                return Ok(Layer::Ip);
            }
            return match self.head::<1>()?[0] >> 4 {
                0 if self.looks_like_ethernet(4) => {
                    self.advance(4)?;
                    Ok(Layer::Ethernet)
                }
                _ if self.looks_like_ethernet(0) => Ok(Layer::Ethernet),
                4 => Ok(Layer::Ipv4),
                6 => Ok(Layer::Ipv6),
                _ => Err(Stop::NotIp),
            };
        }
        Err(Stop::Broken)
    }

    /// A Network Service Header (RFC 8300 §2).
    pub(super) fn nsh(&mut self) -> Step {
        let header = self.head::<8>()?;
        let word = u16::from_be_bytes([header[0], header[1]]);
        let len = usize::from(word & 0x3f) * 4;
        if word >> 14 != 0 || len < 8 {
            return Err(Stop::Broken);
        }
        let path = u32::from_be_bytes([0, header[4], header[5], header[6]]);
        self.enter_tag(TunnelKind::Nsh, Some(path))?;
        self.advance(len)?;
        match header[3] {
            1 => Ok(Layer::Ipv4),
            2 => Ok(Layer::Ipv6),
            3 => Ok(Layer::Ethernet),
            4 => Ok(Layer::Nsh),
            5 => Ok(Layer::Mpls),
            _ => Err(Stop::NotIp),
        }
    }
}
