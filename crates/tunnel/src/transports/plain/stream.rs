//! `plain` over a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand_core::CryptoRng;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::elligator::Representative;
use super::hello::{Access, ClientHello, Hello, HelloReader, Listener, Progress, Refusal};
use super::keys::Suite;
use super::record::{Opener, RecordError, Sealer, Traffic};
use super::replay::Repeated;
use crate::transports::give;

/// The most data that goes into one record, in bytes.
const CHUNK_LEN_MAX: usize = 16 << 10;
/// Read at once, in bytes.
const READ_LEN: usize = 64 << 10;
/// So many records of each direction are padded, whatever is in them: in them the protocol within shows most.
const PADDED: u32 = 8;
const PADDING_MAX: u32 = 700;
/// A server waits so long for a first flight, in seconds, and longer by up to as much.
const PATIENCE_S: u32 = 60;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The card's key is none, or too much was to go along.
    #[error("the card's key is no key, or {early_len} bytes are too many to be sent along")]
    NoFlight {
        /// What was to go along, in bytes.
        early_len: usize,
    },
    /// The server does not answer as it should.
    #[error("whoever answers is not the server of this card")]
    NotTheServer,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Connects over `connection`: sends the first flight with `early`, and waits for the answer. `now_s` is in seconds since
/// 1970.
///
/// # Errors
/// If the connection fails or what answers is not the card's server. A server that refuses is silent: the caller limits how
/// long to wait.
pub async fn connect<T: AsyncRead + AsyncWrite + Unpin, R: CryptoRng + Unpin>(
    mut connection: T,
    server: &[u8; 32],
    access: &Access,
    suite: Suite,
    now_s: u64,
    early: &[u8],
    mut random: R,
) -> Result<Stream<T, R>, ConnectError> {
    let (hello, flight) = ClientHello::new(server, access, suite, now_s, early, &mut random)
        .ok_or(ConnectError::NoFlight { early_len: early.len() })?;
    connection.write_all(&flight).await?;
    let mut answer: Representative = [0; 32];
    connection.read_exact(&mut answer).await?;
    let traffic = hello.answer(&answer).ok_or(ConnectError::NotTheServer)?;
    Ok(Stream::new(connection, traffic, BytesMut::new(), random))
}

/// Why somebody was not let in. They learn nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum Unwelcome {
    /// What came is no first flight, or not a good one.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It came before, or may have.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// Nothing that was whole came before the connection ended, or in time.
    #[error("no whole first flight came")]
    Incomplete,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// A client that was let in.
pub struct Accepted<T, R> {
    /// The connection.
    pub stream: Stream<T, R>,
    /// Whose card it was.
    pub access: [u8; 8],
    /// What came along with the first flight.
    pub early: Vec<u8>,
}

/// What a server knows while it listens.
pub trait Door {
    /// The server's key.
    fn listener(&self) -> &Listener;
    /// The secret of the card with this identifier, if there is one.
    fn secret(&self, access: &[u8; 8]) -> Option<[u8; 32]>;
    /// Seconds since 1970.
    fn now_s(&self) -> u64;
    /// Remembers a flight for good, or says that it came before.
    ///
    /// # Errors
    /// If it is not to be taken.
    fn remember(&self, hello: &Hello) -> Result<(), Repeated>;
}

