//! From a link type to the first layer. Formats: <https://www.tcpdump.org/linktypes.html>.

use super::walk::{Layer, Step, Stop, Walk};
use crate::frame::LinkType;

/// NFULA_PAYLOAD: the attribute of an NFLOG message that holds the packet.
const NFLOG_PAYLOAD: u16 = 9;

impl Walk<'_, '_> {
    pub(super) fn link(&mut self, link: LinkType) -> Step {
        match link {
            LinkType::ETHERNET => self.ethernet(),
            LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => self.ip(),
            LinkType::IPV4 => Ok(Layer::Ipv4),
            LinkType::IPV6 => Ok(Layer::Ipv6),
            LinkType::NULL | LinkType::LOOP => self.loopback(),
            LinkType::LINUX_SLL => self.cooked(),
            LinkType::LINUX_SLL2 => self.cooked_v2(),
            LinkType::PPP | LinkType::PPP_HDLC => self.ppp_or_cisco(),
            LinkType::PPP_PPPD => {
                self.advance(1)?;
                if let [0x03, ..] = *self.rest() {
                    self.advance(1)?;
                }
                Ok(Layer::Ppp)
            }
            LinkType::PPP_ETHER => self.pppoe(),
            LinkType::CISCO_HDLC => self.cisco_hdlc(),
            LinkType::IEEE802_11 => Ok(Layer::Wlan),
            LinkType::RADIOTAP => self.radiotap(),
            LinkType::PRISM => self.prism(),
            LinkType::AVS => self.avs(),
            LinkType::PPI => self.ppi(),
            LinkType::NFLOG => self.nflog(),
            _ => Err(Stop::Broken),
        }
    }

    /// NULL and LOOP: an address family, in either byte order. 2 is IPv4 everywhere; IPv6 is 24, 28 or 30 by system.
    fn loopback(&mut self) -> Step {
        let family = *self.head::<4>()?;
        self.advance(4)?;
        let ([family, 0, 0, 0] | [0, 0, 0, family]) = family else { return Err(Stop::NotIp) };
        match family {
            2 => self.ipv4(),
            10 | 23 | 24 | 28 | 30 => self.ipv6(),
            _ => Err(Stop::NotIp),
        }
    }

    fn cooked(&mut self) -> Step {
        let hardware = self.u16_at(2)?;
        let protocol = self.u16_at(14)?;
        self.advance(16)?;
        self.cooked_protocol(hardware, protocol)
    }

    fn cooked_v2(&mut self) -> Step {
        let protocol = self.u16_at(0)?;
        let hardware = self.u16_at(8)?;
        self.advance(20)?;
        self.cooked_protocol(hardware, protocol)
    }

    fn cooked_protocol(&mut self, hardware: u16, protocol: u16) -> Step {
        match (hardware, protocol) {
            (801, _) => Ok(Layer::Wlan),
            (803, _) => self.radiotap(),
            // ARPHRD_NETLINK and ARPHRD_FRAD, whose protocol field isn't an EtherType.
            (770 | 824, _) => Err(Stop::NotIp),
            (_, 0x0004) => Ok(Layer::Llc),
            (_, protocol) => self.ethertype(protocol),
        }
    }

    fn ppp_or_cisco(&mut self) -> Step {
        match *self.rest() {
            [0x0f | 0x8f, 0, ..] => self.cisco_hdlc(),
            _ => Ok(Layer::Ppp),
        }
    }

    fn cisco_hdlc(&mut self) -> Step {
        let ethertype = self.u16_at(2)?;
        self.advance(4)?;
        Ok(Layer::EtherType(ethertype))
    }

    /// Radiotap: skipped, but for the flag that says that the 802.11 header is padded.
    fn radiotap(&mut self) -> Step {
        let header = self.head::<8>()?;
        let len = usize::from(u16::from_le_bytes([header[2], header[3]]));
        if header[0] != 0 || len < 8 {
            return Err(Stop::Broken);
        }
        let header = self.rest().get(..len).ok_or(Stop::Broken)?;
        let word = |at: usize| {
            header.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_le_bytes(*word))
        };
        let present = word(4).unwrap_or(0);
        let mut at = 8;
        let mut last = present;
        while last & 1 << 31 != 0 {
            let Some(next) = word(at) else { return Err(Stop::Broken) };
            last = next;
            at += 4;
        }
        if present & 1 != 0 {
            // The timestamp: 8 bytes, aligned to 8.
            at = at.next_multiple_of(8) + 8;
        }
        let flags = if present & 2 != 0 { header.get(at).copied().unwrap_or(0) } else { 0 };
        self.advance(len)?;
        self.wlan_padded(flags & 0x20 != 0)
    }

    /// Prism: its length in the byte order of the machine that captured; some drivers put an AVS header instead.
    fn prism(&mut self) -> Step {
        let header = self.head::<8>()?;
        if header[..3] == [0x80, 0x21, 0x10] {
            return self.avs();
        }
        let len: [u8; 4] = [header[4], header[5], header[6], header[7]];
        let len = u32::from_le_bytes(len).min(u32::from_be_bytes(len));
        if len < 8 {
            return Err(Stop::Broken);
        }
        self.advance(len as usize)?;
        Ok(Layer::Wlan)
    }

    fn avs(&mut self) -> Step {
        let header = self.head::<8>()?;
        let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if header[..3] != [0x80, 0x21, 0x10] || len < 8 {
            return Err(Stop::Broken);
        }
        self.advance(len as usize)?;
        Ok(Layer::Wlan)
    }

    /// PPI: a header of little-endian fields, then a frame of the link type that it names (not PPI again).
    fn ppi(&mut self) -> Step {
        let header = self.head::<8>()?;
        let len = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let link = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if header[0] != 0 || len < 8 {
            return Err(Stop::Broken);
        }
        self.advance(len)?;
        match u16::try_from(link).map(LinkType) {
            Ok(LinkType::PPI) | Err(_) => Err(Stop::Broken),
            Ok(link) => Ok(Layer::Link(link)),
        }
    }

    /// NFLOG: attributes whose lengths are in the byte order of the machine that captured; one of them is the packet.
    fn nflog(&mut self) -> Step {
        let header = self.head::<4>()?;
        if header[1] != 0 {
            return Err(Stop::Broken);
        }
        self.advance(4)?;
        // A length has no upper byte before the packet's own attribute, nor a zero lower one.
        let little_endian = self.head::<4>()?[1] == 0;
        let number = |pair: [u8; 2]| match little_endian {
            true => u16::from_le_bytes(pair),
            false => u16::from_be_bytes(pair),
        };
        loop {
            let attribute = self.head::<4>()?;
            let len = usize::from(number([attribute[0], attribute[1]]));
            let kind = number([attribute[2], attribute[3]]) & 0x7fff;
            if len < 4 {
                return Err(Stop::Broken);
            }
            if kind == NFLOG_PAYLOAD {
                self.trim(len);
                self.advance(4)?;
                return Ok(Layer::Ip);
            }
            self.advance(len.next_multiple_of(4))?;
        }
    }
}
