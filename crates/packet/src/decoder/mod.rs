//! The decoder: a straight path for what nearly every frame is, and a walk over layers for everything else.
//!
//! - [`fast`]: Ethernet, at most one 802.1Q tag, IP without options or fragments, TCP or UDP. Straight-line code.
//! - [`walk`]: a loop over layers, one step each, for all link types, tags and tunnels; it also finds fragments and can
//!   write down the tunnels. It gives the same packets as the straight path (a test compares them).
//! - [`transport`]: the transport headers, shared by both.
//!
//! **Tunnels.** Inside IP, a tunnel is only followed if an IP packet comes out of it. If not, the frame is a packet of
//! the flow that carries the tunnel: LCP in L2TP or ARP in VXLAN counts for the UDP flow. UDP tunnels are known by
//! their port, and held to their headers strictly, because a port is no evidence.

mod encapsulation;
mod ethernet;
mod fast;
mod ip;
mod linklayer;
mod transport;
mod udp_tunnel;
mod walk;
mod wlan;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;

use crate::decoded::{Decoded, FrameKind, Packet};
use crate::frame::LinkType;
use crate::tunnels::Tunnels;

pub use transport::icmp_counterpart;
pub(crate) use transport::{Address, checksum};
pub use walk::ENCAPSULATIONS_MAX;
pub(crate) use walk::{Context, FragmentAt, Layer, Stop, Walk};

/// Decodes frames. Has no state; the same input gives the same output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    /// Verify IPv4 header checksums, and mark wrong ones with [`Issues::IP_CHECKSUM`](crate::Issues::IP_CHECKSUM). Off
    /// by default: on a machine that leaves them to its network card, every packet sent has a wrong one.
    pub verify_checksums: bool,
}

impl Decoder {
    /// A decoder with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one frame: `bytes` of it were captured at `ts_ns`, of `wire_len` that it had. Offsets in the result
    /// are into `bytes`.
    pub fn decode(&self, link: LinkType, bytes: &[u8], ts_ns: i64, wire_len: u32) -> Decoded {
        let mut packet = Packet::default();
        match self.decode_into(link, bytes, ts_ns, wire_len, &mut packet) {
            FrameKind::Packet => Decoded::Packet(packet),
            FrameKind::Fragment => Decoded::Fragment,
            FrameKind::NotIp => Decoded::NotIp,
            FrameKind::Broken => Decoded::Broken,
        }
    }

    /// [`decode`](Self::decode) for many frames: a packet is written where it will stay, and what is in `packet`
    /// after anything else does not matter.
    #[inline(always)]
    pub fn decode_into(
        &self,
        link: LinkType,
        bytes: &[u8],
        ts_ns: i64,
        wire_len: u32,
        packet: &mut Packet,
    ) -> FrameKind {
        if link == LinkType::ETHERNET && fast::ethernet(*self, bytes, ts_ns, wire_len, packet).is_some() {
            return FrameKind::Packet;
        }
        self.walk_into(link, bytes, ts_ns, wire_len, packet)
    }

    /// [`decode_into`](Self::decode_into) without the straight path.
    #[inline(never)]
    fn walk_into(
        &self,
        link: LinkType,
        bytes: &[u8],
        ts_ns: i64,
        wire_len: u32,
        packet: &mut Packet,
    ) -> FrameKind {
        match Walk::new(*self, bytes, ts_ns, wire_len, Context::default(), None).run(Layer::Link(link)) {
            Stop::Packet(found) => {
                *packet = found;
                FrameKind::Packet
            }
            Stop::Fragment(_) => FrameKind::Fragment,
            Stop::NotIp => FrameKind::NotIp,
            Stop::Broken => FrameKind::Broken,
        }
    }

    /// The tags and tunnels that a frame was in. Meant to be asked once per flow.
    #[cold]
    pub fn tunnels(&self, link: LinkType, bytes: &[u8], wire_len: u32) -> Tunnels {
        let mut tunnels = Tunnels::default();
        Walk::new(*self, bytes, 0, wire_len, Context::default(), Some(&mut tunnels)).run(Layer::Link(link));
        tunnels
    }
}
