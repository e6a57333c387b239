//! The first packets of flows, kept until it is known whether anybody wants them.

use std::collections::{HashMap, VecDeque};

use daylight_packet::LinkType;
use foldhash::fast::RandomState;

use crate::shard::Output;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// Packets of a flow.
    pub packets_max: usize,
    /// Bytes of a flow's packets.
    pub flow_bytes_max: usize,
    /// Bytes of all flows. Over it the flows that began first lose theirs.
    pub bytes_max: usize,
}

impl Default for KeepLimits {
    /// 32 packets and 64 KiB of a flow, 128 MiB of all.
    fn default() -> Self {
        Self { packets_max: 32, flow_bytes_max: 64 << 10, bytes_max: 128 << 20 }
    }
}

impl KeepLimits {
    /// Each of several workers has its part of the budget.
    pub(crate) fn divided_by(self, workers: usize) -> Self {
        Self { bytes_max: self.bytes_max / workers.max(1), ..self }
    }
}

/// A frame, as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct KeptFrame<'a> {
    /// Which interface it came from.
    pub interface: u8,
    /// How to read it.
    pub link: LinkType,
    /// When it was captured, in nanoseconds since 1970.
    pub ts_ns: i64,
    /// How many bytes it had on the wire.
    pub wire_len: u32,
    /// Those that were captured.
    pub bytes: &'a [u8],
}

/// A flow's first packets.
#[derive(Debug, Default)]
pub struct KeptPackets {
    bytes: Vec<u8>,
    /// Where each ends, and what it was.
    frames: Vec<(usize, u8, LinkType, i64, u32)>,
}

impl KeptPackets {
    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = KeptFrame<'_>> {
        let mut start = 0;
        self.frames.iter().map(move |(end, interface, link, ts_ns, wire_len)| {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            KeptFrame { interface: *interface, link: *link, ts_ns: *ts_ns, wire_len: *wire_len, bytes }
        })
    }

    fn push(&mut self, frame: KeptFrame<'_>) {
        self.bytes.extend_from_slice(frame.bytes);
        self.frames.push((self.bytes.len(), frame.interface, frame.link, frame.ts_ns, frame.wire_len));
    }
}

/// What a flow costs besides its bytes, about.
const FLOW_BYTES: usize = 256;

/// Keeps the packets of one worker's flows, which it knows by the place of their first packet.
pub(crate) struct Keeper {
    limits: KeepLimits,
    flows: HashMap<u64, KeptPackets, RandomState>,
    /// In the order in which they began. Some are gone.
    order: VecDeque<u64>,
    bytes: usize,
    forgotten: u64,
}

impl Keeper {
    pub(crate) fn new(limits: KeepLimits) -> Self {
        Self { limits, flows: HashMap::default(), order: VecDeque::new(), bytes: 0, forgotten: 0 }
    }

    /// Packets that had to go before their flow was over.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Keeps a packet of a flow, unless there are enough of it.
    pub(crate) fn keep(&mut self, flow: u64, frame: KeptFrame<'_>) {
        let kept = self.flows.entry(flow).or_insert_with(|| {
            self.order.push_back(flow);
            self.bytes += FLOW_BYTES;
            KeptPackets::default()
        });
        if kept.frames.len() >= self.limits.packets_max
            || kept.bytes.len() + frame.bytes.len() > self.limits.flow_bytes_max
        {
            return;
        }
        kept.push(frame);
        self.bytes += frame.bytes.len();
        while self.bytes > self.limits.bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some(gone) = self.take(oldest) {
                self.forgotten += gone.frames.len() as u64;
            }
        }
    }

    fn take(&mut self, flow: u64) -> Option<KeptPackets> {
        let kept = self.flows.remove(&flow)?;
        self.bytes -= kept.bytes.len() + FLOW_BYTES;
        Some(kept)
    }

    /// Puts the packets of the flows that are in it to an output.
    pub(crate) fn give(&mut self, output: &mut Output) {
        for (flow, _) in &output.records {
            if let Some(kept) = self.take(*flow).filter(|kept| !kept.frames.is_empty()) {
                output.kept.insert(*flow, kept);
            }
        }
        // Of flows that are over, nothing is left but their places here.
        if self.order.len() > 2 * self.flows.len() + 1024 {
            let Self { flows, order, .. } = self;
            order.retain(|flow| flows.contains_key(flow));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> KeptFrame<'_> {
        KeptFrame { interface: 1, link: LinkType::ETHERNET, ts_ns: 5, wire_len: 1500, bytes }
    }

    #[test]
    fn it_keeps_the_first_packets_within_its_budget() {
        let limits = KeepLimits { packets_max: 3, flow_bytes_max: 250, bytes_max: 4 * (FLOW_BYTES + 200) };
        let mut keeper = Keeper::new(limits);
        for flow in 0..10 {
            for n in 0..5u8 {
                keeper.keep(flow, frame(&[n; 100]));
            }
        }
        assert!(keeper.bytes <= limits.bytes_max);
        assert_eq!(keeper.flows.len(), 4, "two packets of each have room");
        assert_eq!(keeper.forgotten(), 12);
        let mut output = Output::default();
        output.records.push((9, Box::new(crate::FlowRecord::blank(9))));
        output.records.push((0, Box::new(crate::FlowRecord::blank(0))));
        keeper.give(&mut output);
        assert_eq!(output.kept.len(), 1);
        let frames: Vec<_> = output.kept[&9].iter().collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[1].bytes, frames[1].interface, frames[1].wire_len), (&[1; 100][..], 1, 1500));
        assert_eq!(keeper.bytes, 3 * (FLOW_BYTES + 200));
    }
}
