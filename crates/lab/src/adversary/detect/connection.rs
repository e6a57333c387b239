//! Connections as a censor's tap sees them: packets with payload, in order, with times and directions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use daylight_packet::{Decoded, Decoder, FlowKey, Packet as Decode, TcpHeader, TransportKind};

use crate::LabError;

/// The longest IP packet on an Ethernet link.
const MTU: u32 = 1500;
/// So many bytes of each direction are kept; of what comes later, only lengths.
const KEPT_BYTES: usize = 64 << 10;

/// What carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A packet with payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, in nanoseconds since 1970.
    pub at_ns: i64,
    /// Who sent it.
    pub from_client: bool,
    /// Bytes of payload on the wire.
    pub len: u32,
    /// The payload; shorter than `len` once 64 KiB of the direction are kept.
    pub payload: Vec<u8>,
}

/// A run of packets in one direction, without one in the other between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Who sent it.
    pub from_client: bool,
    /// How many packets.
    pub packets: u32,
    /// Their payloads together.
    pub bytes: u64,
    /// When the first came, in nanoseconds since 1970.
    pub first_ns: i64,
    /// When the last came.
    pub last_ns: i64,
}

/// A TCP connection, or what two UDP ports said to each other.
#[derive(Clone, Debug)]
pub struct Connection {
    /// What carries it.
    pub carrier: Carrier,
    /// Who opened it.
    pub client: SocketAddr,
    /// Whom to.
    pub server: SocketAddr,
    /// The first and last packet, with payload or without, in nanoseconds since 1970.
    pub span_ns: (i64, i64),
    /// From SYN to SYN/ACK, in nanoseconds: the round trip between the tap and the server. `None` if one was not seen.
    pub handshake_ns: Option<i64>,
    /// Packets with payload; what was sent again is left out.
    pub packets: Vec<Packet>,
}

impl Connection {
    /// One without packets, to fill by hand.
    pub fn new(carrier: Carrier, client: SocketAddr, server: SocketAddr) -> Self {
        Self { carrier, client, server, span_ns: (0, 0), handshake_ns: None, packets: Vec::new() }
    }

    /// The first payload of a side.
    pub fn first(&self, from_client: bool) -> Option<&[u8]> {
        self.packets.iter().find(|p| p.from_client == from_client).map(|p| p.payload.as_slice())
    }

    /// All its bursts.
    pub fn bursts(&self) -> Vec<Burst> {
        let mut bursts: Vec<Burst> = Vec::new();
        for packet in &self.packets {
            match bursts.last_mut().filter(|burst| burst.from_client == packet.from_client) {
                Some(burst) => {
                    burst.packets += 1;
                    burst.bytes += u64::from(packet.len);
                    burst.last_ns = packet.at_ns;
                }
                None => bursts.push(Burst {
                    from_client: packet.from_client,
                    packets: 1,
                    bytes: packet.len.into(),
                    first_ns: packet.at_ns,
                    last_ns: packet.at_ns,
                }),
            }
        }
        bursts
    }
}

/// Reads the connections of a capture, in the order of their first packets. What Linux handed to an interface in pieces of
/// up to 64 KiB is cut as the network card would.
///
/// # Errors
/// If the file is missing or no capture.
pub fn read(path: &Path) -> Result<Vec<Connection>, LabError> {
    let failed = |e: daylight_packet::SourceError| LabError::Failed {
        what: format!("reading {}", path.display()),
        message: e.to_string(),
    };
    let mut source = daylight_capture::open(path).map_err(failed)?;
    let decoder = Decoder::new();
    let mut reader = Reader::default();
    while let Some(batch) = source.next_batch(1024).map_err(failed)? {
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            if let Decoded::Packet(packet) = decoder.decode(frame.link, bytes, frame.ts_ns, frame.wire_len) {
                reader.take(&packet, bytes);
            }
        }
    }
    Ok(reader.done.into_iter().map(|entry| entry.connection).collect())
}

#[derive(Default)]
struct Reader {
    done: Vec<Entry>,
    /// Which of them is the newest of its key.
    open: HashMap<FlowKey, usize>,
}

struct Entry {
    connection: Connection,
    client_is_low: bool,
    /// The number of the client's SYN.
    opened_with: Option<u32>,
    /// The next byte of each side, the client's first.
    next_seq: [Option<u32>; 2],
    kept: [usize; 2],
}

impl Reader {
    fn take(&mut self, packet: &Decode, bytes: &[u8]) {
        let carrier = match packet.key.protocol {
            TransportKind::TCP => Carrier::Tcp,
            TransportKind::UDP => Carrier::Udp,
            _ => return,
        };
        let flags = if carrier == Carrier::Tcp { packet.tcp.flags } else { 0 };
        let is_syn = flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN;
        let known = self.open.get(&packet.key).copied();
        let again =
            known.and_then(|at| self.done.get(at)).is_some_and(|e| e.opened_with == Some(packet.tcp.seq));
        let at = match known.filter(|_| !is_syn || again) {
            Some(at) => at,
            None => {
                let ends = [0, 1].map(|end| SocketAddr::new(packet.key.address(end), packet.key.ports[end]));
                let [low, high] = ends;
                let (client, server) = if packet.from_low { (low, high) } else { (high, low) };
                let mut connection = Connection::new(carrier, client, server);
                connection.span_ns = (packet.ts_ns, packet.ts_ns);
                self.done.push(Entry {
                    connection,
                    client_is_low: packet.from_low,
                    opened_with: is_syn.then_some(packet.tcp.seq),
                    next_seq: [None; 2],
                    kept: [0; 2],
                });
                self.open.insert(packet.key, self.done.len() - 1);
                self.done.len() - 1
            }
        };
        if let Some(entry) = self.done.get_mut(at) {
            entry.take(packet, flags, bytes);
        }
    }
}

