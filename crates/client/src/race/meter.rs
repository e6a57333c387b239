//! How many bytes came in the last second.

use std::time::{Duration, Instant};

const SLOTS: usize = 10;

/// Counts bytes in tenths of a window.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    slots: [u64; SLOTS],
    /// The slot that is filled, counted from the beginning.
    at: u64,
    begin: Instant,
    slot: Duration,
}

impl Meter {
    pub(super) fn new(now: Instant, window: Duration) -> Self {
        let slot = (window / SLOTS as u32).max(Duration::from_nanos(1));
        Self { slots: [0; SLOTS], at: 0, begin: now, slot }
    }

    fn advance(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.begin).as_nanos() / self.slot.as_nanos();
        let to = u64::try_from(since).unwrap_or(u64::MAX).max(self.at);
        for skipped in (self.at + 1..=to).take(SLOTS) {
            if let Some(slot) = self.slots.get_mut((skipped % SLOTS as u64) as usize) {
                *slot = 0;
            }
        }
        if to - self.at > SLOTS as u64 {
            self.slots = [0; SLOTS];
        }
        self.at = to;
    }

    pub(super) fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        if let Some(slot) = self.slots.get_mut((self.at % SLOTS as u64) as usize) {
            *slot += bytes;
        }
    }

    /// In the last window.
    pub(super) fn bytes(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.slots.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut meter = Meter::new(begin, Duration::from_secs(1));
        meter.add(at(0), 1);
        meter.add(at(550), 10);
        assert_eq!(meter.bytes(at(999)), 11);
        assert_eq!(meter.bytes(at(1000)), 10);
        assert_eq!(meter.bytes(at(1600)), 0);
        meter.add(at(3_600_000), 5);
        assert_eq!(meter.bytes(at(3_600_000)), 5);
        assert_eq!(meter.bytes(at(7_200_000)), 0);
    }
}
