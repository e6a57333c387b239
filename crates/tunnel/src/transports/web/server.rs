//! The server's side of `web`.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use super::pipe::Pipe;
use super::token::{Early, Kind, Ticket, Tickets, Way, carried, open};
use super::{Mode, PIECE_LEN_MAX, PIECES_MAX};
use crate::transports::door::Doorman;
use crate::transports::plain::Hello;
use crate::transports::{Arrived, Duplex, Later, give};

/// A piece without anything to send is held back for so long, in the hope that something comes.
const HOLD: Duration = Duration::from_secs(10);
/// A path that consists of pieces is over when none of them comes for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What carries a request.
#[derive(Clone, Copy, Debug)]
pub enum Channel {
    /// A TLS connection that ends here, with its [exporter](super::EXPORTER_LABEL).
    Tls([u8; 32]),
    /// Something between ends TLS: nothing outer binds a path to the client.
    Relayed,
}

/// The tunnel's part of a web server.
pub struct Web {
    door: Arc<Doorman>,
    paths: Arc<Paths>,
    arrived: mpsc::UnboundedSender<Arrived>,
}

type Paths = Mutex<HashMap<[u8; 16], Arc<Path>>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path whose requests come one by one.
struct Path {
    tickets: Tickets,
    mode: Mode,
    up: Pipe,
    down: Pipe,
    /// Of requests that ask for bytes, and of those that bring some.
    turns: [Turn; 2],
    /// How many requests there were.
    asked: AtomicU32,
}

/// Whose turn it is of requests that came in no order.
#[derive(Default)]
struct Turn(Mutex<(u32, Vec<Waker>)>);

impl Turn {
    /// Waits for this number's turn; false if it was before, or is too far ahead.
    async fn come(&self, number: u32) -> bool {
        std::future::poll_fn(|context| {
            let mut turn = locked(&self.0);
            match number.checked_sub(turn.0) {
                Some(0) => Poll::Ready(true),
                Some(1..PIECES_MAX) => {
                    turn.1.push(context.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(false),
            }
        })
        .await
    }

    fn pass(&self) {
        let mut turn = locked(&self.0);
        turn.0 = turn.0.saturating_add(1);
        std::mem::take(&mut turn.1).into_iter().for_each(Waker::wake);
    }
}

impl Path {
    fn new(tickets: Tickets, mode: Mode) -> Self {
        let (up, down) = (Pipe::default(), Pipe::default());
        Self { tickets, mode, up, down, turns: Default::default(), asked: AtomicU32::new(0) }
    }

    /// It has lost something, and is over.
    fn fail(&self) {
        for pipe in [&self.up, &self.down] {
            pipe.end(Some(io::ErrorKind::ConnectionReset));
        }
    }
}

/// Ends a path unless its request was carried to the end.
struct Unfinished<'a>(Option<&'a Path>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            path.fail();
        }
    }
}

/// Whether a request may come from somebody who holds a card, or wants to look so.
#[must_use]
pub fn is_attempt(headers: &http::HeaderMap) -> bool {
    carried(headers).is_some()
}

impl Web {
    /// Paths that arrive go to `arrived`.
    #[must_use]
    pub fn new(door: Arc<Doorman>, arrived: mpsc::UnboundedSender<Arrived>) -> Self {
        Self { door, paths: Arc::default(), arrived }
    }

    /// Answers a request of somebody who holds a card, `from` this address. If they may not begin a path, for too many
    /// were tried from there, they may go on with one.
    ///
    /// # Errors
    /// Gives the request of anybody else back, as it came.
    pub async fn answer<B>(
        &self,
        request: Request<B>,
        channel: Channel,
        from: Option<IpAddr>,
        may_begin: bool,
    ) -> Result<Response<WebBody>, Request<B>>
    where
        B: Body<Data = Bytes> + Send,
    {
        let bytes = carried(request.headers());
        let way = match *request.method() {
            Method::GET => Way::Down,
            Method::POST => Way::Up,
            _ => return Err(request),
        };
        let found = bytes.as_deref().and_then(|bytes| self.find(bytes, way));
        if let Some((path, number)) = found {
            path.asked.fetch_add(1, Ordering::Relaxed);
            return Ok(match way {
                Way::Down => piece(&path, number).await,
                Way::Up => take(&path, number, request.into_body()).await,
            });
        }
        if !may_begin {
            return Err(request);
        }
        let flight = bytes.as_deref().filter(|_| way == Way::Down);
        match open(&self.door, flight, Kind::Web, channel) {
            Some((hello, early)) => match self.begin(&hello, early, from).await {
                Some(response) => Ok(response),
                None => Err(request),
            },
            None => Err(request),
        }
    }

    /// The path of a ticket.
    fn find(&self, bytes: &[u8], way: Way) -> Option<(Arc<Path>, u32)> {
        let ticket = Ticket::read(bytes)?;
        let path = locked(&self.paths).get(&ticket.path).cloned()?;
        path.tickets.is_good(way, &ticket).then_some((path, ticket.number))
    }

