//! The session: streams and datagrams, over whatever paths there are.

#[cfg(test)]
mod hostile;
mod receive;
mod streams;
mod timers;
mod transmit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;

use crate::acceptor::AttachedPath;
use crate::handshake::{ChannelBinding, ClientHandshake, Credit, Request, SessionId};
use crate::keys::Secret;
use crate::path::{Live, Path, PathId};
use crate::stream::{Stream, StreamId};
use crate::{ClientConfig, CloseReason, Destination, Limits, PathError, UseError, Violation};

pub use streams::Read;

/// Separate pieces of all streams that wait for what lies before them.
const PIECES_MAX: usize = 4096;
/// Paths that were lost and that the peer is to be told of.
const PATHS_GONE_MAX: usize = 16;

/// What happened, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// At a client: the server has made the session. Streams can be opened.
    Established(SessionId),
    /// The path has its keys.
    PathReady(PathId),
    /// The peer has owed an answer on this path for too long. What it holds goes over others, if there are any; it is time to
    /// open one.
    PathStalled(PathId),
    /// A stalled path answered.
    PathRevived(PathId),
    /// The path is over; its transport is to be closed, after what was taken for it has been sent.
    PathClosed(PathId, PathError),
    /// At a server: a stream to this destination. It is to be answered by [`Session::accept`] or [`Session::reset`].
    Opened(StreamId, Destination),
    /// At a client: the stream's destination has answered.
    Connected(StreamId),
    /// There is something to read: data, the end, or that the peer gave up.
    Readable(StreamId),
    /// A write that found no room can go on.
    Writable(StreamId),
    /// The peer wants no more on the stream.
    Stopped(StreamId, u64),
    /// At a client: more streams can be opened than at the last refusal.
    StreamsAvailable,
    /// A datagram is there.
    DatagramReceived,
    /// The peer has ended an association of datagrams.
    AssociationEnded(u64),
    /// The session is over. Nothing else comes.
    Closed(CloseReason),
}

/// A datagram of an association.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// The client's number of the association: one UDP socket of an application's.
    pub association: u64,
    /// Where it goes to; from the server, where it came from.
    pub destination: Destination,
    /// Its payload.
    pub data: Bytes,
}

/// What a session has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Stream data sent for the first time, bytes.
    pub data_sent: u64,
    /// Stream data sent again because a path was lost or stalled, bytes.
    pub data_resent: u64,
    /// Stream data received in all, bytes, without what came twice.
    pub data_received: u64,
    /// Datagrams dropped because too many waited.
    pub datagrams_dropped: u64,
    /// Frames of extensions that were ignored.
    pub extensions_ignored: u64,
}

enum Role {
    Client(Arc<ClientConfig>),
    Server,
}

/// One side of a session.
///
/// Nothing here reads a clock or touches a socket: the owner passes in bytes and the time, and asks what there is to do.
/// Methods are of four kinds:
///
/// - *A*, the transport's: [`open_path`](Self::open_path), [`attach`](Self::attach),
///   [`handle_bytes`](Self::handle_bytes), [`poll_transmit`](Self::poll_transmit),
///   [`path_lost`](Self::path_lost), and the same for datagrams.
/// - *B*, the clock's: [`poll_timeout`](Self::poll_timeout), [`handle_timeout`](Self::handle_timeout).
/// - *C*, what happened: [`poll_event`](Self::poll_event).
/// - *D*, the application's: streams and datagrams, [`close`](Self::close).
///
/// After any of A, B or D, every path that can take bytes is to be asked by `poll_transmit`, C until it gives nothing, and
/// `poll_timeout` for the next time. A session that is closed does nothing more, and says so once by
/// [`Event::Closed`].
///
/// **Memory** is bounded by [`Limits`]: received and unread at most `session_window` (a large piece of data stays in the
/// buffer that it came in, so up to 8 times that if a peer sends pieces of 8 KiB between padding), written and not
/// acknowledged at most `session_send_buffer`, and the counts of streams, paths, pieces and datagrams have their own.
pub struct Session {
    role: Role,
    limits: Limits,
    rng: ChaCha20Rng,
    /// A client's, as soon as the server has answered.
    id: Option<SessionId>,
    resumption: Option<Secret>,
    paths: BTreeMap<u64, Path>,
    next_path: u64,
    /// To be told to the peer.
    paths_gone: VecDeque<u64>,
    orphan_since: Option<Instant>,

