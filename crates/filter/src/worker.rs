//! One queue's packets, from the kernel to the [`Gate`] and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daylight_capture::nfqueue::{Bits, Checksum, Error, Queue, Verdict};
use daylight_inspect::Config;
use daylight_packet::{Batch, Frame, LinkType, is_damaged};
use daylight_policy::Policy;
use daylight_policy::audit::Tally;

use crate::gate::{Gate, Outcome, Witness};
use crate::kernel::{Fate, MarkBits};
use crate::send::NoticeSender;

/// How long a worker waits for packets before it looks after other things.
const PATIENCE: Duration = Duration::from_millis(100);

/// What all workers of a filter have in common.
pub struct Shared {
    policy: RwLock<Arc<Policy>>,
    /// Counts policies, so that workers see that there is another without taking the lock.
    loads: AtomicU64,
    tally: Mutex<Tally>,
    /// The filter is to end; the workers are to.
    ending: AtomicBool,
    /// Memory is short: nothing is to be kept of flows.
    pressed: AtomicBool,
    stop: AtomicBool,
    /// What happened, for the status and the metrics.
    pub counters: Counters,
}

/// What happened since the filter began.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets that were looked at.
    pub packets: AtomicU64,
    /// Of those, the ones that did not go on.
    pub dropped: AtomicU64,
    /// Flows that were decided on for good: allowed, dropped, rejected.
    pub settled: [AtomicU64; 3],
    /// Notices sent, and notices that could not be.
    pub notices: AtomicU64,
    /// Notices for which there was no route or no room.
    pub notices_failed: AtomicU64,
    /// Flows that are followed now, by all workers.
    pub flows: AtomicU64,
    /// Batches in which the engine failed; they went as the fail policy says.
    pub engine_faults: AtomicU64,
    /// Packets that went as the fail policy says since memory was short.
    pub unread: AtomicU64,
}

