//! The server's side: paths that arrive, and the sessions that they belong to.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daylight_session::{Acceptor, HandshakeError, Incoming, PathId, Progress, ServerConfig, SessionId};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{Driver, PathFailure, now};
use crate::transports::{Arrived, Duplex};

/// How long a client may take to show that it holds the keys.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session that began.
pub struct NewSession {
    /// It.
    pub session: Driver,
    /// The name of the transport of its first path.
    pub transport: &'static str,
    /// Where that came from, as far as it is known; not to be kept.
    pub from: Option<IpAddr>,
}

/// Makes sessions of paths.
pub struct Gate {
    acceptor: Mutex<Acceptor>,
    sessions: Mutex<HashMap<SessionId, Driver>>,
    new: mpsc::UnboundedSender<NewSession>,
}

/// Why a path came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unwelcome {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The server is at a limit, or has forgotten the session; the client was told.
    #[error("refused, and told so")]
    Refused,
    /// The client did not go on.
    #[error("the client did not finish its handshake in time")]
    Timeout,
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] io::Error),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// New sessions go to `new`.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, seed: [u8; 32], new: mpsc::UnboundedSender<NewSession>) -> Self {
        Self { acceptor: Mutex::new(Acceptor::new(config, seed)), sessions: Mutex::default(), new }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        locked(&self.sessions).len()
    }

    /// Ends all sessions; clients are told.
    pub fn close(&self, code: u64) {
        let sessions: Vec<_> = locked(&self.sessions).values().cloned().collect();
        sessions.iter().for_each(|session| session.close(code));
    }

    /// Carries a path to its end.
    ///
    /// # Errors
    /// If it never became one.
    pub async fn carry(self: &Arc<Self>, arrived: Arrived) -> Result<PathFailure, Unwelcome> {
        let shows_sizes = arrived.shows_sizes;
        let welcome = tokio::time::timeout(PATIENCE, self.welcome(arrived));
        let (driver, path, connection) = welcome.await.map_err(|_| Unwelcome::Timeout)??;
        Ok(driver.go_on(path, connection, shows_sizes).await)
    }

    async fn welcome(
        self: &Arc<Self>,
        arrived: Arrived,
    ) -> Result<(Driver, PathId, Box<dyn Duplex>), Unwelcome> {
        let Arrived { first, access_secret, binding, answer, transport, from, .. } = arrived;
        let mut incoming = Incoming::new(access_secret, binding, 0);
        let take = |incoming: &mut Incoming, bytes: &[u8]| {
            locked(&self.acceptor).handle_bytes(incoming, now(), bytes)
        };
        let mut connection = match take(&mut incoming, &first)? {
            Progress::Answer(bytes) => answer(bytes).await?,
            Progress::Refuse(bytes) => {
                let mut connection = answer(bytes).await?;
                tokio::io::AsyncWriteExt::shutdown(&mut connection).await?;
                return Err(Unwelcome::Refused);
            }
            _ => return Err(HandshakeError::NotConfirmed.into()),
        };
        let mut bytes = [0; 2048];
        loop {
            let length = connection.read(&mut bytes).await?;
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            match take(&mut incoming, &bytes[..length])? {
                Progress::New(session, path) => {
                    let id = session.id();
                    let driver = Driver::start(*session, None);
                    if let Some(id) = id {
                        self.begin(id, NewSession { session: driver.clone(), transport, from });
                    }
                    return Ok((driver, path, connection));
                }
                Progress::Attach(session, path) => {
                    // It ended between the answer and this.
                    let driver = locked(&self.sessions).get(&session).cloned().ok_or(Unwelcome::Refused)?;
                    let attached = driver.0.turn().session.attach(now(), path);
                    let path = attached.map_err(|_| Unwelcome::Refused)?;
                    return Ok((driver, path, connection));
                }
                _ => {}
            }
        }
    }

    fn begin(self: &Arc<Self>, id: SessionId, begun: NewSession) {
        locked(&self.sessions).insert(id, begun.session.clone());
        let (gate, ending) = (Arc::downgrade(self), begun.session.clone());
        tokio::spawn(async move {
            ending.closed().await;
            if let Some(gate) = gate.upgrade() {
                locked(&gate.sessions).remove(&id);
                locked(&gate.acceptor).forget(id);
            }
        });
        // Without anybody who wants them, sessions have streams that nobody accepts: the process is ending.
        let _ = self.new.send(begun);
    }
}
