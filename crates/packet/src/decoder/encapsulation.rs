//! GRE and what comes in it; L2TPv3.

use super::walk::{Layer, Step, Stop, Walk};
use crate::tunnels::TunnelKind;

/// How many source routes of GRE version 0 are skipped.
const ROUTES_MAX: usize = 8;

impl Walk<'_, '_> {
    /// GRE (RFC 1701, 2784, 2890), enhanced GRE (RFC 2637), ERSPAN (draft-foschiano-erspan).
    pub(super) fn gre(&mut self) -> Step {
        let flags = self.u16_at(0)?;
        let protocol = self.u16_at(2)?;
        let (checksum, routing) = (flags & 0x8000 != 0, flags & 0x4000 != 0);
        let (key, sequence) = (flags & 0x2000 != 0, flags & 0x1000 != 0);
        self.advance(4)?;
        if flags & 7 == 1 {
            // PPTP: no checksum or routing, always a key (length and call), perhaps a sequence and an acknowledgement.
            if checksum || routing || !key || protocol != 0x880b {
                return Err(Stop::Broken);
            }
            let len = usize::from(self.u16_at(0)?);
            let acknowledged = flags & 0x80 != 0;
            self.enter_tunnel(TunnelKind::Pptp, None, 0)?;
            self.advance(4 + 4 * usize::from(sequence) + 4 * usize::from(acknowledged))?;
            self.trim(len);
            return Ok(Layer::Ppp);
        }
        if flags & 7 != 0 {
            return Err(Stop::Broken);
        }
        self.advance(4 * usize::from(checksum || routing))?;
        let key = match key {
            true => {
                let key = u32::from_be_bytes(*self.head::<4>()?);
                self.advance(4)?;
                Some(key)
            }
            false => None,
        };
        self.advance(4 * usize::from(sequence))?;
        if routing {
            self.skip_routes()?;
        }
        match protocol {
            0x88be | 0x22eb => self.erspan(protocol, sequence),
            0x883e => {
                self.enter_tunnel(TunnelKind::Wccp, None, 0)?;
                // Version 2 has a redirect header, which can't look like IPv4's first byte.
                if self.head::<1>()?[0] >> 4 != 4 {
                    self.advance(4)?;
                }
                Ok(Layer::Ipv4)
            }
            _ => {
                self.enter_tunnel(TunnelKind::Gre, key, key.unwrap_or(0))?;
                Ok(Layer::EtherType(protocol))
            }
        }
    }

    /// Source route entries (RFC 1701): family, offset, length, until one is empty.
    fn skip_routes(&mut self) -> Result<(), Stop> {
        for _ in 0..ROUTES_MAX {
            let entry = self.head::<4>()?;
            let (family, len) = (u16::from_be_bytes([entry[0], entry[1]]), usize::from(entry[3]));
            self.advance(4 + len)?;
            if family == 0 && len == 0 {
                return Ok(());
            }
        }
        Err(Stop::Broken)
    }

    /// ERSPAN type I has no header (and no GRE sequence), II has 8 bytes, III has 12 and perhaps 8 more.
    fn erspan(&mut self, protocol: u16, sequence: bool) -> Step {
        if protocol == 0x88be && !sequence {
            self.enter_tunnel(TunnelKind::Erspan, None, 0)?;
            return Ok(Layer::Ethernet);
        }
        let header = self.head::<8>()?;
        let session = u32::from(u16::from_be_bytes([header[2], header[3]]) & 0x3ff);
        match header[0] >> 4 {
            1 => {
                self.enter_tunnel(TunnelKind::Erspan, Some(session), 0)?;
                self.advance(8)?;
                Ok(Layer::Ethernet)
            }
            2 => {
                let word = self.u16_at(10)?;
                self.enter_tunnel(TunnelKind::Erspan, Some(session), 0)?;
                self.advance(12 + 8 * usize::from(word & 1))?;
                match word >> 10 & 0x1f {
                    0 => Ok(Layer::Ethernet),
                    2 => Ok(Layer::Ip),
                    _ => Err(Stop::NotIp),
                }
            }
            _ => Err(Stop::Broken),
        }
    }

    /// L2TPv3 data (RFC 3931 §4.1): a session, then a cookie and a sublayer whose lengths only the control channel
    /// knows. So what follows is looked for at each possible place, as Ethernet with IP in it or as PPP.
    pub(super) fn l2tp_v3(&mut self) -> Step {
        if u32::from_be_bytes(*self.head::<4>()?) == 0 {
            return Err(Stop::NotIp);
        }
        for skip in [4, 8, 12, 16] {
            if self.looks_like_ethernet(skip) {
                self.advance(skip)?;
                return Ok(Layer::Ethernet);
            }
            if let Some([0xff, 0x03, 0, 0x21 | 0x57, ..]) = self.rest().get(skip..)
                && self.looks_like_ip(skip + 4)
            {
                self.advance(skip)?;
                return Ok(Layer::Ppp);
            }
        }
        Err(Stop::NotIp)
    }
}
