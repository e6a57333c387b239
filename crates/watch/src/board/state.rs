//! What is counted, and how each record changes it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use daylight_inspect::{EndReason, FlowRecord, Uid};
use foldhash::fast::RandomState;

use super::flows::{Held, host};
use super::frequent::{Amount, Key};
use super::gauges::{Gauges, Loss, Losses};
use super::ring::{GAP_MAX_S, Rings, Sample};
use super::risks::{RISKS_A_FLOW_MAX, Risks};
use super::window::{Kind, Windows};

/// Flows that go on and are followed. A report of one more counts when there is room, or when the flow ends: its bytes
/// then count at once.
pub const OPEN_MAX: usize = 16_384;
/// Flows that have ended and are still shown; the oldest go first.
pub const RECENT_MAX: usize = 10_000;
/// A flow that was not heard of for so many seconds is followed no longer: the record of its end was lost.
pub const STALE_S: u64 = 3600;
/// A flow's rate is shown for so many seconds after it was last heard of.
const QUIET_S: u64 = 5;
/// The longest host name that is told from others, in bytes; a name in the DNS is no longer.
pub const HOST_LEN_MAX: usize = 255;

/// What came of the board's own limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct BoardCounters {
    /// Records that came while the board had no room for more ([`INBOX_MAX`](super::INBOX_MAX)).
    pub records_missed: u64,
    /// Reports of open flows that were put off because [`OPEN_MAX`] others were followed.
    pub reports_deferred: u64,
    /// Flows that were followed no longer after [`STALE_S`].
    pub flows_stale: u64,
    /// Times that the clock was set back, or on by more than [`GAP_MAX_S`].
    pub clock_jumps: u64,
}

/// Everything that is counted.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) windows: Windows,
    pub(crate) rings: Rings,
    pub(crate) risks: Risks,
    pub(crate) recent: VecDeque<Arc<FlowRecord>>,
    /// The flows among `recent` that are over.
    over: HashSet<Uid, RandomState>,
    open: HashMap<Uid, Followed, RandomState>,
    pub(crate) gauges: Gauges,
    pub(crate) losses: Vec<Loss>,
    losses_seen: Losses,
    pub(crate) counters: BoardCounters,
    pub(crate) flows_ended: u64,
    /// Flows begun and ended, as of the last second.
    flows_before: [u64; 2],
    pub(crate) now_ns: Option<i64>,
    /// Seconds that have passed.
    pub(crate) seconds: u64,
}

/// A flow that goes on.
struct Followed {
    record: Arc<FlowRecord>,
    bytes_per_s: u64,
    /// The second in which it was last heard of.
    heard: u64,
}

