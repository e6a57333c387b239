//! An attempt: connections of one way, one after the other, that carry paths of one server's session.
//!
//! Nothing stays on one connection for long: after some time or bytes, at random, the next is made, and when it carries the
//! one before is closed.

use std::sync::Arc;
use std::time::Duration;

use daylight_session::PathId;
use daylight_tunnel::driver::{News, PathFailure};
use rand::RngExt;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::dial::Dialler;
use super::failure;
use super::meter::{Meter, MeteredDial};
use super::session::{Chosen, Session, Sessions};
use super::way::{Server, Way};
use crate::cause::{Cause, Stage};

/// Connections that are tried for one path, where the server has forgotten the session or there are two at once.
const TRIES: usize = 3;

/// When a connection has carried enough.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Bytes both ways: a number of these, at random.
    pub bytes: std::ops::RangeInclusive<u64>,
    /// Its age, at random of these.
    pub age: std::ops::RangeInclusive<Duration>,
    /// After a connection that could not be made in place of another, it is tried again after this.
    pub pause: Duration,
}

impl Default for Rotation {
    /// 64 to 256 MiB, or 5 to 20 minutes.
    fn default() -> Self {
        Self {
            bytes: 64 << 20..=256 << 20,
            age: Duration::from_secs(300)..=Duration::from_secs(1200),
            pause: Duration::from_secs(60),
        }
    }
}

impl Rotation {
    fn age(&self) -> Duration {
        rand::rng().random_range(self.age.clone())
    }

    fn bytes(&self) -> u64 {
        rand::rng().random_range(self.bytes.clone())
    }
}

/// What all attempts have in common.
pub(super) struct Common {
    pub(super) servers: Vec<Server>,
    pub(super) ways: Vec<Way>,
    pub(super) dialler: Dialler,
    pub(super) sessions: Sessions,
    pub(super) rotation: Rotation,
}

/// A path that carries.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) session: Arc<Session>,
    pub(super) path: PathId,
}

/// A connection that carries a path, until this is dropped.
struct Link {
    ready: Ready,
    carrying: AbortOnDropHandle<PathFailure>,
    /// What the meter said when it began.
    received_before: u64,
}

/// Why a path was not made.
enum Failed {
    Because(Cause),
    /// Another session is to be joined, or a new one made.
    Again,
}

/// Makes connections of a way, until there is no more to be had from it. `tell` is told of each that carries.
pub(super) async fn run(
    common: &Common,
    way: usize,
    meter: &Arc<Meter>,
    tell: impl Fn(Ready) + Send,
) -> Cause {
    let Some(way) = common.ways.get(way) else { return Cause::Unsupported };
    let mut link = match common.connect(way, meter).await {
        Ok(link) => link,
        Err(cause) => return cause,
    };
    tell(link.ready.clone());
    loop {
        meter.rotate_after(common.rotation.bytes());
        let due = async {
            tokio::select! {
                () = sleep(common.rotation.age()) => {}
                () = meter.is_to_rotate() => {}
            }
        };
        let next = async {
            due.await;
            loop {
                match common.connect(way, meter).await {
                    Ok(link) => return link,
                    Err(_) => sleep(common.rotation.pause).await,
                }
            }
        };
        tokio::select! {
            next = next => {
                let before = std::mem::replace(&mut link, next);
                tell(link.ready.clone());
                before.close();
            }
            failure = &mut link.carrying => {
                let received = meter.received() - link.received_before;
                let closed = link.ready.session.driver.close_reason();
                return match failure {
                    Ok(failure) => failure::of_path(&failure, closed, Stage::Data, received),
                    Err(_) => Cause::Unsupported,
                };
            }
        }
    }
}

impl Link {
    /// Ends in good order, in its own time.
    fn close(self) {
        self.ready.session.driver.close_path(self.ready.path);
        tokio::spawn(self.carrying);
    }
}

impl Common {
    async fn connect(&self, way: &Way, meter: &Arc<Meter>) -> Result<Link, Cause> {
        for _ in 0..TRIES {
            match self.try_connect(way, meter).await {
                Ok(link) => return Ok(link),
                Err(Failed::Because(cause)) => return Err(cause),
                Err(Failed::Again) => {}
            }
        }
        Err(Cause::Busy)
    }

    async fn try_connect(&self, way: &Way, meter: &Arc<Meter>) -> Result<Link, Failed> {
        let server = self.servers.get(way.server).ok_or(Failed::Because(Cause::Unsupported))?;
        let received_before = meter.received();
        let dial = self.dialler.dial(server, way).await.map_err(Failed::Because)?;
        let dialled = Box::new(MeteredDial { dial, meter: Arc::clone(meter) });
        let chosen = self.sessions.choose(way.server).await.ok_or(Failed::Because(Cause::Unsupported))?;
        let Chosen { session, .. } = &chosen;
        let mut news = session.listen();
        let (tell, began) = oneshot::channel();
        let driver = session.driver.clone();
        let carrying = tokio::spawn(async move {
            let began = |path| {
                // If nobody listens it is aborted.
                let _ = tell.send(path);
            };
            driver.carry(dialled, began).await
        });
        let mut carrying = AbortOnDropHandle::new(carrying);
        let ready = async {
            let path = began.await.ok()?;
            loop {
                if news.recv().await? == News::Ready(path) {
                    return Some(path);
                }
            }
        };
        let path = tokio::select! {
            Some(path) = ready => path,
            failure = &mut carrying => {
                let failure = failure.map_err(|_| Failed::Because(Cause::Unsupported))?;
                if session.is_forgotten() {
                    return Err(Failed::Again);
                }
                let received = meter.received() - received_before;
                let closed = session.driver.close_reason();
                return Err(Failed::Because(failure::of_path(&failure, closed, Stage::Session, received)));
            }
        };
        if !self.sessions.take_up(session) {
            return Err(Failed::Again);
        }
        let ready = Ready { session: Arc::clone(session), path };
        Ok(Link { ready, carrying, received_before })
    }
}
