//! How fast something may go on: a token bucket, kept as the time at which all that was taken is paid for.

use std::time::{Duration, Instant};

/// So many units a second in the long run, and some at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    unit_s: f64,
    /// How far ahead of the clock one may be.
    ahead: Duration,
}

/// The time at which all that was taken is paid for; none if nothing was taken.
pub(super) type Paid = Option<Instant>;

impl Pace {
    /// `units` in a minute, which may all come at once. None for 0, which is no limit.
    pub(super) fn per_minute(units: u32) -> Option<Self> {
        let last = units.checked_sub(1)?;
        let unit_s = 60.0 / f64::from(units);
        Some(Self { unit_s, ahead: Duration::from_secs_f64(unit_s * f64::from(last)) })
    }

    /// `units` in a second, and those of `ahead` at once. None for 0, which is no limit.
    pub(super) fn per_second(units: u32, ahead: Duration) -> Option<Self> {
        (units > 0).then(|| Self { unit_s: 1.0 / f64::from(units), ahead })
    }

    /// When more may be taken, if it may not be now.
    pub(super) fn resumes(self, paid: Paid, now: Instant) -> Option<Instant> {
        paid?.checked_sub(self.ahead).filter(|at| *at > now)
    }

    /// Takes, whether it may be or not.
    pub(super) fn take(self, paid: &mut Paid, now: Instant, units: usize) {
        let from = paid.map_or(now, |paid| paid.max(now));
        *paid = Some(from + Duration::from_secs_f64(self.unit_s * units as f64));
    }

    /// Takes one if it may be.
    pub(super) fn try_take(self, paid: &mut Paid, now: Instant) -> bool {
        let may = self.resumes(*paid, now).is_none();
        if may {
            self.take(paid, now, 1);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_and_then_as_they_are_paid() {
        let (pace, begin) = (Pace::per_minute(60).unwrap(), Instant::now());
        let mut paid = None;
        let mut taken = |at_s| {
            let now = begin + Duration::from_secs(at_s);
            (0..1000).take_while(|_| pace.try_take(&mut paid, now)).count()
        };
        assert_eq!([taken(0), taken(0), taken(3), taken(1000)], [60, 0, 3, 60]);
        assert!(Pace::per_minute(0).is_none() && Pace::per_second(0, Duration::ZERO).is_none());
    }

    #[test]
    fn large_takings_are_waited_for_afterwards() {
        let (pace, now) = (Pace::per_second(1000, Duration::from_millis(500)).unwrap(), Instant::now());
        let mut paid = None;
        pace.take(&mut paid, now, 500);
        assert_eq!(pace.resumes(paid, now), None);
        pace.take(&mut paid, now, 2000);
        assert_eq!(pace.resumes(paid, now), Some(now + Duration::from_secs(2)));
        // Nothing is saved up in idle times beyond what may come at once.
        let later = now + Duration::from_secs(100);
        pace.take(&mut paid, later, 600);
        assert_eq!(pace.resumes(paid, later), Some(later + Duration::from_millis(100)));
    }
}