    async fn begin(&self, hello: &Hello, early: Early, from: Option<IpAddr>) -> Option<Response<WebBody>> {
        let card = self.door.card(&hello.access)?;
        let path = Arc::new(Path::new(Tickets::new(&hello.export(b"daylight web 1")?), early.mode));
        locked(&self.paths).insert(path.tickets.path, path.clone());
        match early.mode {
            // Nothing follows what this request is answered with.
            Mode::Streams => path.turns[0].pass(),
            Mode::Pieces => drop(tokio::spawn(expire(self.paths.clone(), path.clone()))),
        }
        let connection =
            Connection { path: path.clone(), paths: Arc::downgrade(&self.paths), read: Bytes::new() };
        let answer = move |bytes: Vec<u8>| -> Later<io::Result<Box<dyn Duplex>>> {
            connection.path.down.put(bytes.into());
            Box::pin(async move { Ok(Box::new(connection) as Box<dyn Duplex>) })
        };
        let arrived = Arrived {
            first: early.first,
            access_secret: card.session,
            binding: early.binding,
            shows_sizes: false,
            answer: Box::new(answer),
            transport: "web",
            from,
        };
        self.arrived.send(arrived).ok()?;
        Some(match early.mode {
            Mode::Streams => body(WebBody(Content::Stream(path))),
            Mode::Pieces => piece(&path, 0).await,
        })
    }
}

/// Ends a path that consists of pieces when none comes any more.
async fn expire(paths: Arc<Paths>, path: Arc<Path>) {
    let mut asked = 0;
    loop {
        tokio::time::sleep(PATIENCE).await;
        let now_asked = path.asked.load(Ordering::Relaxed);
        if std::mem::replace(&mut asked, now_asked) == now_asked {
            path.fail();
            locked(&paths).remove(&path.tickets.path);
            return;
        }
    }
}

/// The next piece of what the server sends.
async fn piece(path: &Path, number: u32) -> Response<WebBody> {
    let mut unfinished = Unfinished(Some(path));
    if !path.turns[0].come(number).await {
        return empty(StatusCode::CONFLICT);
    }
    let mut bytes = BytesMut::new();
    let fill = std::future::poll_fn(|context| {
        while bytes.len() < PIECE_LEN_MAX {
            match path.down.poll_next(context, PIECE_LEN_MAX - bytes.len()) {
                Poll::Ready(Ok(Some(more))) => bytes.extend_from_slice(&more),
                Poll::Ready(Ok(None)) if bytes.is_empty() => return Poll::Ready(Ok(false)),
                Poll::Pending if bytes.is_empty() => return Poll::Pending,
                Poll::Ready(Ok(None)) | Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(true))
    });
    match tokio::time::timeout(HOLD, fill).await.unwrap_or(Ok(true)) {
        Ok(true) => {
            path.turns[0].pass();
            unfinished.0 = None;
            body(WebBody(Content::Whole(bytes.freeze())))
        }
        Ok(false) => {
            unfinished.0 = None;
            empty(StatusCode::GONE)
        }
        Err(_) => empty(StatusCode::GONE),
    }
}

/// What a request brings.
async fn take<B: Body<Data = Bytes> + Send>(path: &Path, number: u32, body: B) -> Response<WebBody> {
    let mut unfinished = Unfinished(Some(path));
    if !path.turns[1].come(number).await {
        return empty(StatusCode::CONFLICT);
    }
    let (mut body, mut came) = (pin!(body), 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return empty(StatusCode::BAD_REQUEST) };
        let Ok(data) = frame.into_data() else { continue };
        if std::future::poll_fn(|context| path.up.poll_room(context)).await.is_err() {
            return empty(StatusCode::GONE);
        }
        came += data.len();
        path.up.put(data);
    }
    // A stream has one end, and an empty piece says it.
    if path.mode == Mode::Streams || came == 0 {
        path.up.end(None);
    }
    path.turns[1].pass();
    unfinished.0 = None;
    empty(StatusCode::NO_CONTENT)
}

fn empty(status: StatusCode) -> Response<WebBody> {
    let mut response = Response::new(WebBody(Content::Whole(Bytes::new())));
    *response.status_mut() = status;
    response
}

fn body(body: WebBody) -> Response<WebBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Said to nginx: what is sent is to go out at once.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The body of an answer.
pub struct WebBody(Content);

enum Content {
    Whole(Bytes),
    Stream(Arc<Path>),
    Over,
}

impl Body for WebBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.0 {
            Content::Whole(bytes) => Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
            Content::Stream(path) => ready!(path.down.poll_next(context, usize::MAX)),
            Content::Over => Ok(None),
        };
        if !matches!(next, Ok(Some(_))) {
            // What is dropped before its end was given up by the client.
            self.0 = Content::Over;
        }
        Poll::Ready(next.transpose().map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(_) => false,
            Content::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
            Content::Over => SizeHint::with_exact(0),
        }
    }
}

impl Drop for WebBody {
    fn drop(&mut self) {
        if let Content::Stream(path) = &self.0 {
            path.fail();
        }
    }
}

/// A path, as the session has it.
struct Connection {
    path: Arc<Path>,
    paths: Weak<Paths>,
    read: Bytes,
}

impl Duplex for Connection {}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            this.read = ready!(this.path.up.poll_next(context, usize::MAX))?.unwrap_or_default();
        }
        give(&mut this.read, buffer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.path.down.poll_room(context))?;
        self.path.down.put(Bytes::copy_from_slice(data));
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.path.down.end(None);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.path.down.end(None);
        self.path.up.end(Some(io::ErrorKind::ConnectionAborted));
        if let (Mode::Streams, Some(paths)) = (self.path.mode, self.paths.upgrade()) {
            locked(&paths).remove(&self.path.tickets.path);
        }
    }
}
