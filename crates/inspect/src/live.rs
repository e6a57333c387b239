//! Packets as they come, for who must decide on them at once.

use std::net::SocketAddr;
use std::sync::Arc;

use daylight_flow::FlowIndex;
use daylight_packet::{Batch, Decoded, Decoder, DefragmentLimits, Defragmenter, LinkType, Packet};
use daylight_protocols::{Asked, ProtocolId};

use crate::chunk::{Chunk, Entry, FRAMES, FrameCounters, Pool, Sorting};
use crate::config::Config;
use crate::merge::{Correlation, RecordSink};
use crate::pipeline::dispatcher;
use crate::record::{ColumnId, FlowRecord};
use crate::shard::{Origin, Shard, ShardCounters};

/// An engine that is fed batch by batch, and can be asked after each what it knows of the flows of the batch's packets.
///
/// It runs on the caller's thread, and takes the packets of its flows only: of several, each must be given both
/// directions of what is its own. It has no clock; time is that of the packets and of [`Live::advance`].
pub struct Live {
    config: Arc<Config>,
    decoder: Decoder,
    sorting: Sorting,
    pool: Arc<Pool>,
    defragmenter: Defragmenter,
    shard: Shard,
    correlation: Correlation,
    frames: FrameCounters,
    now_ns: i64,
}

impl Live {
    /// An engine whose records say that they come from `source`. It ignores [`Config::threads`].
    pub fn new(config: Arc<Config>, source: &str) -> Self {
        let limits = DefragmentLimits { bytes_max: config.fragment_bytes_max, ..DefragmentLimits::default() };
        let mut shard = Shard::new(Arc::clone(&config), dispatcher(), [Origin::new(source, 0)].into());
        shard.inline = true;
        Self {
            decoder: Decoder { verify_checksums: config.verify_checksums },
            sorting: Sorting::new(config.seed),
            pool: Arc::default(),
            defragmenter: Defragmenter::new(limits, config.fragment_overlap),
            shard,
            correlation: Correlation::default(),
            frames: FrameCounters::default(),
            now_ns: i64::MIN,
            config,
        }
    }

    /// Wants other columns ([`Config::want_columns`]) of what is read from now on.
    pub fn want_columns(&mut self, columns: impl IntoIterator<Item = ColumnId>) {
        let mut config = Config::clone(&self.config);
        config.want_columns(columns);
        self.config = Arc::new(config);
        self.shard.configure(Arc::clone(&self.config));
    }

    /// Takes in a batch, hands the records of flows that are over to `sink`, and then gives each packet that belongs to
    /// a flow to `each`, in their order. What a packet's flow is known for then includes what later packets of the batch
    /// told.
    pub fn packets(
        &mut self,
        batch: Batch,
        sink: &mut dyn RecordSink,
        mut each: impl FnMut(&mut LivePacket<'_>),
    ) {
        if batch.frames.is_empty() {
            return;
        }
        let first = self.frames.frames;
        let mut chunk = Chunk::decode(0, first, batch, &self.decoder, &self.sorting, 1, &self.pool);
        // Flows end with any batch: nobody waits for more.
        chunk.ends_group = true;
        chunk.defragment(&mut self.defragmenter, &self.decoder, &self.sorting);
        self.now_ns = self.now_ns.max(chunk.span_ns.map_or(i64::MIN, |(_, last)| last));
        chunk.now_ns = self.now_ns;
        self.frames += chunk.counters;
        let recent = (self.config.flows_max / 2 / FRAMES).max(1) as u32;
        let over =
            (self.shard.flows() > self.config.flows_max).then(|| (chunk.group as u32).saturating_sub(recent));
        let may_hold = self.shard.held_bytes <= self.config.reassembly_bytes_max;
        let output = self.shard.process(&chunk, 0, &self.decoder, over, may_hold);
        self.correlation.merge(vec![output], &self.config, sink);
        let entries = || chunk.lists[0].iter().map(|i| &chunk.entries[*i as usize]);
        let flows: Vec<_> = entries().map(|entry| self.shard.find(entry.hash, &entry.packet.key)).collect();
        // What is known of a flow includes what later packets told: so must its doubts.
        for (entry, index) in entries().zip(&flows) {
            if let (Some(index), Some(ip)) = (index, chunk.ip(entry)) {
                self.shard.weigh(*index, &entry.packet, ip);
            }
        }
        for (entry, index) in entries().zip(flows) {
            let Some(index) = index else { continue };
            if !self.shard.is_in_doubt(index) {
                self.shard.conclude(index);
            }
            let frame = (entry.number - first) as usize;
            let Self { shard, correlation, config, .. } = self;
            each(&mut LivePacket { shard, correlation, config, chunk: &chunk, entry, index, frame });
        }
    }

    /// What is known of an IP packet's flow, without that the packet changes anything about it. `None` if it can't be read.
    pub fn glance(&self, ip: &[u8], now_ns: i64) -> Option<Glance> {
        let Decoded::Packet(packet) = self.decoder.decode(LinkType::RAW, ip, now_ns, ip.len() as u32) else {
            return None;
        };
        let flow_hash = self.sorting.hasher.hash(&packet.key);
        let (first_packet, note, mut record) = match self.shard.find(flow_hash, &packet.key) {
            Some(index) => {
                let (first_packet, record) = self.shard.snapshot(index);
                (first_packet, Some(self.shard.note(index)), record)
            }
            None => (self.frames.frames, None, self.shard.stranger(&packet)),
        };
        self.correlation.apply(&mut record, first_packet, &self.config, false);
        Some(Glance { packet, flow_hash, note, record })
    }

    /// Ends the flows whose time has come, where no packets come that would.
    pub fn advance(&mut self, now_ns: i64, sink: &mut dyn RecordSink) {
        self.now_ns = self.now_ns.max(now_ns);
        let output = self.shard.advance(self.now_ns);
        self.correlation.merge(vec![output], &self.config, sink);
    }

    /// Ends all flows.
    pub fn finish(mut self, sink: &mut dyn RecordSink) {
        let output = self.shard.flush(u64::MAX);
        self.correlation.merge(vec![output], &self.config, sink);
    }

    /// Flows that are followed now.
    pub fn flows(&self) -> usize {
        self.shard.flows()
    }

    /// What could not be kept.
    pub fn counters(&self) -> (FrameCounters, ShardCounters) {
        (self.frames, self.shard.counters)
    }
}

/// A packet that was not taken in, with what is known of its flow.
pub struct Glance {
    /// Its headers.
    pub packet: Packet,
    /// As [`LivePacket::flow_hash`].
    pub flow_hash: u64,
    /// The caller's, if there is such a flow.
    pub note: Option<u64>,
    /// The flow, or what it would be if the packet were its first.
    pub record: Box<FlowRecord>,
}

/// A packet with its flow.
pub struct LivePacket<'a> {
    shard: &'a mut Shard,
    correlation: &'a Correlation,
    config: &'a Config,
    chunk: &'a Chunk,
    entry: &'a Entry,
    index: FlowIndex,
    frame: usize,
}

