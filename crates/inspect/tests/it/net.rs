//! A small network on paper: packets between two hosts, as frames of a capture in memory.

use std::sync::Arc;

use daylight_capture::PcapWriter;
use daylight_inspect::{Config, Control, FlowRecord, RunStats, inspect};
use daylight_packet::{Batch, Frame, FrameSource, LinkType, SourceEnd, SourceError};

use crate::corpus::Owned;

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;
pub(crate) const RST: u8 = 4;

/// Packets in the order of the capture.
#[derive(Clone, Default)]
pub(crate) struct Capture {
    packets: Vec<(i64, Vec<u8>)>,
    now_ns: i64,
}

/// One end: an address and a port.
pub(crate) type End = ([u8; 4], u16);

pub(crate) const CLIENT: End = ([10, 0, 0, 1], 40000);
pub(crate) const SERVER: End = ([203, 0, 113, 5], 443);

impl Capture {
    pub(crate) fn new() -> Self {
        // 2024-01-01T00:00:00Z
        Self { packets: Vec::new(), now_ns: 1_704_067_200_000_000_000 }
    }

    /// Time passes.
    pub(crate) fn wait_s(&mut self, seconds: i64) -> &mut Self {
        self.now_ns += seconds * 1_000_000_000;
        self
    }

    pub(crate) fn ip(&mut self, from: [u8; 4], to: [u8; 4], protocol: u8, body: &[u8]) -> &mut Self {
        let mut packet = vec![0x45, 0];
        packet.extend_from_slice(&((20 + body.len()) as u16).to_be_bytes());
        packet.extend_from_slice(&[0, 1, 0, 0, 64, protocol, 0, 0]);
        packet.extend_from_slice(&from);
        packet.extend_from_slice(&to);
        packet.extend_from_slice(body);
        self.now_ns += 1_000_000;
        self.packets.push((self.now_ns, packet));
        self
    }

    pub(crate) fn udp(&mut self, from: End, to: End, payload: &[u8]) -> &mut Self {
        let mut body = Vec::new();
        body.extend_from_slice(&from.1.to_be_bytes());
        body.extend_from_slice(&to.1.to_be_bytes());
        body.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(payload);
        self.ip(from.0, to.0, 17, &body)
    }

    pub(crate) fn tcp(
        &mut self,
        from: End,
        to: End,
        seq: u32,
        ack: u32,
        flags: u8,
        payload: &[u8],
    ) -> &mut Self {
        let mut body = Vec::new();
        body.extend_from_slice(&from.1.to_be_bytes());
        body.extend_from_slice(&to.1.to_be_bytes());
        body.extend_from_slice(&seq.to_be_bytes());
        body.extend_from_slice(&ack.to_be_bytes());
        body.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        body.extend_from_slice(payload);
        self.ip(from.0, to.0, 6, &body)
    }

    /// A handshake; both sides start at 1000 and 5000, so their first bytes are 1001 and 5001.
    pub(crate) fn open(&mut self, client: End, server: End) -> &mut Self {
        self.tcp(client, server, 1000, 0, SYN, b"");
        self.tcp(server, client, 5000, 1001, SYN | ACK, b"");
        self.tcp(client, server, 1001, 5001, ACK, b"")
    }

    /// Swaps two packets' places, and their times with them.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        let (ta, tb) = (self.packets[a].0, self.packets[b].0);
        self.packets.swap(a, b);
        self.packets[a].0 = ta;
        self.packets[b].0 = tb;
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// The packets as a capture with this snap length has them.
    pub(crate) fn snapped(&self, snap_len: usize) -> Vec<Owned> {
        let cut = |(ts_ns, bytes): &(i64, Vec<u8>)| {
            let bytes_left = bytes[..bytes.len().min(snap_len)].to_vec();
            let (cap_len, wire_len) = (bytes_left.len() as u32, bytes.len() as u32);
            (Frame { ts_ns: *ts_ns, offset: 0, cap_len, wire_len, link: LinkType::RAW }, bytes_left)
        };
        self.packets.iter().map(cut).collect()
    }

    /// The capture as a file.
    pub(crate) fn to_pcap(&self) -> Vec<u8> {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, 65535).expect("memory can be written");
        for (ts_ns, bytes) in &self.packets {
            writer.write(*ts_ns, bytes.len() as u32, bytes).expect("memory can be written");
        }
        writer.into_inner()
    }

    pub(crate) fn source(&self) -> Memory<'_> {
        Memory { packets: &self.packets, at: 0, batch_max: usize::MAX }
    }

    /// Runs it with everything wanted.
    pub(crate) fn run(&self) -> Vec<FlowRecord> {
        self.run_with(Config::default()).0
    }

    pub(crate) fn run_with(&self, config: Config) -> (Vec<FlowRecord>, RunStats) {
        self.run_in_batches(config, usize::MAX)
    }

    /// From a source that gives batches of any length up to this.
    pub(crate) fn run_in_batches(&self, config: Config, batch_max: usize) -> (Vec<FlowRecord>, RunStats) {
        let mut records = Vec::new();
        let mut source = Memory { batch_max, ..self.source() };
        let stats = inspect(&mut source, "test", &Arc::new(config), &Control::default(), &mut records);
        (records, stats.expect("memory can be read"))
    }
}

pub(crate) struct Memory<'a> {
    packets: &'a [(i64, Vec<u8>)],
    at: usize,
    batch_max: usize,
}

impl FrameSource for Memory<'_> {
    fn next_batch(&mut self, frames_max: usize) -> Result<Option<Batch>, SourceError> {
        let (mut data, mut frames) = (Vec::new(), Vec::new());
        let length = if self.batch_max == usize::MAX { frames_max } else { self.at * 7 % self.batch_max + 1 };
        for (ts_ns, bytes) in self.packets.iter().skip(self.at).take(length.min(frames_max)) {
            let len = bytes.len() as u32;
            let (offset, link) = (data.len() as u32, LinkType::RAW);
            frames.push(Frame { ts_ns: *ts_ns, offset, cap_len: len, wire_len: len, link });
            data.extend_from_slice(bytes);
        }
        self.at += frames.len();
        Ok((!frames.is_empty()).then(|| Batch { data: Arc::new(data), frames }))
    }

    fn end(&self) -> SourceEnd {
        SourceEnd::Complete
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.at as u64, Some(self.packets.len() as u64))
    }
}