impl Entry {
    fn take(&mut self, packet: &Decode, flags: u8, bytes: &[u8]) {
        let from_client = packet.from_low == self.client_is_low;
        let side = usize::from(!from_client);
        self.connection.span_ns.1 = packet.ts_ns;
        if flags & TcpHeader::SYN != 0 {
            self.next_seq[side] = Some(packet.tcp.seq.wrapping_add(1));
            if !from_client && self.opened_with.is_some() {
                let rtt_ns = packet.ts_ns - self.connection.span_ns.0;
                self.connection.handshake_ns.get_or_insert(rtt_ns);
            }
        }
        let (mut len, mut skipped) = (packet.payload_wire_len, 0);
        if len == 0 {
            return;
        }
        if self.connection.carrier == Carrier::Tcp {
            let seq = packet.tcp.seq;
            let sent_before = self.next_seq[side].map_or(0, |next| next.wrapping_sub(seq));
            // More than half the numbers ahead is behind: then nothing of it was sent before.
            skipped = if sent_before > u32::MAX / 2 { 0 } else { sent_before };
            if skipped >= len {
                return;
            }
            self.next_seq[side] = Some(seq.wrapping_add(len));
            len -= skipped;
        }
        let start = (packet.payload_offset + skipped) as usize;
        let captured = (packet.payload_offset + packet.payload_len) as usize;
        let mut payload = bytes.get(start..captured).unwrap_or_default();
        payload = payload.get(..KEPT_BYTES - self.kept[side].min(KEPT_BYTES)).unwrap_or(payload);
        self.kept[side] += payload.len();
        let headers = packet.ip_len.saturating_sub(packet.payload_wire_len);
        let whole =
            if self.connection.carrier == Carrier::Tcp { MTU.saturating_sub(headers).max(1) } else { len };
        while len > 0 {
            let piece = len.min(whole);
            let (here, later) = payload.split_at(payload.len().min(piece as usize));
            let payload_here = here.to_vec();
            let at_ns = packet.ts_ns;
            self.connection.packets.push(Packet { at_ns, from_client, len: piece, payload: payload_here });
            (payload, len) = (later, len - piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use daylight_capture::PcapWriter;
    use daylight_packet::{LinkType, build};

    use super::*;

    #[test]
    fn the_tour_reads_as_connections() {
        let found = read("../../testdata/tour.pcap".as_ref()).unwrap();
        let web = found
            .iter()
            .find(|c| c.server.port() == 443 && c.carrier == Carrier::Tcp && !c.packets.is_empty())
            .unwrap();
        assert_eq!(web.first(true).unwrap()[0], 0x16, "a ClientHello");
        assert!(web.handshake_ns.unwrap() < 1_000_000_000 && web.bursts().len() > 3);
        assert!(web.packets.iter().all(|p| p.len as usize == p.payload.len()));
    }

    #[test]
    fn what_is_sent_again_counts_once_and_large_frames_are_cut() {
        let [client, server] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let mut frames = Vec::new();
        let mut tcp = |seq: u32, flags: u8, payload: &[u8]| {
            frames.push(build::tcp(&build::Tcp {
                source: client,
                destination: server,
                source_port: 40_000,
                destination_port: 443,
                seq,
                ack: 0,
                flags,
                window: 1000,
                ttl: 64,
                ip_id: 0,
                dont_fragment: true,
                payload,
            }));
        };
        tcp(99, TcpHeader::SYN, b"");
        tcp(100, TcpHeader::ACK, b"hello");
        tcp(100, TcpHeader::ACK, b"hello");
        tcp(102, TcpHeader::ACK, b"llo you");
        tcp(109, TcpHeader::ACK, &[7; 4000]);
        // The ports come again.
        tcp(7000, TcpHeader::SYN, b"");
        tcp(7001, TcpHeader::ACK, b"new");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcap");
        let mut writer =
            PcapWriter::new(std::fs::File::create(&path).unwrap(), LinkType(101), 65_535).unwrap();
        for (at, bytes) in (0..).zip(&frames) {
            writer.write(at, bytes.len() as u32, bytes).unwrap();
        }
        drop(writer);
        let found = read(&path).unwrap();
        assert_eq!(found.len(), 2);
        let lens: Vec<u32> = found[0].packets.iter().map(|p| p.len).collect();
        assert_eq!(lens[..2], [5, 4]);
        assert_eq!(found[0].packets[1].payload, b" you");
        assert!(
            lens[2..].len() == 3
                && lens[2..].iter().sum::<u32>() == 4000
                && lens[2..].iter().all(|l| *l <= 1460)
        );
        assert_eq!(found[1].first(true).unwrap(), b"new");
    }
}
