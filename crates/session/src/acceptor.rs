//! The server's door: first messages to new sessions, or to the sessions that they belong to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::handshake::{self, Answer, ChannelBinding, Credit, Finished, HandshakeError, SessionId};
use crate::keys::{PathKeys, RECORD_LEN_MAX, Secret};
use crate::{PathId, ServerConfig, Session};

/// Takes the first bytes of every path to a server, and knows its sessions by their ids.
///
/// A path begins as an [`Incoming`]. Its first message is answered if its sender holds the card; that none comes twice is the
/// transport's to see to, and does no harm here. The path counts only when a record shows that its sender holds the keys. Whatever [`Acceptor::handle_bytes`]
/// fails with, the transport must go on as if the path were a stranger's, in the same time: the reason is for counters.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    rng: ChaCha20Rng,
    sessions: HashMap<SessionId, Secret>,
}

/// A path to the server before it belongs to a session. Keeps at most [`HANDSHAKE_LEN_MAX`](crate::HANDSHAKE_LEN_MAX) bytes
/// before its sender is known, and one record after; its transport drops it after a time.
pub struct Incoming {
    access_secret: [u8; 32],
    binding: ChannelBinding,
    /// Bytes of padding in the answer.
    padding: usize,
    state: State,
}

enum State {
    First(Vec<u8>),
    /// Answered; the first record is to come.
    Confirm(Box<Confirm>),
    Over,
}

struct Confirm {
    finished: Finished,
    path: PathId,
    /// Of a new session, the client's.
    credit: Credit,
    session: SessionId,
    new: bool,
    input: BytesMut,
}

/// What became of an [`Incoming`].
pub enum Progress {
    /// More bytes are needed.
    More,
    /// The first message is good: these bytes are to be sent.
    Answer(Vec<u8>),
    /// The first message is good, but the answer is no: these bytes are to be sent, and the path closed.
    Refuse(Vec<u8>),
    /// A new session with its first path. Once it is closed, [`Acceptor::forget`] is to be told.
    New(Box<Session>, PathId),
    /// A further path of a session, which [`Session::attach`] takes.
    Attach(SessionId, Box<AttachedPath>),
}

/// A path that has proved to belong to a session.
pub struct AttachedPath {
    pub(crate) id: PathId,
    pub(crate) keys: PathKeys,
    /// The frames of its first record.
    pub(crate) first: Bytes,
    pub(crate) input: BytesMut,
}

impl Incoming {
    /// A path of somebody who holds the card with this secret, as the transport has found, and whose outer channel has this
    /// binding. The answer gets `padding` bytes more, as far as it may grow.
    #[must_use]
    pub fn new(access_secret: [u8; 32], binding: ChannelBinding, padding: usize) -> Self {
        Self { access_secret, binding, padding, state: State::First(Vec::new()) }
    }
}

impl Acceptor {
    /// `seed` comes from the system's random numbers: secret, and never used before.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, seed: [u8; 32]) -> Self {
        Self { config, rng: ChaCha20Rng::from_seed(seed), sessions: HashMap::new() }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The session is over: nothing can attach to it any more.
    pub fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    /// Takes bytes of a path in the order in which they came, until it is a session's.
    ///
    /// # Errors
    /// The path is a stranger's, or came to nothing. It stays so whatever else comes.
    pub fn handle_bytes(
        &mut self,
        path: &mut Incoming,
        now: Instant,
        bytes: &[u8],
    ) -> Result<Progress, HandshakeError> {
        let result = match std::mem::replace(&mut path.state, State::Over) {
            State::First(input) => self.first(path, input, bytes),
            State::Confirm(confirm) => self.confirm(path, now, confirm, bytes),
            State::Over => Err(HandshakeError::NotAuthentic),
        };
        if let Err(error) = result {
            path.state = State::Over;
            return Err(error);
        }
        result
    }

    fn first(
        &mut self,
        path: &mut Incoming,
        mut input: Vec<u8>,
        bytes: &[u8],
    ) -> Result<Progress, HandshakeError> {
        let room = handshake::HANDSHAKE_LEN_MAX.saturating_sub(input.len());
        let (taken, after) = bytes.split_at(room.min(bytes.len()));
        input.extend_from_slice(taken);
        let seed = self.seed();
        let Some(opened) = handshake::open(&input, &self.config, &path.access_secret, path.binding, seed)?
        else {
            path.state = State::First(input);
            return Ok(Progress::More);
        };
        if opened.len < input.len() || !after.is_empty() {
            // Nobody can have keys before the answer.
            return Err(HandshakeError::NotConfirmed);
        }
        let new = opened.attach.is_none();
        let (session, answer) = match &opened.attach {
            Some((session, _)) => {
                let known = self.sessions.get(session).is_some_and(|secret| opened.proves(secret));
                (*session, if known { Answer::Attached } else { Answer::Forgotten })
            }
            None => {
                let mut id = [0; 16];
                self.rng.fill_bytes(&mut id);
                let session = SessionId(id);
                let full = self.sessions.len() >= self.config.sessions_max;
                let credit = Credit::granted(&self.config.limits, true);
                (session, if full { Answer::Busy } else { Answer::New(session, credit) })
            }
        };
        let (id, credit) = (PathId(opened.path), opened.credit);
        let (reply, finished) = opened.answer(answer, path.padding, &mut self.rng)?;
        if matches!(answer, Answer::Forgotten | Answer::Busy) {
            return Ok(Progress::Refuse(reply));
        }
        let confirm = Confirm { finished, path: id, credit, session, new, input: BytesMut::new() };
        path.state = State::Confirm(Box::new(confirm));
        Ok(Progress::Answer(reply))
    }

    fn confirm(
        &mut self,
        path: &mut Incoming,
        now: Instant,
        mut confirm: Box<Confirm>,
        bytes: &[u8],
    ) -> Result<Progress, HandshakeError> {
        confirm.input.extend_from_slice(bytes);
        let opened = confirm.finished.keys.opener.open(&mut confirm.input);
        let Some(first) = opened.map_err(|_| HandshakeError::NotConfirmed)? else {
            debug_assert!(confirm.input.len() < RECORD_LEN_MAX);
            path.state = State::Confirm(confirm);
            return Ok(Progress::More);
        };
        let Confirm { finished, path: id, credit, session, new, input } = *confirm;
        let attached = AttachedPath { id, keys: finished.keys, first, input };
        if !new {
            // It may have ended meanwhile; the session's owner finds out.
            return Ok(Progress::Attach(session, Box::new(attached)));
        }
        self.sessions.insert(session, finished.resumption);
        let limits = self.config.limits.clone();
        let seed = self.seed();
        Ok(Progress::New(Box::new(Session::server(limits, session, credit, now, seed, attached)), id))
    }
}
