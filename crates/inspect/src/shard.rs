//! One engine: the flows of one shard, from packets to records.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use daylight_flow::{
    Flow, FlowHasher, FlowIndex, Piece, Reassembler, ReassemblyCounters, START_KEPT_MAX, Table, Wheel,
    community_id,
};
use daylight_packet::{Decoder, Issues, Packet, TcpHeader, TransportKind};
use daylight_protocols::dispatch::{Dispatcher, Outcome, Rejected};
use daylight_protocols::driver::{Driver, Progress};
use daylight_protocols::{
    Confidence, Dir, Earlier, Event, Fact, Findings, OFFSET_MAX, Probe, ProtocolId, Sink, Transport, Wanted,
};

use crate::chunk::{Chunk, Entry};
use crate::config::{Config, WantedCore};
use crate::record::{Counters, EndReason, Ends, EventRecord, FlowRecord, Spans, Uid};
use crate::risks;

/// Datagrams that are looked at, of a flow that nobody knows.
const DATAGRAMS_MAX: u8 = 8;
/// Segments that are looked at, of a connection that nobody knows.
const SEGMENTS_MAX: u8 = 24;
/// … or more of them if they hold fewer bytes than this together: who cuts a hello into single bytes hides it from nobody.
const SEGMENTS_BYTES_MIN: u64 = 128;

/// After so many bytes of a stream its parser does not say any more that the label is wrong, and its start need not be
/// kept.
const SETTLED_AFTER: u64 = 1024;

/// A flow's time-out can become shorter (it is closed, its protocol is known), and packets don't touch its timer. So
/// each flow is looked at after this time at the latest.
const LOOK_AGAIN_NS: i64 = 10_000_000_000;

/// Packets, or flows, whose memory is fetched together.
const GROUP: usize = 32;

/// No time-out is shorter (they are set in seconds), so that most packets need not ask for their flow's.
const SHORTEST_TIMEOUT_NS: i64 = 1_000_000_000;

/// The hot part of a flow that the engine keeps.
#[derive(Default)]
pub(crate) struct Hot {
    /// What was found; made with the first payload.
    found: Option<Box<Found>>,
    /// What is still owed to the flow; `None` once nothing is, and packets are only counted.
    work: Option<Box<Work>>,
    /// The chunk of its last packet.
    last_chunk: u32,
    label: ProtocolId,
    flags: Flags,
}

/// Booleans in a byte: the hot state has not one to spare.
#[derive(Clone, Copy, Default)]
struct Flags(u8);

impl Flags {
    /// A SYN or the protocol proved which side is the client.
    const CLIENT_IS_CERTAIN: u8 = 1;
    /// Both sides were seen to speak the protocol.
    const CONFIRMED: u8 = 2;
    /// A payload was seen.
    const PAYLOAD: u8 = 4;
    /// The parser is gone until the next payload.
    const RESTING: u8 = 8;

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}

const _: () =
    assert!(size_of::<Flow<Hot>>() <= 192, "the hot state of a flow must stay within three cache lines");

/// What was found, out of line.
#[derive(Clone, Default)]
struct Found {
    findings: Findings,
    tunnel: Option<Box<str>>,
    spans: Option<Box<[Option<Spans>; 2]>>,
    entropy: Option<f32>,
    issues: Issues,
    conflict: bool,
    /// TCP: each side's last segment when nothing more was owed, for comparing what is sent again after that.
    last: [Option<Segment>; 2],
    /// Of a payload that nobody knew.
    unidentified_entropy: Option<f32>,
    /// The name under which the flow's earlier parts were written.
    uid: Option<Uid>,
}

/// A segment, as far as it takes to tell whether another with its sequence number is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    seq: u32,
    head: [u8; 16],
}

impl Segment {
    fn new(packet: &Packet, payload: &[u8]) -> Option<Self> {
        Some(Self { seq: packet.tcp.seq, head: *payload.first_chunk()? })
    }
}

/// What is owed to a flow whose payload is still read.
struct Work {
    /// TCP: each side's last segment.
    last: [Option<Segment>; 2],
    identify: Option<Box<Identify>>,
    driver: Option<Box<Driver>>,
    /// TCP only.
    streams: Option<Box<[Reassembler; 2]>>,
}

/// How far identification has come.
#[derive(Default)]
struct Identify {
    rejected: [Rejected; 2],
    /// TCP: by direction.
    state: [Asked; 2],
    /// Datagrams before this one, the latest four.
    earlier: Vec<Earlier>,
    /// Payloads looked at.
    seen: u8,
    /// Labels taken back.
    withdrawn: u8,
}

/// What the dispatcher said of one direction of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    NotYet,
    /// To be asked again when this much is there.
    Need(usize),
    /// To be asked again when there is more, of either side.
    Later,
    /// Nobody knows it.
    Settled,
}

/// What a shard hands on after a chunk.
#[derive(Default)]
pub(crate) struct Output {
    /// In the order of the flows' first packets, once merged.
    pub(crate) records: Vec<(u64, Box<FlowRecord>)>,
    /// With the packet that told of it and its flow's first packet (their order), and the client's address.
    pub(crate) facts: Vec<((u64, u64), IpAddr, Fact)>,
    /// In the same order.
    pub(crate) events: Vec<((u64, u64), EventRecord)>,
}

