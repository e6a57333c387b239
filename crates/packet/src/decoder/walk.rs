//! The walk over layers: what every layer's step works on, and the loop that runs them.

use super::Decoder;
use super::transport::{Address, Envelope, Extent, Network, Parts, Transport};
use crate::decoded::{Issues, Packet};
use crate::frame::LinkType;
use crate::tunnels::{TunnelKind, Tunnels};

/// How many tags and tunnels, taken together, are followed into a frame (an MPLS stack counts as one). Beyond, an IP
/// tunnel is a packet of the flow that carries it, and anything else is broken.
pub const ENCAPSULATIONS_MAX: u8 = 8;

/// How many steps a walk may take: more than any frame within [`ENCAPSULATIONS_MAX`] needs.
const STEPS_MAX: u32 = 64;

/// What the bytes at the walk's position are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer {
    /// A frame of a link type.
    Link(LinkType),
    /// An Ethernet header.
    Ethernet,
    /// What an EtherType says.
    EtherType(u16),
    /// IEEE 802.2 LLC.
    Llc,
    /// An IP packet of the version that its first nibble says.
    Ip,
    /// An IPv4 packet.
    Ipv4,
    /// An IPv6 packet.
    Ipv6,
    /// PPP: a protocol field, perhaps with address and control before it.
    Ppp,
    /// An MPLS label stack.
    Mpls,
    /// A Network Service Header.
    Nsh,
    /// An 802.11 frame.
    Wlan,
    /// An 802.11 frame whose two frame-control bytes are swapped, as some access points have it in CAPWAP.
    WlanSwapped,
    /// A GRE header.
    Gre,
    /// An L2TPv3 session header (without the IP or UDP specific part before it).
    L2tpV3,
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Packet(Packet),
    Fragment(FragmentAt),
    NotIp,
    Broken,
}

/// What a step gives: the next layer, or the end. The steps of common stacks (Ethernet, tags, IP, transport) call each
/// other; whatever could come round again goes back to the loop instead.
pub(super) type Step = Result<Layer, Stop>;

/// What surrounds an IP packet; a packet that was put together from fragments starts with what surrounded those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) vlan: u32,
    pub(crate) tunnel: u32,
    /// Tags and tunnels so far.
    pub(crate) depth: u8,
    /// True within a tunnel that is known by a port only: lengths must be right.
    pub(crate) strict: bool,
    /// What is to be said of any packet found.
    pub(crate) issues: Issues,
}

/// Where a fragment lies in a frame, and what it is a fragment of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FragmentAt {
    pub(crate) context: Context,
    pub(crate) version: u8,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) id: u32,
    /// IPv4: the protocol. IPv6: the fragment header's next header.
    pub(crate) protocol: u8,
    /// Offset of its data in the whole datagram's.
    pub(crate) offset: u32,
    /// More are to come.
    pub(crate) more: bool,
    /// Where the IP header starts.
    pub(crate) ip_at: usize,
    /// Where the IP header (with IPv6's extension headers before the fragment header) ends.
    pub(crate) header_end: usize,
    /// IPv6: where the byte lies that names the fragment header.
    pub(crate) next_header_at: usize,
    /// Its data.
    pub(crate) data: Extent,
}

/// What to return to if a tunnel turns out to be none.
struct Fallback {
    packet: Packet,
    tunnels: usize,
}

/// A walk over one frame.
pub(crate) struct Walk<'a, 'r> {
    pub(super) decoder: Decoder,
    pub(super) bytes: &'a [u8],
    /// The position, and how far the current layer was captured and reached on the wire.
    pub(super) extent: Extent,
    pub(super) context: Context,
    /// The IP header last seen.
    pub(super) network: Option<Network>,
    ts_ns: i64,
    frame_len: u32,
    fallback: Option<Fallback>,
    record: Option<&'r mut Tunnels>,
}

impl<'a, 'r> Walk<'a, 'r> {
    pub(crate) fn new(
        decoder: Decoder,
        bytes: &'a [u8],
        ts_ns: i64,
        wire_len: u32,
        context: Context,
        record: Option<&'r mut Tunnels>,
    ) -> Self {
        let frame_len = wire_len.max(bytes.len() as u32);
        let extent = Extent { at: 0, end: bytes.len(), wire_end: frame_len as usize };
        Self { decoder, bytes, extent, context, network: None, ts_ns, frame_len, fallback: None, record }
    }

    /// Walks until something is found.
    pub(crate) fn run(mut self, mut layer: Layer) -> Stop {
        for _ in 0..STEPS_MAX {
            match self.step(layer) {
                Ok(next) => layer = next,
                Err(stop @ (Stop::Packet(_) | Stop::Fragment(_))) => return stop,
                Err(stop) => return self.fall_back(stop),
            }
        }
        self.fall_back(Stop::Broken)
    }

