//! How much a helper does at the same time, and for one asker.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many askers are remembered. With more, those who were quiet for longest are forgotten.
const ASKERS_MAX: usize = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// How much a helper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that are worked on at the same time; more get 503. OONI's helper takes 25.
    pub in_flight: usize,
    /// Requests of one address in a minute, or of one /64; more get 429.
    pub per_minute: u32,
    /// Connections that are open at the same time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 25, per_minute: 120, connections: 500 }
    }
}

/// Counts requests of each asker.
#[derive(Debug, Default)]
pub(super) struct Askers(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Askers {
    /// Whether one more is allowed.
    pub(super) fn allows(&self, asker: IpAddr, now: Instant, per_minute: u32) -> bool {
        let mut askers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if askers.len() >= ASKERS_MAX {
            askers.retain(|_, (since, _)| now.saturating_duration_since(*since) < MINUTE);
            if askers.len() >= ASKERS_MAX {
                askers.clear();
            }
        }
        let (since, count) = askers.entry(network(asker)).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= per_minute
    }
}

/// Whoever has one address of a /64 has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_has_so_many_a_minute() {
        let (askers, now) = (Askers::default(), Instant::now());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(askers.allows(one, now, 2) && askers.allows(one, now, 2));
        assert!(!askers.allows(one, now, 2));
        assert!(askers.allows("192.0.2.2".parse().unwrap(), now, 2));
        assert!(askers.allows(one, now + MINUTE, 2));
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
        assert!(askers.allows(a, now, 1));
        assert!(!askers.allows(b, now, 1), "of the same /64");
    }
}
