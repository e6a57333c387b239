//! Throughput over time: a ring by second and a ring by minute.

use std::collections::VecDeque;

use serde::Serialize;

/// Seconds that are kept: a quarter of an hour.
pub const SECONDS_MAX: usize = 900;
/// Minutes that are kept: a day.
pub const MINUTES_MAX: usize = 1440;
/// A longer time without a tick counts as one second: the clock jumped, or the machine slept.
pub const GAP_MAX_S: i64 = 60;

/// What passed in a second, or in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Flows that began.
    pub flows_begun: u64,
    /// Flows that ended.
    pub flows_ended: u64,
    /// Packets that were lost on their way here.
    pub dropped: u64,
}

impl Sample {
    fn each(&mut self) -> [&mut u64; 5] {
        [&mut self.packets, &mut self.bytes, &mut self.flows_begun, &mut self.flows_ended, &mut self.dropped]
    }

    /// Takes its share of what is left for so many seconds.
    fn share(&mut self, seconds: u64) -> Self {
        let mut share = *self;
        for (share, rest) in share.each().into_iter().zip(self.each()) {
            *share = rest.div_ceil(seconds.max(1));
            *rest -= *share;
        }
        share
    }
}

impl std::ops::AddAssign for Sample {
    fn add_assign(&mut self, mut other: Self) {
        for (sum, other) in self.each().into_iter().zip(other.each()) {
            *sum = sum.saturating_add(*other);
        }
    }
}

/// Both rings.
#[derive(Default)]
pub(crate) struct Rings {
    seconds: VecDeque<Sample>,
    minutes: VecDeque<Sample>,
    minute: Sample,
    minute_s: u32,
}

impl Rings {
    /// Takes in what passed in so many seconds, evenly.
    pub(crate) fn add(&mut self, mut passed: Sample, seconds: u64) {
        for left in (1..=seconds).rev() {
            let second = passed.share(left);
            push(&mut self.seconds, second, SECONDS_MAX);
            self.minute += second;
            self.minute_s += 1;
            if self.minute_s == 60 {
                push(&mut self.minutes, std::mem::take(&mut self.minute), MINUTES_MAX);
                self.minute_s = 0;
            }
        }
    }

    /// The last second.
    pub(crate) fn last(&self) -> Sample {
        self.seconds.back().copied().unwrap_or_default()
    }

    /// The last seconds, the oldest first.
    pub(crate) fn seconds(&self, count: usize) -> Vec<Sample> {
        self.seconds.iter().skip(self.seconds.len().saturating_sub(count)).copied().collect()
    }

    /// The last whole minutes, the oldest first.
    pub(crate) fn minutes(&self, count: usize) -> Vec<Sample> {
        self.minutes.iter().skip(self.minutes.len().saturating_sub(count)).copied().collect()
    }
}

fn push(ring: &mut VecDeque<Sample>, sample: Sample, max: usize) {
    if ring.len() == max {
        ring.pop_front();
    }
    ring.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_two_late_ticks() {
        let mut rings = Rings::default();
        rings.add(Sample { bytes: 100, packets: 7, ..Sample::default() }, 3);
        let seconds = rings.seconds(10);
        assert_eq!(seconds.iter().map(|s| s.bytes).collect::<Vec<_>>(), [34, 33, 33]);
        assert_eq!(seconds.iter().map(|s| s.packets).sum::<u64>(), 7);
    }

    #[test]
    fn a_day_and_no_more() {
        let mut rings = Rings::default();
        for _ in 0..90_000 {
            rings.add(Sample { packets: 1, ..Sample::default() }, 1);
        }
        assert_eq!((rings.seconds(usize::MAX).len(), rings.seconds(5).len()), (SECONDS_MAX, 5));
        let minutes = rings.minutes(usize::MAX);
        assert_eq!((minutes.len(), minutes[0].packets), (MINUTES_MAX, 60));
    }
}
