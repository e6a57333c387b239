//! One engine: the flows of one shard, from packets to records.
//!
//! - [`flow`]: what is kept of a flow, and the record that becomes of it.
//! - [`job`]: the work on one flow while its payload is read.
//! - [`ask`]: what is known of a flow that goes on.
//! - [`doubt`]: what of it may never be taken by whoever it is for.

mod ask;
mod doubt;
mod flow;
mod job;

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use daylight_flow::{Flow, FlowIndex, Reassembler, ReassemblyCounters, Table, Wheel};
use daylight_packet::{Decoder, Issues, Packet, TcpHeader, TransportKind};
use daylight_protocols::dispatch::Dispatcher;
use daylight_protocols::{Asked, Dir, Event, Fact, ProtocolId};

use crate::chunk::{Chunk, Entry};
use crate::config::{Config, WantedCore};
use crate::keep::KeptPackets;
use crate::record::{EndReason, EventRecord, FlowRecord};
pub(crate) use flow::Origin;
use flow::{Flags, Hot, Segment, ends, entropy, measure, record, uid};
use job::{Job, Work};

/// A flow's time-out can become shorter (it is closed, its protocol is known), and packets don't touch its timer. So
/// each flow is looked at after this time at the latest.
const LOOK_AGAIN_NS: i64 = 10_000_000_000;

/// A flow that goes on is told of each time so many bytes more have passed.
const REPORT_BYTES: u64 = 1 << 16;

/// So many times, at most, until the next report; a flow that was left out is told of by the next multiple.
const BUSY_MAX: usize = 1 << 16;

/// So many flows are told of as soon as it is known what they are; more than anybody could look at.
const NEW_MAX: usize = 256;

/// Packets, or flows, whose memory is fetched together.
const GROUP: usize = 32;

/// No time-out is shorter (they are set in seconds), so that most packets need not ask for their flow's.
const SHORTEST_TIMEOUT_NS: i64 = 1_000_000_000;

/// What a shard hands on after a chunk.
#[derive(Default)]
pub(crate) struct Output {
    /// What comes later is not merged with this.
    pub(crate) ends_group: bool,
    /// In the order of the flows' first packets, once merged.
    pub(crate) records: Vec<(u64, Box<FlowRecord>)>,
    /// With the packet that told of it and its flow's first packet (their order), and the client's address.
    pub(crate) facts: Vec<((u64, u64), IpAddr, Fact)>,
    /// In the same order.
    pub(crate) events: Vec<((u64, u64), EventRecord)>,
    /// Of flows that go on, with their first packets.
    pub(crate) progress: Vec<(u64, Box<FlowRecord>)>,
    /// The packets of flows that are over, by the flows' first packets.
    pub(crate) kept: HashMap<u64, KeptPackets, RandomState>,
}

impl Output {
    /// True if there is nothing to hand on.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.facts.is_empty() && self.events.is_empty() && self.progress.is_empty()
    }
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
    origins: Arc<[Origin]>,
    table: Table<Hot>,
    wheel: Wheel,
    now_ns: i64,
    /// Bytes held by reassemblers, for the budget.
    pub(crate) held_bytes: usize,
    may_hold: bool,
    group: u32,
    events: Vec<Event>,
    facts: Vec<Fact>,
    /// What the packets of the last chunk completed the question for, with their numbers.
    pub(crate) asked: Vec<(u64, Box<Asked>)>,
    /// Packets of the last chunk that no receiver should get: they say something else than what came before under the
    /// same sequence numbers, or there is no room to keep them until it is their turn. Only if `inline`.
    pub(crate) refused: Vec<u64>,
    /// Packets can still be kept from arriving: nothing need be given up for want of room.
    pub(crate) inline: bool,
    /// Flows that go on are told of ([`Self::report`]).
    pub(crate) reports: bool,
    /// Those that there is something to tell of, some of them more than once.
    busy: Vec<FlowIndex>,
    due: Vec<(u64, u32)>,
    pub(crate) counters: ShardCounters,
    output: Output,
    /// At the end of the capture: the flows left, last first.
    left: Option<Vec<(u64, FlowIndex)>>,
}

impl Shard {
    pub(crate) fn new(config: Arc<Config>, dispatcher: Arc<Dispatcher>, origins: Arc<[Origin]>) -> Self {
        Self {
            core: config.core,
            config,
            dispatcher,
            origins,
            table: Table::default(),
            wheel: Wheel::default(),
            now_ns: i64::MIN,
            held_bytes: 0,
            may_hold: true,
            group: 0,
            events: Vec::new(),
            facts: Vec::new(),
            asked: Vec::new(),
            refused: Vec::new(),
            inline: false,
            reports: false,
            busy: Vec::new(),
            due: Vec::new(),
            counters: ShardCounters::default(),
            output: Output::default(),
            left: None,
        }
    }

