//! Sessions: one for each server, for as long as both sides know it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daylight_session::{ClientConfig, CloseReason};
use daylight_tunnel::census;
use daylight_tunnel::driver::{Driver, News};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::timeout;

/// How long a connection waits for another that is making the session which it could join.
const JOIN_PATIENCE: Duration = Duration::from_millis(300);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session with a server.
pub(super) struct Session {
    pub(super) driver: Driver,
    /// Whose, as an index.
    pub(super) server: usize,
    listeners: Arc<Mutex<Vec<mpsc::UnboundedSender<News>>>>,
    streams: AtomicUsize,
}

impl Session {
    fn begin(server: usize, config: &Arc<ClientConfig>) -> Arc<Self> {
        let (tell, mut news) = mpsc::unbounded_channel();
        let driver = Driver::client(Arc::clone(config), rand::random(), tell);
        let listeners = Arc::new(Mutex::new(Vec::<mpsc::UnboundedSender<News>>::new()));
        let telling = Arc::clone(&listeners);
        tokio::spawn(async move {
            while let Some(one) = news.recv().await {
                locked(&telling).retain(|listener| listener.send(one).is_ok());
                if matches!(one, News::Closed(_)) {
                    break;
                }
            }
        });
        Arc::new(Self { driver, server, listeners, streams: AtomicUsize::new(0) })
    }

    /// What happens to it from now on.
    pub(super) fn listen(&self) -> mpsc::UnboundedReceiver<News> {
        let (tell, news) = mpsc::unbounded_channel();
        locked(&self.listeners).push(tell);
        news
    }

    pub(super) fn is_over(&self) -> bool {
        self.driver.close_reason().is_some()
    }

    /// Whether the server does not know it any more, as after a restart.
    pub(super) fn is_forgotten(&self) -> bool {
        self.driver.close_reason() == Some(CloseReason::Forgotten)
    }

    /// Streams that are open.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}

/// Counts a stream for as long as it lives.
pub(super) struct Counted(pub(super) Arc<Session>);

impl Counted {
    pub(super) fn new(session: Arc<Session>) -> Self {
        session.streams.fetch_add(1, Ordering::Relaxed);
        Self(session)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sessions with all servers.
pub(super) struct Sessions {
    places: Vec<Place>,
    /// The client's file of the census.
    census: Option<PathBuf>,
}

struct Place {
    config: Arc<ClientConfig>,
    established: Mutex<Option<Arc<Session>>>,
    /// Held by the one who makes a session.
    making: Arc<tokio::sync::Mutex<()>>,
}

/// The session of a path that is to be made.
pub(super) struct Chosen {
    pub(super) session: Arc<Session>,
    /// Others may join the session when this is dropped.
    _making: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    pub(super) fn new(configs: impl IntoIterator<Item = Arc<ClientConfig>>, census: Option<PathBuf>) -> Self {
        let place = |config| Place {
            config,
            established: Mutex::default(),
            making: Arc::new(tokio::sync::Mutex::default()),
        };
        Self { places: configs.into_iter().map(place).collect(), census }
    }

    /// The session that there is with a server.
    pub(super) fn established(&self, server: usize) -> Option<Arc<Session>> {
        let mut established = locked(&self.places.get(server)?.established);
        if established.as_ref().is_some_and(|session| session.is_over()) {
            *established = None;
        }
        established.clone()
    }

    /// The session for a new path: the one that there is, or a new one.
    pub(super) async fn choose(&self, server: usize) -> Option<Chosen> {
        let place = self.places.get(server)?;
        if let Some(session) = self.established(server) {
            return Some(Chosen { session, _making: None });
        }
        let making = timeout(JOIN_PATIENCE, Arc::clone(&place.making).lock_owned()).await.ok();
        let session = self.established(server);
        let session = session.unwrap_or_else(|| Session::begin(server, &place.config));
        Some(Chosen { session, _making: making })
    }

    /// Takes up a session that was made. There may be another by now: then this one was made in vain.
    pub(super) fn take_up(&self, session: &Arc<Session>) -> bool {
        let Some(place) = self.places.get(session.server) else { return false };
        match self.established(session.server) {
            Some(there) if !Arc::ptr_eq(&there, session) => {
                session.driver.close(daylight_session::code::NONE);
                false
            }
            _ => {
                let before = locked(&place.established).replace(Arc::clone(session));
                if before.is_none() {
                    self.report(session);
                }
                true
            }
        }
    }

    /// Has the user counted, once a day.
    fn report(&self, session: &Arc<Session>) {
        let Some(census) = self.census.clone() else { return };
        let driver = session.driver.clone();
        tokio::spawn(async move {
            tokio::time::sleep(census::delay()).await;
            // Whatever fails, this user is not counted today, and that is all.
            let _ = census::report(&driver, &census).await;
        });
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Session>> {
        (0..self.places.len()).filter_map(|server| self.established(server))
    }
}
