//! A stream, as applications use one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use daylight_session::{Read, StreamId, UseError, code};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{OpenError, Shared, Turn, broken};
use crate::transports::give;

/// Read from the session at once, in bytes; it is not copied.
const READ_LEN: usize = 64 << 10;

/// A stream of a session. What is written is on its way at once; shutting it down ends the one direction. One that is dropped
/// before its end is given up.
pub struct Stream {
    shared: Arc<Shared>,
    id: StreamId,
    /// Read from the session, and not from here.
    data: Bytes,
    is_at_end: bool,
    has_ended: bool,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, id: StreamId) -> Self {
        Self { shared, id, data: Bytes::new(), is_at_end: false, has_ended: false }
    }

    fn wait<'a>(&self, turn: &'a mut Turn<'_>) -> &'a mut super::Waiting {
        turn.streams.entry(self.id).or_default()
    }

    /// At a client: whether the destination has answered.
    pub(super) fn poll_connected(&self, context: &Context<'_>) -> Poll<Result<(), OpenError>> {
        let mut turn = self.shared.turn();
        if turn.closed.is_some() {
            return Poll::Ready(Err(OpenError::SessionEnded));
        }
        if self.wait(&mut turn).is_connected {
            return Poll::Ready(Ok(()));
        }
        match turn.session.read(self.id, 1) {
            Err(UseError::Reset(code)) => Poll::Ready(Err(OpenError::Refused(code))),
            _ => {
                self.wait(&mut turn).read = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next bytes, as they came; `None` at the end.
    ///
    /// # Errors
    /// If the peer gave the stream up, or the session is over.
    pub fn poll_read_bytes(&mut self, context: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.data))));
        }
        if self.is_at_end {
            return Poll::Ready(Ok(None));
        }
        let mut turn = self.shared.turn();
        Poll::Ready(match turn.session.read(self.id, READ_LEN) {
            Ok(Read::Data(data)) => Ok(Some(data)),
            Ok(Read::End) => {
                self.is_at_end = true;
                Ok(None)
            }
            Ok(Read::Blocked) => {
                self.wait(&mut turn).read = Some(context.waker().clone());
                return Poll::Pending;
            }
            Err(error) => Err(broken(error)),
        })
    }

    /// Writes from the front of `data`, without a copy, as much as there is room for.
    ///
    /// # Errors
    /// If the peer wants no more, or the session is over.
    pub fn poll_write_bytes(&mut self, context: &Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        self.poll_written(context, |session, id| {
            session.write_bytes(id, data).map(|length| length > 0 || data.is_empty())
        })
        .map_ok(drop)
    }

    /// Does `write` until it wrote something.
    fn poll_written<T: PartialEq + Default>(
        &self,
        context: &Context<'_>,
        write: impl FnOnce(&mut daylight_session::Session, StreamId) -> Result<T, UseError>,
    ) -> Poll<io::Result<T>> {
        let mut turn = self.shared.turn();
        match write(&mut turn.session, self.id) {
            Ok(wrote) if wrote == T::default() => {
                self.wait(&mut turn).write = Some(context.waker().clone());
                Poll::Pending
            }
            wrote => Poll::Ready(wrote.map_err(broken)),
        }
    }

    /// Gives both directions up, for a reason that is one of the session's [codes](code).
    pub fn reset(&mut self, code: u64) {
        let mut turn = self.shared.turn();
        // What has ended needs no end.
        let _ = turn.session.reset(self.id, code);
        let _ = turn.session.stop(self.id, code);
        (self.has_ended, self.is_at_end) = (true, true);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(mut data) = ready!(this.poll_read_bytes(context))? {
            give(&mut data, buffer);
            this.data = data;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_written(context, |session, id| session.write(id, data))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.has_ended, true) {
            return Poll::Ready(Ok(()));
        }
        let finished = self.shared.turn().session.finish(self.id);
        Poll::Ready(match finished {
            // A stream that is over in both directions is forgotten.
            Ok(()) | Err(UseError::NoStream | UseError::Ended) => Ok(()),
            Err(error) => Err(broken(error)),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut turn = self.shared.turn();
        turn.streams.remove(&self.id);
        if !self.has_ended {
            let _ = turn.session.reset(self.id, code::RESET);
        }
        if !self.is_at_end {
            let _ = turn.session.stop(self.id, code::RESET);
        }
    }
}
