//! Transport headers, and putting a [`Packet`] together.

use crate::decoded::{FlowKey, Issues, Packet, TcpHeader};

/// An address as [`FlowKey`] has it.
pub(crate) type Address = [u64; 2];

/// Where the frame was found.
#[derive(Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) ts_ns: i64,
    pub(crate) frame_len: u32,
    pub(crate) vlan: u32,
    pub(crate) tunnel: u32,
}

/// What the IP header said.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) version: u8,
    pub(crate) ttl: u8,
    /// Length of the IP packet on the wire.
    pub(crate) len: u32,
    pub(crate) issues: Issues,
}

/// The part of a frame that belongs to an IP packet's payload: it was captured up to `end`, and reached to `wire_end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) wire_end: usize,
}

/// What the transport header said.
#[derive(Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tcp: TcpHeader,
    pub(crate) payload: Extent,
    pub(crate) issues: Issues,
}

impl Transport {
    /// Ports, and everything after `header_len` bytes as payload.
    #[inline(always)]
    fn new(source_port: u16, destination_port: u16, extent: Extent, header_len: usize) -> Self {
        Self {
            source_port,
            destination_port,
            tcp: TcpHeader::default(),
            payload: Extent { at: extent.at + header_len, ..extent },
            issues: Issues::default(),
        }
    }
}

/// An IPv4 address as [`FlowKey`] has it.
#[inline(always)]
pub(crate) fn address_v4(bytes: [u8; 4]) -> Address {
    [0, 0xffff_0000_0000 | u64::from(u32::from_be_bytes(bytes))]
}

/// An IPv6 address as [`FlowKey`] has it.
#[inline(always)]
pub(crate) fn address_v6(bytes: [u8; 16]) -> Address {
    let value = u128::from_be_bytes(bytes);
    [(value >> 64) as u64, value as u64]
}

/// The shortest Ethernet frame, as captures have it (without its checksum).
const FRAME_MIN: usize = 60;
/// What IEEE 802.1Q adds to a frame.
const VLAN_TAG: usize = 4;

/// True for the padding of a short frame that some middlebox has counted into IP's length: zeros after a bare
/// acknowledgement that fill the frame, no more than it takes without options. What comes next has the same sequence
/// number, so that who takes them for payload loses the stream's real start. A frame is four bytes short of full where a
/// VLAN tag was taken out of it. In any other frame the zeros are payload, as when a hello is sent a few bytes at a time.
#[inline]
fn is_padding(bytes: &[u8], flags: u8, payload: &[u8]) -> bool {
    (bytes.len() == FRAME_MIN || bytes.len() == FRAME_MIN - VLAN_TAG)
        && flags & 0x3f == TcpHeader::ACK
        && payload.len() <= FRAME_MIN - (14 + 20 + 20)
        && payload.iter().all(|b| *b == 0)
}

/// A TCP header. `None` if its first 20 bytes were not captured.
#[inline(always)]
pub(crate) fn tcp(bytes: &[u8], extent: Extent) -> Option<Transport> {
    let header: &[u8; 20] = bytes.get(extent.at..extent.end)?.first_chunk()?;
    let flags = header[13];
    let mut header_len = usize::from(header[12] >> 4) * 4;
    let mut issues = Issues::default();
    let mut wire_end = extent.wire_end;
    if header_len < 20 || header_len > extent.wire_end - extent.at {
        // Nothing after it can be trusted to be payload.
        issues = Issues::TRANSPORT_HEADER;
        header_len = 20;
        wire_end = extent.at + 20;
    }
    let payload_at = extent.at + header_len;
    if wire_end == extent.end
        && bytes.get(payload_at..wire_end).is_some_and(|payload| is_padding(bytes, flags, payload))
    {
        wire_end = payload_at;
    }
    let odd = flags & 3 == 3 || flags & 0x3f == 0 || flags & 0x3f == 0x29;
    if odd {
        issues = issues.with(Issues::TCP_FLAGS);
    }
    Some(Transport {
        source_port: u16::from_be_bytes([header[0], header[1]]),
        destination_port: u16::from_be_bytes([header[2], header[3]]),
        tcp: TcpHeader {
            seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            window: u16::from_be_bytes([header[14], header[15]]),
            flags,
        },
        payload: Extent { at: payload_at, end: extent.end, wire_end },
        issues,
    })
}

/// A UDP header. `None` if it was not captured.
#[inline(always)]
pub(crate) fn udp(bytes: &[u8], extent: Extent) -> Option<Transport> {
    let header: &[u8; 8] = bytes.get(extent.at..extent.end)?.first_chunk()?;
    let room = extent.wire_end - extent.at;
    let said = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut transport = Transport::new(
        u16::from_be_bytes([header[0], header[1]]),
        u16::from_be_bytes([header[2], header[3]]),
        extent,
        8,
    );
    // 0 is a jumbogram (RFC 2675), or a packet that a network card would have finished: up to IP's end. Less than IP
    // has leaves room for options (RFC 9868), which are not payload.
    if said != 0 {
        if said < 8 || said > room {
            transport.issues = Issues::TRANSPORT_HEADER;
        }
        // There are 8 bytes: they were captured.
        transport.payload.wire_end = extent.at + said.min(room).max(8);
    }
    Some(transport)
}