    streams: BTreeMap<u64, Stream>,
    /// The first stream that was not opened yet.
    next_stream: u64,
    /// At a server: streams before this one may be opened, and what of that the client was told.
    streams_end: u64,
    streams_told: u64,
    /// An opening was refused.
    wants_streams: bool,
    /// Streams with data to send, the next one first.
    ready: VecDeque<u64>,
    /// Streams that owe something at once, and those that owe acknowledgements.
    owing: BTreeSet<u64>,
    acks: BTreeSet<u64>,
    ack_at: Option<Instant>,
    /// They have waited long enough.
    ack_due: bool,
    /// Bytes received since the last acknowledgements.
    unacked: u64,
    /// Streams that are over, about which the peer asked.
    gone: BTreeSet<u64>,
    /// Streams whose writes wait for room.
    blocked: VecDeque<u64>,

    /// The peer's credit for all streams, and what is used of it.
    peer: Credit,
    data_sent: u64,
    send_buffered: usize,
    /// The same in the other direction.
    granted: u64,
    received: u64,
    consumed: u64,
    owes_max_data: bool,
    owes_max_streams: bool,
    pieces: usize,

    datagrams_out: VecDeque<Datagram>,
    datagrams_out_len: usize,
    datagrams_in: VecDeque<Datagram>,
    datagrams_in_len: usize,
    associations_ended: VecDeque<u64>,

    events: VecDeque<Event>,
    closing: Option<(u64, CloseReason)>,
    closed: bool,
    stats: Stats,
}

impl Session {
    /// A client's session, without paths. `seed` comes from the system's random numbers: secret, and never used before.
    #[must_use]
    pub fn client(config: Arc<ClientConfig>, now: Instant, seed: [u8; 32]) -> Self {
        let limits = config.limits.clone();
        Self::new(Role::Client(config), limits, now, seed)
    }

    pub(crate) fn server(
        limits: Limits,
        id: SessionId,
        credit: Credit,
        now: Instant,
        seed: [u8; 32],
        first: AttachedPath,
    ) -> Self {
        let mut session = Self::new(Role::Server, limits, now, seed);
        session.id = Some(id);
        session.peer = credit;
        session.streams_end = session.limits.streams_max;
        session.streams_told = session.streams_end;
        session.begin_path(first, now);
        session
    }

    fn new(role: Role, limits: Limits, now: Instant, seed: [u8; 32]) -> Self {
        Self {
            role,
            granted: limits.session_window,
            limits,
            rng: ChaCha20Rng::from_seed(seed),
            id: None,
            resumption: None,
            paths: BTreeMap::new(),
            next_path: 0,
            paths_gone: VecDeque::new(),
            orphan_since: Some(now),
            streams: BTreeMap::new(),
            next_stream: 0,
            streams_end: 0,
            streams_told: 0,
            wants_streams: false,
            ready: VecDeque::new(),
            owing: BTreeSet::new(),
            acks: BTreeSet::new(),
            ack_at: None,
            ack_due: false,
            unacked: 0,
            gone: BTreeSet::new(),
            blocked: VecDeque::new(),
            peer: Credit::default(),
            data_sent: 0,
            send_buffered: 0,
            received: 0,
            consumed: 0,
            owes_max_data: false,
            owes_max_streams: false,
            pieces: 0,
            datagrams_out: VecDeque::new(),
            datagrams_out_len: 0,
            datagrams_in: VecDeque::new(),
            datagrams_in_len: 0,
            associations_ended: VecDeque::new(),
            events: VecDeque::new(),
            closing: None,
            closed: false,
            stats: Stats::default(),
        }
    }