/// Waits for a first flight, and makes the answer: it goes out with what is written first, so that it has no size of its own,
/// or when the stream is flushed. Whoever sends anything else gets nothing: what they send is read and thrown
/// away until they end the connection, or until a time that does not depend on it; only then this returns.
///
/// # Errors
/// If nobody is to be let in; the connection is to be closed.
pub async fn accept<T: AsyncRead + AsyncWrite + Unpin, R: CryptoRng + Unpin>(
    mut connection: T,
    door: &impl Door,
    mut random: R,
) -> Result<Accepted<T, R>, Unwelcome> {
    let end = end(&mut random);
    let mut reader = HelloReader::default();
    let mut bytes = vec![0; 4096];
    let refused = loop {
        let length = match timeout_at(end, connection.read(&mut bytes)).await {
            Ok(Ok(0)) | Err(_) => return Err(Unwelcome::Incomplete),
            Ok(length) => length?,
        };
        let read = bytes.get(..length).unwrap_or_default();
        match reader.read(read, door.listener(), door.now_s(), |access| door.secret(access)) {
            Progress::Need => {}
            Progress::Refused(refusal) => break Unwelcome::Refused(refusal),
            Progress::Hello(hello) => match door.remember(&hello) {
                Ok(()) => {
                    let Some((answer, traffic)) = hello.answer(&mut random) else {
                        break Unwelcome::Refused(Refusal::NotMine);
                    };
                    let Hello { access, early, rest, .. } = *hello;
                    let mut stream = Stream::new(connection, traffic, rest.as_slice().into(), random);
                    stream.out.extend(answer);
                    return Ok(Accepted { stream, access, early });
                }
                Err(repeated) => break Unwelcome::Repeated(repeated),
            },
        }
    };
    discard(&mut connection, &mut bytes, end).await;
    Err(refused)
}

/// Treats somebody as [`accept`] does those who are not let in, without looking at what they send.
pub async fn ignore<T: AsyncRead + Unpin>(mut connection: T, mut random: impl CryptoRng) {
    discard(&mut connection, &mut [0; 4096], end(&mut random)).await;
}

/// Until when somebody is waited for.
fn end(random: &mut impl CryptoRng) -> Instant {
    let ms = PATIENCE_S * 1000 + random.next_u32() % (PATIENCE_S * 1000);
    Instant::now() + Duration::from_millis(ms.into())
}

async fn discard(connection: &mut (impl AsyncRead + Unpin), bytes: &mut [u8], end: Instant) {
    while let Ok(Ok(1..)) = timeout_at(end, connection.read(bytes)).await {}
}

/// A connection: what is written on one side is read on the other, and the end of it.
pub struct Stream<T, R> {
    connection: T,
    random: R,
    seal: Sealer,
    open: Opener,
    /// Came, and is not opened.
    wire: BytesMut,
    /// Opened, and not read.
    data: Bytes,
    /// The other side has said that nothing more comes.
    is_at_end: bool,
    /// Sealed, and not sent: from `sent` on.
    out: Vec<u8>,
    sent: usize,
    /// Records so far, as far as it matters.
    sealed: u32,
    has_ended: bool,
}

impl<T, R: CryptoRng> Stream<T, R> {
    fn new(connection: T, traffic: Traffic, wire: BytesMut, random: R) -> Self {
        let Traffic { seal, open } = traffic;
        Self {
            connection,
            random,
            seal,
            open,
            wire,
            data: Bytes::new(),
            is_at_end: false,
            out: Vec::new(),
            sent: 0,
            sealed: 0,
            has_ended: false,
        }
    }

    /// Says that what was written is all; it goes out with the next flush, and the connection stays open.
    ///
    /// # Errors
    /// If it can't be said.
    pub(super) fn end_records(&mut self) -> io::Result<()> {
        self.has_ended = true;
        self.seal(b"")
    }

    /// The connection, and what came on it after the last record. Everything written must have gone out.
    ///
    /// # Errors
    /// If records may still come that can't be told from what follows them.
    pub(super) fn into_bare(self) -> io::Result<(T, Bytes)> {
        let has_rest = self.is_at_end && self.data.is_empty() || self.has_ended;
        if has_rest && self.out.is_empty() {
            Ok((self.connection, self.wire.freeze()))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the server said more than it may in its answer"))
        }
    }

    /// The connection that carries it.
    pub fn get_ref(&self) -> &T {
        &self.connection
    }

    fn padding(&mut self, length: usize) -> usize {
        let most = match length {
            _ if self.sealed < PADDED => PADDING_MAX,
            // What is full says nothing by its length; what is not says less with some.
            0..1024 => 128,
            _ => return 0,
        };
        self.sealed = self.sealed.saturating_add(1);
        (self.random.next_u32() % most) as usize
    }

