//! Drives sessions: gives them the clock and the connections of transports, and gives applications streams and datagrams.
//!
//! A session is behind a lock that is held for a few microseconds at a time. Its paths are tasks, each of which
//! moves bytes between one connection and the session; one task more keeps its clock. Whoever waits for a session to
//! change leaves a waker with it, and is woken after the lock is free.

mod association;
mod gate;
mod path;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use daylight_session::{
    ClientConfig, CloseReason, Destination, Event, PathError, PathId, Session, SessionId, Stats, StreamId,
    UseError, code,
};
use tokio::sync::{Notify, mpsc};

pub use association::Association;
pub use gate::{Gate, NewSession, Unwelcome};
pub use path::{PathEnd, PathFailure};
pub use stream::Stream;

/// A session that is driven, on one side. Clones are the same session; [`Driver::close`] ends it, dropping them does not.
#[derive(Clone)]
pub struct Driver(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The next time at which something is due has come nearer.
    earlier: Notify,
}

struct State {
    session: Session,
    streams: HashMap<StreamId, Waiting>,
    /// Tasks of paths, to be woken when there is something to send.
    paths: HashMap<PathId, Waker>,
    paths_ended: HashMap<PathId, PathError>,
    /// What waits for the session to be made, or for a stream to end.
    openers: Vec<Waker>,
    /// Streams that the client opened.
    opened: VecDeque<Opened>,
    associations: HashMap<u64, association::Inbox>,
    next_association: u64,
    /// Associations that the client began.
    begun: VecDeque<u64>,
    accepting: [Option<Waker>; 2],
    news: Option<mpsc::UnboundedSender<News>>,
    closed: Option<CloseReason>,
    closing: Vec<Waker>,
    /// When the clock's task will wake by itself.
    sleeps_until: Option<Instant>,
    /// To be woken when the lock is free.
    woken: Vec<Waker>,
}

/// Who waits for a stream, and what was told about it.
#[derive(Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
    is_connected: bool,
}

/// A stream that a client opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// To be [accepted](Driver::accept_stream) or [refused](Driver::refuse).
    pub stream: StreamId,
    /// Where it is to go.
    pub destination: Destination,
}

/// What happened to a session's paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// The session is there: streams can be opened.
    Established(SessionId),
    /// The path has its keys.
    Ready(PathId),
    /// The peer has owed an answer for too long.
    Stalled(PathId),
    /// It answered after all.
    Revived(PathId),
    /// The path is over.
    Ended(PathId, PathError),
    /// The session is.
    Closed(CloseReason),
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The server says why, by a [code] of the session's.
    #[error("{}", reason(*.0))]
    Refused(u64),
    /// The session is over.
    #[error("the tunnel's session has ended")]
    SessionEnded,
}

/// What a code means, in words.
#[must_use]
pub fn reason(code: u64) -> &'static str {
    match code {
        code::NONE => "the stream was ended",
        code::NOT_ALLOWED => "the server does not allow this destination",
        code::NETWORK_UNREACHABLE => "the destination's network is unreachable",
        code::HOST_UNREACHABLE => "the destination is unreachable",
        code::REFUSED => "the destination refused the connection",
        code::TIMEOUT => "the destination did not answer in time",
        code::NAME => "there is no such name, or it has no address",
        code::RESET => "the connection was reset",
        code::BUSY => "the server is at a limit, or is being stopped",
        _ => "the other side failed",
    }
}

