//! How often a password may be tried: by an address, and for an account.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Attempts that are free; after that each doubles the wait.
const FREE: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(900);
/// What is forgotten after so long without a further attempt.
const FORGET: Duration = Duration::from_secs(3600);
/// Addresses and accounts that are remembered. When so many have failed within an hour, all wait as one.
const HELD_MAX: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    Account(String),
    /// Everybody whom there is no room for.
    Others,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    last: Instant,
}

impl Failed {
    fn until(&self) -> Instant {
        let Some(beyond) = self.times.checked_sub(FREE) else { return self.last };
        self.last + WAIT_MIN.saturating_mul(1 << beyond.min(16)).min(WAIT_MAX)
    }
}

/// How often what is over is looked for when there is no room.
const SWEEP: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Held {
    failed: HashMap<Who, Failed>,
    swept: Option<Instant>,
}

/// Attempts that failed.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    held: Mutex<Held>,
}

/// A household has a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

fn who(address: IpAddr, account: &str) -> [Who; 2] {
    [Who::Address(network(address)), Who::Account(account.chars().take(64).collect())]
}

impl Attempts {
    /// Counts an attempt before it is made, so that many at once don't slip through; or says how long to wait.
    pub(crate) fn begin(&self, address: IpAddr, account: &str, now: Instant) -> Result<(), Duration> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { failed, swept } = &mut *held;
        // For an address, an account, and all others.
        let is_full = |failed: &HashMap<_, _>| failed.len() + 3 > HELD_MAX;
        if is_full(failed) && swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
            failed.retain(|_, failed| now.saturating_duration_since(failed.last) < FORGET);
            *swept = Some(now);
        }
        let keys = who(address, account).map(|who| {
            let has_room = !is_full(failed) || failed.contains_key(&who);
            if has_room { who } else { Who::Others }
        });
        for key in &keys {
            if let Some(known) = failed.get(key)
                && now.saturating_duration_since(known.last) < FORGET
                && let wait = known.until().saturating_duration_since(now)
                && !wait.is_zero()
            {
                return Err(wait);
            }
        }
        for key in keys {
            let entry = failed.entry(key).or_insert(Failed { times: 0, last: now });
            if now.saturating_duration_since(entry.last) >= FORGET {
                entry.times = 0;
            }
            entry.times = entry.times.saturating_add(1);
            entry.last = now;
        }
        Ok(())
    }

    /// The attempt was right: what failed before is forgiven.
    pub(crate) fn succeeded(&self, address: IpAddr, account: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        who(address, account).iter().for_each(|who| {
            held.failed.remove(who);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn guessing_gets_slow() {
        let attempts = Attempts::default();
        let mut now = Instant::now();
        for _ in 0..FREE {
            attempts.begin(address(1), "anna", now).unwrap();
        }
        let wait = attempts.begin(address(1), "boris", now).unwrap_err();
        assert_eq!(wait, WAIT_MIN, "the address waits");
        assert!(attempts.begin(address(2), "anna", now).is_err(), "the account waits");
        attempts.begin(address(2), "boris", now).unwrap();
        let mut tried = 0;
        for _ in 0..3600 {
            now += Duration::from_secs(1);
            tried += u32::from(attempts.begin(address(1), "anna", now).is_ok());
        }
        assert!((8..=14).contains(&tried), "{tried} in an hour");
        now += FORGET;
        attempts.begin(address(1), "anna", now).unwrap();
        attempts.succeeded(address(1), "anna");
        assert!(attempts.held.lock().unwrap().failed.len() <= 2);
    }

    #[test]
    fn a_household_is_one_and_memory_is_bounded() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for i in 0..u128::from(FREE) {
            let ip = Ipv6Addr::from_bits((0x2001_0db8 << 96) + i);
            attempts.begin(ip.into(), &format!("user{i}"), now).unwrap();
        }
        assert!(attempts.begin("2001:db8::ffff".parse().unwrap(), "x", now).is_err());
        for i in 0..HELD_MAX as u32 * 2 {
            let _ = attempts.begin(IpAddr::from(i.to_be_bytes()), &format!("a{i}"), now);
        }
        assert!(attempts.held.lock().unwrap().failed.len() <= HELD_MAX);
    }
}
