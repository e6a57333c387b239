//! What can be relayed.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::driver::Stream;

/// Bytes that are read at once.
pub const READ_LEN: usize = 64 << 10;
/// Of those that were read, so many are copied into memory of their own, lest they keep [`READ_LEN`] of it.
const COPIED_MAX: usize = READ_LEN / 2;

/// A connection that gives and takes bytes in pieces that need no copy.
pub trait Side {
    /// The next bytes, as many as there are up to [`READ_LEN`]; `None` at the end.
    ///
    /// # Errors
    /// If the other side was cut off.
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;

    /// Takes from the front of `data` what there is room for.
    ///
    /// # Errors
    /// If the other side takes no more.
    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>>;

    /// Sends what was taken.
    ///
    /// # Errors
    /// The same.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the direction that is written.
    ///
    /// # Errors
    /// The same.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Side for Stream {
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        Self::poll_read_bytes(self, cx)
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        Self::poll_write_bytes(self, cx, data)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), cx)
    }
}

macro_rules! read_into_a_buffer {
    ($($connection:ty),*) => {$(
        impl Side for $connection {
            fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
                Plain(self).poll_read_bytes(cx)
            }

            fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
                Plain(self).poll_write_bytes(cx, data)
            }

            fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_flush(Pin::new(self), cx)
            }

            fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                AsyncWrite::poll_shutdown(Pin::new(self), cx)
            }
        }
    )*};
}

// The second is a pipe in memory, for tests.
read_into_a_buffer!(TcpStream, DuplexStream);

/// Any connection that is read into a buffer.
pub struct Plain<'a, T>(pub &'a mut T);

thread_local! {
    /// What this thread reads into; empty between reads.
    static BUFFER: Cell<BytesMut> = Cell::default();
}

impl<T: AsyncRead + AsyncWrite + Unpin> Side for Plain<'_, T> {
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut buffer = BUFFER.take();
        buffer.reserve(READ_LEN);
        let read = poll_read_buf(Pin::new(&mut *self.0), cx, &mut buffer);
        let data = match buffer.len() {
            0..=COPIED_MAX => {
                let data = Bytes::copy_from_slice(&buffer);
                buffer.clear();
                data
            }
            _ => buffer.split().freeze(),
        };
        BUFFER.set(buffer);
        let len = ready!(read)?;
        Poll::Ready(Ok((len > 0).then_some(data)))
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        let written = ready!(Pin::new(&mut *self.0).poll_write(cx, data))?;
        if written == 0 && !data.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        data.advance(written);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