/// A stream's error as one of input and output.
fn broken(error: UseError) -> io::Error {
    let kind = match error {
        UseError::Reset(code::TIMEOUT) => io::ErrorKind::TimedOut,
        UseError::Reset(_) => io::ErrorKind::ConnectionReset,
        UseError::Ended => io::ErrorKind::BrokenPipe,
        UseError::SessionEnded | UseError::NoStream => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Now, by tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl State {
    fn new(session: Session, news: Option<mpsc::UnboundedSender<News>>) -> Self {
        Self {
            session,
            streams: HashMap::new(),
            paths: HashMap::new(),
            paths_ended: HashMap::new(),
            openers: Vec::new(),
            opened: VecDeque::new(),
            associations: HashMap::new(),
            next_association: 0,
            begun: VecDeque::new(),
            accepting: [None, None],
            news,
            closed: None,
            closing: Vec::new(),
            sleeps_until: None,
            woken: Vec::new(),
        }
    }

    fn tell(&mut self, news: News) {
        if let Some(listener) = &self.news {
            // Nobody need listen.
            let _ = listener.send(news);
        }
    }

    /// Hands on what happened.
    fn handle_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            let about = event.stream().and_then(|stream| self.streams.get_mut(&stream));
            match event {
                Event::Readable(_) => self.woken.extend(about.and_then(|waiting| waiting.read.take())),
                Event::Writable(_) => self.woken.extend(about.and_then(|waiting| waiting.write.take())),
                Event::Connected(_) => {
                    if let Some(waiting) = about {
                        waiting.is_connected = true;
                        self.woken.extend(waiting.read.take());
                    }
                }
                Event::Stopped(..) => {
                    self.woken.extend(about.and_then(|waiting| waiting.write.take()));
                }
                Event::Opened(stream, destination) => {
                    self.opened.push_back(Opened { stream, destination });
                    self.woken.extend(self.accepting[0].take());
                }
                Event::StreamsAvailable => self.woken.append(&mut self.openers),
                Event::DatagramReceived => self.receive_datagrams(),
                Event::AssociationEnded(association) => self.end_association(association),
                Event::Established(id) => {
                    self.woken.append(&mut self.openers);
                    self.tell(News::Established(id));
                }
                Event::PathReady(path) => self.tell(News::Ready(path)),
                Event::PathStalled(path) => self.tell(News::Stalled(path)),
                Event::PathRevived(path) => self.tell(News::Revived(path)),
                Event::PathClosed(path, error) => {
                    self.paths_ended.insert(path, error);
                    self.woken.extend(self.paths.remove(&path));
                    self.tell(News::Ended(path, error));
                }
                Event::Closed(reason) => self.handle_closed(reason),
                _ => {}
            }
        }
    }

    fn handle_closed(&mut self, reason: CloseReason) {
        self.closed = Some(reason);
        self.woken.append(&mut self.openers);
        self.woken.append(&mut self.closing);
        self.woken.extend(self.accepting.iter_mut().filter_map(Option::take));
        let streams = self.streams.values_mut();
        self.woken.extend(streams.flat_map(|waiting| [waiting.read.take(), waiting.write.take()]).flatten());
        self.woken.extend(self.associations.values_mut().filter_map(association::Inbox::close));
        self.tell(News::Closed(reason));
    }
}

/// A lock on a session, at whose end whoever has something to do now is woken.
struct Turn<'a> {
    shared: &'a Shared,
    state: Option<MutexGuard<'a, State>>,
    /// The path whose task has the turn: it asks by itself whether there is something to send.
    path: Option<PathId>,
}

impl std::ops::Deref for Turn<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        #[allow(clippy::expect_used)] // It is taken at the end alone.
        self.state.as_deref().expect("a turn that has not ended")
    }
}

impl std::ops::DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut State {
        #[allow(clippy::expect_used)] // As above.
        self.state.as_deref_mut().expect("a turn that has not ended")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        state.handle_events();
        let is_other = |path: &PathId| self.path != Some(*path);
        if state.paths.keys().any(is_other) && state.session.has_to_send() {
            let State { paths, woken, .. } = &mut *state;
            woken.extend(paths.extract_if(|path, _| is_other(path)).map(|(_, waker)| waker));
        }
        let due = state.session.poll_timeout();
        if due.is_some_and(|due| state.sleeps_until.is_none_or(|until| due < until)) || state.closed.is_some()
        {
            state.sleeps_until = due;
            self.shared.earlier.notify_one();
        }
        let mut woken = std::mem::take(&mut state.woken);
        drop(state);
        woken.drain(..).for_each(Waker::wake);
        if woken.capacity() > 0 {
            // Its memory is used again, unless somebody else's was first.
            let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.woken.capacity() == 0 {
                state.woken = woken;
            }
        }
    }
}

