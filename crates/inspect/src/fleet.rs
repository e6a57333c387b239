//! Engines for links as they are listened to: one a worker, each on a thread of its own.
//!
//! A [`Fleet`] is what the workers share; a [`Worker`] takes batches from whoever listens. Whose a packet is says
//! [`Spread`], which the kernel knows too: mostly it is the worker's own. What belongs to another (inside a tunnel, after
//! its fragments were put together) goes into that one's inbox, so that a flow has one engine whatever the kernel did.
//!
//! What flows tell about one another, and the records, go through one merger, in the order in which they come: whoever has
//! something to hand on and finds the merger free does the work of all. Nobody waits for it. Unlike a capture's, the records
//! of a link depend on the moment, so there is no order to be kept beyond that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use daylight_packet::{Batch, Decoder, DefragmentCounters, DefragmentLimits, Defragmenter, Spread};

use crate::chunk::{Chunk, FRAMES, FrameCounters, Pool, Sorting};
use crate::config::Config;
use crate::keep::{KeepLimits, Keeper};
use crate::merge::{Correlation, RecordSink};
use crate::pipeline::dispatcher;
use crate::shard::{Origin, Output, Shard, ShardCounters};

/// Chunks that wait for a worker. Beyond them its packets are given up, and counted: each holds on to the memory that its
/// frames came in.
const INBOX_MAX: usize = 64;

/// A clock that is set back by less than this is waited for.
const STEP_NS: i64 = 60_000_000_000;

struct Merger {
    correlation: Correlation,
    sink: Box<dyn RecordSink>,
}

/// What one worker holds, for the budgets and for whoever asks.
#[derive(Default)]
struct Held {
    flows: AtomicUsize,
    reassembly_bytes: AtomicUsize,
    counters: Mutex<WorkerCounters>,
}

#[derive(Clone, Copy, Default)]
struct WorkerCounters {
    frames: FrameCounters,
    fragments: DefragmentCounters,
    shard: ShardCounters,
    packets_not_kept: u64,
}

struct Shared {
    config: Arc<Config>,
    decoder: Decoder,
    sorting: Sorting,
    pool: Arc<Pool>,
    /// Frames taken so far, by all: what was seen among the last of them is not shed.
    frames: AtomicU64,
    inboxes: Vec<Mutex<VecDeque<Arc<Chunk>>>>,
    not_passed_on: AtomicU64,
    held: Vec<Held>,
    outputs: Mutex<VecDeque<Output>>,
    merger: Mutex<Merger>,
    facts_forgotten: AtomicU64,
}

/// How a fleet stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetStatus {
    /// Frames taken in.
    pub frames: FrameCounters,
    /// Fragments.
    pub fragments: DefragmentCounters,
    /// Flows and reassembly, of all engines.
    pub shards: ShardCounters,
    /// Flows that are followed now.
    pub flows: usize,
    /// Bytes of segments that wait for those before them.
    pub reassembly_bytes: usize,
    /// Facts about flows that were forgotten for want of room.
    pub facts_forgotten: u64,
    /// Packets of another worker's flows that it had no room for.
    pub packets_not_passed_on: u64,
    /// Packets that were to be kept until their flow is known, and had to go before.
    pub packets_not_kept: u64,
}

/// What the workers share.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

/// What a fleet is told, besides the engine's configuration.
#[derive(Clone, Debug, Default)]
pub struct FleetOptions {
    /// The names of the interfaces, as records have them under `capture`; at most 256.
    pub interfaces: Vec<String>,
    /// Any number, another on each run: flows are named by it.
    pub salt: u64,
    /// Tell the sink of flows that go on ([`RecordSink::progress`]).
    pub reports: bool,
    /// Keep each flow's first packets until it is over ([`RecordSink::packets`]).
    pub keep: Option<KeepLimits>,
}