/// UDP-Lite (RFC 3828): UDP with a checksum coverage in place of the length.
pub(crate) fn udp_lite(bytes: &[u8], extent: Extent) -> Option<Transport> {
    let header: &[u8; 8] = bytes.get(extent.at..extent.end)?.first_chunk()?;
    let ports = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
    let mut transport = Transport::new(ports[0], ports[1], extent, 8);
    let coverage = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if (1..8).contains(&coverage) || coverage > extent.wire_end - extent.at {
        transport.issues = Issues::TRANSPORT_HEADER;
    }
    Some(transport)
}

/// SCTP's common header (RFC 9260); the payload begins at the first chunk.
pub(crate) fn sctp(bytes: &[u8], extent: Extent) -> Option<Transport> {
    let header: &[u8; 12] = bytes.get(extent.at..extent.end)?.first_chunk()?;
    let ports = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_be_bytes);
    Some(Transport::new(ports[0], ports[1], extent, 12))
}

/// ICMP and ICMPv6: the payload begins at the type; ports as Community ID v1 has them.
pub(crate) fn icmp(bytes: &[u8], extent: Extent, v6: bool) -> Transport {
    let Some(&[kind, code]) = bytes.get(extent.at..extent.end).and_then(|rest| rest.first_chunk()) else {
        let issues = Issues::TRANSPORT_HEADER;
        return Transport { issues, ..Transport::new(0, 0, extent, 0) };
    };
    let other = icmp_counterpart(v6, kind).unwrap_or(code);
    Transport::new(u16::from(kind), u16::from(other), extent, 0)
}

/// The type of the message that answers (or asks for) an ICMP message of type `kind`, as Community ID v1 pairs them;
/// `None` for messages that go one way, whose second "port" is their code.
pub fn icmp_counterpart(v6: bool, kind: u8) -> Option<u8> {
    Some(match (v6, kind) {
        (false, 0) => 8,
        (false, 8) => 0,
        (false, 9) => 10,
        (false, 10) => 9,
        (false, 13) => 14,
        (false, 14) => 13,
        (false, 15) => 16,
        (false, 16) => 15,
        (false, 17) => 18,
        (false, 18) => 17,
        (true, 128) => 129,
        (true, 129) => 128,
        (true, 130) => 131,
        (true, 131) => 130,
        (true, 133) => 134,
        (true, 134) => 133,
        (true, 135) => 136,
        (true, 136) => 135,
        (true, 139) => 140,
        (true, 140) => 139,
        (true, 144) => 145,
        (true, 145) => 144,
        _ => return None,
    })
}

/// Anything else: no ports, and all of it payload.
pub(crate) fn other(extent: Extent) -> Transport {
    Transport::new(0, 0, extent, 0)
}

/// All that a packet is made of.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) envelope: Envelope,
    pub(crate) network: Network,
    pub(crate) protocol: u8,
    pub(crate) transport: Transport,
}

impl Parts {
    /// The packet that they make. Written so that every field is computed in a register and stored once, in place: a
    /// packet that is copied right after its fields were stored waits for those stores. Which end is the lower is as good
    /// as random, so nothing branches on it.
    #[inline(always)]
    pub(crate) fn assemble(self) -> Packet {
        let Self { envelope, network, protocol, transport } = self;
        let ([a0, a1], a_port) = (network.source, transport.source_port);
        let ([b0, b1], b_port) = (network.destination, transport.destination_port);
        let from_low = if network.version == 4 {
            // Address and port in a word: the upper half of the mapped address is the same for all.
            (a1 << 16 | u64::from(a_port)) <= (b1 << 16 | u64::from(b_port))
        } else {
            (a0, a1, a_port) <= (b0, b1, b_port)
        };
        let (low0, high0) = in_order(from_low, a0, b0);
        let (low1, high1) = in_order(from_low, a1, b1);
        let (low_port, high_port) = in_order(from_low, a_port.into(), b_port.into());
        // The payload may lie beyond what was captured, and what was captured beyond the payload.
        let payload = transport.payload;
        let end = payload.end.min(payload.wire_end);
        let at = payload.at.min(end);
        let payload_len = (end - at) as u32;
        let payload_wire_len = payload.wire_end.saturating_sub(payload.at) as u32;
        let snapped = if payload_len < payload_wire_len { Issues::SNAPPED } else { Issues::default() };
        Packet {
            key: FlowKey {
                addresses: [[low0, low1], [high0, high1]],
                ports: [low_port as u16, high_port as u16],
                vlan: envelope.vlan,
                tunnel: envelope.tunnel,
                protocol,
                ip_version: network.version,
                reserved: 0,
            },
            ts_ns: envelope.ts_ns,
            payload_offset: at as u32,
            payload_len,
            payload_wire_len,
            frame_len: envelope.frame_len,
            ip_len: network.len,
            tcp: transport.tcp,
            ttl: network.ttl,
            from_low,
            issues: network.issues.with(transport.issues).with(snapped),
        }
    }
}

/// The two as they are, or swapped.
#[inline(always)]
fn in_order(as_they_are: bool, a: u64, b: u64) -> (u64, u64) {
    let difference = (a ^ b) & u64::from(as_they_are).wrapping_sub(1);
    (a ^ difference, b ^ difference)
}

/// The Internet checksum (RFC 1071) of `bytes`: 0 over a header that is right.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += match *pair {
            [high, low] => u64::from(u16::from_be_bytes([high, low])),
            [high] => u64::from(high) << 8,
            _ => 0,
        };
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