impl Shared {
    fn turn(&self) -> Turn<'_> {
        // A panic while it was held is the fault of one session, whose streams see it end.
        let state = Some(self.state.lock().unwrap_or_else(PoisonError::into_inner));
        Turn { shared: self, state, path: None }
    }

    /// A turn of a path's task.
    fn paths_turn(&self, path: PathId) -> Turn<'_> {
        let mut turn = self.turn();
        turn.path = Some(path);
        turn
    }

    /// Wakes the session when something is due, until it is over.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let due = {
                let mut turn = self.turn();
                let now = now();
                if turn.session.poll_timeout().is_some_and(|due| due <= now) {
                    turn.session.handle_timeout(now);
                }
                if turn.closed.is_some() {
                    return;
                }
                turn.sleeps_until = turn.session.poll_timeout();
                turn.sleeps_until
            };
            let sleep = async {
                match due {
                    // A millisecond later is soon enough, and takes along what is due with it.
                    Some(due) => tokio::time::sleep_until((due + Duration::from_millis(1)).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}

impl Driver {
    fn start(session: Session, news: Option<mpsc::UnboundedSender<News>>) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::new(session, news)), earlier: Notify::new() });
        tokio::spawn(shared.clone().keep_time());
        Self(shared)
    }

    /// A client's session, without paths. What happens to it is told to `news`.
    #[must_use]
    pub fn client(config: Arc<ClientConfig>, seed: [u8; 32], news: mpsc::UnboundedSender<News>) -> Self {
        Self::start(Session::client(config, now(), seed), Some(news))
    }

    /// Whether it is the same session.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What the session has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.turn().session.stats()
    }

    /// The last round trip of a path.
    #[must_use]
    pub fn rtt(&self, path: PathId) -> Option<Duration> {
        self.0.turn().session.rtt(path)
    }

    /// Since when the peer owes an answer on a path; none if it owes nothing.
    #[must_use]
    pub fn owed_since(&self, path: PathId) -> Option<Instant> {
        self.0.turn().session.owed_since(path)
    }

    /// Ends a path in good order; what is under way by it goes by others.
    pub fn close_path(&self, path: PathId) {
        self.0.turn().session.close_path(path, now());
    }

    /// Why the session is over, if it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.turn().closed
    }

    /// Ends the session; the peer is told if there is a path.
    pub fn close(&self, code: u64) {
        self.0.turn().session.close(code);
    }

    /// Waits until the session is over.
    pub async fn closed(&self) -> CloseReason {
        std::future::poll_fn(|context| {
            let mut turn = self.0.turn();
            match turn.closed {
                Some(reason) => Poll::Ready(reason),
                None => {
                    turn.closing.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// At a client: opens a stream, and waits for its destination to answer. Waits for the session to be made, and for a
    /// stream to end if there are as many as may be; the caller limits how long.
    ///
    /// # Errors
    /// If the server or the destination refuses, or the session is over.
    pub async fn open(&self, destination: &Destination) -> Result<Stream, OpenError> {
        let stream = std::future::poll_fn(|context| {
            let mut turn = self.0.turn();
            match turn.session.open(destination) {
                Ok(stream) => {
                    turn.streams.insert(stream, Waiting::default());
                    Poll::Ready(Ok(stream))
                }
                Err(UseError::NotReady | UseError::Limit) => {
                    turn.openers.push(context.waker().clone());
                    Poll::Pending
                }
                Err(_) => Poll::Ready(Err(OpenError::SessionEnded)),
            }
        });
        let stream = Stream::new(self.0.clone(), stream.await?);
        std::future::poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(stream)
    }

    /// At a server: the next stream that the client opens; `None` at the session's end.
    pub async fn accept(&self) -> Option<Opened> {
        std::future::poll_fn(|context| self.poll_queue(context, 0, |state| state.opened.pop_front())).await
    }

    /// At a server: the next association that the client begins; `None` at the session's end.
    pub async fn accept_association(&self) -> Option<Association> {
        let next =
            std::future::poll_fn(|context| self.poll_queue(context, 1, |state| state.begun.pop_front()));
        next.await.map(|id| Association::new(self.0.clone(), id))
    }

    fn poll_queue<T>(
        &self,
        context: &Context<'_>,
        queue: usize,
        next: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut turn = self.0.turn();
        if let Some(next) = next(&mut turn) {
            return Poll::Ready(Some(next));
        }
        if turn.closed.is_some() {
            return Poll::Ready(None);
        }
        turn.accepting[queue] = Some(context.waker().clone());
        Poll::Pending
    }

    /// At a server: the stream's destination has answered.
    ///
    /// # Errors
    /// If the client has given it up.
    pub fn accept_stream(&self, opened: &Opened) -> io::Result<Stream> {
        let mut turn = self.0.turn();
        turn.session.accept(opened.stream).map_err(broken)?;
        turn.streams.insert(opened.stream, Waiting { is_connected: true, ..Waiting::default() });
        drop(turn);
        Ok(Stream::new(self.0.clone(), opened.stream))
    }

    /// At a server: the stream goes nowhere, for a reason that is one of the session's [codes](code).
    pub fn refuse(&self, opened: &Opened, code: u64) {
        let mut turn = self.0.turn();
        // If the client has given it up, that is as well.
        let _ = turn.session.reset(opened.stream, code);
        let _ = turn.session.stop(opened.stream, code);
    }

    /// At a client: an association of datagrams, one UDP socket of an application's.
    #[must_use]
    pub fn associate(&self) -> Association {
        let mut turn = self.0.turn();
        let id = turn.next_association;
        turn.next_association += 1;
        turn.associations.insert(id, association::Inbox::default());
        drop(turn);
        Association::new(self.0.clone(), id)
    }
}
