//! Counts what goes over a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use daylight_session::ChannelBinding;
use daylight_tunnel::transports::{Begun, Datagrams, Dialled, Duplex, Later};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::dial::Dial;

/// Bytes of an attempt, over all its connections.
pub(super) struct Meter {
    received: AtomicU64,
    sent: AtomicU64,
    /// Nobody looks at it before it is woken.
    is_idle: AtomicBool,
    woken: Arc<Notify>,
    /// At so many bytes both ways a new connection is due.
    rotates_at: AtomicU64,
    rotate: Notify,
}

impl Meter {
    /// `woken` is told of the first byte after [`Meter::rest`].
    pub(super) fn new(woken: Arc<Notify>) -> Self {
        Self {
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            is_idle: AtomicBool::new(true),
            woken,
            rotates_at: AtomicU64::new(u64::MAX),
            rotate: Notify::new(),
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Nobody looks until something moves.
    pub(super) fn rest(&self) {
        self.is_idle.store(true, Ordering::Relaxed);
    }

    /// A new connection is due after so many bytes more.
    pub(super) fn rotate_after(&self, bytes: u64) {
        let at = (self.received() + self.sent()).saturating_add(bytes);
        self.rotates_at.store(at, Ordering::Relaxed);
    }

    /// Waits until it is.
    pub(super) async fn is_to_rotate(&self) {
        while self.rotates_at.load(Ordering::Relaxed) != u64::MAX {
            self.rotate.notified().await;
        }
    }

    fn count(&self, counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.is_idle.load(Ordering::Relaxed) && self.is_idle.swap(false, Ordering::Relaxed) {
            self.woken.notify_one();
        }
        let at = self.rotates_at.load(Ordering::Relaxed);
        if self.received() + self.sent() >= at
            && self.rotates_at.swap(u64::MAX, Ordering::Relaxed) != u64::MAX
        {
            self.rotate.notify_one();
        }
    }
}

/// A dialled connection whose bytes are counted.
pub(super) struct MeteredDial {
    pub(super) dial: Dial,
    pub(super) meter: Arc<Meter>,
}

impl Dialled for MeteredDial {
    fn binding(&self) -> ChannelBinding {
        self.dial.dialled.binding()
    }

    fn shows_sizes(&self) -> bool {
        self.dial.dialled.shows_sizes()
    }

    fn begin(self: Box<Self>, first: Vec<u8>) -> Later<io::Result<Begun>> {
        let Self { dial: Dial { dialled, driving }, meter } = *self;
        Box::pin(async move {
            let Begun { answer, connection } = dialled.begin(first).await?;
            meter.count(&meter.received, answer.len());
            Ok(Begun { answer, connection: Box::new(Metered { connection, meter, _driving: driving }) })
        })
    }
}

struct Metered {
    connection: Box<dyn Duplex>,
    meter: Arc<Meter>,
    _driving: Option<AbortOnDropHandle<()>>,
}

impl Duplex for Metered {
    fn datagrams(&mut self) -> Option<&mut dyn Datagrams> {
        self.connection.datagrams()
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(cx, buffer))?;
        self.meter.count(&self.meter.received, buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write(cx, data))?;
        self.meter.count(&self.meter.sent, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