    pub(crate) fn flows(&self) -> usize {
        self.table.len()
    }

    /// Processes the packets of a chunk that belong to shard `me`, and, at the end of a group, ends the flows whose time
    /// has come. `over_budget`: flows without a packet since this group are to be ended early.
    pub(crate) fn process(
        &mut self,
        chunk: &Chunk,
        me: usize,
        decoder: &Decoder,
        over_budget: Option<u32>,
        may_hold: bool,
    ) -> Output {
        self.group = chunk.group as u32;
        self.may_hold = may_hold;
        self.asked.clear();
        self.refused.clear();
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
        if chunk.ends_group {
            self.now_ns = self.now_ns.max(chunk.now_ns);
            self.expire();
            if let Some(oldest) = over_budget {
                self.shed(oldest);
            }
            self.counters.flows_peak = self.counters.flows_peak.max(self.table.len() as u64);
        }
        self.hand_on(chunk.ends_group)
    }

    fn hand_on(&mut self, ends_group: bool) -> Output {
        Output { ends_group, ..std::mem::take(&mut self.output) }
    }

    /// Ends the flows whose time has come by `now_ns`.
    pub(crate) fn advance(&mut self, now_ns: i64) -> Output {
        self.now_ns = self.now_ns.max(now_ns);
        self.expire();
        self.hand_on(true)
    }

    /// Ends all flows, and takes this for the time although it has been later.
    pub(crate) fn begin_again(&mut self, now_ns: i64) -> Output {
        for index in self.table.indices().collect::<Vec<_>>() {
            self.end(index, EndReason::Active);
        }
        self.wheel = Wheel::default();
        self.now_ns = now_ns;
        self.hand_on(true)
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
        self.hand_on(true)
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
            flow.x.work = Some(Box::new(Work::new(flow, self.inline)));
        }
        let retransmitted = flow.retransmitted;
        flow.count(packet);
        flow.x.last_group = self.group;
        if self.reports && flow.passed(REPORT_BYTES, packet.frame_len) && self.busy.len() < BUSY_MAX {
            self.busy.push(index);
        }
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
        let unseen = flow.x.flags.has(Flags::CARRIED);
        if is_syn(packet) && flow.key.protocol == TransportKind::TCP && (flow.is_closed() || unseen) {
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
        flow.x.origin = chunk.origin;
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
        let before = self.counters.reassembly;
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
        let now = self.counters.reassembly;
        if self.inline && (now.conflicts, now.over_budget) != (before.conflicts, before.over_budget) {
            self.refused.push(entry.number);
        }
        self.held_bytes = (self.held_bytes + if keep { work.held_bytes() } else { 0 }).saturating_sub(held);
        let flow = &mut self.table[index];
        if keep {
            flow.x.work = Some(work);
            return;
        }
        let Some(found) = &mut flow.x.found else { return };
        found.findings.fields.shrink_to_fit();
        if flow.x.label == ProtocolId::Unknown && packet.payload_len >= 256 {
            found.unidentified_entropy = Some(entropy(chunk.payload(entry)));
        }
        if self.inline && work.has_streams() {
            // Until it is known whether anything is in doubt: what comes again can be compared, and kept from arriving.
            work.stop_reading();
            self.held_bytes += work.held_bytes();
            flow.x.work = Some(work);
        } else {
            found.conclude(&work);
        }
        // What it is is known now.
        if self.reports && self.busy.len() < NEW_MAX {
            self.busy.push(index);
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
            inline: self.inline,
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
        for fact in self.facts.drain(..) {
            match fact {
                Fact::Asked(asked) => self.asked.push((number, asked)),
                fact => self.output.facts.push((order, client, fact)),
            }
        }
        if self.events.is_empty() {
            return;
        }
        let ends = ends(&self.origins, flow);
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

    /// Ends flows that had no packet since group `oldest`: the table is over its budget.
    fn shed(&mut self, oldest: u32) {
        let idle: Vec<_> = self.table.indices().filter(|i| self.table[*i].x.last_group < oldest).collect();
        self.counters.flows_over_budget += idle.len() as u64;
        for index in idle {
            self.end(index, EndReason::Budget);
        }
    }

    /// Writes a record of a flow that goes on.
    fn write_part(&mut self, index: FlowIndex) {
        let flow = &mut self.table[index];
        let uid = uid(&self.origins, flow);
        flow.x.found.get_or_insert_default().uid = Some(uid);
        let record = self.snapshot(index).1;
        let flow = &mut self.table[index];
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
        let record = record(&self.config, &self.origins, flow, found, reason);
        self.output.records.push((flow.first_packet, record));
        self.table.remove(index);
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
