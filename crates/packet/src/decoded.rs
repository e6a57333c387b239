//! What decoding a frame gives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocol numbers that the code names (IANA).
pub struct TransportKind;
#[allow(missing_docs)] // IANA's own names
impl TransportKind {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
    pub const SCTP: u8 = 132;
    pub const UDP_LITE: u8 = 136;
}

/// Which flow a packet belongs to: the same for both directions. 48 bytes, compared as six words.
///
/// The two endpoints are ordered: `low` is the smaller as (address, port). `Packet::from_low` tells which sent a packet.
#[derive(Clone, Copy, Debug, Eq, Default)]
#[repr(C)]
pub struct FlowKey {
    /// Addresses, IPv4 as `::ffff:a.b.c.d`, network order read as two big-endian words each: low, then high.
    pub addresses: [[u64; 2]; 2],
    /// Ports: low, then high. For ICMP, as Community ID v1 has them (type and its counterpart, or type and code). 0
    /// where there are none.
    pub ports: [u16; 2],
    /// VLAN identifiers, outer << 12 | inner, 0 if untagged (a single tag is the inner one).
    pub vlan: u32,
    /// Fingerprint of the tunnels the packet was in (their kinds and the identifiers that are the same in both
    /// directions); 0 if none.
    pub tunnel: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// Always 0.
    pub reserved: u16,
}

const _: () = assert!(size_of::<FlowKey>() == 48);

impl FlowKey {
    /// The address of an endpoint: 0 is low, 1 is high.
    pub fn address(&self, end: usize) -> IpAddr {
        let [high, low] = self.addresses[end & 1];
        if self.ip_version == 4 {
            IpAddr::V4(Ipv4Addr::from(low as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)))
        }
    }

    /// The six words, for comparing and hashing. Put together as they lie in the memory of most processors, where it takes
    /// one load each.
    #[inline(always)]
    pub fn words(&self) -> [u64; 6] {
        let [[a, b], [c, d]] = self.addresses;
        let ports = u64::from(self.ports[0]) | u64::from(self.ports[1]) << 16 | u64::from(self.vlan) << 32;
        let kinds =
            u64::from(self.protocol) | u64::from(self.ip_version) << 8 | u64::from(self.reserved) << 16;
        [a, b, c, d, ports, u64::from(self.tunnel) | kinds << 32]
    }
}

/// As `PartialEq`: by words.
impl std::hash::Hash for FlowKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.words().hash(state);
    }
}

/// By words: derived, it would compare field by field, or through `memcmp`.
impl PartialEq for FlowKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let ([a, b, c, d, e, f], [u, v, w, x, y, z]) = (self.words(), other.words());
        (a ^ u) | (b ^ v) | (c ^ w) | (d ^ x) | (e ^ y) | (f ^ z) == 0
    }
}

/// What of a TCP header matters to flows. All zeros for other transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpHeader {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Window, not scaled.
    pub window: u16,
    /// The flag byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
}

#[allow(missing_docs)] // the flags of RFC 9293 by their names
impl TcpHeader {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
    pub const URG: u8 = 32;
}

/// What was odd about a packet: a set of the constants below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Issues(pub u16);

impl Issues {
    /// The IP header's checksum is wrong.
    pub const IP_CHECKSUM: Self = Self(1);
    /// The packet was cut by the capture's snap length.
    pub const SNAPPED: Self = Self(2);
    /// The IP length field says more than the frame held on the wire.
    pub const IP_LENGTH: Self = Self(4);
    /// A transport header is broken (data offset, UDP length).
    pub const TRANSPORT_HEADER: Self = Self(8);
    /// It was put together from fragments.
    pub const REASSEMBLED: Self = Self(16);
    /// Fragments of it overlapped.
    pub const FRAGMENT_OVERLAP: Self = Self(32);
    /// Both SYN and FIN, or none of the flags, or FIN+URG+PSH alone: no stack sends that.
    pub const TCP_FLAGS: Self = Self(64);

    /// The union.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if all of `other` are in.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A decoded packet. Offsets are into the bytes that were given to the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Packet {
    /// Its flow.
    pub key: FlowKey,
    /// Nanoseconds since 1970.
    pub ts_ns: i64,
    /// Where the transport's payload starts.
    pub payload_offset: u32,
    /// How many bytes of payload were captured.
    pub payload_len: u32,
    /// How many bytes of payload the packet had on the wire; at least `payload_len`.
    pub payload_wire_len: u32,
    /// Length of the whole frame on the wire.
    pub frame_len: u32,
    /// Length of the innermost IP packet, from its header on.
    pub ip_len: u32,
    /// TCP's header fields.
    pub tcp: TcpHeader,
    /// The IP time to live or hop limit.
    pub ttl: u8,
    /// True if the sender is the key's low endpoint.
    pub from_low: bool,
    /// What was odd.
    pub issues: Issues,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A packet of a flow.
    Packet(Packet),
    /// A fragment of an IP packet: to be given to the defragmenter, in the order of the capture.
    Fragment,
    /// Not IP (ARP, STP, LLDP …).
    NotIp,
    /// Not to be read: unknown link type, or a header cut short or broken.
    Broken,
}

/// What became of a frame, without the packet; see [`Decoder::decode_into`](crate::Decoder::decode_into).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// As [`Decoded::Packet`].
    Packet,
    /// As [`Decoded::Fragment`].
    Fragment,
    /// As [`Decoded::NotIp`].
    NotIp,
    /// As [`Decoded::Broken`].
    Broken,
}
