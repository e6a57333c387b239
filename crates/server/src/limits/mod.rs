//! How much one session, and one address, may take of the server. No limit is by person: nobody is known.

mod handshakes;
mod pace;
mod rate;

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use daylight_session::Destination;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use handshakes::Handshakes;
pub use rate::{Direction, Rate};

use pace::{Pace, Paid};

/// The most that may be configured.
pub(crate) const SESSIONS_MAX: u32 = 1_000_000;
/// The session itself holds its client to `streams`; one that has ended for the client may linger here, until its
/// destination has taken what was sent, or has not answered for too long. So many times as many may be here.
const LINGERING: usize = 2;
/// Destinations that an association remembers.
const RECENT_MAX: usize = 256;

/// The section `[limits]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Sessions at once; more are told that the server is busy. 1 to 1000000, default 10000.
    pub sessions: u32,
    /// Streams of a session at once; more wait at the client. 1 to 65535, default 512.
    pub streams: u16,
    /// UDP associations of a session at once; more are not answered. 0 to 65535, default 64.
    pub associations: u16,
    /// Streams that a session opens in a minute, and destinations that it sends datagrams to; more are told that the server
    /// is busy. It keeps a server from being used to scan networks. 0 is no limit, default 1200.
    pub destinations_per_minute: u32,
    /// Bytes of a session in a second, from the client. 0 is no limit, the default; else 1000 or more.
    pub up_bytes_per_s: u32,
    /// Bytes of a session in a second, to the client. 0 is no limit, the default; else 1000 or more.
    pub down_bytes_per_s: u32,
    /// Failed handshakes of an address (of IPv6, of a /56) in a minute; then it sees nothing but the site for a while. 0 is
    /// no limit, default 3000.
    pub failed_handshakes_per_minute: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            streams: 512,
            associations: 64,
            destinations_per_minute: 1200,
            up_bytes_per_s: 0,
            down_bytes_per_s: 0,
            failed_handshakes_per_minute: 3000,
        }
    }
}

impl LimitsConfig {
    /// What is wrong with it, beyond its syntax.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1..=SESSIONS_MAX).contains(&self.sessions) {
            faults.push(format!("limits.sessions is {}; choose 1 to {SESSIONS_MAX}", self.sessions));
        }
        if self.streams == 0 {
            faults.push("limits.streams is 0; choose 1 to 65535".into());
        }
        for (name, rate) in
            [("up_bytes_per_s", self.up_bytes_per_s), ("down_bytes_per_s", self.down_bytes_per_s)]
        {
            if (1..1000).contains(&rate) {
                faults.push(format!("limits.{name} is {rate}; choose 0 (no limit), or 1000 or more"));
            }
        }
        faults
    }
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Limit {
    /// Sessions of the server at once.
    #[error("too many sessions at once")]
    Sessions,
    /// Streams at once.
    #[error("too many streams at once")]
    Streams,
    /// Associations at once.
    #[error("too many associations at once")]
    Associations,
    /// Destinations in a minute.
    #[error("too many destinations in a minute")]
    Destinations,
}

/// The limits of sessions that begin from now on.
#[derive(Clone, Debug)]
pub struct Limits {
    config: LimitsConfig,
    destinations: Option<Pace>,
}

impl Limits {
    /// The limits that a configuration sets.
    #[must_use]
    pub fn new(config: &LimitsConfig) -> Self {
        Self { destinations: Pace::per_minute(config.destinations_per_minute), config: config.clone() }
    }

    /// Those of a session that begins.
    #[must_use]
    pub fn session(&self) -> SessionLimits {
        SessionLimits(Arc::new(Session {
            streams: Arc::new(Semaphore::new(LINGERING * usize::from(self.config.streams))),
            associations: Arc::new(Semaphore::new(self.config.associations.into())),
            destinations: Destinations { pace: self.destinations, paid: Mutex::default() },
            rate: Rate::new(&self.config),
        }))
    }

    /// Those of addresses, for a server that starts.
    #[must_use]
    pub fn handshakes(&self) -> Handshakes {
        Handshakes::new(self.config.failed_handshakes_per_minute)
    }
}

/// What one session may take. Clones are of the same session.
#[derive(Clone, Debug)]
pub struct SessionLimits(Arc<Session>);

#[derive(Debug)]
struct Session {
    streams: Arc<Semaphore>,
    associations: Arc<Semaphore>,
    destinations: Destinations,
    rate: Option<Rate>,
}

#[derive(Debug)]
struct Destinations {
    pace: Option<Pace>,
    paid: Mutex<Paid>,
}

impl Destinations {
    fn try_one(&self, now: Instant) -> Result<(), Limit> {
        let Some(pace) = self.pace else { return Ok(()) };
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        pace.try_take(&mut paid, now).then_some(()).ok_or(Limit::Destinations)
    }
}