    fn step(&mut self, layer: Layer) -> Step {
        match layer {
            Layer::Link(link) => self.link(link),
            Layer::Ethernet => self.ethernet(),
            Layer::EtherType(ethertype) => self.ethertype(ethertype),
            Layer::Llc => self.llc(),
            Layer::Ip => self.ip(),
            Layer::Ipv4 => self.ipv4(),
            Layer::Ipv6 => self.ipv6(),
            Layer::Ppp => self.ppp(),
            Layer::Mpls => self.mpls(),
            Layer::Nsh => self.nsh(),
            Layer::Wlan => self.wlan(false),
            Layer::WlanSwapped => self.wlan(true),
            Layer::Gre => self.gre(),
            Layer::L2tpV3 => self.l2tp_v3(),
        }
    }

    fn fall_back(self, stop: Stop) -> Stop {
        let Some(fallback) = self.fallback else { return stop };
        if let Some(record) = self.record {
            record.truncate(fallback.tunnels);
        }
        Stop::Packet(fallback.packet)
    }

    /// What is left of the captured bytes of the current layer.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.extent.at..self.extent.end).unwrap_or_default()
    }

    /// The first `N` bytes of the current layer.
    pub(super) fn head<const N: usize>(&self) -> Result<&'a [u8; N], Stop> {
        self.rest().first_chunk().ok_or(Stop::Broken)
    }

    /// The 16 bits at `offset` of the current layer.
    pub(super) fn u16_at(&self, offset: usize) -> Result<u16, Stop> {
        match self.rest().get(offset..) {
            Some([high, low, ..]) => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(Stop::Broken),
        }
    }

    /// How many bytes of the current layer there were on the wire.
    pub(super) fn wire_left(&self) -> usize {
        self.extent.wire_end.saturating_sub(self.extent.at)
    }

    /// Goes on by `count` bytes.
    pub(super) fn advance(&mut self, count: usize) -> Result<(), Stop> {
        if count > self.rest().len() {
            return Err(Stop::Broken);
        }
        self.extent.at += count;
        Ok(())
    }

    /// Cuts the current layer off after `count` bytes.
    pub(super) fn trim(&mut self, count: usize) {
        self.extent.wire_end = self.extent.wire_end.min(self.extent.at + count);
        self.extent.end = self.extent.end.min(self.extent.wire_end);
    }

    /// One more tag.
    pub(super) fn enter_tag(&mut self, kind: TunnelKind, id: Option<u32>) -> Result<(), Stop> {
        if self.context.depth >= ENCAPSULATIONS_MAX {
            return Err(Stop::Broken);
        }
        self.context.depth += 1;
        self.note(kind, id);
        Ok(())
    }

    /// Notes a tag or tunnel for the record.
    pub(super) fn note(&mut self, kind: TunnelKind, id: Option<u32>) {
        if let Some(record) = &mut self.record {
            record.push(kind, id);
        }
    }

    /// One more tunnel; `id` is shown, and `key` tells apart flows (the same in both directions).
    pub(super) fn enter_tunnel(&mut self, kind: TunnelKind, id: Option<u32>, key: u32) -> Result<(), Stop> {
        self.enter_tag(kind, id)?;
        let word = u64::from(self.context.tunnel) << 32 | u64::from(key);
        let mixed = (word ^ (kind as u64 + 1) << 24).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let folded = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.context.tunnel = ((folded >> 32) as u32).max(1);
        Ok(())
    }

    /// From here on a tunnel is tried: if nothing comes out of it, the frame is a packet of `protocol` after all.
    pub(super) fn set_fallback(&mut self, protocol: u8, transport: Transport) {
        if let Some(packet) = self.packet(protocol, transport) {
            let tunnels = self.record.as_ref().map_or(0, |record| record.len());
            self.fallback = Some(Fallback { packet, tunnels });
        }
    }

    /// The packet, given its transport header.
    pub(super) fn packet(&self, protocol: u8, transport: Transport) -> Option<Packet> {
        let network = self.network?;
        let envelope = Envelope {
            ts_ns: self.ts_ns,
            frame_len: self.frame_len,
            vlan: self.context.vlan,
            tunnel: self.context.tunnel,
        };
        Some(Parts { envelope, network, protocol, transport }.assemble())
    }

    /// The end: a packet, given its transport header.
    pub(super) fn stop_with(&self, protocol: u8, transport: Option<Transport>) -> Step {
        let packet = transport.and_then(|transport| self.packet(protocol, transport));
        Err(packet.map_or(Stop::Broken, Stop::Packet))
    }
}
