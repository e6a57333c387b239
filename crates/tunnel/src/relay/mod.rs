//! Copies bytes between a connection and a stream of the tunnel, both ways at once, at either end of the tunnel.
//!
//! A direction that ends leaves the other open. What a session gives and takes is not copied on the way. Pieces are large,
//! for the sake of few system calls, and an idle connection has no buffer.

mod side;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

pub use side::{Plain, READ_LEN, Side};

/// How many bytes went each way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Carried {
    /// From the first to the second.
    pub forth: u64,
    /// From the second to the first.
    pub back: u64,
}

/// One of the two ways between two sides.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Way {
    /// From the first to the second.
    Forth,
    /// From the second to the first.
    Back,
}

/// Is told of all bytes, and may slow them down.
pub trait Meter {
    /// So many bytes have come, and are handed on. If it gives a time, no more are read that way before it.
    fn carry(&mut self, way: Way, len: usize) -> Option<Instant>;
}

/// Counts nothing, and costs nothing.
impl Meter for () {
    fn carry(&mut self, _: Way, _: usize) -> Option<Instant> {
        None
    }
}

/// Copies until both directions have ended. One that can't be written any more ends, and the other goes on.
///
/// # Errors
/// If a side is cut off while it is read, at once, or if one can't be written, at the end. What had come was written.
pub async fn relay<A, B>(one: &mut A, other: &mut B) -> io::Result<Carried>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    relay_metered(&mut Plain(one), &mut Plain(other), ()).await
}

/// [`relay`] for a program's connection: if the other is cut off, so is it, lest half a file look whole.
pub async fn relay_program<T: AsyncRead + AsyncWrite + Unpin>(program: TcpStream, mut tunnelled: T) {
    // Nobody is left to be told.
    let _ = relay_connection(program, Plain(&mut tunnelled), ()).await;
}

/// Relays between a connection and a stream of the tunnel, with a meter for what goes; the connection is the first. If
/// one is cut off so is the other, lest half a file look whole.
///
/// # Errors
/// If one was cut off, or takes no more.
pub async fn relay_connection(
    mut connection: TcpStream,
    mut tunnelled: impl Side,
    meter: impl Meter,
) -> io::Result<Carried> {
    let carried = relay_metered(&mut Plain(&mut connection), &mut tunnelled, meter).await;
    if carried.is_err() {
        // A reset rather than an end. Nothing else is left to do if it fails.
        let _ = connection.set_zero_linger();
    }
    carried
}

async fn relay_metered(
    one: &mut impl Side,
    other: &mut impl Side,
    mut meter: impl Meter,
) -> io::Result<Carried> {
    let (mut forth, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        let forth_is_over = forth.poll(cx, one, other, |len| meter.carry(Way::Forth, len))?.is_ready();
        let back_is_over = back.poll(cx, other, one, |len| meter.carry(Way::Back, len))?.is_ready();
        if !forth_is_over || !back_is_over {
            return Poll::Pending;
        }
        match forth.failure.take().or_else(|| back.failure.take()) {
            Some(failure) => Poll::Ready(Err(failure)),
            None => Poll::Ready(Ok(Carried { forth: forth.carried, back: back.carried })),
        }
    })
    .await
}

/// One direction.
#[derive(Default)]
struct Direction {
    /// Was read, and is to be written.
    data: Bytes,
    carried: u64,
    is_unflushed: bool,
    /// Until it is over nothing is read.
    pause: Option<Pin<Box<Sleep>>>,
    state: State,
    /// The writer's.
    failure: Option<io::Error>,
}

