//! A packet that was put together from fragments.

use crate::decoded::Decoded;
use crate::decoder::{Context, Decoder, Layer, Stop, Walk};
use crate::tunnels::Tunnels;

/// An IP packet that was put together from fragments, or as much of it as came, in memory of its own.
///
/// It is decoded like a frame: it may be a packet, hold a tunnel, or be a fragment in turn
/// ([`Defragmenter::push_reassembled`](crate::Defragmenter::push_reassembled)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassembled {
    pub(super) bytes: Vec<u8>,
    pub(super) version: u8,
    /// Length of the IP packet on the wire.
    pub(super) packet_len: u32,
    /// Length of all its frames on the wire.
    pub(super) frame_len: u32,
    pub(super) ts_ns: i64,
    pub(super) context: Context,
    pub(super) outer_tunnels: Tunnels,
}

impl Reassembled {
    /// The IP packet, its header made that of an unfragmented one. Offsets of the decoded packet are into these.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When the last of its fragments was captured.
    pub fn ts_ns(&self) -> i64 {
        self.ts_ns
    }

    /// Decodes it. A packet's `frame_len` is the sum of the frames that held the fragments, its VLAN and tunnel are
    /// those of the first fragment, and its issues say that it was put together. If the capture cut a fragment, or
    /// some never came, the payload ends before the first byte that is missing.
    pub fn decode(&self, decoder: &Decoder) -> Decoded {
        match self.walk(decoder, None) {
            Stop::Packet(mut packet) => {
                packet.frame_len = self.frame_len;
                Decoded::Packet(packet)
            }
            Stop::Fragment(_) => Decoded::Fragment,
            Stop::NotIp => Decoded::NotIp,
            Stop::Broken => Decoded::Broken,
        }
    }

    /// The tags and tunnels it was in, those around the fragments first.
    pub fn tunnels(&self, decoder: &Decoder) -> Tunnels {
        let mut tunnels = self.outer_tunnels;
        self.walk(decoder, Some(&mut tunnels));
        tunnels
    }

    pub(super) fn walk(&self, decoder: &Decoder, record: Option<&mut Tunnels>) -> Stop {
        let layer = if self.version == 4 { Layer::Ipv4 } else { Layer::Ipv6 };
        Walk::new(*decoder, &self.bytes, self.ts_ns, self.packet_len, self.context, record).run(layer)
    }
}

impl Decoder {
    /// [`Reassembled::decode`], for those who look for it here.
    pub fn decode_reassembled(&self, packet: &Reassembled) -> Decoded {
        packet.decode(self)
    }
}
