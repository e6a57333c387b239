//! Sessions, in memory: when the program ends, all have ended.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};

/// Sessions at a time; beyond that, the one that was used longest ago ends.
pub(crate) const SESSIONS_MAX: usize = 10_000;

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) user: String,
    begun: Instant,
    used: Instant,
}

/// All sessions, by the hash of their secret: who reads this memory by way of an error can't take one over.
#[derive(Debug)]
pub(crate) struct Sessions {
    idle: Duration,
    absolute: Duration,
    open: Mutex<HashMap<Vec<u8>, Session>>,
}

fn key(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

impl Sessions {
    /// That end after so long without a request, and after so long in any case.
    pub(crate) fn new(idle: Duration, absolute: Duration) -> Self {
        Self { idle, absolute, open: Mutex::default() }
    }

    fn is_over(&self, session: &Session, now: Instant) -> bool {
        now.saturating_duration_since(session.used) >= self.idle
            || now.saturating_duration_since(session.begun) >= self.absolute
    }

    /// Begins one; its secret is for a cookie. `None` if the system gives no random numbers.
    pub(crate) fn begin(&self, user: &str, now: Instant) -> Option<String> {
        let secret = super::random()?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= SESSIONS_MAX {
            open.retain(|_, session| !self.is_over(session, now));
        }
        if open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| key.clone());
            oldest.map(|key| open.remove(&key));
        }
        open.insert(key(&secret), Session { user: user.to_owned(), begun: now, used: now });
        Some(secret)
    }

    /// The session of a secret, if it isn't over; it counts as used.
    pub(crate) fn of(&self, secret: &str, now: Instant) -> Option<Session> {
        let key = key(secret);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = open.get_mut(&key)?;
        if self.is_over(session, now) {
            open.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// True if it goes on; looking doesn't count as using.
    pub(crate) fn is_open(&self, secret: &str, now: Instant) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&key(secret)).is_some_and(|session| !self.is_over(session, now))
    }

    pub(crate) fn end(&self, secret: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(secret));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn they_end() {
        let sessions = Sessions::new(10 * MINUTE, 60 * MINUTE);
        let start = Instant::now();
        let secret = sessions.begin("anna", start).unwrap();
        assert_eq!(secret.len(), 64);
        assert!(sessions.of("0000", start).is_none());
        for minute in (0..60).step_by(9) {
            assert!(sessions.of(&secret, start + minute * MINUTE).is_some(), "{minute}");
        }
        assert!(sessions.of(&secret, start + 60 * MINUTE).is_none(), "in any case");
        let secret = sessions.begin("anna", start).unwrap();
        assert!(
            sessions.is_open(&secret, start + 9 * MINUTE) && !sessions.is_open(&secret, start + 10 * MINUTE)
        );
        assert!(sessions.of(&secret, start + 10 * MINUTE).is_none(), "idle");
        let secret = sessions.begin("anna", start).unwrap();
        sessions.end(&secret);
        assert!(sessions.of(&secret, start).is_none(), "ended");
    }

    #[test]
    fn there_are_not_more_than_fit() {
        let sessions = Sessions::new(10 * MINUTE, 60 * MINUTE);
        let start = Instant::now();
        let first = sessions.begin("a", start).unwrap();
        for i in 0..SESSIONS_MAX {
            sessions.begin("b", start + Duration::from_millis(1 + i as u64)).unwrap();
        }
        assert_eq!(sessions.open.lock().unwrap().len(), SESSIONS_MAX);
        assert!(sessions.of(&first, start + MINUTE).is_none());
    }
}
