//! The board: what a live engine tells, counted in bounded memory, for any number of viewers.
//!
//! Who feeds it never waits for who looks at it. A record goes into an inbox, under a lock that nobody holds for longer
//! than it takes to put a pointer there or to take the whole inbox away. What is in the inbox is counted under another
//! lock, by the engine when that one happens to be free, or else by the next viewer. A viewer holds it while it copies
//! handles of what it asked for, and adds up, filters and sorts on its own time.
//!
//! Every table has a size (`*_MAX`) and says what it does when it is full; [`BoardCounters`] and [`Budget`] tell. At the
//! very worst, by estimate, the tables take 150 MB: under a scan of all addresses that goes on for a quarter of an hour,
//! with an inbox that nobody empties. On an ordinary link they take a few.

mod flows;
mod frequent;
mod gauges;
mod ring;
mod risks;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daylight_inspect::{FlowRecord, RecordSink};

pub(crate) use flows::rfc3339;
pub use flows::{Field, FlowDetail, FlowPage, FlowQuery, FlowRow, RiskDetail, Sort, Which};
pub use frequent::{Amount, Measure};
pub use gauges::{Budget, Counter, GAUGES_MAX, Gauges, Interface, Loss};
pub use ring::{GAP_MAX_S, MINUTES_MAX, SECONDS_MAX, Sample};
pub use risks::{EVIDENCE_LEN_MAX, RISKS_A_FLOW_MAX, RISKS_MAX, RiskRow};
pub use snapshot::{Frozen, Query, ROWS_MAX, Rates, Snapshot, Top, TopRow, Tops};
use state::State;
pub use state::{BoardCounters, HOST_LEN_MAX, OPEN_MAX, RECENT_MAX, STALE_S};
pub use window::{Kind, NAMES_HELD_MAX, NAMES_MAX, OWN_NAMES_MAX, Window};

/// Records that may wait to be counted. What comes when so many wait is missed, and counted as such.
pub const INBOX_MAX: usize = 65_536;
/// So many records are worth being counted by the engine; fewer wait for the next tick.
const BATCH: usize = 512;

/// What has come and is yet to be counted.
enum Update {
    Flow(Box<FlowRecord>),
    Progress(Box<FlowRecord>),
    Tick(i64, Box<Gauges>),
}

#[derive(Default)]
struct Inbox {
    updates: Vec<Update>,
    missed: u64,
}

/// Counts what a live engine tells, and shows it to viewers.
#[derive(Default)]
pub struct Board {
    inbox: Mutex<Inbox>,
    state: Mutex<State>,
    /// How many ticks there were, for who waits for one.
    ticks: Mutex<u64>,
    ticked: Condvar,
}

/// A panic elsewhere leaves counts that are at worst a record short.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// An empty board.
    #[allow(clippy::new_ret_no_self)] // feeds and viewers share it
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A way for an engine to fill it. Several engines may each have one; a flow must come through one of them only.
    pub fn feed(this: &Arc<Self>) -> Feed {
        Feed { board: Arc::clone(this) }
    }

    /// What there is to see. Call it from any thread but the engine's.
    pub fn snapshot(&self, query: &Query) -> Snapshot {
        self.gather(query).snapshot(query)
    }

    /// The board as it is now, for who wants to look at it in peace.
    pub fn freeze(&self) -> Frozen {
        self.gather(&Query::everything())
    }

    fn gather(&self, query: &Query) -> Frozen {
        let mut state = lock(&self.state);
        let waiting = self.count(&mut state);
        state.gather(query, [waiting, INBOX_MAX])
    }

    /// Waits until there were more than `ticks` ticks, or the time is over, and says how many there were.
    pub fn wait(&self, ticks: u64, at_most: Duration) -> u64 {
        let until = Instant::now() + at_most;
        let mut now = lock(&self.ticks);
        while *now <= ticks {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            now = self.ticked.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *now
    }

    /// How many ticks there were.
    pub fn ticks(&self) -> u64 {
        *lock(&self.ticks)
    }

    /// Puts something into the inbox; true if enough is there to be counted.
    fn put(&self, update: Update) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.updates.len() >= INBOX_MAX {
            // A late tick counts what an earlier one did not.
            inbox.missed += u64::from(!matches!(update, Update::Tick(..)));
            return true;
        }
        inbox.updates.push(update);
        inbox.updates.len() >= BATCH
    }

    /// Counts what waits, and says how much that was.
    fn count(&self, state: &mut State) -> usize {
        let inbox = std::mem::take(&mut *lock(&self.inbox));
        let waiting = inbox.updates.len();
        state.counters.records_missed += inbox.missed;
        for update in inbox.updates {
            match update {
                Update::Flow(record) => state.flow(record),
                Update::Progress(record) => state.progress(record),
                Update::Tick(now_ns, gauges) => state.tick(now_ns, *gauges),
            }
        }
        waiting
    }

    /// Counts what waits, unless somebody else is at it or a viewer is looking.
    fn try_count(&self) {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return,
        };
        self.count(&mut state);
    }
}

/// Fills a [`Board`] from an engine. It never waits for a viewer.
#[derive(Clone)]
pub struct Feed {
    board: Arc<Board>,
}

impl Feed {
    /// Says how the engine is at a time of its own, about once a second. Of several engines' feeds one does this for
    /// all. Times that lie closer together, further apart, or go back are borne ([`GAP_MAX_S`]).
    pub fn tick(&mut self, now_ns: i64, gauges: Gauges) {
        self.board.put(Update::Tick(now_ns, Box::new(gauges)));
        self.board.try_count();
        *lock(&self.board.ticks) += 1;
        self.board.ticked.notify_all();
    }

    fn put(&self, update: Update) {
        if self.board.put(update) {
            self.board.try_count();
        }
    }
}

impl RecordSink for Feed {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.put(Update::Flow(record));
    }

    fn progress(&mut self, record: Box<FlowRecord>) {
        self.put(Update::Progress(record));
    }
}
