//! A path's bytes, as capsules (RFC 9297 §3) of one request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h3::error::StreamError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::datagram::OfRequest;
use super::varint;
use super::window::Window;
use crate::transports::{Datagrams, Duplex, Later, give};

/// The type of capsules that carry a path's bytes.
const PATH: u64 = 0x3d61;
/// The longest capsule that is sent, in bytes.
const CAPSULE_LEN_MAX: usize = 64 << 10;

pub(super) fn broken(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

/// What sends a request's body, or an answer's.
pub(super) trait Sender: Send + 'static {
    fn send(&mut self, data: Bytes) -> impl Future<Output = Result<(), StreamError>> + Send;
    fn finish(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send;
}

/// What receives one.
pub(super) trait Receiver: Send + Unpin + 'static {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;
}

/// The two sides of h3 have streams that do the same, of types that have nothing in common.
macro_rules! of_side {
    ($side:ident) => {
        impl Sender for h3::$side::RequestStream<h3_quinn::SendStream<Bytes>, Bytes> {
            async fn send(&mut self, data: Bytes) -> Result<(), StreamError> {
                self.send_data(data).await
            }

            async fn finish(&mut self) -> Result<(), StreamError> {
                Self::finish(self).await
            }
        }

        impl Receiver for h3::$side::RequestStream<h3_quinn::RecvStream, Bytes> {
            fn poll_receive(
                &mut self,
                context: &mut Context<'_>,
            ) -> Poll<Result<Option<Bytes>, StreamError>> {
                let data = ready!(self.poll_recv_data(context))?;
                Poll::Ready(Ok(data.map(|mut data| data.copy_to_bytes(data.remaining()))))
            }
        }
    };
}

of_side!(client);
of_side!(server);

/// Takes capsules apart.
#[derive(Default)]
struct Decoder {
    /// Of a capsule whose head came in parts.
    head: BytesMut,
    /// What is left of the present capsule's value.
    left: u64,
    is_path: bool,
}

impl Decoder {
    /// The next of a path's bytes in `input`, from whose front they are taken; `None` when it is empty. Other capsules are
    /// skipped, as RFC 9297 §3.2 has it of unknown ones.
    fn next(&mut self, input: &mut Bytes) -> Option<Bytes> {
        while !input.is_empty() {
            if self.left == 0 && !self.begin(input) {
                continue;
            }
            let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
            let data = input.split_to(len);
            self.left -= len as u64;
            if self.is_path && !data.is_empty() {
                return Some(data);
            }
        }
        None
    }

    /// Reads a capsule's head; whether it is there whole.
    fn begin(&mut self, input: &mut Bytes) -> bool {
        let had = self.head.len();
        let len = input.len().min(2 * varint::LEN_MAX - had);
        self.head.extend_from_slice(&input[..len]);
        let mut rest = self.head.clone().freeze();
        let (Some(kind), Some(left)) = (varint::take(&mut rest), varint::take(&mut rest)) else {
            input.advance(len);
            return false;
        };
        input.advance(self.head.len() - rest.len() - had);
        self.head.clear();
        (self.is_path, self.left) = (kind == PATH, left);
        true
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }
}

/// What of a path is being sent.
enum Sending<S> {
    Nothing(S),
    Something(Later<(S, io::Result<()>)>),
    /// It failed.
    Over,
}

impl<S: Sender> Sending<S> {
    /// Begins to send, when nothing is being sent.
    fn begin(&mut self, data: Option<Bytes>) {
        if let Self::Nothing(mut sender) = std::mem::replace(self, Self::Over) {
            *self = Self::Something(Box::pin(async move {
                let sent = match data {
                    Some(data) => sender.send(data).await,
                    None => sender.finish().await,
                };
                (sender, sent.map_err(broken))
            }));
        }
    }

    /// Whether nothing is being sent any more.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Nothing(_) => Poll::Ready(Ok(())),
            Self::Over => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Self::Something(sending) => {
                let (sender, sent) = ready!(sending.as_mut().poll(context));
                *self = if sent.is_ok() { Self::Nothing(sender) } else { Self::Over };
                Poll::Ready(sent)
            }
        }
    }
}

