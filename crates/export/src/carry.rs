//! Carries records from the spool to a destination, on a thread of its own: batch by batch, each until it is acknowledged.
//!
//! What can't be delivered now is tried again, after a fifth of a second at first and half a minute at most. What a
//! destination will never take (too large, not to its schema) is found by halving the batch, counted, and left behind, so that
//! one record does not hold up all others.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::record::Entry;
use crate::spool::{Limits, Reader, ReaderCounters, Spool};

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It may next time: the network, the server, a full stream.
    #[error("{0}")]
    Again(String),
    /// It never will, as it is.
    #[error("{0}")]
    Refused(String),
}

/// Takes records to one place.
pub trait Carrier: Send {
    /// Sends these records, and returns once all have been acknowledged. After an error any of them may have arrived.
    /// `token` names this batch: the same records sent again after a failure or a restart have the same one.
    ///
    /// # Errors
    /// If they did not all arrive.
    fn send(&mut self, entries: &[Entry], token: &str) -> Result<(), SendError>;

    /// Called about once a second, and before the end with `last`: for what waits for its time.
    ///
    /// # Errors
    /// If something was due and did not arrive; it stays due.
    fn tick(&mut self, last: bool) -> Result<(), SendError> {
        let _ = last;
        Ok(())
    }

    /// What it left out by itself.
    fn held_back(&self) -> HeldBack {
        HeldBack::default()
    }
}

/// Alarms that were not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// Because there were too many.
    pub limited: u64,
    /// Because they were counted together with an earlier one.
    pub repeated: u64,
    /// Because the destination will never take them.
    pub refused: u64,
}

/// What became of a destination's records since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The destination's name.
    pub name: String,
    /// `nats`, `kafka` ….
    pub kind: &'static str,
    /// Records in batches that were sent, those sent again included.
    pub sent: u64,
    /// What the spool knows: acknowledged, dropped, spoilt, and the lag.
    pub reader: ReaderCounters,
    /// Records that the destination will never take.
    pub refused: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// Of alarms, those that were not sent.
    pub held_back: HeldBack,
    /// What went wrong last; `None` once all is well again.
    pub error: Option<String>,
}

/// What a destination's thread and others share.
pub(crate) struct Shared {
    status: Mutex<Status>,
    stopped: Mutex<bool>,
    stop: Condvar,
}

impl Shared {
    pub(crate) fn new(name: &str, kind: &'static str) -> Arc<Self> {
        let status = Status { name: name.to_owned(), kind, ..Status::default() };
        Arc::new(Self { status: Mutex::new(status), stopped: Mutex::new(false), stop: Condvar::new() })
    }

    /// With what the spool says.
    pub(crate) fn status(&self, spool: &Spool) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.reader = spool.reader_counters(&status.name).unwrap_or_default();
        status
    }

    /// Has the thread end with the batch that it is at, whatever is left.
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless it is stopped meanwhile.
    fn pause(&self, time: Duration) {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.stop.wait_timeout_while(stopped, time, |stopped| !*stopped));
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The first pause before something is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long to wait before the n-th repetition: twice as long each time, and by up to a quarter less, so that many sensors do
/// not come back at once.
fn pause(repetition: u32) -> Duration {
    let full = PAUSE_MIN.saturating_mul(1 << repetition.min(16)).min(PAUSE_MAX);
    let random = RandomState::new().hash_one(repetition) % 256;
    full.mul_f64(1.0 - random as f64 / 1024.0)
}

/// Carries until everything has arrived and the spool is closed, or it is stopped.
pub(crate) fn carry(mut reader: Reader, mut carrier: Box<dyn Carrier>, limits: &Limits, shared: &Shared) {
    let mut ticked = Instant::now();
    loop {
        let over = reader.is_over() || shared.is_stopped();
        if over || ticked.elapsed() >= Duration::from_secs(1) {
            ticked = Instant::now();
            insist(&mut *carrier, shared, |carrier| carrier.tick(over));
            let held_back = carrier.held_back();
            shared.update(|status| status.held_back = held_back);
        }
        if over {
            return;
        }
        match reader.next(limits, Duration::from_millis(250)) {
            Ok(None) => {}
            Ok(Some(batch)) => {
                if batch.entries.is_empty() || deliver(&mut *carrier, &batch.entries, shared) {
                    reader.acknowledge(&batch);
                }
            }
            Err(error) => {
                shared.update(|status| status.error = Some(error.to_string()));
                shared.pause(PAUSE_MAX);
            }
        }
    }
}