impl State {
    /// A flow has ended.
    pub(crate) fn flow(&mut self, record: Box<FlowRecord>) {
        let before = self.open.remove(&record.ends.uid);
        self.count(&record, before.as_ref().map(|flow| &*flow.record));
        // A flow that is written in parts goes on; its counters start anew.
        let is_over = record.reason != EndReason::Active;
        self.flows_ended += u64::from(is_over);
        if self.recent.len() >= RECENT_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.over.remove(&oldest.ends.uid);
        }
        if is_over {
            self.over.insert(record.ends.uid);
        }
        self.recent.push_back(Arc::from(record));
    }

    /// A flow goes on.
    pub(crate) fn progress(&mut self, record: Box<FlowRecord>) {
        let heard = self.seconds;
        let Some(mut flow) = self.open.remove(&record.ends.uid) else {
            // A report that its flow's end has overtaken.
            if self.over.contains(&record.ends.uid) {
                return;
            }
            if self.open.len() >= OPEN_MAX {
                self.counters.reports_deferred += 1;
                return;
            }
            self.count(&record, None);
            let bytes_per_s = rate(total(&record).bytes, record.end_ns.saturating_sub(record.start_ns));
            let flow = Followed { record: Arc::from(record), bytes_per_s, heard };
            self.open.insert(flow.record.ends.uid, flow);
            return;
        };
        let passed = self.count(&record, Some(&flow.record));
        // A report that tells of less than is known was overtaken.
        if total(&record).packets >= total(&flow.record).packets {
            let gone_ns = record.end_ns.saturating_sub(flow.record.end_ns);
            flow.bytes_per_s = rate(passed.bytes, gone_ns);
            flow.record = Arc::from(record);
        }
        flow.heard = heard;
        self.open.insert(flow.record.ends.uid, flow);
    }

    /// Counts what is new in a record, and says how much it is.
    fn count(&mut self, record: &FlowRecord, before: Option<&FlowRecord>) -> Amount {
        let known = before.map(total).unwrap_or_default();
        let now = total(record);
        let passed = Amount {
            bytes: now.bytes.saturating_sub(known.bytes),
            packets: now.packets.saturating_sub(known.packets),
            flows: 0,
        };
        let pane = &mut self.windows.now;
        // A flow counts once under each of its names: it gets some of them only later.
        let mut add = |kind, key: Key, is_new: bool| {
            pane.add(kind, key, Amount { flows: u64::from(is_new), ..passed });
        };
        let is_new = |had: &dyn Fn(&FlowRecord) -> bool| !before.is_some_and(had);
        let protocol = record.protocol;
        add(Kind::Protocols, Key::Name(protocol.name()), is_new(&|b| b.protocol == protocol));
        if let Some(name) = record.application {
            add(Kind::Applications, Key::Name(name), is_new(&|b| b.application == Some(name)));
        }
        if let Some(name) = record.category {
            add(Kind::Categories, Key::Name(name), is_new(&|b| b.category == Some(name)));
        }
        if let Some(name) = host(record) {
            let key = Key::Text(clip(name, HOST_LEN_MAX).into());
            add(Kind::Hosts, key, is_new(&|b| host(b) == Some(name)));
        }
        add(Kind::Talkers, Key::Address(record.ends.src_ip), before.is_none());
        add(Kind::Servers, Key::Address(record.ends.dst_ip), before.is_none());
        let risks = record.risks();
        let risks = risks.get(..RISKS_A_FLOW_MAX).unwrap_or(risks);
        for (i, found) in risks.iter().enumerate() {
            let name = found.risk.name;
            // One risk may be found several times, each with its own evidence.
            if !risks.iter().take(i).any(|other| other.risk.name == name) {
                let had = |b: &FlowRecord| b.risks().iter().any(|other| other.risk.name == name);
                add(Kind::Risks, Key::Name(name), is_new(&had));
            }
            if is_new(&|b| b.risks().contains(found)) {
                self.risks.add(record, found);
            }
        }
        passed
    }

    /// Another second has passed, or several, or less than one.
    pub(crate) fn tick(&mut self, now_ns: i64, mut gauges: Gauges) {
        gauges.clip();
        let flows = [gauges.flows_open.saturating_add(self.flows_ended), self.flows_ended];
        let Some(before_ns) = self.now_ns else {
            (self.now_ns, self.flows_before) = (Some(now_ns), flows);
            self.look_for_losses(&gauges, 1);
            self.gauges = gauges;
            return;
        };
        let gone_ms = now_ns.saturating_sub(before_ns) / 1_000_000;
        if (0..500).contains(&gone_ms) {
            return;
        }
        let mut seconds = (gone_ms + 500) / 1000;
        if !(1..=GAP_MAX_S).contains(&seconds) {
            self.counters.clock_jumps += 1;
            seconds = 1;
        }
        let seconds = seconds as u64;
        let [begun, ended] = [0, 1].map(|i| flows[i].saturating_sub(self.flows_before[i]));
        let was = &self.gauges;
        let passed = Sample {
            packets: gauges.packets.saturating_sub(was.packets),
            bytes: gauges.bytes.saturating_sub(was.bytes),
            flows_begun: begun,
            flows_ended: ended,
            dropped: gauges.dropped().saturating_sub(was.dropped()),
        };
        self.rings.add(passed, seconds);
        for _ in 0..seconds {
            self.windows.second();
            self.seconds += 1;
            if self.seconds.is_multiple_of(60) {
                self.forget_stale();
            }
        }
        self.look_for_losses(&gauges, seconds);
        (self.now_ns, self.flows_before) = (Some(now_ns), flows);
        self.gauges = gauges;
    }

    fn look_for_losses(&mut self, gauges: &Gauges, seconds: u64) {
        let own = [(
            "records that this view has missed",
            self.counters.records_missed,
            "more flows ended at once than it could take in: its tables show too little; stored records are not touched",
        )];
        self.losses = self.losses_seen.look(gauges, &own, seconds);
    }

    fn forget_stale(&mut self) {
        let (before, now) = (self.open.len(), self.seconds);
        self.open.retain(|_, flow| now - flow.heard < STALE_S);
        self.counters.flows_stale += (before - self.open.len()) as u64;
    }

    /// The flows that are followed.
    pub(crate) fn open(&self) -> impl Iterator<Item = Held> + '_ {
        self.open.values().map(|flow| self.held(flow))
    }

    fn held(&self, flow: &Followed) -> Held {
        let is_quiet = self.seconds - flow.heard > QUIET_S;
        let bytes_per_s = if is_quiet { 0 } else { flow.bytes_per_s };
        Held { record: Arc::clone(&flow.record), is_open: true, bytes_per_s }
    }

    pub(crate) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The flow of that name; of several parts, the last.
    pub(crate) fn find(&self, uid: &str) -> Option<Held> {
        let open = self.open.values().find(|flow| flow.record.ends.uid.as_str() == uid);
        let ended = || self.recent.iter().rev().find(|record| record.ends.uid.as_str() == uid);
        open.map(|flow| self.held(flow)).or_else(|| {
            ended().map(|record| Held { record: Arc::clone(record), is_open: false, bytes_per_s: 0 })
        })
    }
}

fn total(record: &FlowRecord) -> Amount {
    Amount {
        bytes: record.src.bytes.saturating_add(record.dst.bytes),
        packets: record.src.packets.saturating_add(record.dst.packets),
        flows: 0,
    }
}

/// Bytes a second; over less than a second as if it had been one, so that a single packet is no torrent.
fn rate(bytes: u64, ns: i64) -> u64 {
    let ms = u64::try_from(ns / 1_000_000).unwrap_or(0).max(1000);
    bytes.saturating_mul(1000) / ms
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn clip(text: &str, len_max: usize) -> &str {
    text.get(..text.floor_char_boundary(len_max)).unwrap_or(text)
}
