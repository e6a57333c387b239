//! Times since a measurement began.

use std::time::{Duration, Instant};

/// When a measurement began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    /// In seconds, as OONI's.
    pub(crate) fn seconds(self, at: Instant) -> f64 {
        at.saturating_duration_since(self.0).as_secs_f64()
    }

    /// In milliseconds, as our extras'.
    pub(crate) fn ms(self, at: Instant) -> f64 {
        ms(at.saturating_duration_since(self.0))
    }
}

/// In milliseconds, to the microsecond: what the kernel's timers are worth.
pub(crate) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