/// Counters of what could not be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// TCP reassembly.
    pub reassembly: ReassemblyCounters,
    /// Flows that were ended early because the table was over its budget.
    pub flows_over_budget: u64,
    /// The most flows at once.
    pub flows_peak: u64,
    /// Parsers that panicked; their flows go on without them.
    pub parser_panics: u64,
}

pub(crate) struct Shard {
    config: Arc<Config>,
    /// The configuration's, at hand: asked for at each packet.
    core: WantedCore,
    dispatcher: Arc<Dispatcher>,
    capture: Arc<str>,
    table: Table<Hot>,
    wheel: Wheel,
    now_ns: i64,
    /// Bytes held by reassemblers, for the budget.
    pub(crate) held_bytes: usize,
    may_hold: bool,
    chunk: u32,
    events: Vec<Event>,
    facts: Vec<Fact>,
    due: Vec<(u64, u32)>,
    pub(crate) counters: ShardCounters,
    output: Output,
    /// At the end of the capture: the flows left, last first.
    left: Option<Vec<(u64, FlowIndex)>>,
}

impl Shard {
    pub(crate) fn new(config: Arc<Config>, dispatcher: Arc<Dispatcher>, capture: Arc<str>) -> Self {
        Self {
            core: config.core,
            config,
            dispatcher,
            capture,
            table: Table::default(),
            wheel: Wheel::default(),
            now_ns: i64::MIN,
            held_bytes: 0,
            may_hold: true,
            chunk: 0,
            events: Vec::new(),
            facts: Vec::new(),
            due: Vec::new(),
            counters: ShardCounters::default(),
            output: Output::default(),
            left: None,
        }
    }

    pub(crate) fn flows(&self) -> usize {
        self.table.len()
    }

    /// Processes the packets of a chunk that belong to shard `me`, then ends the flows whose time has come.
    /// `over_budget`: flows without a packet since this chunk are to be ended early.
    pub(crate) fn process(
        &mut self,
        chunk: &Chunk,
        me: usize,
        decoder: &Decoder,
        over_budget: Option<u32>,
        may_hold: bool,
    ) -> Output {
        self.chunk = chunk.number as u32;
        self.may_hold = may_hold;
        let mut guesses = [0; GROUP];
        for group in chunk.lists[me].chunks(GROUP) {
            for (guess, entry) in guesses.iter_mut().zip(group) {
                *guess = self.table.first_guess(chunk.entries[*entry as usize].hash);
            }
            self.touch(guesses.iter().take(group.len()).copied());
            for (guess, entry) in guesses.iter().zip(group) {
                self.packet(chunk, decoder, &chunk.entries[*entry as usize], *guess);
            }
        }
        self.now_ns = self.now_ns.max(chunk.now_ns);
        self.expire();
        if let Some(oldest) = over_budget {
            self.shed(oldest);
        }
        self.counters.flows_peak = self.counters.flows_peak.max(self.table.len() as u64);
        std::mem::take(&mut self.output)
    }

    /// Brings flows and what hangs from them into the cache, level by level, so that the misses of a group overlap.
    #[inline]
    fn touch(&self, flows: impl Iterator<Item = FlowIndex>) {
        let (mut waiting, mut n) = ([0; GROUP], 0);
        for index in flows {
            let Some(flow) = self.table.guessed(index) else { continue };
            flow.touch();
            // Nothing hangs from most flows of most captures but what was found.
            if flow.x.work.is_some() {
                waiting[n % GROUP] = index;
                n += 1;
            }
        }
        let waiting = &waiting[..n.min(GROUP)];
        for hot in waiting.iter().map(|index| &self.table[*index].x) {
            black_box(hot.found.as_ref().map(|found| found.findings.fields.len()));
            black_box(hot.work.as_ref().map(|work| work.driver.is_some()));
        }
        for work in waiting.iter().filter_map(|index| self.table[*index].x.work.as_ref()) {
            black_box(work.streams.as_ref().map(|streams| streams.each_ref().map(Reassembler::position)));
            black_box(work.driver.as_ref().map(|driver| driver.has_switched()));
        }
    }

    /// After the capture's last packet: ends the flows that began before packet `before`.
    pub(crate) fn flush(&mut self, before: u64) -> Output {
        let left = self.left.get_or_insert_with(|| {
            let mut left: Vec<_> = self.table.indices().map(|i| (self.table[i].first_packet, i)).collect();
            left.sort_unstable_by(|a, b| b.cmp(a));
            left
        });
        let mut due = Vec::new();
        while left.last().is_some_and(|(first, _)| *first < before) {
            due.extend(left.pop());
        }
        for group in due.chunks(GROUP) {
            self.touch(group.iter().map(|(_, index)| *index));
            for (_, index) in group {
                self.end(*index, EndReason::CaptureEnd);
            }
        }
        std::mem::take(&mut self.output)
    }

