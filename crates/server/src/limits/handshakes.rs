//! How often an address may fail.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::pace::{Pace, Paid};

const SETS: usize = 1 << 14;
/// Addresses in a set.
const WAYS: usize = 4;

/// Failed handshakes by address, of IPv6 by /56.
///
/// What is limited is the work that strangers cause, not who comes: whoever may not try is answered by the site, like any
/// visitor. Those who share an address with others are not to pay for them, so only failures count, an address may fail
/// often, and it is forgiven all when somebody succeeds from there.
///
/// Addresses are not kept, only keyed hashes of them, for a key that is chosen at start and known to nobody. There is room
/// for 65 536 in 1.5 MiB; if too many come, those that failed the least are forgotten.
pub struct Handshakes {
    pace: Option<Pace>,
    key: RandomState,
    sets: Mutex<Box<[[Slot; WAYS]]>>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    address: u64,
    paid: Paid,
}

impl Handshakes {
    /// With so many failures of an address in a minute; 0 is no limit.
    pub(super) fn new(failed_per_minute: u32) -> Self {
        let pace = Pace::per_minute(failed_per_minute);
        let sets = if pace.is_some() { SETS } else { 0 };
        let sets = Mutex::new(vec![[Slot::default(); WAYS]; sets].into_boxed_slice());
        Self { pace, key: RandomState::new(), sets }
    }

    /// Whether a handshake from there is worth trying.
    #[must_use]
    pub fn may_try(&self, ip: IpAddr, now: Instant) -> bool {
        let Some(pace) = self.pace else { return true };
        let paid = self.with_set(ip, |set, address| set.iter().find(|slot| slot.address == address)?.paid);
        pace.resumes(paid, now).is_none()
    }

    /// A handshake from there failed.
    pub fn failed(&self, ip: IpAddr, now: Instant) {
        let Some(pace) = self.pace else { return };
        self.with_set(ip, |set, address| {
            // Its own, or that of the one who failed the least.
            let slot = set.iter_mut().min_by_key(|slot| (slot.address != address, slot.paid))?;
            if slot.address != address {
                *slot = Slot { address, paid: None };
            }
            pace.take(&mut slot.paid, now, 1);
            Some(())
        });
    }

    /// A handshake from there succeeded.
    pub fn succeeded(&self, ip: IpAddr) {
        self.with_set(ip, |set, address| {
            *set.iter_mut().find(|slot| slot.address == address)? = Slot::default();
            Some(())
        });
    }

    fn with_set<T>(&self, ip: IpAddr, act: impl FnOnce(&mut [Slot; WAYS], u64) -> Option<T>) -> Option<T> {
        let address = self.key.hash_one(network(ip));
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(address >> 32).ok()?.checked_rem(sets.len())?;
        act(sets.get_mut(at)?, address)
    }
}

/// What one holder of addresses has: an address of IPv4, a /56 of IPv6.
fn network(ip: IpAddr) -> (bool, u64) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (true, u32::from(ip).into()),
        IpAddr::V6(ip) => (false, (u128::from(ip) >> 72) as u64),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_fails_too_often_waits_and_others_do_not() {
        let (handshakes, begin) = (Handshakes::new(60), Instant::now());
        for _ in 0..60 {
            assert!(handshakes.may_try(ip("192.0.2.1"), begin));
            handshakes.failed(ip("192.0.2.1"), begin);
        }
        assert!(!handshakes.may_try(ip("192.0.2.1"), begin));
        assert!(!handshakes.may_try(ip("::ffff:192.0.2.1"), begin));
        assert!(handshakes.may_try(ip("192.0.2.2"), begin));
        assert!(handshakes.may_try(ip("192.0.2.1"), begin + Duration::from_secs(1)));
        // Neighbours have a card.
        handshakes.succeeded(ip("192.0.2.1"));
        assert!(handshakes.may_try(ip("192.0.2.1"), begin));
    }

    #[test]
    fn an_ipv6_holder_is_one_however_many_addresses_he_has() {
        let (handshakes, now) = (Handshakes::new(1), Instant::now());
        handshakes.failed(ip("2001:db8:1:2200::1"), now);
        assert!(!handshakes.may_try(ip("2001:db8:1:22ff:1234::1"), now));
        assert!(handshakes.may_try(ip("2001:db8:1:2300::1"), now));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_worst() {
        let (handshakes, now) = (Handshakes::new(10), Instant::now());
        let worst = ip("192.0.2.1");
        (0..10).for_each(|_| handshakes.failed(worst, now));
        for stranger in 0..500_000_u128 {
            handshakes.failed(Ipv6Addr::from(stranger << 72).into(), now);
        }
        assert!(!handshakes.may_try(worst, now));
        assert_eq!(handshakes.sets.lock().unwrap().as_flattened().len(), 65_536);
        assert!(size_of::<Slot>() * 65_536 <= 3 << 19);
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let handshakes = Handshakes::new(0);
        handshakes.failed(Ipv4Addr::LOCALHOST.into(), Instant::now());
        handshakes.succeeded(Ipv4Addr::LOCALHOST.into());
        assert!(handshakes.may_try(Ipv4Addr::LOCALHOST.into(), Instant::now()));
        assert!(handshakes.sets.lock().unwrap().is_empty());
    }
}