    /// The session's name, as soon as there is one.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.id
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Its paths; those in the handshake too.
    pub fn paths(&self) -> impl Iterator<Item = PathId> + '_ {
        self.paths.keys().map(|path| PathId(*path))
    }

    /// The last round trip of a path, from a record to its answer, waiting in the transport included.
    #[must_use]
    pub fn rtt(&self, path: PathId) -> Option<Duration> {
        self.live(path.0)?.rtt
    }

    /// Since when the peer owes an answer on a path, whatever else came from it meanwhile; none if it owes nothing.
    #[must_use]
    pub fn owed_since(&self, path: PathId) -> Option<Instant> {
        self.live(path.0)?.owed_since()
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Bytes that were written and are not acknowledged: never more than `session_send_buffer`.
    #[must_use]
    pub fn send_buffered(&self) -> usize {
        self.send_buffered
    }

    /// Bytes that came and were not read: never more than `session_window`.
    #[must_use]
    pub fn receive_buffered(&self) -> u64 {
        self.received - self.consumed
    }

    /// Whether this is the server's side.
    #[must_use]
    pub fn is_server(&self) -> bool {
        matches!(self.role, Role::Server)
    }

    /// Whether a path may have something to send: if not, none need be asked. *(A)*
    #[must_use]
    pub fn has_to_send(&self) -> bool {
        let owes = self.ack_due || self.owes_max_data || self.owes_max_streams || self.closing.is_some();
        let waits = !self.ready.is_empty() || !self.owing.is_empty() || !self.datagrams_out.is_empty();
        let is_told =
            self.gone.is_empty() && self.paths_gone.is_empty() && self.associations_ended.is_empty();
        let path_has = |path: &Path| match path {
            Path::Live(live) => live.pong.is_some() || live.closing || live.wants_ping(),
            Path::Handshake { out, .. } => !out.is_empty(),
        };
        owes || waits || !is_told || self.paths.values().any(path_has)
    }

    /// The next thing that happened. *(C)*
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Begins a path at a client: the first, or a further one once the session is established. Its first message is what
    /// [`Session::poll_transmit`] gives next, with `padding` bytes more as far as it may grow. *(A)*
    ///
    /// # Errors
    /// The session has ended, has as many paths as it may, or waits for its first; or this is a server.
    pub fn open_path(
        &mut self,
        now: Instant,
        binding: ChannelBinding,
        padding: usize,
    ) -> Result<PathId, UseError> {
        let Role::Client(config) = &self.role else { return Err(UseError::WrongRole) };
        if self.closed {
            return Err(UseError::SessionEnded);
        }
        if self.paths.len() >= self.limits.paths_max {
            return Err(UseError::Limit);
        }
        let request = match (self.id, &self.resumption) {
            (Some(id), Some(resumption)) => Request::Attach(id, resumption.clone()),
            _ if self.paths.is_empty() => Request::New(Credit::granted(&self.limits, false)),
            _ => return Err(UseError::NotReady),
        };
        let path = self.next_path;
        let (handshake, out) = ClientHandshake::new(config, &request, path, binding, padding, &mut self.rng)
            .ok_or(UseError::NotReady)?;
        self.next_path += 1;
        let handshake = Box::new(handshake);
        self.paths.insert(path, Path::Handshake { handshake, out, since: now });
        Ok(PathId(path))
    }

    /// Takes up a further path at a server; if there are as many as there may be, for the one that was silent for longest. *(A)*
    ///
    /// # Errors
    /// The session is over, or has a path of this number: the new one is to be closed.
    pub fn attach(&mut self, now: Instant, path: Box<AttachedPath>) -> Result<PathId, PathError> {
        if self.closed {
            return Err(PathError::SessionEnded);
        }
        if self.paths.contains_key(&path.id.0) {
            return Err(PathError::Refused);
        }
        if self.paths.len() >= self.limits.paths_max {
            // The client knows better which of its paths are alive; the one that was silent for longest is likely not.
            let silent = self.live_paths().min_by_key(|(_, live)| live.heard_at()).map(|(id, _)| id);
            self.end_path(silent.ok_or(PathError::Refused)?, PathError::Timeout, now);
        }
        let id = path.id;
        self.begin_path(*path, now);
        Ok(id)
    }

    fn begin_path(&mut self, path: AttachedPath, now: Instant) {
        let AttachedPath { id, keys, first, input } = path;
        self.add_path(id.0, Live::new(keys, input, now));
        self.handle_opened(id.0, now, &first);
        self.handle_input(id.0, now);
    }

    /// A client knows its session.
    fn established(&mut self, id: SessionId, credit: Credit) {
        self.id = Some(id);
        self.peer = credit;
        self.events.push_back(Event::Established(id));
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn establish_for_fuzzing(
        &mut self,
        id: SessionId,
        credit: Credit,
        keys: crate::keys::PathKeys,
        now: Instant,
    ) {
        self.established(id, credit);
        self.next_path = 1;
        self.add_path(0, Live::new(keys, BytesMut::new(), now));
    }

    fn add_path(&mut self, id: u64, live: Live) {
        self.orphan_since = None;
        self.paths.insert(id, Path::Live(Box::new(live)));
        self.events.push_back(Event::PathReady(PathId(id)));
        self.requeue_stalled();
    }

    fn live(&self, path: u64) -> Option<&Live> {
        match self.paths.get(&path) {
            Some(Path::Live(live)) => Some(live),
            _ => None,
        }
    }

    fn live_mut(&mut self, path: u64) -> Option<&mut Live> {
        match self.paths.get_mut(&path) {
            Some(Path::Live(live)) => Some(live),
            _ => None,
        }
    }

    fn live_paths(&mut self) -> impl Iterator<Item = (u64, &mut Live)> {
        self.paths.iter_mut().filter_map(|(id, path)| match path {
            Path::Live(live) => Some((*id, &mut **live)),
            Path::Handshake { .. } => None,
        })
    }

    /// The transport has lost a path's connection, or failed to make it. *(A)*
    pub fn path_lost(&mut self, path: PathId, now: Instant) {
        self.end_path(path.0, PathError::Lost, now);
    }

    /// Ends a path in good order: the next [`Session::poll_transmit`] for it gives the last of its bytes. What is under way by it
    /// may be sent again over another. *(A)*
    pub fn close_path(&mut self, path: PathId, now: Instant) {
        match self.live_mut(path.0) {
            Some(live) => live.closing = true,
            None => self.end_path(path.0, PathError::Closed, now),
        }
    }

    fn end_path(&mut self, path: u64, error: PathError, now: Instant) {
        let Some(ended) = self.paths.remove(&path) else { return };
        self.events.push_back(Event::PathClosed(PathId(path), error));
        if let Path::Live(live) = ended {
            if !live.requeued {
                self.requeue(path);
            }
            if matches!(error, PathError::Lost | PathError::Timeout | PathError::Record) {
                self.paths_gone.push_back(path);
                self.paths_gone.drain(..self.paths_gone.len().saturating_sub(PATHS_GONE_MAX));
            }
        }
        if self.live_paths().next().is_none() {
            self.orphan_since.get_or_insert(now);
            if let Some((_, reason)) = self.closing {
                // Nobody can be told any more.
                self.end(reason);
            }
        }
    }

    /// What is under way by a path goes by others, and what was said on it is said again.
    fn requeue(&mut self, path: u64) {
        for (&id, stream) in &mut self.streams {
            stream.requeue(path);
            self.acks.insert(id);
            self.owing.insert(id);
            if !stream.queued && stream.has_data() {
                stream.queued = true;
                self.ready.push_back(id);
            }
        }
        self.owes_max_data = true;
        self.owes_max_streams = matches!(self.role, Role::Server);
    }

    /// What stalled paths hold goes by others, if there are any.
    fn requeue_stalled(&mut self) {
        if !self.live_paths().any(|(_, live)| !live.stalled) {
            return;
        }
        let stalled: Vec<_> =
            self.live_paths().filter(|(_, p)| p.stalled && !p.requeued).map(|(id, _)| id).collect();
        for path in stalled {
            self.requeue(path);
            if let Some(live) = self.live_mut(path) {
                live.requeued = true;
            }
        }
    }

    /// Ends the session; the peer is told on the next record of any path. *(D)*
    pub fn close(&mut self, code: u64) {
        self.begin_close(code, CloseReason::Local(code));
    }

    fn begin_close(&mut self, code: u64, reason: CloseReason) {
        if self.closed || self.closing.is_some() {
            return;
        }
        if self.live_paths().next().is_none() {
            self.end(reason);
        } else {
            self.closing = Some((code, reason));
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.begin_close(crate::code::VIOLATION, CloseReason::Violation(violation));
    }

    /// The session is over, and its memory free.
    fn end(&mut self, reason: CloseReason) {
        if self.closed {
            return;
        }
        self.closed = true;
        for (path, _) in std::mem::take(&mut self.paths) {
            self.events.push_back(Event::PathClosed(PathId(path), PathError::SessionEnded));
        }
        self.events.push_back(Event::Closed(reason));
        self.streams = BTreeMap::new();
        (self.ready, self.blocked) = Default::default();
        (self.owing, self.acks, self.gone) = Default::default();
        (self.datagrams_in, self.datagrams_out) = Default::default();
        (self.send_buffered, self.consumed) = (0, self.received);
        self.closing = None;
    }

    /// A buffer for a path's incoming bytes, with room for more: append to it, then call [`Session::handle_appended`]. Saves the copy
    /// of [`Session::handle_bytes`]. `None` while the path has no keys. *(A)*
    pub fn input(&mut self, path: PathId) -> Option<&mut BytesMut> {
        self.live_mut(path.0).map(Live::input)
    }
}
