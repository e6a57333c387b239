//! Runs a capture through the engine, on one thread or several.
//!
//! Every worker does all three kinds of work: it reads the next chunk (one at a time may), decodes it, and runs its own
//! shard over the chunks that are decoded. A flow belongs to the shard that its key's hash says; shards share nothing.
//! What they hand on is merged group by group in the capture's order, so the records are the same for any number of
//! threads, and however the capture is read. For the same reason budgets look at what all shards held a fixed number of
//! groups ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use daylight_packet::{
    Batch, Decoder, DefragmentCounters, DefragmentLimits, Defragmenter, FrameSource, LinkType, SourceEnd,
    SourceError,
};
use daylight_protocols::ProtocolId;
use daylight_protocols::dispatch::Dispatcher;

use crate::bell::Bell;
use crate::chunk::{Chunk, FRAMES, FrameCounters, Pool, Sorting, Task};
use crate::config::Config;
use crate::merge::{Correlation, RecordSink};
use crate::shard::{Origin, Output, Shard, ShardCounters};

/// Chunks between reading and the last shard. Budgets act this many groups late.
const IN_FLIGHT_MAX: u64 = 8;
/// Flows that are ended together at the capture's end, as packets between their beginnings.
const FLUSH_PACKETS: u64 = 8192;

/// What a run saw, besides its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStats {
    /// Frames.
    pub frames: FrameCounters,
    /// Fragments.
    pub fragments: DefragmentCounters,
    /// Flows and reassembly.
    pub shards: ShardCounters,
    /// Facts about flows that were forgotten for want of room.
    pub facts_forgotten: u64,
    /// Times of the first and last frame, in nanoseconds since 1970; `None` without frames.
    pub span_ns: Option<(i64, i64)>,
    /// Why the source ended.
    pub end: SourceEnd,
    /// True if the run was stopped before the source ended.
    pub stopped: bool,
    /// A link type that could not be read, if there was one.
    pub unknown_link: Option<LinkType>,
}

/// Watches over a run from outside.
#[derive(Default)]
pub struct Control {
    stop: AtomicBool,
    read: AtomicU64,
    total: AtomicU64,
}

impl Control {
    /// Asks the run to stop reading; what was read is processed and written.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Bytes of the source read so far, and how many there are (0 if unknown).
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct Reader<'a> {
    source: &'a mut dyn FrameSource,
    /// Chunks made so far.
    chunks: u64,
    /// Frames read so far.
    frames: u64,
    /// The source has ended, and the empty batch that says so was given out.
    ended: bool,
    /// Flows that began before this packet were ended.
    flushed: u64,
    done: bool,
    stopped: bool,
    error: Option<SourceError>,
}

/// Chunks decoded, waiting for those before them.
struct Publisher {
    next: u64,
    waiting: BTreeMap<u64, Chunk>,
    defragmenter: Defragmenter,
    now_ns: i64,
    frames: FrameCounters,
    span_ns: Option<(i64, i64)>,
    unknown_link: Option<LinkType>,
}

struct Merger<'a> {
    correlation: Correlation,
    /// Of a group that has not ended.
    waiting: Vec<Output>,
    sink: &'a mut dyn RecordSink,
}

/// What shards have handed on, waiting for the other shards and for the chunks before.
#[derive(Default)]
struct Outputs {
    next: u64,
    waiting: BTreeMap<u64, Vec<Output>>,
}

impl Outputs {
    /// True if all shards have handed on what they made of the next chunk.
    fn is_ready(&self, shards: usize) -> bool {
        self.waiting.get(&self.next).is_some_and(|outputs| outputs.len() == shards)
    }

    /// What all shards have made of the next chunk, if they have.
    fn take(&mut self, shards: usize) -> Option<Vec<Output>> {
        let ready = self.is_ready(shards);
        self.next += u64::from(ready);
        ready.then(|| self.waiting.remove(&(self.next - 1)))?
    }
}

/// What all shards held after a group.
#[derive(Default)]
struct Held {
    flows: AtomicUsize,
    bytes: AtomicUsize,
}

