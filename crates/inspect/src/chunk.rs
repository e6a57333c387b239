//! A stretch of a capture, decoded: the unit in which work goes from thread to thread.

use std::sync::{Arc, Mutex};

use daylight_flow::FlowHasher;
use daylight_packet::{
    Batch, Decoded, Decoder, Defragmented, Defragmenter, FlowKey, FrameKind, LinkType, Packet, Reassembled,
    Spread,
};

use crate::keep::KeptFrame;

/// Frames in a group. Small enough that its packets stay in a core's second-level cache.
///
/// A chunk is a group, or a part of one: it lies in one piece of memory, and where those end depends on how a capture is
/// read. What must not depend on that (when flows end, what is merged together) happens where a group ends.
pub(crate) const FRAMES: usize = 1024;

/// A packet and where its bytes are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) packet: Packet,
    /// Of the flow's key.
    pub(crate) hash: u64,
    /// The packet's place in the capture, from 0.
    pub(crate) number: u64,
    /// Which frame, or, from [`REASSEMBLED`] on, which reassembled packet.
    bytes: u32,
}

const REASSEMBLED: u32 = 1 << 31;

/// What a chunk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Packets.
    Packets,
    /// The capture has ended: flows that began before this packet are to be ended.
    Flush(u64),
}

/// What was seen of frames that are not packets of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Frames.
    pub frames: u64,
    /// Bytes of the frames on the wire.
    pub bytes: u64,
    /// Frames that carry no IP: ARP, STP, LLDP …
    pub not_ip: u64,
    /// Frames with a link type or a header that can't be read.
    pub broken: u64,
    /// IP fragments.
    pub fragments: u64,
    /// Frames that were cut by the snap length.
    pub snapped: u64,
}

impl std::ops::AddAssign for FrameCounters {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.not_ip += other.not_ip;
        self.broken += other.broken;
        self.fragments += other.fragments;
        self.snapped += other.snapped;
    }
}

/// How a packet finds its flow: the shard, and the place in the shard's table.
#[derive(Clone, Copy)]
pub(crate) struct Sorting {
    pub(crate) hasher: FlowHasher,
    pub(crate) spread: Spread,
}

impl Sorting {
    /// From a seed, or a random one.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let hasher = seed.map_or_else(FlowHasher::random, FlowHasher::with_seed);
        Self { hasher, spread: Spread::new(hasher.hash(&FlowKey::default())) }
    }
}

/// Buffers of chunks that everybody is through with, to be used again: a chunk's entries are too large for the
/// allocator to keep at hand.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Buffers>>);

#[derive(Default)]
struct Buffers {
    /// As the last chunk left them: every one is written before it is read.
    entries: Vec<Entry>,
    lists: Vec<Vec<u32>>,
}

impl Pool {
    fn take(&self, shards: usize) -> Buffers {
        let mut buffers = self.0.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_default();
        buffers.lists.resize_with(shards, Vec::new);
        buffers
    }

    fn put(&self, mut buffers: Buffers) {
        buffers.lists.iter_mut().for_each(Vec::clear);
        if let Ok(mut idle) = self.0.lock() {
            idle.push(buffers);
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let (entries, lists) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.lists));
        if entries.capacity() > 0 {
            self.pool.put(Buffers { entries, lists });
        }
    }
}

pub(crate) struct Chunk {
    pool: Arc<Pool>,
    /// Its place in the capture, from 0.
    pub(crate) number: u64,
    /// Its group's place, and if the group ends with it.
    pub(crate) group: u64,
    pub(crate) ends_group: bool,
    pub(crate) task: Task,
    batch: Batch,
    reassembled: Vec<Reassembled>,
    pub(crate) entries: Vec<Entry>,
    /// For each shard, the indices of its entries.
    pub(crate) lists: Vec<Vec<u32>>,
    /// The latest time of any frame up to the end of this chunk.
    pub(crate) now_ns: i64,
    /// Frames that are fragments, by index: for the defragmenter, which needs chunks in their order.
    fragments: Vec<u32>,
    pub(crate) counters: FrameCounters,
    /// First and last time of a frame in it.
    pub(crate) span_ns: Option<(i64, i64)>,
    /// Which of the shards' origins its frames come from.
    pub(crate) origin: u8,
    /// A link type that nobody can read, if there was one.
    pub(crate) unknown_link: Option<LinkType>,
    first_number: u64,
    /// No packets follow: fragments that still wait will wait in vain.
    is_last: bool,
}