impl Fleet {
    /// Engines for so many workers ([`Config::threads`]), whose records go to `sink`.
    pub fn new(
        config: Arc<Config>,
        options: &FleetOptions,
        sink: Box<dyn RecordSink>,
    ) -> (Self, Vec<Worker>) {
        let workers = config.threads.max(1);
        let named = options.interfaces.iter().map(String::as_str);
        let origins: Arc<[Origin]> = named.take(256).map(|name| Origin::new(name, options.salt)).collect();
        let origins = if origins.is_empty() { [Origin::new("", options.salt)].into() } else { origins };
        let shared = Arc::new(Shared {
            decoder: Decoder { verify_checksums: config.verify_checksums },
            sorting: Sorting::new(config.seed),
            pool: Arc::default(),
            frames: AtomicU64::new(0),
            inboxes: (0..workers).map(|_| Mutex::default()).collect(),
            not_passed_on: AtomicU64::new(0),
            held: (0..workers).map(|_| Held::default()).collect(),
            outputs: Mutex::default(),
            merger: Mutex::new(Merger { correlation: Correlation::by_time(), sink }),
            facts_forgotten: AtomicU64::new(0),
            config: Arc::clone(&config),
        });
        let limits = DefragmentLimits {
            bytes_max: config.fragment_bytes_max / workers,
            ..DefragmentLimits::default()
        };
        let worker = |me| {
            let mut shard = Shard::new(Arc::clone(&config), dispatcher(), Arc::clone(&origins));
            shard.reports = options.reports;
            Worker {
                me,
                shared: Arc::clone(&shared),
                shard,
                defragmenter: Defragmenter::new(limits, config.fragment_overlap),
                keeper: options.keep.map(|limits| Keeper::new(limits.divided_by(workers))),
                frames: FrameCounters::default(),
                last_number: 0,
                now_ns: i64::MIN,
            }
        };
        let workers = (0..workers).map(worker).collect();
        (Self { shared }, workers)
    }

    /// The rule by which flows are spread over the workers: for whoever tells the kernel.
    pub fn spread(&self) -> Spread {
        self.shared.sorting.spread
    }

    /// How it stands. What workers counted since they last took a batch in, or advanced, is not in it.
    pub fn status(&self) -> FleetStatus {
        let shared = &*self.shared;
        let mut status = FleetStatus {
            facts_forgotten: shared.facts_forgotten.load(Ordering::Relaxed),
            packets_not_passed_on: shared.not_passed_on.load(Ordering::Relaxed),
            ..FleetStatus::default()
        };
        for held in &shared.held {
            let counters = *lock(&held.counters);
            status.frames += counters.frames;
            status.fragments += counters.fragments;
            status.shards += counters.shard;
            status.packets_not_kept += counters.packets_not_kept;
            status.flows += held.flows.load(Ordering::Relaxed);
            status.reassembly_bytes += held.reassembly_bytes.load(Ordering::Relaxed);
        }
        status
    }
}

/// A panic of a worker is the run's own: a poisoned lock is passed on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Hands something on.
    fn hand_on(&self, output: Output) {
        if output.is_empty() {
            return;
        }
        lock(&self.outputs).push_back(output);
        loop {
            let merger = match self.merger.try_lock() {
                Ok(merger) => merger,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Whoever has it looks for more before letting go, and again after.
                Err(TryLockError::WouldBlock) => return,
            };
            self.drain(merger);
            if lock(&self.outputs).is_empty() {
                return;
            }
        }
    }

    fn drain(&self, mut merger: MutexGuard<'_, Merger>) {
        let Merger { correlation, sink } = &mut *merger;
        loop {
            let waiting: Vec<Output> = lock(&self.outputs).drain(..).collect();
            if waiting.is_empty() {
                break;
            }
            for output in waiting {
                correlation.merge(vec![output], &self.config, &mut **sink);
            }
        }
        self.facts_forgotten.store(correlation.forgotten, Ordering::Relaxed);
    }
}

/// One engine of a [`Fleet`].
pub struct Worker {
    me: usize,
    shared: Arc<Shared>,
    shard: Shard,
    defragmenter: Defragmenter,
    keeper: Option<Keeper>,
    frames: FrameCounters,
    /// The last packet's: its time, or one more than the one before had.
    last_number: u64,
    now_ns: i64,
}

impl Worker {
    /// Its number, from 0.
    pub fn number(&self) -> usize {
        self.me
    }

