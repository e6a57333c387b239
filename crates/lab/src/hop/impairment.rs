//! What a line does to packets, as arithmetic: no queue of packets, but the time at which a queue would let each go.
//!
//! Order of events for one packet: too large for the line? lost? waits for its turn (rate), travels (delay, jitter, sometimes
//! overtaken). A packet that is late by jitter holds up those behind it, as on a real line; only `reorder` lets them pass.

use serde::{Deserialize, Serialize};

use super::random::Random;

/// What one direction of a link does to its packets. The default is a perfect line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Impairment {
    /// One-way delay in milliseconds.
    pub delay_ms: f64,
    /// Up to this much is added to the delay, evenly distributed, in milliseconds.
    pub jitter_ms: f64,
    /// Part of the packets that get lost: 0 to 1.
    pub loss: f64,
    /// Part of the packets that are overtaken by those behind them: 0 to 1.
    pub reorder: f64,
    /// How much later these arrive, in milliseconds; 10 if it is not said.
    pub reorder_by_ms: Option<f64>,
    /// Rate of the line in Mbit/s, counting from the IP header on; none is no limit.
    pub rate_mbit_per_s: Option<f64>,
    /// Bytes that may wait for the line. What comes when they do is dropped. 100 ms at the line's rate, at least
    /// 32 KiB, if it is not said. With `police`, nothing waits.
    pub queue_bytes: Option<u64>,
    /// Bytes that may pass at once, faster than the rate. 0 for a shaper and 16 KiB for a policer if it is not said.
    pub burst_bytes: Option<u64>,
    /// Drop what exceeds the rate (policing) instead of letting it wait (shaping).
    pub police: bool,
    /// The longest IP packet that passes, in bytes: 576 to 65535.
    pub mtu_bytes: Option<u16>,
    /// Tell the sender of a longer one (ICMP "fragmentation needed", RFC 1191; "packet too big", RFC 8201). If not, the line
    /// is a black hole to them.
    pub mtu_silent: bool,
}

impl Impairment {
    /// A line with nothing but a delay.
    pub fn delay_ms(delay_ms: f64) -> Self {
        Self { delay_ms, ..Self::default() }
    }

    /// True if the line must see every packet as it goes over the wire, and not several in one frame.
    pub fn counts_packets(&self) -> bool {
        self.loss > 0.0
            || self.reorder > 0.0
            || self.jitter_ms > 0.0
            || self.rate_mbit_per_s.is_some()
            || self.mtu_bytes.is_some()
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// Which field is out of its range, and what the range is.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let milliseconds = 0.0..=60_000.0;
        for (field, value) in [
            ("delay_ms", self.delay_ms),
            ("jitter_ms", self.jitter_ms),
            ("reorder_by_ms", self.reorder_by_ms.unwrap_or(0.0)),
        ] {
            if !milliseconds.contains(&value) {
                return Err(OutOfRange { field, value, range: "0 to 60000" });
            }
        }
        for (field, value) in [("loss", self.loss), ("reorder", self.reorder)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(OutOfRange { field, value, range: "0 to 1, as 0.01 for one in a hundred" });
            }
        }
        if let Some(value) = self.rate_mbit_per_s
            && !(0.001..=100_000.0).contains(&value)
        {
            return Err(OutOfRange { field: "rate_mbit_per_s", value, range: "0.001 to 100000" });
        }
        match self.mtu_bytes {
            Some(mtu) if mtu < 576 => {
                Err(OutOfRange { field: "mtu_bytes", value: mtu.into(), range: "576 to 65535" })
            }
            _ => Ok(()),
        }
    }
}

/// A field of an [`Impairment`] that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field} = {value}` is out of range: write {range}")]
pub struct OutOfRange {
    /// Which.
    pub field: &'static str,
    /// What it was.
    pub value: f64,
    /// What it may be.
    pub range: &'static str,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time, in nanoseconds.
    Arrives(u64),
    /// Lost at random.
    Lost,
    /// No room in the queue.
    QueueFull,
    /// Over the rate.
    Policed,
    /// Longer than this many bytes.
    TooLong(u16),
}

/// One direction of a line at work.
#[derive(Clone, Debug)]
pub struct Line {
    impairment: Impairment,
    ns_per_byte: f64,
    queue_ns: f64,
    burst_ns: f64,
    /// When all that was accepted has been sent, in nanoseconds.
    free_at: f64,
    /// When the last packet that keeps its place arrives.
    last_arrival: u64,
    dice: Random,
}

const NS_PER_MS: f64 = 1e6;
const REORDER_BY_MS: f64 = 10.0;
const POLICER_BURST_BYTES: u64 = 16 * 1024;
const QUEUE_BYTES_MIN: f64 = 32.0 * 1024.0;

