//! What programs use of the engine: streams and datagrams over whichever session is there.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use daylight_session::{Destination, UseError, code};
use daylight_tunnel::driver::{self, OpenError};
use daylight_tunnel::relay::Side;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Engine;
use super::session::{Counted, Session};
use crate::{Association, ConnectError, Tunnel};

/// How long a program waits for the tunnel to be there.
const TUNNEL_PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits for its destination, the tunnel included.
const PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    async fn session(&self, until: Instant) -> Result<Arc<Session>, ConnectError> {
        next(&mut self.current.clone(), until).await.ok_or(ConnectError::TunnelDown)
    }
}

/// The session that is in use, as soon as there is one.
async fn next(current: &mut watch::Receiver<Option<Arc<Session>>>, until: Instant) -> Option<Arc<Session>> {
    let is_good = |session: &Option<Arc<Session>>| session.as_ref().is_some_and(|session| !session.is_over());
    let found = timeout_at(until, current.wait_for(is_good)).await.ok()?.ok()?;
    found.clone()
}

impl Tunnel for Engine {
    type Stream = EngineStream;
    type Association = EngineAssociation;

    async fn connect(&self, destination: Destination) -> Result<EngineStream, ConnectError> {
        let (began, until) = (Instant::now(), Instant::now() + PATIENCE);
        loop {
            let session = self.session(began + TUNNEL_PATIENCE).await?;
            let counted = Counted::new(Arc::clone(&session));
            return match timeout_at(until, session.driver.open(&destination)).await {
                Ok(Ok(stream)) => Ok(EngineStream { stream, _counted: counted }),
                Ok(Err(OpenError::Refused(code))) => Err(ConnectError::of_code(code)),
                // Nothing was said on it yet.
                Ok(Err(OpenError::SessionEnded)) => continue,
                Err(_) => Err(ConnectError::Timeout),
            };
        }
    }

    async fn associate(&self) -> Result<EngineAssociation, ConnectError> {
        let session = self.session(Instant::now() + TUNNEL_PATIENCE).await?;
        let inner = Mutex::new((Arc::clone(&session), Arc::new(session.driver.associate())));
        Ok(EngineAssociation { current: self.current.clone(), inner })
    }
}

/// A stream through the tunnel.
pub struct EngineStream {
    stream: driver::Stream,
    _counted: Counted,
}

impl AsyncRead for EngineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for EngineStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Side for EngineStream {
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.stream.poll_read_bytes(cx)
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        self.stream.poll_write_bytes(cx, data)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Side::poll_flush(&mut self.stream, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Side::poll_shutdown(&mut self.stream, cx)
    }
}

type Inner = (Arc<Session>, Arc<driver::Association>);

/// Datagrams through the tunnel. If the session ends they go on by the next one, from another port of the server's.
pub struct EngineAssociation {
    current: watch::Receiver<Option<Arc<Session>>>,
    inner: Mutex<Inner>,
}

impl EngineAssociation {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of the session in use, if that has changed.
    fn renewed(&self) -> Arc<driver::Association> {
        let mut inner = self.inner();
        if inner.0.is_over()
            && let Some(session) = self.current.borrow().clone()
            && !session.is_over()
        {
            *inner = (Arc::clone(&session), Arc::new(session.driver.associate()));
        }
        Arc::clone(&inner.1)
    }
}

impl Association for EngineAssociation {
    async fn send(&self, destination: Destination, data: Bytes) -> Result<(), ConnectError> {
        self.renewed().send(destination, data).map_err(|error| match error {
            UseError::SessionEnded => ConnectError::TunnelDown,
            _ => ConnectError::Failed(code::INTERNAL),
        })
    }

    async fn recv(&self) -> Option<(Destination, Bytes)> {
        loop {
            let association = Arc::clone(&self.inner().1);
            if let Some(received) = association.receive().await {
                return Some(received);
            }
            if !self.inner().0.is_over() {
                // The server has ended it.
                return None;
            }
            next(&mut self.current.clone(), Instant::now() + PATIENCE).await?;
            self.renewed();
        }
    }
}
