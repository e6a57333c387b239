//! The tags and tunnels that a frame was in, for a flow's record.

use std::fmt;

/// How many tags and tunnels [`Tunnels`] holds; MPLS gives one for each label of a stack, so it is more than
/// [`ENCAPSULATIONS_MAX`](crate::ENCAPSULATIONS_MAX). What is beyond is left out.
pub const TUNNELS_MAX: usize = 12;

macro_rules! kinds {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// A kind of tag or tunnel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum TunnelKind {
            $(#[doc = $doc] $variant,)*
        }

        impl TunnelKind {
            /// Its short name, as records have it: `vlan`, `gtp-u`, `4in6`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    Vlan = "vlan", "IEEE 802.1Q or 802.1ad tag; the identifier is the VLAN's.";
    Mpls = "mpls", "MPLS label (RFC 3032); the identifier is the label.";
    Pppoe = "pppoe", "PPPoE session (RFC 2516); the identifier is the session's.";
    Gre = "gre", "GRE (RFC 2784, 2890); the identifier is the key, if there is one.";
    Pptp = "pptp", "Enhanced GRE carrying PPP (RFC 2637).";
    Erspan = "erspan", "ERSPAN type I, II or III; the identifier is the session's, from type II on.";
    Wccp = "wccp", "GRE from a WCCP redirect.";
    FourInFour = "4in4", "IPv4 in IPv4 (RFC 2003).";
    SixInFour = "6in4", "IPv6 in IPv4 (RFC 4213).";
    FourInSix = "4in6", "IPv4 in IPv6 (RFC 2473).";
    SixInSix = "6in6", "IPv6 in IPv6 (RFC 2473).";
    EtherIp = "etherip", "Ethernet in IP (RFC 3378).";
    L2tp = "l2tp", "L2TP version 2 data (RFC 2661).";
    L2tpV3 = "l2tpv3", "L2TP version 3 data (RFC 3931).";
    Teredo = "teredo", "Teredo: IPv6 in UDP (RFC 4380).";
    Vxlan = "vxlan", "VXLAN (RFC 7348); the identifier is the VNI.";
    Geneve = "geneve", "Geneve (RFC 8926); the identifier is the VNI.";
    GtpU = "gtp-u", "GTP-U G-PDU (3GPP TS 29.281).";
    Capwap = "capwap", "CAPWAP data (RFC 5415).";
    Tzsp = "tzsp", "TaZmen Sniffer Protocol.";
    Nsh = "nsh", "Network Service Header (RFC 8300); the identifier is the service path's.";
    FabricPath = "fabricpath", "Cisco FabricPath.";
}

/// One tag or tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// What it is.
    pub kind: TunnelKind,
    /// Its identifier, where the kind has one worth showing.
    pub id: Option<u32>,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{}:{id}", self.kind.name()),
            None => f.write_str(self.kind.name()),
        }
    }
}

/// The tags and tunnels that a frame was in, outermost first. Displayed as `vlan:10/gtp-u`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tunnels {
    list: [Tunnel; TUNNELS_MAX],
    len: u8,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self { list: [Tunnel { kind: TunnelKind::Vlan, id: None }; TUNNELS_MAX], len: 0 }
    }
}

impl Tunnels {
    /// True if it was in none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Them, outermost first.
    pub fn as_slice(&self) -> &[Tunnel] {
        self.list.get(..self.len()).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, kind: TunnelKind, id: Option<u32>) {
        if let Some(place) = self.list.get_mut(usize::from(self.len)) {
            *place = Tunnel { kind, id };
            self.len += 1;
        }
    }

    /// Forgets all but the outermost `len`, and what they were, so that equal sets compare equal.
    pub(crate) fn truncate(&mut self, len: usize) {
        while self.len() > len {
            self.len -= 1;
            self.list[usize::from(self.len)] = Tunnel { kind: TunnelKind::Vlan, id: None };
        }
    }
}

impl fmt::Display for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tunnel) in self.as_slice().iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            write!(f, "{tunnel}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tunnels({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_outermost_first_and_bounded() {
        let mut tunnels = Tunnels::default();
        assert_eq!(tunnels.to_string(), "");
        tunnels.push(TunnelKind::Vlan, Some(10));
        tunnels.push(TunnelKind::GtpU, None);
        assert_eq!(tunnels.to_string(), "vlan:10/gtp-u");
        for label in 0..100 {
            tunnels.push(TunnelKind::Mpls, Some(label));
        }
        assert_eq!(tunnels.len(), TUNNELS_MAX);
        tunnels.truncate(0);
        assert_eq!(tunnels, Tunnels::default());
    }
}