/// A path's bytes both ways, and the datagrams beside them. `K` is kept for as long as they go.
pub(super) struct Capsules<S, R, K> {
    sending: Sending<S>,
    receiver: R,
    decoder: Decoder,
    /// Received, and not decoded.
    input: Bytes,
    /// Decoded, and not read.
    data: Bytes,
    has_ended: bool,
    window: Window,
    datagrams: OfRequest,
    _kept: K,
}

impl<S: Sender, R: Receiver, K> Capsules<S, R, K> {
    pub(super) fn new(sender: S, receiver: R, datagrams: OfRequest, kept: K) -> Self {
        Self {
            sending: Sending::Nothing(sender),
            receiver,
            decoder: Decoder::default(),
            input: Bytes::new(),
            data: Bytes::new(),
            has_ended: false,
            window: datagrams.window(),
            datagrams,
            _kept: kept,
        }
    }

    /// The next of the path's bytes; `None` at their end.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if let Some(data) = self.decoder.next(&mut self.input) {
                return Poll::Ready(Ok(Some(data)));
            }
            match ready!(self.receiver.poll_receive(context)).map_err(broken)? {
                Some(input) => self.input = input,
                None if self.decoder.is_between() => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }
}

impl<S: Sender, R: Receiver, K: Send + Unpin> Duplex for Capsules<S, R, K>
where
    Self: Unpin,
{
    fn datagrams(&mut self) -> Option<&mut dyn Datagrams> {
        Some(&mut self.datagrams)
    }
}

impl<S: Sender, R: Receiver, K: Unpin> AsyncRead for Capsules<S, R, K>
where
    Self: Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.data.is_empty() {
            let Some(data) = ready!(this.poll_data(context))? else { return Poll::Ready(Ok(())) };
            this.data = data;
        }
        give(&mut this.data, buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: Sender, R: Receiver, K: Unpin> AsyncWrite for Capsules<S, R, K>
where
    Self: Unpin,
{
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.sending.poll_sent(context))?;
        this.window.fit();
        let data = &data[..data.len().min(CAPSULE_LEN_MAX)];
        let mut capsule = BytesMut::with_capacity(2 * varint::LEN_MAX + data.len());
        varint::put(PATH, &mut capsule);
        varint::put(data.len() as u64, &mut capsule);
        capsule.put_slice(data);
        this.sending.begin(Some(capsule.freeze()));
        // On its way at once; if there is no room it goes on with the next call.
        match this.sending.poll_sent(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(data.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().sending.poll_sent(context)
    }

    /// Ends this direction, and waits for the other's end: what was sent before may need to be sent again.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.sending.poll_sent(context))?;
        if !std::mem::replace(&mut this.has_ended, true) {
            this.sending.begin(None);
            ready!(this.sending.poll_sent(context))?;
        }
        while ready!(this.poll_data(context))?.is_some() {}
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capsule(kind: u64, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(kind, &mut out);
        varint::put(value.len() as u64, &mut out);
        [out, value.to_vec()].concat()
    }

    proptest! {
        #[test]
        fn bytes_come_however_they_are_cut(
            values in prop::collection::vec((prop::bool::ANY, prop::collection::vec(any::<u8>(), 0..200)), 0..20),
            cuts in prop::collection::vec(1usize..50, 1..50),
        ) {
            let kinds = [PATH, 0];
            let whole: Vec<u8> =
                values.iter().flat_map(|(other, value)| capsule(kinds[usize::from(*other)], value)).collect();
            let expected: Vec<u8> =
                values.iter().filter(|(other, _)| !other).flat_map(|(_, value)| value.clone()).collect();
            let (mut decoder, mut came) = (Decoder::default(), Vec::new());
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < whole.len() {
                let end = whole.len().min(at + cuts.next().unwrap());
                let mut input = Bytes::copy_from_slice(&whole[at..end]);
                while let Some(data) = decoder.next(&mut input) {
                    came.extend_from_slice(&data);
                }
                at = end;
            }
            prop_assert_eq!(came, expected);
            prop_assert!(decoder.is_between());
        }
    }

    #[test]
    fn what_is_cut_off_is_not_the_end() {
        let whole = capsule(PATH, b"bytes");
        for len in 1..whole.len() {
            let mut decoder = Decoder::default();
            let mut input = Bytes::copy_from_slice(&whole[..len]);
            while decoder.next(&mut input).is_some() {}
            assert!(!decoder.is_between(), "{len}");
        }
    }
}
