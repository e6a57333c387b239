//! One packet, as far as it tells who made it.

use daylight_packet::{Decoded, Decoder, FlowKey, LinkType, TcpHeader, TransportKind};

use crate::dissect::{be16, ip_packet};
use crate::finding::Kind;

/// So many of a packet's bytes are kept, from its IP header on: more than a link's MTU.
pub const BYTES_KEPT_MAX: usize = 2048;

/// Greater on the circle of sequence numbers (RFC 9293 §3.4).
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// What was known of the connection when a packet came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    /// What the server would send next, by what was seen of it.
    pub(crate) server_next: Option<u32>,
    /// What the client had acknowledged.
    pub(crate) client_acked: Option<u32>,
    /// What the client would send next.
    pub(crate) client_next: Option<u32>,
}

/// A packet of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) ts_ns: i64,
    pub(crate) from_low: bool,
    pub(crate) ttl: u8,
    pub(crate) ip_id: Option<u16>,
    pub(crate) dont_fragment: Option<bool>,
    /// TCP's fields; all zeros for UDP.
    pub(crate) tcp: TcpHeader,
    /// Whether it is UDP.
    pub(crate) is_udp: bool,
    /// Whether it has a timestamp option.
    pub(crate) timestamps: bool,
    /// Bytes of payload that it had on the wire.
    pub(crate) payload_len: u32,
    /// Its first bytes, from the IP header on.
    pub(crate) bytes: Vec<u8>,
    /// Where the payload begins in them.
    payload_at: usize,
    pub(crate) before: Before,
}

impl Seen {
    /// Reads a frame. `None` for what is neither TCP nor UDP.
    pub(crate) fn read(
        number: u64,
        link: LinkType,
        frame: &[u8],
        ts_ns: i64,
        wire_len: u32,
    ) -> Option<(FlowKey, Self)> {
        let Decoded::Packet(packet) = Decoder::new().decode(link, frame, ts_ns, wire_len) else {
            return None;
        };
        let is_udp = packet.key.protocol == TransportKind::UDP;
        if !is_udp && packet.key.protocol != TransportKind::TCP {
            return None;
        }
        let ip = ip_packet(frame, &packet)?;
        let is_v4 = packet.key.ip_version == 4;
        let payload_at = packet.ip_len.checked_sub(packet.payload_wire_len)? as usize;
        // What follows the IP packet in a frame is padding.
        let end = ip.len().min(packet.ip_len as usize).min(BYTES_KEPT_MAX);
        let seen = Self {
            number,
            ts_ns,
            from_low: packet.from_low,
            ttl: packet.ttl,
            ip_id: be16(ip, 4).filter(|_| is_v4),
            dont_fragment: be16(ip, 6).filter(|_| is_v4).map(|word| word & 0x4000 != 0),
            tcp: packet.tcp,
            is_udp,
            timestamps: !is_udp && has_timestamps(ip, payload_at),
            payload_len: packet.payload_wire_len,
            bytes: ip.get(..end)?.to_vec(),
            payload_at,
            before: Before::default(),
        };
        Some((packet.key, seen))
    }

    /// How long after another one it came; negative if before it. Captures may say any time.
    pub(crate) fn since_ns(&self, other: &Self) -> i64 {
        self.ts_ns.saturating_sub(other.ts_ns)
    }

    /// How far apart they are in time.
    pub(crate) fn apart_ns(&self, other: &Self) -> i64 {
        self.since_ns(other).saturating_abs()
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        !self.is_udp && self.tcp.flags & flags == flags
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.has(TcpHeader::RST)
    }

    /// SYN without ACK.
    pub(crate) fn opens(&self) -> bool {
        self.has(TcpHeader::SYN) && !self.has(TcpHeader::ACK)
    }

    /// SYN with ACK.
    pub(crate) fn accepts(&self) -> bool {
        self.has(TcpHeader::SYN | TcpHeader::ACK)
    }

    /// As much of the payload as was kept.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload_at..).unwrap_or_default()
    }

    /// The sequence number that follows it.
    pub(crate) fn next(&self) -> u32 {
        let control = u32::from(self.has(TcpHeader::SYN)) + u32::from(self.has(TcpHeader::FIN));
        self.tcp.seq.wrapping_add(self.payload_len).wrapping_add(control)
    }

    /// Where its data ends, and its FIN or RST stands.
    pub(crate) fn data_end(&self) -> u32 {
        self.tcp.seq.wrapping_add(self.payload_len).wrapping_add(u32::from(self.has(TcpHeader::SYN)))
    }

    /// What kind of answer it is. `None` for a bare acknowledgement, and for datagrams.
    pub(crate) fn kind(&self) -> Option<Kind> {
        if self.is_udp {
            return None;
        }
        let ack = self.has(TcpHeader::ACK);
        Some(match () {
            () if self.is_reset() && ack => Kind::RstAck,
            () if self.is_reset() => Kind::Rst,
            () if self.accepts() => Kind::SynAck,
            () if self.has(TcpHeader::FIN) && self.payload_len > 0 => Kind::FinData,
            () if self.has(TcpHeader::FIN) => Kind::FinAck,
            () if self.payload_len > 0 => Kind::Data,
            () => return None,
        })
    }
}

/// Whether a segment has the timestamp option, kind 8 (RFC 7323 §3.2).
fn has_timestamps(ip: &[u8], payload_at: usize) -> bool {
    let header = ip.get(..payload_at.min(ip.len())).unwrap_or_default();
    let fixed = match header.first().map(|byte| byte >> 4) {
        Some(4) => usize::from(header[0] & 15) * 4 + 20,
        // Extension headers before it are rare enough to be called no options.
        _ => 60,
    };
    let mut rest = header.get(fixed..).unwrap_or_default();
    loop {
        match rest {
            [8, 10, ..] => return true,
            [1, more @ ..] => rest = more,
            [kind, len, ..] if *kind > 1 && *len > 1 => {
                rest = rest.get(usize::from(*len)..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}