impl Counters {
    /// Counts a notice that was sent, or could not be.
    pub(crate) fn noticed(&self, sent: bool) {
        let counter = if sent { &self.notices } else { &self.notices_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Each with the name that the status and the metrics have for it.
    pub fn named(&self) -> [(&'static str, u64); 9] {
        let [allowed, dropped, rejected] = &self.settled;
        [
            ("packets", &self.packets),
            ("packets_dropped", &self.dropped),
            ("packets_unread", &self.unread),
            ("flows_allowed", allowed),
            ("flows_dropped", dropped),
            ("flows_rejected", rejected),
            ("notices", &self.notices),
            ("notices_failed", &self.notices_failed),
            ("engine_faults", &self.engine_faults),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

impl Shared {
    /// With a policy in force.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy: RwLock::new(policy),
            loads: AtomicU64::new(0),
            tally: Mutex::default(),
            ending: AtomicBool::new(false),
            pressed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another policy in force: each worker takes it up before its next batch.
    pub fn exchange(&self, policy: Arc<Policy>) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.loads.fetch_add(1, Ordering::Release);
    }

    /// Takes what was counted since it was last taken.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the filter to end. Its rules leave the kernel first, then its workers stop.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// True once it was asked to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Says whether memory is short.
    pub(crate) fn press(&self, pressed: bool) {
        self.pressed.store(pressed, Ordering::Release);
    }

    /// True while memory is short, and packets go as the fail policy says.
    pub fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Acquire)
    }

    /// Stops the workers; what waits in their queues goes as the fail policy says.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Counts what a gate has done with a batch.
    pub(crate) fn count(&self, gate: &mut Gate, outcomes: &[Outcome]) {
        count(&self.counters, outcomes, gate.take_settled());
        if !gate.tally.is_empty() {
            let tally = std::mem::take(&mut gate.tally);
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).merge(tally);
        }
    }

    /// How many policies came into force.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// What a worker is given.
pub struct Worker<W> {
    /// Its queue.
    pub queue: Queue,
    /// How flows are read.
    pub config: Config,
    /// The bits of marks that are the filter's.
    pub mark: MarkBits,
    /// False: decided flows are not left to the kernel.
    pub offload: bool,
    /// If the engine fails, packets go on (or are dropped).
    pub open_on_fault: bool,
    /// While memory is short, packets go on (or are dropped).
    pub open_on_memory: bool,
    /// Sends notices.
    pub sender: NoticeSender,
    /// The address of the public page.
    pub page: Option<String>,
    /// Is told of decisions.
    pub witness: W,
}

impl<W: Witness> Worker<W> {
    /// Works until it is stopped.
    ///
    /// # Errors
    /// If the queue can't be read any more.
    pub fn run(mut self, shared: &Shared) -> Result<(), Error> {
        let mut loads = shared.loads();
        let mut gate = self.gate(shared);
        let (mut outcomes, mut notices) = (Vec::new(), Vec::new());
        let mut followed = 0;
        while !shared.is_stopped() {
            let now = shared.loads();
            if now != loads {
                loads = now;
                gate.exchange(shared.policy());
            }
            let mut packets = self.queue.receive(Some(PATIENCE))?;
            let now_ns = now_ns();
            let mut forget = false;
            if packets.is_empty() {
                gate.advance(now_ns, &mut self.witness);
            } else if shared.is_pressed() {
                forget = gate.flows() > 0;
                let outcome = if self.open_on_memory { Outcome::Pass } else { Outcome::Drop };
                for (_, verdict) in packets.iter_mut() {
                    *verdict = told(outcome, self.mark, self.offload);
                }
                shared.counters.unread.fetch_add(packets.len() as u64, Ordering::Relaxed);
            } else {
                let (batch, damaged) = copied(&packets, now_ns);
                let decided = catch_unwind(AssertUnwindSafe(|| {
                    gate.packets(batch, &mut outcomes, &mut notices, &mut self.witness);
                    for index in damaged {
                        let packet = packets.packet(index).map_or(&[][..], |packet| packet.payload);
                        outcomes.insert(index, gate.unread(packet, now_ns));
                    }
                }));
                if decided.is_err() {
                    // The engine's state is worth nothing any more; the kernel keeps what was decided.
                    shared.counters.engine_faults.fetch_add(1, Ordering::Relaxed);
                    notices.clear();
                    outcomes.clear();
                    let outcome = if self.open_on_fault { Outcome::Pass } else { Outcome::Drop };
                    outcomes.resize(packets.len(), outcome);
                }
                for ((_, verdict), outcome) in packets.iter_mut().zip(&outcomes) {
                    *verdict = told(*outcome, self.mark, self.offload);
                }
                shared.count(&mut gate, &outcomes);
                forget = decided.is_err();
            }
            if forget {
                gate = self.gate(shared);
            }
            // First the notices: a dropped question is answered before anything is asked again.
            for notice in notices.drain(..) {
                let sent = self.sender.send(&notice.packet, notice.to).is_ok();
                shared.counters.noticed(sent);
            }
            self.queue.send()?;
            let flows = gate.flows() as u64;
            shared.counters.flows.fetch_add(flows.wrapping_sub(followed), Ordering::Relaxed);
            followed = flows;
        }
        gate.finish(&mut self.witness);
        shared.counters.flows.fetch_sub(followed, Ordering::Relaxed);
        Ok(())
    }

    fn gate(&self, shared: &Shared) -> Gate {
        let source = format!("queue {}", self.queue.number());
        Gate::new(shared.policy(), &self.config, &source, self.page.clone())
    }
}

pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The packets as frames of the engine's, and which of them are not to be read. Flows hold on to nothing of a batch, but the
/// queue's buffers are the kernel's again when the verdicts are sent.
fn copied(packets: &daylight_capture::nfqueue::Batch<'_>, now_ns: i64) -> (Batch, Vec<usize>) {
    let mut data = Vec::with_capacity(packets.packets().map(|packet| packet.payload.len()).sum());
    let (mut frames, mut damaged) = (Vec::with_capacity(packets.len()), Vec::new());
    for (index, packet) in packets.packets().enumerate() {
        // Connection tracking has verified those of all packets that it knows what to make of.
        if packet.checksum == Checksum::NotVerified && !packet.gso && is_damaged(packet.payload) {
            damaged.push(index);
            continue;
        }
        let cap_len = packet.payload.len() as u32;
        frames.push(Frame {
            ts_ns: packet.timestamp_ns.and_then(|ns| i64::try_from(ns).ok()).unwrap_or(now_ns),
            offset: data.len() as u32,
            cap_len,
            wire_len: packet.wire_len.max(cap_len),
            link: LinkType::RAW,
        });
        data.extend_from_slice(packet.payload);
    }
    (Batch { data: Arc::new(data), frames }, damaged)
}

/// What the kernel is told. A fate goes into the packet's mark, and the packet to the beginning of the filter's chain,
/// where the mark is saved for the connection and acted on.
fn told(outcome: Outcome, mark: MarkBits, offload: bool) -> Verdict {
    let marked = |verdict: Verdict, fate| verdict.marked(Bits { value: mark.mark(fate), mask: mark.mask() });
    match outcome {
        Outcome::Pass => Verdict::ACCEPT,
        Outcome::Drop => Verdict::DROP,
        Outcome::Settled(Fate::Allowed) if !offload => Verdict::ACCEPT,
        Outcome::Settled(Fate::Dropped) if !offload => Verdict::DROP,
        Outcome::Settled(fate) => marked(Verdict::REPEAT, fate),
    }
}

fn count(counters: &Counters, outcomes: &[Outcome], settled: [u64; 3]) {
    counters.packets.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
    let dropped =
        outcomes.iter().filter(|outcome| !matches!(outcome, Outcome::Pass | Outcome::Settled(Fate::Allowed)));
    counters.dropped.fetch_add(dropped.count() as u64, Ordering::Relaxed);
    for (counter, count) in counters.settled.iter().zip(settled) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}
