//! A session's bytes a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::LimitsConfig;
use super::pace::{Pace, Paid};

/// What may come at once after a pause.
const AHEAD: Duration = Duration::from_millis(500);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the client.
    Up,
    /// To the client.
    Down,
}

/// Bytes that the streams and associations of a session share, each in its turn.
#[derive(Debug)]
pub struct Rate {
    up: Bucket,
    down: Bucket,
}

#[derive(Debug)]
struct Bucket {
    pace: Option<Pace>,
    paid: Mutex<Paid>,
}

impl Rate {
    /// None if neither direction is limited.
    pub(super) fn new(config: &LimitsConfig) -> Option<Self> {
        let bucket = |rate| Bucket { pace: Pace::per_second(rate, AHEAD), paid: Mutex::default() };
        let rate = Self { up: bucket(config.up_bytes_per_s), down: bucket(config.down_bytes_per_s) };
        (rate.up.pace.is_some() || rate.down.pace.is_some()).then_some(rate)
    }

    /// Bytes have come. Gives when the next of the same stream are to be read, if not at once.
    pub fn spend(&self, direction: Direction, bytes: usize, now: Instant) -> Option<Instant> {
        let bucket = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        let pace = bucket.pace?;
        let mut paid = bucket.paid.lock().unwrap_or_else(PoisonError::into_inner);
        pace.take(&mut paid, now, bytes);
        pace.resumes(*paid, now)
    }

    /// Bytes have come. Waits until the next are to be read.
    pub async fn take(&self, direction: Direction, bytes: usize) {
        let now = tokio::time::Instant::now().into_std();
        if let Some(resume) = self.spend(direction, bytes, now) {
            sleep_until(resume.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn streams_share_a_session_s_rate() {
        let config = LimitsConfig { down_bytes_per_s: 100_000, ..LimitsConfig::default() };
        let rate = Rate::new(&config).unwrap();
        let begin = tokio::time::Instant::now();
        let stream = async |pieces: usize| {
            for _ in 0..pieces {
                rate.take(Direction::Down, 10_000).await;
            }
            begin.elapsed().as_millis()
        };
        // 200 kB at 100 kB/s, of which 50 kB come at once; who wants less is done earlier.
        let (short, long) = tokio::join!(stream(5), stream(15));
        assert!(short < 600 && (1499..1502).contains(&long), "{short} ms, {long} ms");
        rate.take(Direction::Up, 1 << 30).await;
        assert_eq!(begin.elapsed().as_millis(), long);
    }
}