    /// Takes in a batch that came from this interface (by its place in [`FleetOptions::interfaces`]), and what others have
    /// passed on.
    pub fn packets(&mut self, interface: u8, batch: Batch) {
        // What was passed on came before.
        self.take_in();
        if !batch.frames.is_empty() {
            let shared = Arc::clone(&self.shared);
            let first = shared.frames.fetch_add(batch.frames.len() as u64, Ordering::Relaxed);
            let workers = shared.inboxes.len();
            let mut chunk =
                Chunk::decode(0, first, batch, &shared.decoder, &shared.sorting, workers, &shared.pool);
            // Flows end with any batch: nobody waits for more.
            chunk.ends_group = true;
            chunk.origin = interface;
            chunk.number_by_time(&mut self.last_number);
            chunk.defragment(&mut self.defragmenter, &shared.decoder, &shared.sorting);
            self.now_ns = self.now_ns.max(chunk.span_ns.map_or(i64::MIN, |(_, last)| last));
            chunk.now_ns = self.now_ns;
            self.frames += chunk.counters;
            let chunk = Arc::new(chunk);
            for (other, list) in chunk.lists.iter().enumerate() {
                if other == self.me || list.is_empty() {
                    continue;
                }
                let mut inbox = lock(&shared.inboxes[other]);
                if inbox.len() < INBOX_MAX {
                    inbox.push_back(Arc::clone(&chunk));
                } else {
                    shared.not_passed_on.fetch_add(list.len() as u64, Ordering::Relaxed);
                }
            }
            self.process(&chunk);
        }
    }

    /// Takes in what others have passed on, when nothing comes from a link.
    pub fn take_in(&mut self) {
        let waiting = std::mem::take(&mut *lock(&self.shared.inboxes[self.me]));
        for chunk in waiting {
            self.process(&chunk);
        }
    }

    fn process(&mut self, chunk: &Chunk) {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let all = |count: fn(&Held) -> &AtomicUsize| -> usize {
            shared.held.iter().map(|held| count(held).load(Ordering::Relaxed)).sum()
        };
        // At most half the budget can have had a packet among so many groups.
        let recent = (config.flows_max / 2 / FRAMES).max(1) as u32;
        let over =
            (all(|held| &held.flows) > config.flows_max).then(|| (chunk.group as u32).saturating_sub(recent));
        let may_hold = all(|held| &held.reassembly_bytes) <= config.reassembly_bytes_max;
        let mut output = self.shard.process(chunk, self.me, &shared.decoder, over, may_hold);
        if let Some(keeper) = &mut self.keeper {
            for entry in chunk.lists[self.me].iter().map(|i| &chunk.entries[*i as usize]) {
                if let Some(index) = self.shard.find(entry.hash, &entry.packet.key) {
                    keeper.keep(self.shard.flow(index).first_packet, chunk.frame(entry));
                }
            }
            keeper.give(&mut output);
        }
        self.tell();
        shared.hand_on(output);
    }

    /// Tells the others what it holds.
    fn tell(&self) {
        let held = &self.shared.held[self.me];
        held.flows.store(self.shard.flows(), Ordering::Relaxed);
        held.reassembly_bytes.store(self.shard.held_bytes, Ordering::Relaxed);
        *lock(&held.counters) = WorkerCounters {
            frames: self.frames,
            fragments: self.defragmenter.counters(),
            shard: self.shard.counters,
            packets_not_kept: self.keeper.as_ref().map_or(0, Keeper::forgotten),
        };
    }

    /// It is so late: takes in what others have passed on, ends the flows whose time has come, where no packets come that
    /// would. If the clock was set back by more than a minute, all flows are ended, and those that go on begin anew: by their old
    /// times they would not end before the clock is there again. `report`: tells of flows that go on; once a second is often enough.
    pub fn advance(&mut self, now_ns: i64, report: bool) {
        self.take_in();
        let mut output = if now_ns < self.now_ns.saturating_sub(STEP_NS) {
            (self.now_ns, self.last_number) = (now_ns, 0);
            self.shard.begin_again(now_ns)
        } else {
            self.now_ns = self.now_ns.max(now_ns);
            self.shard.advance(self.now_ns)
        };
        if report {
            output.progress = self.shard.report();
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.give(&mut output);
        }
        self.tell();
        self.shared.hand_on(output);
    }

    /// Ends all its flows.
    pub fn finish(mut self) {
        self.take_in();
        let mut output = self.shard.flush(u64::MAX);
        if let Some(keeper) = &mut self.keeper {
            keeper.give(&mut output);
        }
        self.tell();
        self.shared.hand_on(output);
    }
}