impl Chunk {
    /// Decodes a batch; an empty one says that no more follow. `first_number` is the place of its first frame in the
    /// capture.
    #[inline(never)]
    pub(crate) fn decode(
        number: u64,
        first_number: u64,
        batch: Batch,
        decoder: &Decoder,
        sorting: &Sorting,
        shards: usize,
        pool: &Arc<Pool>,
    ) -> Self {
        let frames = batch.frames.len();
        let buffers = pool.take(shards);
        let mut chunk = Self {
            pool: Arc::clone(pool),
            number,
            group: first_number / FRAMES as u64,
            ends_group: frames == 0 || (first_number + frames as u64).is_multiple_of(FRAMES as u64),
            task: Task::Packets,
            batch,
            reassembled: Vec::new(),
            entries: buffers.entries,
            lists: buffers.lists,
            now_ns: i64::MIN,
            fragments: Vec::new(),
            counters: FrameCounters::default(),
            span_ns: None,
            origin: 0,
            unknown_link: None,
            first_number,
            is_last: frames == 0,
        };
        let data = Arc::clone(&chunk.batch.data);
        let data = data.bytes();
        let mut counters = FrameCounters { frames: frames as u64, ..FrameCounters::default() };
        let (mut first_ns, mut last_ns) = (i64::MAX, i64::MIN);
        let mut packets = 0;
        chunk.entries.resize(frames, Entry::default());
        for (i, frame) in chunk.batch.frames.iter().enumerate() {
            let start = frame.offset as usize;
            let bytes = data.get(start..start + frame.cap_len as usize).unwrap_or(&[]);
            counters.bytes += u64::from(frame.wire_len);
            counters.snapped += u64::from(frame.cap_len < frame.wire_len);
            first_ns = first_ns.min(frame.ts_ns);
            last_ns = last_ns.max(frame.ts_ns);
            let entry = &mut chunk.entries[packets];
            match decoder.decode_into(frame.link, bytes, frame.ts_ns, frame.wire_len, &mut entry.packet) {
                FrameKind::Packet => {
                    entry.hash = sorting.hasher.hash(&entry.packet.key);
                    entry.number = first_number + i as u64;
                    entry.bytes = i as u32;
                    chunk.lists[sorting.spread.share(&entry.packet.key, shards)].push(packets as u32);
                    packets += 1;
                }
                FrameKind::Fragment => chunk.fragments.push(i as u32),
                FrameKind::NotIp => counters.not_ip += 1,
                FrameKind::Broken => {
                    counters.broken += 1;
                    if frame.link.name().is_none() {
                        chunk.unknown_link = Some(frame.link);
                    }
                }
            }
        }
        chunk.entries.truncate(packets);
        counters.fragments = chunk.fragments.len() as u64;
        chunk.counters = counters;
        chunk.span_ns = (frames > 0).then_some((first_ns, last_ns));
        chunk
    }

    /// A chunk without packets: the capture has ended, and flows that began before packet `before` are to be ended.
    pub(crate) fn flush(number: u64, before: u64, empty: Batch) -> Self {
        Self {
            pool: Arc::default(),
            number,
            group: 0,
            ends_group: true,
            task: Task::Flush(before),
            batch: empty,
            reassembled: Vec::new(),
            entries: Vec::new(),
            lists: Vec::new(),
            now_ns: i64::MIN,
            fragments: Vec::new(),
            counters: FrameCounters::default(),
            span_ns: None,
            origin: 0,
            unknown_link: None,
            first_number: before,
            is_last: false,
        }
    }

    /// Numbers packets by their times, in nanoseconds, each at least one above `last`, which becomes the last one's number.
    pub(crate) fn number_by_time(&mut self, last: &mut u64) {
        self.first_number = *last + 1;
        for entry in &mut self.entries {
            *last = u64::try_from(entry.packet.ts_ns).unwrap_or(0).max(*last + 1);
            entry.number = *last;
        }
    }