    fn seal(&mut self, data: &[u8]) -> io::Result<()> {
        let padding = self.padding(data.len());
        self.seal.seal(data, padding, self.has_ended, &mut self.out).map_err(damaged)
    }
}

fn damaged(error: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<T: AsyncWrite + Unpin, R: CryptoRng> Stream<T, R> {
    /// Sends what is sealed.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.connection).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.sent += length,
            }
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin, R: Unpin> AsyncRead for Stream<T, R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.data.is_empty() {
                give(&mut this.data, buffer);
                return Poll::Ready(Ok(()));
            }
            if this.is_at_end {
                return Poll::Ready(Ok(()));
            }
            if let Some(opened) = this.open.open(&mut this.wire).map_err(damaged)? {
                (this.data, this.is_at_end) = (opened.data, opened.is_end);
                continue;
            }
            this.wire.reserve(READ_LEN.max(this.open.wanted(&this.wire)));
            let read = tokio_util::io::poll_read_buf(Pin::new(&mut this.connection), context, &mut this.wire);
            if ready!(read)? == 0 {
                // Somebody else's end: what was sent ends with a record that says so.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin, R: CryptoRng + Unpin> AsyncWrite for Stream<T, R> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() >= CHUNK_LEN_MAX {
            ready!(this.poll_sent(context))?;
        }
        let data = &data[..data.len().min(CHUNK_LEN_MAX)];
        if this.has_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !data.is_empty() {
            this.seal(data)?;
        }
        // Taken, whether it goes out now or with the next.
        match this.poll_sent(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(data.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sent(context))?;
        Pin::new(&mut this.connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_ended {
            ready!(this.poll_sent(context))?;
            this.has_ended = true;
            this.seal(b"")?;
        }
        ready!(this.poll_sent(context))?;
        Pin::new(&mut this.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tokio::io::{DuplexStream, duplex};

    use super::super::replay::Memory;
    use super::*;

    const NOW: u64 = 1_795_000_000;
    const ACCESS: Access = Access { id: *b"flier 17", secret: [9; 32] };

    struct Server {
        listener: Listener,
        memory: Mutex<Memory>,
        _folder: tempfile::TempDir,
    }

    impl Server {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let memory = Memory::open(&folder.path().join("flights"), [b'a'; 36], NOW).unwrap();
            Self { listener: Listener::new([5; 32]).unwrap(), memory: Mutex::new(memory), _folder: folder }
        }
    }

    impl Door for Server {
        fn listener(&self) -> &Listener {
            &self.listener
        }

        fn secret(&self, access: &[u8; 8]) -> Option<[u8; 32]> {
            (*access == ACCESS.id).then_some(ACCESS.secret)
        }

        fn now_s(&self) -> u64 {
            NOW
        }

        fn remember(&self, hello: &Hello) -> Result<(), Repeated> {
            self.memory.lock().unwrap().take(&hello.representative, hello.time_s, NOW)
        }
    }

    fn random(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    /// Accepted, and answered at once.
    async fn welcome(
        far: DuplexStream,
        server: &Server,
        seed: u64,
    ) -> Result<Accepted<DuplexStream, StdRng>, Unwelcome> {
        let mut accepted = accept(far, server, random(seed)).await?;
        accepted.stream.flush().await?;
        Ok(accepted)
    }

    async fn client(wire: DuplexStream, server: &Server, seed: u64) -> Stream<DuplexStream, StdRng> {
        let key = server.listener.public();
        connect(wire, key, &ACCESS, Suite::Aes128Gcm, NOW, b"early", random(seed)).await.unwrap()
    }

    #[tokio::test]
    async fn carries_both_ways_at_once() {
        let server = Server::new();
        // Smaller than a record, so that everything stops and goes on in the middle.
        let (near, far) = duplex(1000);
        let serve = async {
            let Accepted { stream, access, early } = welcome(far, &server, 2).await.unwrap();
            assert_eq!((access, &early[..]), (ACCESS.id, &b"early"[..]));
            let (mut read, mut write) = tokio::io::split(stream);
            let length = tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
            length
        };
        let sent: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        let ask = async {
            let (mut read, mut write) = tokio::io::split(client(near, &server, 1).await);
            let mut back = Vec::new();
            let (wrote, read) = tokio::join!(
                async {
                    write.write_all(&sent).await?;
                    write.shutdown().await
                },
                read.read_to_end(&mut back)
            );
            wrote.unwrap();
            read.unwrap();
            back
        };
        let (length, back) = tokio::join!(serve, ask);
        assert_eq!((length, back.len()), (300_000, 300_000));
        assert!(back == sent);
    }

    /// What a connection gets in answer to these bytes, and whether it ends before it is ended.
    async fn probe(server: &Server, sent: &[u8]) -> (Vec<u8>, bool) {
        let (mut near, far) = duplex(1 << 20);
        let mut got = Vec::new();
        let ask = async {
            near.write_all(sent).await.unwrap();
            let waited = tokio::time::timeout(Duration::from_secs(50), near.read_buf(&mut got)).await;
            let has_ended = waited.is_ok();
            near.shutdown().await.unwrap();
            has_ended
        };
        let (served, has_ended) = tokio::join!(accept(far, server, random(7)), ask);
        assert!(served.is_err());
        (got, has_ended)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_card_gets_nothing() {
        let server = Server::new();
        let mut noise = [0; 3000];
        rand_core::Rng::fill_bytes(&mut random(3), &mut noise);
        for length in [0, 1, 7, 33, 49, 64, 86, 221, 700, 3000] {
            assert_eq!(probe(&server, &noise[..length]).await, (vec![], false), "{length}");
        }
        assert_eq!(probe(&server, b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").await, (vec![], false));
        // Also not with what somebody else sent, whole, cut or changed.
        let key = server.listener.public();
        let (_, flight) = ClientHello::new(key, &ACCESS, Suite::Aes128Gcm, NOW, b"", &mut random(4)).unwrap();
        let (near, far) = duplex(1 << 20);
        let ask = async {
            let mut near = near;
            near.write_all(&flight).await.unwrap();
            near.read_u8().await.unwrap();
        };
        assert!(tokio::join!(welcome(far, &server, 5), ask).0.is_ok());
        assert_eq!(probe(&server, &flight).await, (vec![], false));
        assert_eq!(probe(&server, &flight[..flight.len() - 1]).await, (vec![], false));
        for at in (0..flight.len()).step_by(37) {
            let mut changed = flight.clone();
            changed[at] ^= 0x10;
            assert_eq!(probe(&server, &changed).await, (vec![], false), "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_a_time_of_its_own() {
        let server = Server::new();
        let start = Instant::now();
        let mut ends = Vec::new();
        for (seed, sent) in [&b""[..], b"x", &[1; 5000]].into_iter().cycle().take(12).enumerate() {
            let (mut near, far) = duplex(1 << 20);
            near.write_all(sent).await.unwrap();
            let before = Instant::now();
            assert!(accept(far, &server, random(seed as u64)).await.is_err());
            ends.push(before.elapsed().as_secs());
        }
        assert!(ends.iter().all(|end| (60..120).contains(end)), "{ends:?}");
        ends.sort_unstable();
        ends.dedup();
        assert!(ends.len() > 6, "{ends:?} after {:?}", start.elapsed());
    }

    #[tokio::test]
    async fn an_end_that_was_not_said_is_an_error() {
        let server = Server::new();
        let (near, far) = duplex(1 << 20);
        let (served, mut client) = tokio::join!(welcome(far, &server, 2), client(near, &server, 1));
        let mut stream = served.unwrap().stream;
        stream.write_all(b"half").await.unwrap();
        drop(stream);
        let mut got = Vec::new();
        let error = client.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((error.kind(), &got[..]), (io::ErrorKind::UnexpectedEof, &b"half"[..]));
    }
}
