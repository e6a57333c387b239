//! Not the same thing again and again, and not too many at once.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Alarm;
use crate::carry::HeldBack;

/// What makes two alarms the same, beside the risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Same {
    /// Client and server.
    #[default]
    Pair,
    /// The client, whatever the server.
    Client,
    /// The server's name, or its address if it has none, whatever the client.
    Server,
}

/// At most so many, over time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    per_minute: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Rate {
    /// So many a minute, and as many at once after a minute of none.
    pub fn per_minute(n: u32) -> Self {
        Self { per_minute: n.into(), tokens: n.into(), at: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.tokens = (self.tokens + passed.as_secs_f64() / 60.0 * self.per_minute).min(self.per_minute);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

type Key = (String, String, String);

/// The alarms that were told of within the window.
pub struct Throttle {
    same: Same,
    window: Duration,
    rate: Rate,
    seen: HashMap<Key, Seen>,
    /// In the order of their windows' ends.
    order: VecDeque<(Instant, Key)>,
    held_back: HeldBack,
    left_out: u64,
}

struct Seen {
    /// The latest that was not told of, and how many there are of them.
    waiting: Option<Alarm>,
}

/// Windows that are open at once; if there are more, the oldest ends early.
const SEEN_MAX: usize = 1 << 16;

impl Throttle {
    /// The same at most once in each window, and of all at most so many.
    pub fn new(same: Same, window: Duration, rate: Rate) -> Self {
        Self {
            same,
            window,
            rate,
            seen: HashMap::new(),
            order: VecDeque::new(),
            held_back: HeldBack::default(),
            left_out: 0,
        }
    }

    /// The alarm, if it is to be told of now.
    pub fn offer(&mut self, alarm: Alarm, now: Instant) -> Option<Alarm> {
        if !self.window.is_zero() {
            let key = self.key(&alarm);
            if let Some(seen) = self.seen.get_mut(&key) {
                self.held_back.repeated += 1;
                let count = seen.waiting.as_ref().map_or(0, |waiting| waiting.count) + 1;
                seen.waiting = Some(Alarm { count, ..alarm });
                return None;
            }
            self.seen.insert(key.clone(), Seen { waiting: None });
            self.order.push_back((now + self.window, key));
        }
        self.limit(alarm, now)
    }

    /// What was counted, of the windows that are over; `all` ends all of them.
    pub fn due(&mut self, now: Instant, all: bool) -> Vec<Alarm> {
        let mut due = Vec::new();
        while let Some((end, _)) = self.order.front()
            && (all || *end <= now || self.order.len() > SEEN_MAX)
            && let Some((_, key)) = self.order.pop_front()
        {
            let Some(Seen { waiting: Some(mut alarm) }) = self.seen.remove(&key) else { continue };
            alarm.id.push_str("-again");
            if !all {
                // It goes on: the next window begins at once.
                self.seen.insert(key.clone(), Seen { waiting: None });
                self.order.push_back((now + self.window, key));
            }
            due.extend(self.limit(alarm, now));
        }
        due
    }

    pub(super) fn held_back(&self) -> HeldBack {
        self.held_back
    }

    fn limit(&mut self, alarm: Alarm, now: Instant) -> Option<Alarm> {
        if !self.rate.take(now) {
            self.held_back.limited += 1;
            self.left_out += 1;
            return None;
        }
        Some(Alarm { left_out: std::mem::take(&mut self.left_out), ..alarm })
    }

    fn key(&self, alarm: &Alarm) -> Key {
        let server = || if alarm.hostname.is_empty() { &alarm.dst_ip } else { &alarm.hostname };
        let (a, b) = match self.same {
            Same::Pair => (alarm.src_ip.clone(), alarm.dst_ip.clone()),
            Same::Client => (alarm.src_ip.clone(), String::new()),
            Same::Server => (String::new(), server().clone()),
        };
        (alarm.risk.clone(), a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(client: &str, server: &str) -> Alarm {
        Alarm { src_ip: client.into(), dst_ip: server.into(), risk: "r".into(), count: 1, ..Alarm::default() }
    }

    const WINDOW: Duration = Duration::from_secs(300);

    #[test]
    fn the_same_is_counted_and_told_of_at_the_end() {
        let mut throttle = Throttle::new(Same::Pair, WINDOW, Rate::per_minute(1000));
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        assert!(throttle.offer(alarm("a", "b"), at(0)).is_some());
        assert!(throttle.offer(alarm("a", "c"), at(1)).is_some(), "another pair");
        assert!(
            throttle.offer(Alarm { risk: "q".into(), ..alarm("a", "b") }, at(1)).is_some(),
            "another risk"
        );
        for s in 1..=5 {
            assert_eq!(throttle.offer(alarm("a", "b"), at(s)), None);
        }
        assert!(throttle.due(at(299), false).is_empty());
        let due = throttle.due(at(301), false);
        assert_eq!(due.iter().map(|a| a.count).collect::<Vec<_>>(), [5], "and nothing of what came once");
        assert_eq!(throttle.offer(alarm("a", "b"), at(302)), None, "the next window goes on");
        assert_eq!(throttle.due(at(602), false).len(), 1);
        assert!(throttle.due(at(1000), false).is_empty());
        assert!(throttle.offer(alarm("a", "b"), at(1001)).is_some(), "after a quiet window it is news");
        assert_eq!(throttle.held_back(), HeldBack { repeated: 6, ..HeldBack::default() });
    }

    #[test]
    fn what_is_the_same_can_be_chosen() {
        for (same, told) in [(Same::Pair, 4), (Same::Client, 2), (Same::Server, 2)] {
            let mut throttle = Throttle::new(same, WINDOW, Rate::per_minute(1000));
            let pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")];
            let now = Instant::now();
            assert_eq!(
                pairs.iter().filter_map(|(a, b)| throttle.offer(alarm(a, b), now)).count(),
                told,
                "{same:?}"
            );
        }
    }

    #[test]
    fn too_many_are_left_out_and_the_next_says_so() {
        let mut throttle = Throttle::new(Same::Pair, WINDOW, Rate::per_minute(60));
        let start = Instant::now();
        let mut offer =
            |n: u32, s: u64| throttle.offer(alarm(&n.to_string(), "b"), start + Duration::from_secs(s));
        assert_eq!((0..200).filter_map(|n| offer(n, 0)).count(), 60);
        let next = offer(1000, 2).unwrap();
        assert_eq!(next.left_out, 140);
        assert_eq!(offer(1001, 2).unwrap().left_out, 0);
        assert_eq!(offer(1002, 2), None, "one a second");
        assert_eq!(throttle.held_back().limited, 141);
    }

    #[test]
    fn a_scan_does_not_fill_the_memory() {
        let mut throttle = Throttle::new(Same::Pair, WINDOW, Rate::per_minute(10));
        let now = Instant::now();
        for n in 0..SEEN_MAX + 5000 {
            throttle.offer(alarm(&n.to_string(), "b"), now);
            if n % 1000 == 0 {
                throttle.due(now, false);
            }
        }
        throttle.due(now, false);
        assert_eq!((throttle.seen.len(), throttle.order.len()), (SEEN_MAX, SEEN_MAX));
    }
}
