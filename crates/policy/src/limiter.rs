//! Token buckets: what a `limit` rule lets through.
//!
//! A bucket holds up to `burst` tokens and is filled at the rule's rate; a packet passes if the bucket has as many as it
//! costs. All arithmetic is in whole numbers (a token is as many units as the rate's period has nanoseconds), so nothing
//! is gained or lost by rounding, however the packets come.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::rate::{Limit, Per, Unit};

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Everybody's.
    Rule,
    /// A flow's, by a number that the caller gives it.
    Flow(u64),
    /// A client's; see [`Per::Address`].
    Address(IpAddr),
}

impl Owner {
    /// Whose bucket it is for a packet of that flow and client.
    pub fn of(per: Per, flow: u64, client: IpAddr) -> Self {
        match per {
            Per::Rule => Self::Rule,
            Per::Flow => Self::Flow(flow),
            Per::Address => Self::Address(match client {
                IpAddr::V4(_) => client,
                IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            }),
        }
    }
}

/// What passes at once: one packet, or several that were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// How many of them are the first of a flow.
    pub connections: u64,
}

impl Load {
    fn cost(self, unit: Unit) -> u64 {
        match unit {
            Unit::Bits => self.bytes.saturating_mul(8),
            Unit::Packets => self.packets,
            Unit::Connections => self.connections,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens, each as many units as the rate's period has nanoseconds.
    level: u128,
    last_ns: i64,
}

impl Bucket {
    fn fill(&mut self, limit: &Limit, now_ns: i64) {
        // Time that runs backwards fills nothing and empties nothing.
        if let Ok(elapsed @ 1..) = u64::try_from(now_ns.saturating_sub(self.last_ns)) {
            let filled = self.level + u128::from(elapsed) * u128::from(limit.rate.amount);
            self.level = filled.min(full(limit));
            self.last_ns = now_ns;
        }
    }
}

fn full(limit: &Limit) -> u128 {
    u128::from(limit.burst) * u128::from(limit.rate.per_ns)
}

/// The buckets of a policy's `limit` rules.
///
/// There are at most as many as its capacity. When it is full, buckets that have filled up again are dropped: they are
/// as good as new ones, so nobody notices. That is looked for at most once a second. If none are, those who have no
/// bucket share one for each rule until there is room: a flood of new addresses slows itself down, not those who were
/// there before, and the memory stays bounded (about 80 bytes a bucket).
#[derive(Debug)]
pub struct Limiter {
    buckets: HashMap<(u32, Owner), (Limit, Bucket)>,
    /// For those who found no room, by rule.
    shared: HashMap<u32, Bucket>,
    capacity: usize,
    swept_ns: i64,
    overflows: u64,
}

/// How long the table is not looked through again, in nanoseconds.
const SWEEP_EVERY_NS: i64 = 1_000_000_000;

impl Limiter {
    /// With room for so many buckets (at least one).
    pub fn new(capacity: usize) -> Self {
        Self {
            buckets: HashMap::new(),
            shared: HashMap::new(),
            capacity: capacity.max(1),
            swept_ns: i64::MIN,
            overflows: 0,
        }
    }

    /// Whether it may pass, and takes its cost if so. A load that costs more than the burst passes when the bucket is
    /// full, and empties it. `rule` is the rule's place in the policy. `limit` must be the same for the same rule;
    /// after a policy was exchanged, begin with a new limiter.
    pub fn admit(&mut self, rule: u32, limit: &Limit, owner: Owner, load: Load, now_ns: i64) -> bool {
        let cost = load.cost(limit.rate.unit);
        if cost == 0 {
            return true;
        }
        let new = Bucket { level: full(limit), last_ns: now_ns };
        let key = (rule, owner);
        let bucket = if self.buckets.contains_key(&key) || self.has_room(now_ns) {
            &mut self.buckets.entry(key).or_insert((*limit, new)).1
        } else {
            self.overflows += 1;
            self.shared.entry(rule).or_insert(new)
        };
        bucket.fill(limit, now_ns);
        let cost = (u128::from(cost) * u128::from(limit.rate.per_ns)).min(full(limit));
        let passes = bucket.level >= cost;
        if passes {
            bucket.level -= cost;
        }
        passes
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many loads found no room for a bucket of their own.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    fn has_room(&mut self, now_ns: i64) -> bool {
        if self.buckets.len() < self.capacity {
            return true;
        }
        if self.swept_ns == i64::MIN || now_ns.saturating_sub(self.swept_ns) >= SWEEP_EVERY_NS {
            self.swept_ns = now_ns;
            self.buckets.retain(|_, (limit, bucket)| {
                bucket.fill(limit, now_ns);
                bucket.level < full(limit)
            });
        }
        self.buckets.len() < self.capacity
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate::Rate;

    const SECOND: i64 = 1_000_000_000;

    fn packets(n: u64) -> Load {
        Load { bytes: 100 * n, packets: n, connections: 0 }
    }

    fn limit(amount: u64, burst: u64) -> Limit {
        Limit { rate: Rate { unit: Unit::Packets, amount, per_ns: SECOND as u64 }, burst, per: Per::Address }
    }

    fn client(n: u32) -> Owner {
        Owner::of(Per::Address, 0, IpAddr::V4(n.into()))
    }

    #[test]
    fn a_full_table_keeps_those_who_are_in_it() {
        let (limit, mut limiter) = (limit(1, 2), Limiter::new(2));
        let mut admit = |n, at| limiter.admit(0, &limit, client(n), packets(1), at);
        assert!(admit(1, 0) && admit(1, 0) && admit(2, 0));
        // No room: the third and the fourth share a bucket of two.
        assert!(admit(3, 0) && admit(4, 0) && !admit(3, 1) && !admit(4, 1));
        // The second's own is not touched.
        assert!(admit(2, 2) && !admit(2, 3));
        // After two seconds both have filled up, and there is room.
        assert!(admit(5, 3 * SECOND) && admit(5, 3 * SECOND) && !admit(5, 3 * SECOND));
        assert_eq!((limiter.len(), limiter.overflows()), (1, 4));
    }

    #[test]
    fn only_first_packets_count_as_connections() {
        let rate = Rate { unit: Unit::Connections, amount: 1, per_ns: SECOND as u64 };
        let (limit, mut limiter) = (Limit::new(rate, Per::Rule), Limiter::new(1));
        let first = Load { connections: 1, ..packets(1) };
        assert!(limiter.admit(0, &limit, Owner::Rule, first, 0));
        assert!(!limiter.admit(0, &limit, Owner::Rule, first, 1));
        assert!(limiter.admit(0, &limit, Owner::Rule, packets(1), 1));
    }

    #[test]
    fn a_client_with_a_network_of_its_own_is_one_client() {
        let [a, b, c] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|address| Owner::of(Per::Address, 0, address.parse().unwrap()));
        assert!(a == b && a != c);
    }

    proptest! {
        /// A model that keeps every admitted packet and looks at all of them.
        #[test]
        fn agrees_with_a_naive_model(
            amount in 1..50_u64,
            per_s in 1..5_u64,
            burst in 1..40_u64,
            events in prop::collection::vec((0..900_000_000_i64, 0..3_u32, 1..4_u64), 1..120),
        ) {
            let rate = Rate { unit: Unit::Packets, amount, per_ns: per_s * SECOND as u64 };
            let limit = Limit { rate, burst, per: Per::Address };
            let mut limiter = Limiter::new(16);
            let mut levels: HashMap<u32, (f64, i64)> = HashMap::new();
            let mut now = 0;
            for (gap, who, n) in events {
                now += gap;
                let level = levels.entry(who).or_insert((burst as f64, now));
                let since = (now - level.1) as f64 / 1e9;
                level.0 = (level.0 + since * amount as f64 / per_s as f64).min(burst as f64);
                level.1 = now;
                let admitted = limiter.admit(0, &limit, client(who), packets(n), now);
                let cost = (n as f64).min(burst as f64);
                // The model rounds: where it is nearly even, either answer is right.
                if (level.0 - cost).abs() > 1e-6 {
                    prop_assert_eq!(admitted, level.0 > cost, "{} of {}", level.0, cost);
                }
                if admitted {
                    level.0 -= cost;
                }
            }
        }

        /// What passes never exceeds the burst and the rate over any stretch that begins at the start.
        #[test]
        fn never_exceeds_the_rate(amount in 1..1000_u64, burst in 1..100_u64, gaps in prop::collection::vec(0..5_000_000_i64, 1..300)) {
            let limit = limit(amount, burst);
            let mut limiter = Limiter::new(1);
            let (mut now, mut passed) = (0_i64, 0_u128);
            for gap in gaps {
                now += gap;
                passed += u128::from(limiter.admit(0, &limit, Owner::Rule, packets(1), now));
                let most = u128::from(burst) * SECOND as u128 + now as u128 * u128::from(amount);
                prop_assert!(passed * SECOND as u128 <= most);
            }
        }
    }
}
