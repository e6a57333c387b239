//! A stream that notes what passes it, and may cut its first write in two.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// So many events of one stream are kept, as in OONI's measurements.
pub const EVENTS_MAX: usize = 64;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Operation {
    Read,
    Write,
}

/// One read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was done.
    pub at: Instant,
    /// What.
    pub operation: Operation,
    /// How many bytes.
    pub bytes: usize,
}

/// All that passed a stream.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// The first events.
    pub events: Vec<Event>,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// When bytes last came in.
    pub last_read: Option<Instant>,
    /// How much had come in when nothing came for longest, and for how long.
    pub longest_gap: Option<(u64, Duration)>,
}

impl Traffic {
    fn add(&mut self, operation: Operation, bytes: usize) {
        let at = Instant::now();
        match operation {
            Operation::Read => {
                if let Some(last) = self.last_read
                    && self.longest_gap.is_none_or(|(_, gap)| at - last > gap)
                {
                    self.longest_gap = Some((self.received, at - last));
                }
                self.last_read = Some(at);
                self.received += bytes as u64;
            }
            Operation::Write => self.sent += bytes as u64,
        }
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event { at, operation, bytes });
        }
    }
}

/// How the first write is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// In the middle of these bytes; without them in the middle of the whole.
    pub within: Vec<u8>,
    /// How long the second is held back, so that they leave in two segments.
    pub pause: Duration,
}

impl Split {
    /// Bytes of the first piece.
    fn at(&self, bytes: &[u8]) -> usize {
        let length = self.within.len();
        let found = bytes.windows(length.max(1)).position(|window| window == self.within);
        found.map_or(bytes.len() / 2, |start| start + length / 2)
    }
}

#[derive(Debug)]
enum Cut {
    /// Nothing is to be cut, or it was.
    Done,
    /// The first write will be cut.
    Armed(Split),
    /// So much of the first piece has still to go out.
    First(usize, Duration),
    /// The first piece went out.
    Held(Pin<Box<Sleep>>),
}

/// A stream that notes what passes it.
#[derive(Debug)]
pub struct Tap<S> {
    inner: S,
    traffic: Arc<Mutex<Traffic>>,
    cut: Cut,
}

impl<S> Tap<S> {
    /// Listens to a stream.
    pub fn new(inner: S, split: Option<Split>) -> Self {
        Self { inner, traffic: Arc::default(), cut: split.map_or(Cut::Done, Cut::Armed) }
    }

    /// The stream.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Shows what passes, also when the stream has been given away.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.traffic))
    }

    fn note(&self, operation: Operation, bytes: usize) {
        if bytes > 0 {
            self.traffic.lock().unwrap_or_else(PoisonError::into_inner).add(operation, bytes);
        }
    }
}

/// Shows what passed a [`Tap`].
#[derive(Clone, Debug)]
pub struct Watch(Arc<Mutex<Traffic>>);

impl Watch {
    /// What passed until now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.note(Operation::Read, buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut piece = bytes;
        if let Cut::Armed(split) = &self.cut {
            self.cut = Cut::First(split.at(bytes), split.pause);
        }
        match &mut self.cut {
            Cut::Done | Cut::Armed(_) => {}
            Cut::First(left, _) => piece = bytes.get(..*left).unwrap_or(bytes),
            Cut::Held(pause) => {
                ready!(pause.as_mut().poll(cx));
                self.cut = Cut::Done;
            }
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, piece))?;
        if let Cut::First(left, pause) = &mut self.cut {
            *left = left.saturating_sub(written);
            if *left == 0 {
                let pause = *pause;
                self.cut = Cut::Held(Box::pin(sleep(pause)));
            }
        }
        self.note(Operation::Write, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_first_write_leaves_in_two() {
        let (near, mut far) = tokio::io::duplex(1024);
        let split = Split { within: b"lo w".to_vec(), pause: Duration::from_millis(30) };
        let mut tap = Tap::new(near, Some(split));
        let watch = tap.watch();
        tap.write_all(b"hello world").await.unwrap();
        let mut buffer = [0; 64];
        let n = far.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..n], b"hello world");
        tap.write_all(b"more").await.unwrap();
        let sizes: Vec<_> = watch.traffic().events.iter().map(|event| event.bytes).collect();
        assert_eq!(sizes, [5, 6, 4]);
        let events = watch.traffic().events;
        assert!(events[1].at - events[0].at >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn the_longest_silence_is_noted() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut tap = Tap::new(near, None);
        let watch = tap.watch();
        let mut buffer = [0; 5];
        for pause in [0, 80, 10] {
            sleep(Duration::from_millis(pause)).await;
            far.write_all(b"12345").await.unwrap();
            tap.read_exact(&mut buffer).await.unwrap();
        }
        let traffic = watch.traffic();
        let (after, gap) = traffic.longest_gap.unwrap();
        assert_eq!((after, traffic.received, traffic.sent), (5, 15, 0));
        assert!(gap >= Duration::from_millis(80));
    }
}