/// Tries until it is done, or refused, or stopped: then it is false.
fn insist(
    carrier: &mut dyn Carrier,
    shared: &Shared,
    mut what: impl FnMut(&mut dyn Carrier) -> Result<(), SendError>,
) -> Option<Result<(), String>> {
    for repetition in 0.. {
        match what(carrier) {
            Ok(()) => {
                shared.update(|status| status.error = None);
                return Some(Ok(()));
            }
            Err(SendError::Refused(why)) => return Some(Err(why)),
            Err(SendError::Again(why)) => {
                shared.update(|status| {
                    status.retries += 1;
                    status.error = Some(why);
                });
            }
        }
        if shared.is_stopped() {
            break;
        }
        shared.pause(pause(repetition));
    }
    None
}

/// True once each of the records has arrived or was refused.
fn deliver(carrier: &mut dyn Carrier, entries: &[Entry], shared: &Shared) -> bool {
    let token = token(entries);
    let outcome = insist(carrier, shared, |carrier| {
        shared.update(|status| status.sent += entries.len() as u64);
        carrier.send(entries, &token)
    });
    match outcome {
        None => false,
        Some(Ok(())) => true,
        Some(Err(why)) => {
            let (first, second) = entries.split_at(entries.len() / 2);
            if first.is_empty() {
                shared.update(|status| {
                    status.refused += 1;
                    status.error = Some(why);
                });
                return true;
            }
            deliver(carrier, first, shared) && deliver(carrier, second, shared)
        }
    }
}

/// The name of a batch: of its first and last record, and how many there are.
fn token(entries: &[Entry]) -> String {
    match entries {
        [first, .., last] => format!("{}-{}-{}", first.id, last.id, entries.len()),
        [only] => format!("{}-1", only.id),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordId;

    /// Takes no record with an `x`, and nothing at all for the first so many times.
    struct Moody {
        away: u32,
        taken: Arc<Mutex<Vec<u64>>>,
    }

    impl Carrier for Moody {
        fn send(&mut self, entries: &[Entry], _: &str) -> Result<(), SendError> {
            if self.away > 0 {
                self.away -= 1;
                return Err(SendError::Again("gone for lunch".into()));
            }
            if entries.iter().any(|entry| entry.text().contains('x')) {
                return Err(SendError::Refused("not that".into()));
            }
            self.taken.lock().unwrap().extend(entries.iter().map(|entry| entry.sequence));
            Ok(())
        }
    }

    #[test]
    fn what_is_refused_does_not_hold_up_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 0, &["moody"]).unwrap();
        for n in 0..100u8 {
            let line: &[u8] = if n % 30 == 7 { b"{x}" } else { b"{}" };
            spool.append(RecordId([n; 16]), "C", false, line);
        }
        spool.close();
        let shared = Shared::new("moody", "test");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let moody = Box::new(Moody { away: 2, taken: Arc::clone(&taken) });
        carry(spool.reader("moody").unwrap(), moody, &Limits::default(), &shared);
        let expected: Vec<u64> = (0..100).filter(|n| n % 30 != 7).collect();
        assert_eq!(*taken.lock().unwrap(), expected, "in order, each once");
        let status = shared.status(&spool);
        assert_eq!((status.refused, status.retries, status.reader.lag), (4, 2, 0));
        assert_eq!(status.reader.acknowledged, 100);
    }

    #[test]
    fn what_is_stopped_is_not_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path(), 0, &["away"]).unwrap();
        spool.append(RecordId([1; 16]), "C", false, b"{}");
        spool.close();
        let shared = Shared::new("away", "test");
        shared.stop();
        let never = Box::new(Moody { away: u32::MAX, taken: Arc::default() });
        carry(spool.reader("away").unwrap(), never, &Limits::default(), &shared);
        assert_eq!(shared.status(&spool).reader.lag, 1);
    }

    #[test]
    fn pauses_grow_to_half_a_minute() {
        for repetition in 0..40 {
            let full = PAUSE_MAX.min(PAUSE_MIN * 2u32.pow(repetition.min(12)));
            let pause = pause(repetition);
            assert!(pause <= full && pause >= full.mul_f64(0.75), "{repetition}: {pause:?}");
        }
    }
}
