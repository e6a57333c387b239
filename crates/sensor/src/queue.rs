//! From the engines to whoever takes records, on a thread of its own.
//!
//! The queue is bounded. When it is full, records are lost and counted: an engine that waited for a disk would lose packets
//! instead, of which nobody could say what was in them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use daylight_inspect::{EventRecord, FlowRecord, KeptPackets, RecordSink};

/// Records that may wait: some seconds of a busy link, and 128 MiB at the most usual size.
pub const WAITING_MAX: usize = 1 << 17;

/// How often it is looked whether something has come. An engine that woke a thread for every record would do little else.
const PAUSE: Duration = Duration::from_millis(20);

enum Item {
    Flow(Box<FlowRecord>, Option<Box<KeptPackets>>),
    Progress(Box<FlowRecord>),
    Event(Box<EventRecord>),
}

/// Both ends, and who counts.
#[derive(Default)]
struct Shared {
    items: Mutex<Vec<Item>>,
    counters: Arc<QueueCounters>,
    closed: AtomicBool,
}

/// Counters of a queue.
#[derive(Default)]
pub struct QueueCounters {
    waiting: AtomicUsize,
    lost: AtomicU64,
}

impl QueueCounters {
    /// Records that wait, or that the sink is at.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Records that found the queue full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The end that engines hand records to. The other ends when it is dropped.
pub struct Entrance {
    shared: Arc<Shared>,
    waiting_max: usize,
    /// Those of the flow that comes next.
    packets: Option<Box<KeptPackets>>,
}

/// The end that records come out of.
pub struct Exit {
    shared: Arc<Shared>,
}

/// Both ends of a queue for so many records, and its counters.
pub fn queue(waiting_max: usize) -> (Entrance, Exit, Arc<QueueCounters>) {
    let shared = Arc::new(Shared::default());
    let counters = Arc::clone(&shared.counters);
    let entrance = Entrance { shared: Arc::clone(&shared), waiting_max, packets: None };
    (entrance, Exit { shared }, counters)
}

impl Entrance {
    fn give(&self, item: Item) {
        let counters = &self.shared.counters;
        if counters.waiting() < self.waiting_max {
            counters.waiting.fetch_add(1, Ordering::Relaxed);
            self.shared.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        } else if !matches!(item, Item::Progress(_)) {
            // What tells of a flow that goes on is told again.
            counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

impl RecordSink for Entrance {
    fn flow(&mut self, record: Box<FlowRecord>) {
        let packets = self.packets.take();
        self.give(Item::Flow(record, packets));
    }

    fn progress(&mut self, record: Box<FlowRecord>) {
        self.give(Item::Progress(record));
    }

    fn packets(&mut self, _record: &FlowRecord, packets: KeptPackets) {
        self.packets = Some(Box::new(packets));
    }

    fn event(&mut self, event: EventRecord) {
        self.give(Item::Event(Box::new(event)));
    }
}

impl Exit {
    /// Hands everything to `sink` until the other end is gone, and calls `tick` about every `interval`.
    pub fn run<S: RecordSink>(self, sink: &mut S, interval: Duration, mut tick: impl FnMut(&mut S)) {
        let mut next = Instant::now() + interval;
        let mut items = Vec::new();
        loop {
            // Before the last look: what was handed over before it was closed is there then.
            let closed = self.shared.closed.load(Ordering::Acquire);
            std::mem::swap(
                &mut *self.shared.items.lock().unwrap_or_else(PoisonError::into_inner),
                &mut items,
            );
            if items.is_empty() {
                if closed {
                    return;
                }
                std::thread::sleep(PAUSE.min(interval));
            }
            for item in items.drain(..) {
                self.shared.counters.waiting.fetch_sub(1, Ordering::Relaxed);
                match item {
                    Item::Flow(record, packets) => {
                        if let Some(packets) = packets {
                            sink.packets(&record, *packets);
                        }
                        sink.flow(record);
                    }
                    Item::Progress(record) => sink.progress(record),
                    Item::Event(event) => sink.event(*event),
                }
                if Instant::now() >= next {
                    tick(sink);
                    // Not sooner than that from now on: a slow sink is not to be asked all the time.
                    next = Instant::now() + interval;
                }
            }
            if Instant::now() >= next {
                tick(sink);
                next = Instant::now() + interval;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted_and_the_rest_comes_out_in_order() {
        let (mut entrance, exit, counters) = queue(3);
        for n in 0..5 {
            entrance.flow(Box::new(FlowRecord::blank(n)));
        }
        entrance.progress(Box::new(FlowRecord::blank(9)));
        assert_eq!((counters.waiting(), counters.lost()), (3, 2));
        drop(entrance);
        let mut out: Vec<FlowRecord> = Vec::new();
        exit.run(&mut out, Duration::from_secs(1), |_| ());
        let uids: Vec<_> = out.iter().map(|record| record.ends.uid).collect();
        assert_eq!(uids, [0, 1, 2].map(|n| FlowRecord::blank(n).ends.uid));
        assert_eq!(counters.waiting(), 0);
    }

    #[test]
    fn it_ticks_when_nothing_comes() {
        let (entrance, exit, _) = queue(3);
        let (mut out, mut ticks): (Vec<FlowRecord>, _) = (Vec::new(), 0);
        let mut entrance = Some(entrance);
        exit.run(&mut out, Duration::from_millis(5), |_| {
            ticks += 1;
            if ticks == 3 {
                entrance.take();
            }
        });
        assert_eq!(ticks, 3);
    }
}