    /// Puts fragments together. To be called for all chunks in their order.
    pub(crate) fn defragment(
        &mut self,
        defragmenter: &mut Defragmenter,
        decoder: &Decoder,
        sorting: &Sorting,
    ) {
        if self.fragments.is_empty() && !self.is_last {
            return;
        }
        for i in std::mem::take(&mut self.fragments) {
            let number = self.first_number + u64::from(i);
            let frame = self.batch.frames[i as usize];
            let bytes = self.batch.frame_bytes(&frame);
            let done = defragmenter.push(decoder, frame.link, bytes, frame.ts_ns, frame.wire_len);
            self.add_whole(done, number, defragmenter, decoder, sorting);
            // What was given up to make room, as far as it came: its first fragment tells whose flow it was.
            while let Some(part) = defragmenter.take_incomplete() {
                self.add(part, number, defragmenter, decoder, sorting);
            }
        }
        if self.is_last {
            let mut number = self.first_number;
            while let Some(part) = defragmenter.drain() {
                self.add(part, number, defragmenter, decoder, sorting);
                number += 1;
            }
        }
        // Packets are processed in the capture's order; a reassembled one has the place of its last fragment.
        for list in &mut self.lists {
            list.sort_by_key(|e| self.entries[*e as usize].number);
        }
    }

    fn add_whole(
        &mut self,
        done: Defragmented,
        number: u64,
        defragmenter: &mut Defragmenter,
        decoder: &Decoder,
        sorting: &Sorting,
    ) {
        if let Defragmented::Complete(whole) = done {
            self.add(*whole, number, defragmenter, decoder, sorting);
        }
    }

    fn add(
        &mut self,
        whole: Reassembled,
        number: u64,
        defragmenter: &mut Defragmenter,
        decoder: &Decoder,
        sorting: &Sorting,
    ) {
        match whole.decode(decoder) {
            Decoded::Packet(packet) => {
                let hash = sorting.hasher.hash(&packet.key);
                let shard = sorting.spread.share(&packet.key, self.lists.len());
                self.lists[shard].push(self.entries.len() as u32);
                self.entries.push(Entry {
                    packet,
                    hash,
                    number,
                    bytes: REASSEMBLED + self.reassembled.len() as u32,
                });
                self.reassembled.push(whole);
            }
            // Fragments in a tunnel whose own packets were fragmented. Each round takes a header off, so this ends.
            Decoded::Fragment => {
                let done = defragmenter.push_reassembled(decoder, &whole);
                self.add_whole(done, number, defragmenter, decoder, sorting);
            }
            Decoded::NotIp => self.counters.not_ip += 1,
            Decoded::Broken => self.counters.broken += 1,
        }
    }

    /// A packet from its IP header on, if that is where its frame begins.
    pub(crate) fn ip(&self, entry: &Entry) -> Option<&[u8]> {
        let is_reassembled = entry.bytes >= REASSEMBLED;
        let is_raw = is_reassembled || self.batch.frames[entry.bytes as usize].link == LinkType::RAW;
        is_raw.then(|| self.bytes(entry))
    }

    /// The bytes that offsets in a packet are into.
    fn bytes(&self, entry: &Entry) -> &[u8] {
        match entry.bytes.checked_sub(REASSEMBLED) {
            Some(i) => self.reassembled[i as usize].bytes(),
            None => self.batch.frame_bytes(&self.batch.frames[entry.bytes as usize]),
        }
    }

    /// A packet as a frame: the one it came in, or, if it was put together from several, the packet itself.
    pub(crate) fn frame(&self, entry: &Entry) -> KeptFrame<'_> {
        let (link, wire_len) = match entry.bytes.checked_sub(REASSEMBLED) {
            Some(_) => (LinkType::RAW, self.bytes(entry).len() as u32),
            None => {
                let frame = self.batch.frames[entry.bytes as usize];
                (frame.link, frame.wire_len)
            }
        };
        let (ts_ns, bytes) = (entry.packet.ts_ns, self.bytes(entry));
        KeptFrame { interface: self.origin, link, ts_ns, wire_len, bytes }
    }

    /// The captured payload of a packet.
    pub(crate) fn payload(&self, entry: &Entry) -> &[u8] {
        let bytes = self.bytes(entry);
        let start = entry.packet.payload_offset as usize;
        bytes.get(start..start + entry.packet.payload_len as usize).unwrap_or(&[])
    }

    /// The tunnels a packet was in, without its VLAN tags, which have a column of their own.
    pub(crate) fn tunnels(&self, entry: &Entry, decoder: &Decoder) -> Option<String> {
        let tunnels = match entry.bytes.checked_sub(REASSEMBLED) {
            Some(i) => self.reassembled[i as usize].tunnels(decoder),
            None => {
                let frame = self.batch.frames[entry.bytes as usize];
                decoder.tunnels(frame.link, self.batch.frame_bytes(&frame), frame.wire_len)
            }
        };
        let names: Vec<_> = tunnels.as_slice().iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| names.join("/"))
    }
}