    fn packet(&mut self, chunk: &Chunk, decoder: &Decoder, entry: &Entry, guess: FlowIndex) {
        let packet = &entry.packet;
        let index = match self.table.guessed(guess) {
            Some(flow) if flow.is_of(entry.hash, &packet.key) && !may_be_over(flow, packet) => guess,
            _ => self.find_or_begin(entry, chunk, decoder),
        };
        let flow = &mut self.table[index];
        let flags = flow.x.flags;
        let first_payload = packet.payload_len > 0 && !flags.has(Flags::PAYLOAD);
        if first_payload || packet.payload_len > 0 && flags.has(Flags::RESTING) {
            flow.x.flags.set(Flags::PAYLOAD, true);
            flow.x.flags.set(Flags::RESTING, false);
            flow.x.work = Some(Box::new(Work::new(flow)));
        }
        let retransmitted = flow.retransmitted;
        flow.count(packet);
        flow.x.last_chunk = self.chunk;
        if flow.x.work.is_some()
            || flow.retransmitted != retransmitted
            || packet.issues != Issues::default()
            || self.core.spans
        {
            self.look(chunk, entry, index, first_payload);
        }
    }

    /// The packet's flow, where the guess was wrong or the flow may be over.
    #[inline(never)]
    fn find_or_begin(&mut self, entry: &Entry, chunk: &Chunk, decoder: &Decoder) -> FlowIndex {
        let Some(index) = self.table.find(entry.hash, &entry.packet.key) else {
            return self.begin(entry, chunk, decoder);
        };
        match self.over(index, &entry.packet) {
            None => index,
            Some(reason) => {
                self.end(index, reason);
                self.begin(entry, chunk, decoder)
            }
        }
    }

    /// Why the flow that this packet's key leads to is over, if it is: the packet begins a new one.
    fn over(&self, index: FlowIndex, packet: &Packet) -> Option<EndReason> {
        let flow = &self.table[index];
        // A new connection on the same ports: SYN alone, after the old one closed.
        if is_syn(packet) && flow.key.protocol == TransportKind::TCP && flow.is_closed() {
            return Some(EndReason::Closed);
        }
        let idle_ns = packet.ts_ns.saturating_sub(flow.last_ns);
        (idle_ns > self.idle_timeout_ns(flow)).then_some(EndReason::Idle)
    }

    fn idle_timeout_ns(&self, flow: &Flow<Hot>) -> i64 {
        let t = &self.config.timeouts;
        let seconds = match flow.key.protocol {
            TransportKind::TCP if flow.is_closed() => t.tcp_closed_s,
            TransportKind::TCP if flow.is_established() => t.tcp_established_s,
            TransportKind::TCP => t.tcp_opening_s,
            TransportKind::UDP | TransportKind::UDP_LITE => {
                flow.x.label.get().idle_timeout_s.map_or(t.udp_s, |s| s.min(t.udp_s))
            }
            _ => t.other_s,
        };
        i64::from(seconds.max(1)) * 1_000_000_000
    }

    #[inline(never)]
    fn begin(&mut self, entry: &Entry, chunk: &Chunk, decoder: &Decoder) -> FlowIndex {
        let packet = &entry.packet;
        let tcp = packet.key.protocol == TransportKind::TCP;
        let (client_is_low, certain) = if tcp && packet.tcp.flags & TcpHeader::SYN != 0 {
            // The sender of a SYN is the client, of a SYN-ACK the server.
            (packet.from_low == (packet.tcp.flags & TcpHeader::ACK == 0), true)
        } else {
            (sender_is_client(packet) == packet.from_low, false)
        };
        let mut flow = Flow::new(packet.key, client_is_low, packet.ts_ns, entry.number, Hot::default());
        flow.x.flags.set(Flags::CLIENT_IS_CERTAIN, certain);
        if packet.key.tunnel != 0 {
            let found = flow.x.found.get_or_insert_default();
            found.tunnel = chunk.tunnels(entry, decoder).map(Into::into);
        }
        let timeout = self.idle_timeout_ns(&flow);
        let index = self.table.insert(entry.hash, flow);
        self.arm(index, packet.ts_ns.saturating_add(timeout));
        index
    }

    /// Sets the flow's timer to the second after `due_ns`, or to the next look at it.
    fn arm(&mut self, index: FlowIndex, due_ns: i64) {
        let flow = &mut self.table[index];
        let next_look_ns = self.now_ns.max(flow.last_ns).saturating_add(LOOK_AGAIN_NS);
        let second = self.wheel.insert((due_ns.min(next_look_ns) / 1_000_000_000).max(0) as u64 + 1, index);
        flow.timer_s = second as u32;
    }