/// A stream that may be; one more may be when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct StreamPermit {
    _permit: OwnedSemaphorePermit,
}

impl SessionLimits {
    /// Whether another stream may be opened.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn try_stream(&self, now: Instant) -> Result<StreamPermit, Limit> {
        let permit = self.0.streams.clone().try_acquire_owned().map_err(|_| Limit::Streams)?;
        self.0.destinations.try_one(now)?;
        Ok(StreamPermit { _permit: permit })
    }

    /// Whether another association may begin.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn try_association(&self) -> Result<AssociationPermit, Limit> {
        let permit = self.0.associations.clone().try_acquire_owned().map_err(|_| Limit::Associations)?;
        let key = RandomState::new();
        Ok(AssociationPermit { session: self.clone(), recent: VecDeque::new(), key, _permit: permit })
    }

    /// The rate that the session's streams and associations share; none if there is no limit.
    #[must_use]
    pub fn rate(&self) -> Option<&Rate> {
        self.0.rate.as_ref()
    }
}

/// An association that may be; one more may be when it is dropped.
#[must_use]
pub struct AssociationPermit {
    session: SessionLimits,
    /// Keyed hashes of destinations, the latest first.
    recent: VecDeque<u64>,
    key: RandomState,
    _permit: OwnedSemaphorePermit,
}

impl AssociationPermit {
    /// Whether a datagram may go there. It may if one did recently: a destination counts once, not for each datagram.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn try_send(&mut self, destination: &Destination, now: Instant) -> Result<(), Limit> {
        let destination = self.key.hash_one(destination);
        match self.recent.iter().position(|recent| *recent == destination) {
            Some(0) => return Ok(()),
            Some(at) => drop(self.recent.remove(at)),
            None => {
                self.session.0.destinations.try_one(now)?;
                self.recent.truncate(RECENT_MAX - 1);
            }
        }
        self.recent.push_front(destination);
        Ok(())
    }
}

impl fmt::Debug for AssociationPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssociationPermit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(text: &str) -> SessionLimits {
        Limits::new(&toml::from_str(text).unwrap()).session()
    }

    #[test]
    fn what_is_dropped_may_be_again() {
        let (limits, now) = (limits("streams = 1\nassociations = 1"), Instant::now());
        let one = limits.try_stream(now).unwrap();
        let _lingering = limits.try_stream(now).unwrap();
        assert_eq!(limits.try_stream(now).unwrap_err(), Limit::Streams);
        drop(one);
        let _third = limits.clone().try_stream(now).unwrap();
        let association = limits.try_association().unwrap();
        assert_eq!(limits.try_association().unwrap_err(), Limit::Associations);
        drop(association);
        assert!(limits.try_association().is_ok());
    }

    #[test]
    fn streams_and_datagrams_share_a_minute_s_destinations() {
        let (limits, now) = (limits("destinations_per_minute = 4"), Instant::now());
        let to = |port| Destination::Address(([192, 0, 2, 1], port).into());
        let mut association = limits.try_association().unwrap();
        drop(limits.try_stream(now).unwrap());
        for _ in 0..10 {
            for port in [1, 2, 3] {
                association.try_send(&to(port), now).unwrap();
            }
        }
        assert_eq!(association.try_send(&to(4), now), Err(Limit::Destinations));
        assert_eq!(limits.try_stream(now).unwrap_err(), Limit::Destinations);
        association.try_send(&to(1), now).unwrap();
        association.try_send(&to(4), now + Duration::from_secs(15)).unwrap();
        // Others have their own.
        assert!(Limits::new(&LimitsConfig::default()).session().try_stream(now).is_ok());
    }

    #[test]
    fn an_association_forgets_what_was_long_ago() {
        let (limits, now) = (limits("destinations_per_minute = 300"), Instant::now());
        let to = |port| Destination::Address(([192, 0, 2, 1], port).into());
        let mut association = limits.try_association().unwrap();
        (1..=300).for_each(|port| association.try_send(&to(port), now).unwrap());
        assert_eq!(association.recent.len(), RECENT_MAX);
        assert!(association.try_send(&to(299), now).is_ok());
        assert!(association.try_send(&to(1), now).is_err());
    }

    #[test]
    fn mistakes_are_told() {
        let config: LimitsConfig =
            toml::from_str("sessions = 0\nstreams = 0\nup_bytes_per_s = 1\ndown_bytes_per_s = 999").unwrap();
        let faults = config.faults();
        for (fault, expected) in faults.iter().zip(["sessions", "streams", "up_bytes", "down_bytes"]) {
            assert!(fault.starts_with(&format!("limits.{expected}")), "{fault}");
        }
        assert_eq!(faults.len(), 4);
        assert!(LimitsConfig::default().faults().is_empty());
        assert!(toml::from_str::<LimitsConfig>("stream = 1").is_err());
    }
}