impl Line {
    /// A line at rest. The same seed gives the same losses.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        let ns_per_byte = impairment.rate_mbit_per_s.map_or(0.0, |rate| 8e3 / rate);
        let burst = impairment.burst_bytes.unwrap_or(if impairment.police { POLICER_BURST_BYTES } else { 0 });
        let tenth_of_a_second = if ns_per_byte > 0.0 { 1e8 / ns_per_byte } else { 0.0 };
        let queue =
            impairment.queue_bytes.map_or_else(|| tenth_of_a_second.max(QUEUE_BYTES_MIN), |n| n as f64);
        Self {
            ns_per_byte,
            queue_ns: queue * ns_per_byte,
            burst_ns: burst as f64 * ns_per_byte,
            // Idle since ever: its bucket is full.
            free_at: f64::NEG_INFINITY,
            last_arrival: 0,
            dice: Random::new(seed),
            impairment,
        }
    }

    /// What the line is set to.
    pub fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// What becomes of an IP packet of `ip_bytes` that enters at `now_ns`.
    pub fn carry(&mut self, now_ns: u64, ip_bytes: usize) -> Fate {
        let line = &self.impairment;
        if let Some(mtu) = line.mtu_bytes
            && ip_bytes > usize::from(mtu)
        {
            return Fate::TooLong(mtu);
        }
        if self.dice.chance(line.loss) {
            return Fate::Lost;
        }
        let mut leaves = now_ns as f64;
        if self.ns_per_byte > 0.0 {
            // The bucket is full when the line has been idle for as long as a burst takes.
            let begins = self.free_at.max(leaves - self.burst_ns);
            let ends = begins + ip_bytes as f64 * self.ns_per_byte;
            if line.police {
                if ends > leaves {
                    return Fate::Policed;
                }
            } else if ends - leaves > self.queue_ns + ip_bytes as f64 * self.ns_per_byte {
                return Fate::QueueFull;
            }
            self.free_at = ends;
            leaves = leaves.max(ends);
        }
        let jitter = if line.jitter_ms > 0.0 { line.jitter_ms * self.dice.unit() } else { 0.0 };
        let mut arrives = (leaves + (line.delay_ms + jitter) * NS_PER_MS) as u64;
        if self.dice.chance(line.reorder) {
            arrives += (line.reorder_by_ms.unwrap_or(REORDER_BY_MS) * NS_PER_MS) as u64;
        } else {
            arrives = arrives.max(self.last_arrival);
            self.last_arrival = arrives;
        }
        Fate::Arrives(arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn arrivals(line: &mut Line, n: usize, every_ns: u64) -> Vec<Fate> {
        (0..n as u64).map(|i| line.carry(i * every_ns, 1000)).collect()
    }

    #[test]
    fn a_perfect_line_takes_no_time() {
        let mut line = Line::new(Impairment::default(), 0);
        assert_eq!(line.carry(5, 1500), Fate::Arrives(5));
    }

    #[test]
    fn a_shaper_spaces_packets_out_and_drops_what_does_not_fit() {
        // 8 Mbit/s is a byte a microsecond.
        let set = Impairment {
            rate_mbit_per_s: Some(8.0),
            queue_bytes: Some(3000),
            delay_ms: 5.0,
            ..Default::default()
        };
        let mut line = Line::new(set, 0);
        let fates = arrivals(&mut line, 6, 0);
        let at = |ms: u64| Fate::Arrives(ms * MS + 5 * MS);
        assert_eq!(fates[..4], [at(1), at(2), at(3), at(4)]);
        assert_eq!(fates[4..], [Fate::QueueFull, Fate::QueueFull]);
        // A millisecond later there is room for one more.
        assert_eq!(line.carry(MS, 1000), at(5));
    }

    #[test]
    fn a_policer_lets_the_rate_through_and_holds_nothing() {
        let set = Impairment {
            rate_mbit_per_s: Some(8.0),
            burst_bytes: Some(2000),
            police: true,
            ..Default::default()
        };
        let mut line = Line::new(set, 0);
        // 2 MB/s offered for a second, to a line of 1 MB/s.
        let start = 1_000 * MS;
        let fates: Vec<_> = (0..2000).map(|i| line.carry(start + i * MS / 2, 1000)).collect();
        let passed = fates.iter().filter(|f| matches!(f, Fate::Arrives(_))).count();
        assert!((1000..=1003).contains(&passed), "{passed}");
        for (i, fate) in fates.iter().enumerate() {
            assert!(*fate == Fate::Policed || *fate == Fate::Arrives(start + i as u64 * MS / 2), "{i}");
        }
    }

    #[test]
    fn one_in_ten_is_lost_and_the_same_ones_each_time() {
        let set = Impairment { loss: 0.1, ..Default::default() };
        let lost = |seed| {
            let fates = arrivals(&mut Line::new(set.clone(), seed), 5000, MS);
            fates.iter().map(|f| *f == Fate::Lost).collect::<Vec<_>>()
        };
        let n = lost(3).iter().filter(|l| **l).count();
        assert!((430..570).contains(&n), "{n}");
        assert_eq!(lost(3), lost(3));
        assert_ne!(lost(3), lost(4));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let in_order = |set: Impairment| {
            let fates = arrivals(&mut Line::new(set, 1), 1000, MS / 10);
            fates.windows(2).filter(|w| matches!(w, [Fate::Arrives(a), Fate::Arrives(b)] if a > b)).count()
        };
        assert_eq!(in_order(Impairment { jitter_ms: 5.0, delay_ms: 1.0, ..Default::default() }), 0);
        assert!(in_order(Impairment { reorder: 0.05, ..Default::default() }) > 20);
    }

    #[test]
    fn a_packet_that_is_too_long() {
        let mut line = Line::new(Impairment { mtu_bytes: Some(1280), ..Default::default() }, 0);
        assert_eq!(line.carry(1, 1281), Fate::TooLong(1280));
        assert_eq!(line.carry(1, 1280), Fate::Arrives(1));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let wrong = Impairment { loss: 5.0, ..Default::default() };
        assert_eq!(
            wrong.check().unwrap_err().to_string(),
            "`loss = 5` is out of range: write 0 to 1, as 0.01 for one in a hundred"
        );
        assert!(Impairment { delay_ms: f64::NAN, ..Default::default() }.check().is_err());
        assert!(Impairment { mtu_bytes: Some(100), ..Default::default() }.check().is_err());
        assert!(Impairment { rate_mbit_per_s: Some(0.0), ..Default::default() }.check().is_err());
        assert_eq!(Impairment::delay_ms(20.0).check(), Ok(()));
    }
}