struct Shared<'a> {
    config: Arc<Config>,
    decoder: Decoder,
    sorting: Sorting,
    pool: Arc<Pool>,
    shards: usize,
    control: &'a Control,
    reader: Mutex<Reader<'a>>,
    publisher: Mutex<Publisher>,
    inboxes: Mutex<Vec<VecDeque<Arc<Chunk>>>>,
    outputs: Mutex<Outputs>,
    merger: Mutex<Merger<'a>>,
    /// Rings when a chunk is there, when the next may be read, and at the end.
    bell: Bell,
    /// Chunks read, and chunks that all shards are through with.
    started: AtomicU64,
    finished: AtomicU64,
    /// No chunk follows those started.
    complete: AtomicBool,
    /// A worker has panicked.
    aborted: AtomicBool,
    held: [Held; 2 * IN_FLIGHT_MAX as usize],
}

/// Every thread's panic is the run's own: a poisoned lock is passed on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The compiled dispatcher over all protocols.
pub fn dispatcher() -> Arc<Dispatcher> {
    static DISPATCHER: OnceLock<Arc<Dispatcher>> = OnceLock::new();
    Arc::clone(DISPATCHER.get_or_init(|| Arc::new(Dispatcher::new(ProtocolId::all()))))
}

/// Runs one capture: frames in, records out. Flows do not go on into the next capture.
///
/// # Errors
/// If the source can't be read on. What came before was handed to `sink`.
pub fn inspect(
    source: &mut dyn FrameSource,
    capture: &str,
    config: &Arc<Config>,
    control: &Control,
    sink: &mut dyn RecordSink,
) -> Result<RunStats, SourceError> {
    let shards = config.threads.max(1);
    let shared = Shared {
        config: Arc::clone(config),
        decoder: Decoder { verify_checksums: config.verify_checksums },
        sorting: Sorting::new(config.seed),
        pool: Arc::default(),
        shards,
        control,
        reader: Mutex::new(Reader {
            source,
            chunks: 0,
            frames: 0,
            ended: false,
            flushed: 0,
            done: false,
            stopped: false,
            error: None,
        }),
        publisher: Mutex::new(Publisher {
            next: 0,
            waiting: BTreeMap::new(),
            defragmenter: Defragmenter::new(
                DefragmentLimits { bytes_max: config.fragment_bytes_max, ..DefragmentLimits::default() },
                config.fragment_overlap,
            ),
            now_ns: i64::MIN,
            frames: FrameCounters::default(),
            span_ns: None,
            unknown_link: None,
        }),
        inboxes: Mutex::new((0..shards).map(|_| VecDeque::new()).collect()),
        outputs: Mutex::default(),
        merger: Mutex::new(Merger { correlation: Correlation::default(), waiting: Vec::new(), sink }),
        bell: Bell::default(),
        started: AtomicU64::new(0),
        finished: AtomicU64::new(0),
        complete: AtomicBool::new(false),
        aborted: AtomicBool::new(false),
        held: Default::default(),
    };
    let origins: Arc<[Origin]> = [Origin::new(capture, 0)].into();
    let dispatcher = dispatcher();
    let shard = || Shard::new(Arc::clone(config), Arc::clone(&dispatcher), Arc::clone(&origins));
    let mut counters = ShardCounters::default();
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..shards)
            .map(|me| {
                let (shared, mut shard) = (&shared, shard());
                scope.spawn(move || {
                    shared.work(me, &mut shard);
                    shard.counters
                })
            })
            .collect();
        let mut first = shard();
        shared.work(0, &mut first);
        counters += first.counters;
        for other in others {
            match other.join() {
                Ok(theirs) => counters += theirs,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let reader = shared.reader.into_inner().unwrap_or_else(PoisonError::into_inner);
    let publisher = shared.publisher.into_inner().unwrap_or_else(PoisonError::into_inner);
    let merger = shared.merger.into_inner().unwrap_or_else(PoisonError::into_inner);
    match reader.error {
        Some(error) => Err(error),
        None => Ok(RunStats {
            frames: publisher.frames,
            fragments: publisher.defragmenter.counters(),
            shards: counters,
            facts_forgotten: merger.correlation.forgotten,
            span_ns: publisher.span_ns,
            end: reader.source.end(),
            stopped: reader.stopped,
            unknown_link: publisher.unknown_link,
        }),
    }
}

impl Shared<'_> {
    /// One worker: its shard's chunks first, else the next chunk of the capture.
    fn work(&self, me: usize, shard: &mut Shard) {
        let _abort = Abort(self);
        while !self.aborted.load(Ordering::Acquire) {
            let rings = self.bell.rings();
            let mine = lock(&self.inboxes)[me].pop_front();
            if let Some(chunk) = mine {
                self.process(me, shard, &chunk);
            } else if !self.read() {
                let (complete, started) =
                    (self.complete.load(Ordering::Acquire), self.started.load(Ordering::Acquire));
                if complete && self.finished.load(Ordering::Acquire) == started {
                    return;
                }
                self.bell.wait(rings);
            }
        }
    }

    /// Reads and decodes the next chunk, if there is one and room for it. True if it did something.
    fn read(&self) -> bool {
        let in_flight = self.started.load(Ordering::Acquire) - self.finished.load(Ordering::Acquire);
        if in_flight >= IN_FLIGHT_MAX || self.complete.load(Ordering::Acquire) {
            return false;
        }
        let Ok(mut reader) = self.reader.try_lock() else { return false };
        // Looked at again under the lock: another worker may have started one in between.
        let in_flight = self.started.load(Ordering::Acquire) - self.finished.load(Ordering::Acquire);
        if in_flight >= IN_FLIGHT_MAX || reader.done {
            return false;
        }
        let number = reader.chunks;
        let first = reader.frames;
        let batch = reader.next(self.control);
        let chunk = match batch {
            Some(batch) => {
                reader.frames += batch.frames.len() as u64;
                reader.chunks += 1;
                self.start(Some(first));
                drop(reader);
                self.bell.ring();
                Chunk::decode(number, first, batch, &self.decoder, &self.sorting, self.shards, &self.pool)
            }
            None => {
                let from = reader.flushed;
                // Fragments given up at the end have numbers beyond the last frame's.
                if from > reader.frames + DefragmentLimits::default().datagrams_max as u64 {
                    reader.done = true;
                    self.complete.store(true, Ordering::Release);
                    drop(reader);
                    self.bell.ring();
                    return true;
                }
                let before = from + FLUSH_PACKETS;
                reader.flushed = before;
                reader.chunks += 1;
                self.start(None);
                drop(reader);
                self.bell.ring();
                Chunk::flush(number, before, Batch { data: Arc::new(Vec::new()), frames: Vec::new() })
            }
        };
        self.publish(chunk);
        true
    }

    /// A chunk is begun, with this frame as its first.
    fn start(&self, first: Option<u64>) {
        if let Some(first) = first.filter(|first| first.is_multiple_of(FRAMES as u64)) {
            // The place of the group before the last look at it is free again: all are through with it.
            let held = &self.held[first as usize / FRAMES % self.held.len()];
            held.flows.store(0, Ordering::Relaxed);
            held.bytes.store(0, Ordering::Relaxed);
        }
        self.started.fetch_add(1, Ordering::AcqRel);
    }

    /// Puts a decoded chunk into the inboxes, once all before it are.
    fn publish(&self, chunk: Chunk) {
        let mut publisher = lock(&self.publisher);
        publisher.waiting.insert(chunk.number, chunk);
        let mut ready = Vec::new();
        while let Some(mut chunk) = {
            let next = publisher.next;
            publisher.waiting.remove(&next)
        } {
            publisher.next += 1;
            let Publisher { defragmenter, .. } = &mut *publisher;
            chunk.defragment(defragmenter, &self.decoder, &self.sorting);
            if let Some((first, last)) = chunk.span_ns {
                publisher.now_ns = publisher.now_ns.max(last);
                let (a, b) = publisher.span_ns.unwrap_or((first, last));
                publisher.span_ns = Some((a.min(first), b.max(last)));
            }
            chunk.now_ns = publisher.now_ns;
            publisher.frames += chunk.counters;
            publisher.unknown_link = publisher.unknown_link.or(chunk.unknown_link);
            ready.push(Arc::new(chunk));
        }
        let mut inboxes = lock(&self.inboxes);
        for chunk in ready {
            inboxes.iter_mut().for_each(|inbox| inbox.push_back(Arc::clone(&chunk)));
        }
        drop(inboxes);
        self.bell.ring();
    }

    fn process(&self, me: usize, shard: &mut Shard, chunk: &Chunk) {
        let output = match chunk.task {
            Task::Flush(before) => shard.flush(before),
            Task::Packets => {
                // All shards are through with the group that lies IN_FLIGHT_MAX back, or this chunk could not have begun.
                let (flows, bytes) = match chunk.group.checked_sub(IN_FLIGHT_MAX) {
                    Some(past) => {
                        let held = &self.held[past as usize % self.held.len()];
                        (held.flows.load(Ordering::Relaxed), held.bytes.load(Ordering::Relaxed))
                    }
                    None => (0, 0),
                };
                // At most half the budget can have had a packet among so many groups.
                let recent = (self.config.flows_max / 2 / FRAMES).max(1) as u32;
                let over =
                    (flows > self.config.flows_max).then(|| (chunk.group as u32).saturating_sub(recent));
                let output =
                    shard.process(chunk, me, &self.decoder, over, bytes <= self.config.reassembly_bytes_max);
                if chunk.ends_group {
                    let held = &self.held[chunk.group as usize % self.held.len()];
                    held.flows.fetch_add(shard.flows(), Ordering::Relaxed);
                    held.bytes.fetch_add(shard.held_bytes, Ordering::Relaxed);
                }
                output
            }
        };
        lock(&self.outputs).waiting.entry(chunk.number).or_default().push(output);
        self.merge();
    }

    /// Merges what is complete, in the capture's order. One worker does it at a time, and nobody waits for it: what others
    /// hand on meanwhile, it merges too.
    fn merge(&self) {
        let next = || lock(&self.outputs).take(self.shards);
        loop {
            let mut merger = match self.merger.try_lock() {
                Ok(merger) => merger,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let Merger { correlation, waiting, sink } = &mut *merger;
            while let Some(outputs) = next() {
                let ends_group = outputs.iter().any(|output| output.ends_group);
                waiting.extend(outputs);
                if ends_group {
                    correlation.merge(std::mem::take(waiting), &self.config, *sink);
                }
                if sink.is_closed() {
                    self.control.stop();
                }
                self.finished.fetch_add(1, Ordering::AcqRel);
                self.bell.ring();
            }
            drop(merger);
            // What was handed on after the last look, but before the lock was free, is left to this worker.
            if !lock(&self.outputs).is_ready(self.shards) {
                return;
            }
        }
    }
}

/// Tells the other workers when one panics: they would wait for its chunks for ever.
struct Abort<'a, 'b>(&'a Shared<'b>);

impl Drop for Abort<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.aborted.store(true, Ordering::Release);
            self.0.bell.ring();
        }
    }
}

impl Reader<'_> {
    /// The next batch; an empty one at the end, after an error, or when the run is to stop, and then `None`.
    fn next(&mut self, control: &Control) -> Option<Batch> {
        if self.ended {
            return None;
        }
        if control.is_stopped() {
            self.stopped = true;
        } else {
            let batch = self.source.next_batch(FRAMES - self.frames as usize % FRAMES);
            let (read, total) = self.source.progress();
            control.read.store(read, Ordering::Relaxed);
            control.total.store(total.unwrap_or(0), Ordering::Relaxed);
            match batch {
                Ok(Some(batch)) => return Some(batch),
                Ok(None) => {}
                Err(error) => self.error = Some(error),
            }
        }
        self.ended = true;
        Some(Batch { data: Arc::new(Vec::new()), frames: Vec::new() })
    }
}

impl std::ops::AddAssign for ShardCounters {
    fn add_assign(&mut self, other: Self) {
        self.reassembly += other.reassembly;
        self.flows_over_budget += other.flows_over_budget;
        self.flows_peak += other.flows_peak;
        self.parser_panics += other.parser_panics;
    }
}