    /// Everything about a packet that is more than counting. Not inlined, so that what every packet goes through keeps the
    /// registers.
    #[inline(never)]
    fn look(&mut self, chunk: &Chunk, entry: &Entry, index: FlowIndex, first_payload: bool) {
        let packet = &entry.packet;
        let flow = &mut self.table[index];
        let client = flow.is_from_client(packet);
        if packet.issues != Issues::default() {
            let found = flow.x.found.get_or_insert_default();
            found.issues = found.issues.with(packet.issues);
        }
        if self.core.spans {
            let found = flow.x.found.get_or_insert_default();
            measure(&mut found.spans.get_or_insert_default()[usize::from(!client)], packet);
        }
        if first_payload && self.core.entropy {
            flow.x.found.get_or_insert_default().entropy = Some(entropy(chunk.payload(entry)));
        }
        let Some(mut work) = flow.x.work.take() else {
            // Whoever injects an answer races the real one, which then comes as a retransmission of other bytes.
            if let (Some(found), Some(segment)) =
                (&mut flow.x.found, Segment::new(packet, chunk.payload(entry)))
                && let Some(last) = found.last[usize::from(!client)]
            {
                found.conflict |= last.seq == segment.seq && last.head != segment.head;
            }
            return;
        };
        flow.x.found.get_or_insert_default();
        let held = work.held_bytes();
        let dir = if client { Dir::Client } else { Dir::Server };
        let tcp = flow.key.protocol == TransportKind::TCP;
        // A parser that panics costs its flow the fields, not the run.
        let step = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut job = self.job(&mut work, index, packet.ts_ns);
            if tcp {
                job.segment(dir, packet, chunk.payload(entry))
            } else {
                job.datagram(dir, chunk.payload(entry), packet)
            }
        }));
        let keep = step.unwrap_or_else(|_| {
            self.counters.parser_panics += 1;
            false
        });
        self.hand_over(index, entry.number);
        self.held_bytes = (self.held_bytes + if keep { work.held_bytes() } else { 0 }).saturating_sub(held);
        let flow = &mut self.table[index];
        if keep {
            flow.x.work = Some(work);
        } else if let Some(found) = &mut flow.x.found {
            found.conflict |= work.is_conflicting();
            found.last = work.last;
            found.findings.fields.shrink_to_fit();
            if flow.x.label == ProtocolId::Unknown && packet.payload_len >= 256 {
                found.unidentified_entropy = Some(entropy(chunk.payload(entry)));
            }
        }
    }

    fn job<'a>(&'a mut self, work: &'a mut Work, index: FlowIndex, now_ns: i64) -> Job<'a> {
        Job {
            work,
            flow: &mut self.table[index],
            dispatcher: &self.dispatcher,
            wanted: &self.config.wanted,
            events: &mut self.events,
            facts: &mut self.facts,
            counters: &mut self.counters.reassembly,
            may_hold: self.may_hold,
            now_ns,
        }
    }

    /// Moves what parsers told, besides fields, to the output.
    fn hand_over(&mut self, index: FlowIndex, number: u64) {
        if self.events.is_empty() && self.facts.is_empty() {
            return;
        }
        let flow = &self.table[index];
        let order = (number, flow.first_packet);
        let client = flow.key.address(usize::from(!flow.client_is_low));
        self.output.facts.extend(self.facts.drain(..).map(|fact| (order, client, fact)));
        if self.events.is_empty() {
            return;
        }
        let ends = ends(&self.capture, flow);
        let events = self.events.drain(..);
        self.output.events.extend(events.map(|event| (order, EventRecord { ends: ends.clone(), event })));
    }

    /// Ends the flows whose time has come, and puts the others back.
    #[inline(never)]
    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance((self.now_ns / 1_000_000_000).max(0) as u64, &mut due);
        for group in due.chunks(GROUP) {
            self.touch(group.iter().map(|(_, index)| *index));
            for (second, index) in group.iter().copied() {
                self.look_at_timer(second, index);
            }
        }
        due.clear();
        self.due = due;
    }

    /// A flow's timer, set for `second`, has run out.
    fn look_at_timer(&mut self, second: u64, index: FlowIndex) {
        let flow = &self.table[index];
        if flow.hash() == 0 || flow.timer_s != second as u32 {
            return;
        }
        let until = flow.last_ns.saturating_add(self.idle_timeout_ns(flow));
        let active = i64::from(self.config.timeouts.active_s) * 1_000_000_000;
        if until < self.now_ns {
            let reason = if flow.is_closed() { EndReason::Closed } else { EndReason::Idle };
            self.end(index, reason);
        } else {
            if active > 0 && flow.first_ns.saturating_add(active) <= self.now_ns {
                self.write_part(index);
            }
            self.arm(index, until);
        }
    }

    /// Ends flows that had no packet since chunk `oldest`: the table is over its budget.
    fn shed(&mut self, oldest: u32) {
        let idle: Vec<_> = self.table.indices().filter(|i| self.table[*i].x.last_chunk < oldest).collect();
        self.counters.flows_over_budget += idle.len() as u64;
        for index in idle {
            self.end(index, EndReason::Budget);
        }
    }

    /// Writes a record of a flow that goes on.
    fn write_part(&mut self, index: FlowIndex) {
        let flow = &mut self.table[index];
        let uid = uid(&self.capture, flow);
        let found = flow.x.found.get_or_insert_default();
        found.uid = Some(uid);
        let found = found.as_ref().clone();
        let record = record(&self.config, &self.capture, flow, found, EndReason::Active);
        self.output.records.push((flow.first_packet, record));
        // The next part is ordered after this one, and before any flow that begins later.
        flow.restart();
    }

    #[inline(never)]
    fn end(&mut self, index: FlowIndex, reason: EndReason) {
        if let Some(mut work) = self.table[index].x.work.take() {
            let held = work.held_bytes();
            let now_ns = self.table[index].last_ns;
            let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.job(&mut work, index, now_ns).finish();
            }));
            self.counters.parser_panics += u64::from(finished.is_err());
            self.held_bytes = self.held_bytes.saturating_sub(held);
            let number = self.table[index].first_packet;
            self.hand_over(index, number);
            if let Some(found) = &mut self.table[index].x.found {
                found.conflict |= work.is_conflicting();
            }
        }
        let flow = &mut self.table[index];
        let found = flow.x.found.take().map(|found| *found).unwrap_or_default();
        let record = record(&self.config, &self.capture, flow, found, reason);
        self.output.records.push((flow.first_packet, record));
        self.table.remove(index);
    }
}

