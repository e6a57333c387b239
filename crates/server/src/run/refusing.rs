//! Requests that are none, refused in the words in which the site refuses others.
//!
//! hyper answers what it can't read by itself, with a message that no other server sends. Here it is taken for what it is,
//! a refusal, and said as [the site](Site::refusal) says it. And what nginx takes for a method is all that is one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::site::Site;

/// A visitor's connection, below hyper.
pub(super) struct Refusing<T> {
    connection: T,
    site: Site,
    /// Nothing has come yet.
    is_new: bool,
    /// A refusal that is on its way.
    refusal: Bytes,
}

impl<T> Refusing<T> {
    pub(super) fn new(connection: T, site: Site) -> Self {
        Self { connection, site, is_new: true, refusal: Bytes::new() }
    }
}

/// Whether a request may begin so: empty lines, and then a method's letters up to a space.
fn may_begin(bytes: &[u8]) -> bool {
    let mut method =
        bytes.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n')).take_while(|byte| **byte != b' ');
    method.all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
}

/// Whether hyper says this by itself: all that the site says has the server's name in it.
fn is_own(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer, |end| &answer[..end]);
    head.starts_with(b"HTTP/1.") && !head.windows(10).any(|ten| ten == b"\r\nServer: ")
}

impl<T: AsyncRead + Unpin> AsyncRead for Refusing<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.connection).poll_read(context, buffer))?;
        let came = &mut buffer.filled_mut()[before..];
        if this.is_new && !may_begin(came) {
            // Nobody takes that for a request.
            came.fill(0);
        }
        this.is_new &= came.is_empty();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Refusing<T> {
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let written = ready!(Pin::new(&mut self.connection).poll_write(context, &self.refusal))?;
            self.refusal.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Refusing<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(context))?;
        if is_own(data) {
            this.refusal = this.site.refusal();
            return Poll::Ready(Ok(data.len()));
        }
        Pin::new(&mut this.connection).poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(context))?;
        Pin::new(&mut this.connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(context))?;
        Pin::new(&mut this.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for good in ["GET / HTTP/1.1", "\r\nM-SEARCH *", "", "PO", "GET"] {
            assert!(may_begin(good.as_bytes()), "{good}");
        }
        for bad in ["get / HTTP/1.1", "\u{3}", "GET\t/", "1"] {
            assert!(!may_begin(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn own_answers_have_no_server() {
        assert!(is_own(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        assert!(!is_own(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nHTTP/1.1"));
        assert!(!is_own(b"a body"));
    }
}