#[derive(Default)]
enum State {
    #[default]
    Copying,
    Ending,
    Over,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl Side,
        writer: &mut impl Side,
        mut meter: impl FnMut(usize) -> Option<Instant>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ending => {
                    let outcome = ready!(writer.poll_shutdown(cx));
                    self.end(outcome.err());
                }
                State::Copying => {
                    if let Err(failure) = ready!(self.poll_write(cx, writer)) {
                        self.end(Some(failure));
                        continue;
                    }
                    match self.poll_read(cx, reader)? {
                        Poll::Ready(Some(data)) => {
                            let resume = meter(data.len());
                            self.pause = resume.map(|at| Box::pin(sleep_until(at.into())));
                            self.data = data;
                        }
                        Poll::Ready(None) => self.state = State::Ending,
                        Poll::Pending if self.is_unflushed => {
                            let outcome = ready!(writer.poll_flush(cx));
                            self.is_unflushed = false;
                            if let Err(failure) = outcome {
                                self.end(Some(failure));
                            }
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }

    fn end(&mut self, failure: Option<io::Error>) {
        (self.data, self.state, self.failure) = (Bytes::new(), State::Over, failure);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, writer: &mut impl Side) -> Poll<io::Result<()>> {
        while !self.data.is_empty() {
            let before = self.data.len();
            ready!(writer.poll_write_bytes(cx, &mut self.data))?;
            self.carried += (before - self.data.len()) as u64;
            self.is_unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, reader: &mut impl Side) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        reader.poll_read_bytes(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn half_closed_stays_open() {
        let (mut program, mut inner) = duplex(16);
        let (mut outer, mut server) = duplex(16);
        let relaying = tokio::spawn(async move { relay(&mut inner, &mut outer).await });
        program.write_all(b"a request that is longer than the pipe").await.unwrap();
        program.shutdown().await.unwrap();
        let mut request = String::new();
        server.read_to_string(&mut request).await.unwrap();
        assert_eq!(request, "a request that is longer than the pipe");
        server.write_all(b"the answer, later").await.unwrap();
        drop(server);
        let mut answer = String::new();
        program.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "the answer, later");
        assert_eq!(relaying.await.unwrap().unwrap(), Carried { forth: 38, back: 17 });
    }

    #[tokio::test]
    async fn large_and_small_pieces_arrive_as_they_were() {
        let (mut program, inner) = duplex(3 * READ_LEN);
        let (outer, mut server) = duplex(2 * READ_LEN);
        tokio::spawn(async move {
            let (mut inner, mut outer) = (inner, outer);
            relay(&mut inner, &mut outer).await
        });
        let sent: Vec<u8> = (0..1_000_003_u32).map(|at| (at % 251) as u8).collect();
        let expected = sent.clone();
        tokio::spawn(async move {
            let mut rest = &sent[..];
            for len in [1, 100, READ_LEN - 1, READ_LEN, READ_LEN / 2 + 1].into_iter().cycle() {
                let (piece, after) = rest.split_at(len.min(rest.len()));
                program.write_all(piece).await.unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            program.shutdown().await.unwrap();
        });
        let mut came = Vec::new();
        server.read_to_end(&mut came).await.unwrap();
        assert!(came == expected);
    }

    /// A thousand bytes a second one way, as fast as it goes the other.
    struct Slow;

    impl Meter for Slow {
        fn carry(&mut self, way: Way, len: usize) -> Option<Instant> {
            let now = tokio::time::Instant::now().into_std();
            (way == Way::Forth).then(|| now + Duration::from_millis(len as u64))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_meter_slows_one_way() {
        let (mut program, inner) = duplex(1000);
        let (outer, mut server) = duplex(10_000);
        let relaying = tokio::spawn(async move {
            let (mut inner, mut outer) = (inner, outer);
            relay_metered(&mut Plain(&mut inner), &mut Plain(&mut outer), Slow).await
        });
        let begin = tokio::time::Instant::now();
        server.write_all(&[2; 5000]).await.unwrap();
        let mut back = [0; 5000];
        program.read_exact(&mut back).await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let mut forth = vec![0; 3500];
        let (sent, came) = tokio::join!(program.write_all(&[1; 3500]), server.read_exact(&mut forth));
        sent.unwrap();
        came.unwrap();
        // What comes last is not waited for.
        assert_eq!(begin.elapsed().as_secs(), 3);
        drop((program, server));
        assert_eq!(relaying.await.unwrap().unwrap(), Carried { forth: 3500, back: 5000 });
    }
}