/// The work on one flow for the length of one packet.
struct Job<'a> {
    work: &'a mut Work,
    flow: &'a mut Flow<Hot>,
    dispatcher: &'a Dispatcher,
    wanted: &'a Wanted,
    events: &'a mut Vec<Event>,
    facts: &'a mut Vec<Fact>,
    counters: &'a mut ReassemblyCounters,
    may_hold: bool,
    now_ns: i64,
}

impl Job<'_> {
    /// A TCP segment. False once nothing more is owed to the flow.
    fn segment(&mut self, dir: Dir, packet: &Packet, payload: &[u8]) -> bool {
        let TcpHeader { mut seq, ack, flags, .. } = packet.tcp;
        let Some(mut streams) = self.work.streams.take() else { return false };
        if flags & TcpHeader::SYN != 0 {
            streams[dir.index()].syn(seq);
            seq = seq.wrapping_add(1);
        }
        if let Some(segment) = Segment::new(packet, payload) {
            self.work.last[dir.index()] = Some(segment);
        }
        let missing = packet.payload_wire_len - packet.payload_len;
        let stream = &mut streams[dir.index()];
        if self.work.driver.is_none() && packet.payload_wire_len > 0 && stream.rewind(seq) {
            // It is another start: who rejected the first may know it.
            if let Some(identify) = &mut self.work.identify {
                identify.state[dir.index()] = Asked::NotYet;
                identify.rejected[dir.index()] = Rejected::default();
            }
        }
        let before = streams.each_ref().map(Reassembler::position);
        let stream = &mut streams[dir.index()];
        // The byte that some keep-alives bring is no part of the stream (RFC 9293 §3.8.4), and may not be taken for its start.
        let certain = self.flow.x.flags.has(Flags::CLIENT_IS_CERTAIN);
        let fresh = stream.position() == 0 && stream.held_bytes() == 0;
        let keep_alive = payload == [0] && fresh && !certain;
        let mut keep = true;
        if packet.payload_wire_len > 0 && !keep_alive {
            keep = self.read(stream, dir, |stream, counters, may_hold, give| {
                stream.push(seq, payload, missing, may_hold, counters, give);
            });
        }
        if keep && flags & TcpHeader::ACK != 0 {
            let other = &mut streams[dir.other().index()];
            if other.held_bytes() > 0 {
                keep = self
                    .read(other, dir.other(), |stream, counters, _, give| stream.acked(ack, counters, give));
            }
        }
        // What waits for a hole to be filled, or comes again, is nothing new to be asked about.
        let more = before != streams.each_ref().map(Reassembler::position);
        self.work.streams = Some(streams);
        if keep && self.work.driver.is_none() && more {
            keep = self.identify_stream(dir);
        }
        keep
    }

    /// Does something to a stream, and gives what comes out of it to the parser, if there is one yet.
    fn read(
        &mut self,
        stream: &mut Reassembler,
        dir: Dir,
        push: impl FnOnce(&mut Reassembler, &mut ReassemblyCounters, bool, &mut dyn FnMut(Piece<'_>)),
    ) -> bool {
        let mut driver = self.work.driver.take();
        let mut progress = Progress::More;
        let mut counters = ReassemblyCounters::default();
        let mut lost = 0;
        let may_hold = self.may_hold;
        push(stream, &mut counters, may_hold, &mut |piece| {
            if let Piece::Gap(n) = piece {
                lost += n;
            }
            if progress == Progress::More
                && let Some(driver) = &mut driver
            {
                progress = self.feed(driver, dir, piece);
            }
        });
        *self.counters += counters;
        self.flow.missed_bytes = self.flow.missed_bytes.saturating_add(lost.min(u32::MAX.into()) as u32);
        self.work.driver = driver;
        match progress {
            Progress::More | Progress::Rest => {
                if self.work.driver.is_some() && stream.position() >= SETTLED_AFTER {
                    stream.settle();
                }
                true
            }
            Progress::Finished => false,
            // Without the stream's start there is nothing to ask the dispatcher about.
            Progress::NotMine => self.withdraw() && !stream.is_settled(),
        }
    }

    fn feed(&mut self, driver: &mut Driver, dir: Dir, piece: Piece<'_>) -> Progress {
        let dispatcher = self.dispatcher;
        let lost = self.flow.missed_bytes > 0;
        self.with_sink(|sink| {
            sink.set_incomplete(lost);
            match piece {
                Piece::Bytes(bytes) => driver.stream(dispatcher, dir, bytes, sink),
                Piece::Gap(n) => driver.gap(dir, n, sink),
            }
        })
    }

    fn with_sink<T>(&mut self, act: impl FnOnce(&mut Sink<'_>) -> T) -> T {
        let flow = &mut *self.flow;
        let [client, server] = if flow.client_is_low { [0, 1] } else { [1, 0] };
        let found = flow.x.found.get_or_insert_default();
        let mut sink = Sink::new(
            &mut found.findings,
            self.wanted,
            self.events,
            self.facts,
            self.now_ns,
            [flow.key.address(client), flow.key.address(server)],
            [flow.key.ports[client], flow.key.ports[server]],
        );
        let result = act(&mut sink);
        if let Some(label) = sink.label() {
            flow.x.label = label;
        }
        if sink.is_confirmed() {
            flow.x.flags.set(Flags::CONFIRMED, true);
        }
        result
    }

    /// The parser says that the label is wrong: back to the dispatcher, if the streams' starts are still whole.
    fn withdraw(&mut self) -> bool {
        let wrong = std::mem::take(&mut self.flow.x.label);
        self.flow.x.flags.set(Flags::CONFIRMED, false);
        self.work.driver = None;
        let identify = self.work.identify.get_or_insert_default();
        identify.rejected.iter_mut().for_each(|r| r.insert(wrong));
        identify.state = [Asked::NotYet; 2];
        identify.withdrawn += 1;
        identify.withdrawn < 3
    }

    /// Asks the dispatcher about what is there of a stream.
    fn identify_stream(&mut self, dir: Dir) -> bool {
        let Some(streams) = self.work.streams.take() else { return false };
        let mut identify = self.work.identify.take().map(|known| *known).unwrap_or_default();
        identify.seen = identify.seen.saturating_add(1);
        let mut found = None;
        // New bytes of one side may be what somebody who looked at the other side waited for.
        for d in [dir, dir.other()] {
            let start = streams[d.index()].start();
            let ask = match identify.state[d.index()] {
                Asked::NotYet => true,
                Asked::Need(n) => start.len() >= n,
                Asked::Later => true,
                Asked::Settled => false,
            };
            if start.is_empty() || !ask {
                continue;
            }
            let probe = Probe {
                transport: Transport::Tcp,
                dir: d,
                payload: start,
                other: streams[d.other().index()].start(),
                earlier: &[],
                client_port: self.port(Dir::Client),
                server_port: self.port(Dir::Server),
                whole: streams[d.index()].beyond_start() == 0,
            };
            let outcome = self.ask(&probe, &mut identify.rejected[d.index()]);
            identify.state[d.index()] = match outcome {
                Outcome::Found { protocol, reversed } => {
                    found = Some((protocol, reversed));
                    break;
                }
                Outcome::Need(n) if n <= START_KEPT_MAX => Asked::Need(n),
                Outcome::Later => Asked::Later,
                // With fewer bytes than patterns look at, nothing is settled.
                Outcome::Unknown if start.len() < OFFSET_MAX => Asked::Need(start.len() + 1),
                Outcome::Need(_) | Outcome::Unknown => Asked::Settled,
            };
        }
        self.work.streams = Some(streams);
        let Some((protocol, reversed)) = found else {
            let settled = identify.state == [Asked::Settled; 2];
            let have: u64 = self.work.streams.iter().flat_map(|s| s.iter()).map(Reassembler::position).sum();
            let enough = identify.seen >= SEGMENTS_MAX && have >= SEGMENTS_BYTES_MIN;
            let give_up = settled || enough || identify.seen == u8::MAX;
            self.work.identify = Some(Box::new(identify));
            return !give_up;
        };
        // Needed again only if the label is taken back, and then anew but for how often that happened.
        self.work.identify = (identify.withdrawn > 0).then(|| Box::new(identify));
        let dir = if reversed {
            self.reverse();
            dir.other()
        } else {
            dir
        };
        self.start_parser(protocol, dir)
    }

    /// The label is known: gives the parser what is there of both streams, the other side's first.
    fn start_parser(&mut self, protocol: ProtocolId, dir: Dir) -> bool {
        self.flow.x.label = protocol;
        let Some(mut driver) = Driver::new(protocol).map(Box::new) else { return false };
        let Some(mut streams) = self.work.streams.take() else { return false };
        let mut progress = Progress::More;
        for d in [dir.other(), dir] {
            let stream = &streams[d.index()];
            if progress == Progress::More && !stream.start().is_empty() {
                progress = self.feed(&mut driver, d, Piece::Bytes(stream.start()));
            }
            if progress == Progress::More && stream.beyond_start() > 0 {
                progress = self.feed(&mut driver, d, Piece::Gap(stream.beyond_start()));
            }
        }
        streams.iter_mut().filter(|s| s.position() >= SETTLED_AFTER).for_each(Reassembler::settle);
        self.work.streams = Some(streams);
        match progress {
            Progress::More | Progress::Rest => {
                self.work.identify = None;
                self.work.driver = Some(driver);
                true
            }
            Progress::Finished => false,
            Progress::NotMine => {
                let settled = self.work.streams.iter().flat_map(|s| s.iter()).any(Reassembler::is_settled);
                self.withdraw() && !settled && self.identify_stream(dir)
            }
        }
    }

    /// A datagram. False once nothing more is owed to the flow.
    fn datagram(&mut self, dir: Dir, payload: &[u8], packet: &Packet) -> bool {
        if payload.is_empty() {
            return true;
        }
        if let Some(mut driver) = self.work.driver.take() {
            let cut = packet.payload_len < packet.payload_wire_len;
            let progress = self.with_sink(|sink| {
                sink.set_incomplete(cut);
                driver.datagram(dir, payload, sink)
            });
            self.work.driver = Some(driver);
            return match progress {
                Progress::More => true,
                Progress::Rest => {
                    self.flow.x.flags.set(Flags::RESTING, true);
                    false
                }
                Progress::Finished => false,
                Progress::NotMine => self.withdraw(),
            };
        }
        let transport = match packet.key.protocol {
            TransportKind::UDP | TransportKind::UDP_LITE => Transport::Udp,
            number => Transport::Ip(number),
        };
        let known = self.work.identify.take();
        let probe = Probe {
            transport,
            dir,
            payload,
            other: &[],
            earlier: known.as_ref().map_or(&[], |known| &known.earlier),
            client_port: self.port(Dir::Client),
            server_port: self.port(Dir::Server),
            whole: packet.payload_len == packet.payload_wire_len,
        };
        // Each datagram is a new question: who rejected one may know the next.
        let mut rejected = known.as_ref().map_or_else(Rejected::default, |known| known.rejected[0]);
        let outcome = self.ask(&probe, &mut rejected);
        if let Outcome::Found { protocol, reversed } = outcome {
            self.work.identify = known;
            let dir = if reversed {
                self.reverse();
                dir.other()
            } else {
                dir
            };
            self.flow.x.label = protocol;
            self.work.driver = Driver::new(protocol).map(Box::new);
            return self.work.driver.is_some() && self.datagram(dir, payload, packet);
        }
        let mut identify = known.unwrap_or_default();
        identify.seen += 1;
        let mut head = [0; 16];
        let n = payload.len().min(16);
        head[..n].copy_from_slice(&payload[..n]);
        if identify.earlier.len() == 4 {
            identify.earlier.remove(0);
        }
        identify.earlier.push(Earlier { dir, len: payload.len().min(u16::MAX.into()) as u16, head });
        let again = identify.seen < DATAGRAMS_MAX && matches!(transport, Transport::Udp);
        self.work.identify = Some(identify);
        again
    }

    /// Asks the dispatcher; if nobody knows it and it isn't certain who the client is, the other way round as well.
    fn ask(&self, probe: &Probe<'_>, rejected: &mut Rejected) -> Outcome {
        let before = *rejected;
        let outcome = self.dispatcher.identify(probe, rejected);
        if outcome != Outcome::Unknown || self.flow.x.flags.has(Flags::CLIENT_IS_CERTAIN) {
            return outcome;
        }
        let turned = Probe {
            dir: probe.dir.other(),
            client_port: probe.server_port,
            server_port: probe.client_port,
            ..*probe
        };
        match self.dispatcher.identify(&turned, &mut before.clone()) {
            Outcome::Found { protocol, reversed } => Outcome::Found { protocol, reversed: !reversed },
            _ => outcome,
        }
    }

    fn port(&self, dir: Dir) -> u16 {
        let low = (dir == Dir::Client) == self.flow.client_is_low;
        self.flow.key.ports[usize::from(!low)]
    }

    /// Client and server were taken for one another.
    fn reverse(&mut self) {
        if self.flow.x.flags.has(Flags::CLIENT_IS_CERTAIN) {
            return;
        }
        self.flow.x.flags.set(Flags::CLIENT_IS_CERTAIN, true);
        self.flow.reverse();
        if let Some(streams) = &mut self.work.streams {
            streams.swap(0, 1);
        }
        self.work.last.swap(0, 1);
        if let Some(identify) = &mut self.work.identify {
            identify.rejected.swap(0, 1);
            identify.state.swap(0, 1);
        }
        if let Some(spans) = self.flow.x.found.as_mut().and_then(|f| f.spans.as_mut()) {
            spans.swap(0, 1);
        }
    }

    /// The flow has ended: what waits behind a hole, and the parser's last word.
    fn finish(&mut self) {
        if let Some(mut streams) = self.work.streams.take() {
            for dir in [Dir::Client, Dir::Server] {
                self.read(&mut streams[dir.index()], dir, |stream, counters, _, give| {
                    stream.flush(counters, give)
                });
            }
            self.work.streams = Some(streams);
            if self.work.driver.is_none() && self.flow.x.label == ProtocolId::Unknown {
                for dir in [Dir::Client, Dir::Server] {
                    if self.work.driver.is_none() {
                        self.identify_stream(dir);
                    }
                }
            }
        }
        if let Some(mut driver) = self.work.driver.take() {
            self.with_sink(|sink| driver.finish(sink));
        }
    }
}

impl Work {
    fn new(flow: &Flow<Hot>) -> Self {
        let tcp = flow.key.protocol == TransportKind::TCP;
        let start = if flow.x.flags.has(Flags::CLIENT_IS_CERTAIN) {
            Reassembler::new
        } else {
            Reassembler::picked_up
        };
        let streams = tcp.then(|| Box::new(flow.sides.map(|side| start(side.next_seq()))));
        // A flow that rested goes on where it was.
        let driver = Driver::new(flow.x.label).map(Box::new);
        Self { last: [None; 2], identify: None, driver, streams }
    }

    fn held_bytes(&self) -> usize {
        self.streams.as_ref().map_or(0, |s| s.iter().map(Reassembler::bytes).sum::<usize>())
            + self.driver.as_ref().map_or(0, |driver| driver.pending_bytes())
    }

    fn is_conflicting(&self) -> bool {
        self.streams.as_ref().is_some_and(|s| s.iter().any(Reassembler::is_conflicting))
    }
}

/// True for a packet that may begin a new flow with the key of an old one.
#[inline]
fn may_be_over(flow: &Flow<Hot>, packet: &Packet) -> bool {
    is_syn(packet) || packet.ts_ns.saturating_sub(flow.last_ns) > SHORTEST_TIMEOUT_NS
}

/// True for TCP's first packet: SYN alone.
#[inline]
fn is_syn(packet: &Packet) -> bool {
    packet.tcp.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN
}

/// True if the sender of a flow's first packet is likely the client: its port is the higher, or nothing is known to
/// live on it.
fn sender_is_client(packet: &Packet) -> bool {
    let [low, high] = packet.key.ports;
    let (from, to) = if packet.from_low { (low, high) } else { (high, low) };
    !(home(from, packet) && !home(to, packet) || from < 1024 && to >= 1024 && !home(to, packet))
}

/// True if some protocol is at home on this port.
fn home(port: u16, packet: &Packet) -> bool {
    port != 0 && crate::ports::at_home(packet.key.protocol, port).is_some()
}

fn ends(capture: &Arc<str>, flow: &Flow<Hot>) -> Ends {
    ends_of(capture, flow, uid(capture, flow))
}

fn ends_of(capture: &Arc<str>, flow: &Flow<Hot>, uid: Uid) -> Ends {
    let [client, server] = if flow.client_is_low { [0, 1] } else { [1, 0] };
    Ends {
        capture: Arc::clone(capture),
        ip_protocol: flow.key.protocol,
        src_ip: flow.key.address(client),
        src_port: flow.key.ports[client],
        dst_ip: flow.key.address(server),
        dst_port: flow.key.ports[server],
        uid,
    }
}

/// The same flow of the same capture has the same name on every run: it must not depend on the table's seed.
fn uid(capture: &str, flow: &Flow<Hot>) -> Uid {
    if let Some(uid) = flow.x.found.as_ref().and_then(|f| f.uid) {
        return uid;
    }
    // FNV-1a over the name, then the key and the first packet's place.
    let name = capture
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let hasher = FlowHasher::with_seed(name ^ flow.first_packet.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let first = hasher.hash(&flow.key);
    Uid::new([first, FlowHasher::with_seed(first).hash(&flow.key)])
}

fn measure(spans: &mut Option<Spans>, packet: &Packet) {
    match spans {
        None => {
            *spans = Some(Spans {
                size_min: packet.frame_len,
                size_max: packet.frame_len,
                gap_min_ns: i64::MAX,
                gap_max_ns: 0,
                last_ns: packet.ts_ns,
            });
        }
        Some(s) => {
            s.size_min = s.size_min.min(packet.frame_len);
            s.size_max = s.size_max.max(packet.frame_len);
            let gap = packet.ts_ns.saturating_sub(s.last_ns).max(0);
            s.gap_min_ns = s.gap_min_ns.min(gap);
            s.gap_max_ns = s.gap_max_ns.max(gap);
            s.last_ns = packet.ts_ns;
        }
    }
}

/// Shannon entropy of the bytes, in bits a byte.
pub(crate) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u32; 256];
    bytes.iter().for_each(|b| counts[*b as usize] += 1);
    let total = bytes.len() as f32;
    counts.iter().filter(|n| **n > 0).map(|n| *n as f32 / total).map(|p| -p * p.log2()).sum()
}

fn record(
    config: &Config,
    capture: &Arc<str>,
    flow: &Flow<Hot>,
    found: Found,
    reason: EndReason,
) -> Box<FlowRecord> {
    let side = |i: usize| {
        let side = flow.sides[i];
        Counters {
            packets: side.packets.into(),
            bytes: side.frame_bytes,
            ip_bytes: side.ip_bytes,
            payload_bytes: side.payload_bytes,
        }
    };
    let [src_spans, dst_spans] = found.spans.map(|s| *s).unwrap_or_default();
    let confidence = match (flow.x.label, flow.x.flags.has(Flags::CONFIRMED)) {
        (ProtocolId::Unknown, _) => Confidence::None,
        (_, true) => Confidence::Handshake,
        (_, false) => Confidence::Payload,
    };
    let uid = found.uid.unwrap_or_else(|| uid(capture, flow));
    let mut record = Box::new(FlowRecord {
        ends: ends_of(capture, flow, uid),
        start_ns: flow.first_ns,
        end_ns: flow.last_ns,
        vlan: flow.key.vlan,
        tunnel: found.tunnel,
        community_id: config.core.community_id.then(|| community_id(&flow.key).into()),
        protocol: flow.x.label,
        confidence,
        application: None,
        category: None,
        resolved_name: None,
        found: found.findings,
        src: side(0),
        dst: side(1),
        state: flow.state(),
        reason,
        history: flow.history.text(),
        missed_bytes: flow.missed_bytes.into(),
        retransmitted: flow.retransmitted.into(),
        out_of_order: flow.out_of_order.into(),
        first_payload_entropy: found.entropy.map(Into::into),
        unidentified_entropy: found.unidentified_entropy,
        src_spans,
        dst_spans,
    });
    risks::add(&mut record, found.issues, found.conflict);
    crate::enrich::add(&mut record, config);
    record
}