impl LivePacket<'_> {
    /// Which frame of the batch it is; of a fragmented packet, its last fragment.
    pub fn frame(&self) -> usize {
        self.frame
    }

    /// True if the flow's client sent it.
    pub fn is_from_client(&self) -> bool {
        self.shard.flow(self.index).is_from_client(&self.entry.packet)
    }

    /// Its headers.
    pub fn packet(&self) -> &Packet {
        &self.entry.packet
    }

    /// Addresses and ports of the flow's client and server.
    pub fn ends(&self) -> [SocketAddr; 2] {
        let flow = self.shard.flow(self.index);
        let end = |low: bool| {
            let i = usize::from(!low);
            SocketAddr::new(flow.key.address(i), flow.key.ports[i])
        };
        [end(flow.client_is_low), end(!flow.client_is_low)]
    }

    /// How many packets the flow has had.
    pub fn packets(&self) -> u64 {
        self.shard.flow(self.index).sides.iter().map(|side| u64::from(side.packets)).sum()
    }

    /// TCP: true if its sender acknowledges with it everything that the other side was seen to send.
    pub fn is_caught_up(&self) -> bool {
        let other = self.shard.flow(self.index).sides[usize::from(self.is_from_client())];
        other.next_seq().is_none_or(|next| next == self.entry.packet.tcp.ack)
    }

    /// TCP: true if its connection has bytes that may never be taken by whoever they are for: they came in a segment that does
    /// not look like those before it, and were not acknowledged. Only frames that begin with the IP header are looked at,
    /// and nothing in a tunnel.
    pub fn is_in_doubt(&self) -> bool {
        self.shard.is_in_doubt(self.index)
    }

    /// Says that the flow was decided on: what comes again in other words need not be [refused](Self::is_refused) any more.
    pub fn let_go(&mut self) {
        self.shard.let_go(self.index);
    }

    /// Its transport payload, as far as it was captured.
    pub fn payload(&self) -> &[u8] {
        self.chunk.payload(self.entry)
    }

    /// Bytes of transport payload that the flow's client and server have sent.
    pub fn payload_bytes(&self) -> [u64; 2] {
        self.shard.flow(self.index).sides.map(|side| side.payload_bytes)
    }

    /// What the client asks for with this packet, or with what waited for it. Empty unless the configuration
    /// [wants questions](daylight_protocols::Wanted::set_questions).
    pub fn asked(&self) -> impl Iterator<Item = &Asked> {
        let number = self.entry.number;
        self.shard.asked.iter().filter(move |(of, _)| *of == number).map(|(_, asked)| &**asked)
    }

    /// True if the packet should not arrive: it says something else than an earlier one under the same sequence numbers, so
    /// that what was read of the flow would not be what its receiver reads; or it came too early, and there was no room
    /// to keep it. Its sender will send it again.
    pub fn is_refused(&self) -> bool {
        self.shard.refused.contains(&self.entry.number)
    }

    /// A number that is the same for all packets of its flow, and unlike most others'; another on each run.
    pub fn flow_hash(&self) -> u64 {
        self.entry.hash
    }

    /// What its flow speaks, as far as is known.
    pub fn protocol(&self) -> ProtocolId {
        self.shard.flow(self.index).x.label
    }

    /// True if nothing more will be found out about the flow but its counters and how it ends. A protocol of questions
    /// and answers (DNS) is never settled.
    pub fn is_settled(&self) -> bool {
        self.shard.is_settled(self.index)
    }

    /// Changes when more became known of the flow, so that who decided on it need not look again until it does.
    pub fn stamp(&self) -> u32 {
        self.shard.stamp(self.index)
    }

    /// A number that is kept with the flow for the caller; 0 at first.
    pub fn note(&self) -> u64 {
        self.shard.note(self.index)
    }

    /// Sets it.
    pub fn set_note(&mut self, note: u64) {
        self.shard.set_note(self.index, note);
    }

    /// Says that the rest of the flow is not shown to the engine, so that a SYN on its ports begins another one although the
    /// end of this one was not seen.
    pub fn set_carried(&mut self) {
        self.shard.set_carried(self.index);
    }

    /// What is known of the flow now. The port names a protocol only once it [is settled](Self::is_settled).
    pub fn record(&self) -> Box<FlowRecord> {
        let (first_packet, mut record) = self.shard.snapshot(self.index);
        self.correlation.apply(&mut record, first_packet, self.config, self.is_settled());
        record
    }
}
