//! One path: a transport's connection, its keys, and whether it answers.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::handshake::ClientHandshake;
use crate::keys::PathKeys;

/// Silence that is no longer than so many round trips is no stall: on slow links an answer takes its time.
const STALL_ROUND_TRIPS: u32 = 4;
/// How much room there is for bytes that come in: a few records.
const INPUT_LEN: usize = 64 << 10;

/// Names a path within its session: the client's count, the same on both sides.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PathId(pub u64);

pub(crate) enum Path {
    /// A client's, whose handshake is not answered yet.
    Handshake {
        handshake: Box<ClientHandshake>,
        /// The first message, until it was taken.
        out: Vec<u8>,
        since: Instant,
    },
    Live(Box<Live>),
}

/// A path with keys.
pub(crate) struct Live {
    pub(crate) keys: PathKeys,
    pub(crate) input: BytesMut,
    /// The newest ping of the peer's that is not answered: it stands for those before.
    pub(crate) pong: Option<u64>,
    ping_next: u64,
    /// The ping that waits for its answer.
    ping: Option<(u64, Instant)>,
    /// Something was sent that no ping came after.
    pub(crate) unpinged: bool,
    received_at: Instant,
    /// No answer for too long: nothing new goes by it while there are others.
    pub(crate) stalled: bool,
    /// What is under way by it was given to others.
    pub(crate) requeued: bool,
    pub(crate) keep_alive_at: Option<Instant>,
    /// The next ping is one, and padded.
    pub(crate) keep_alive_due: bool,
    /// Says that nothing more comes on it, and is closed then.
    pub(crate) closing: bool,
    pub(crate) rtt: Option<Duration>,
}

impl Live {
    pub(crate) fn new(keys: PathKeys, input: BytesMut, now: Instant) -> Self {
        Self {
            keys,
            input,
            pong: None,
            ping_next: 0,
            ping: None,
            // Shows the peer at once that this side holds the keys.
            unpinged: true,
            received_at: now,
            stalled: false,
            requeued: false,
            keep_alive_at: None,
            keep_alive_due: false,
            closing: false,
            rtt: None,
        }
    }

    /// The buffer for what comes in, with room.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        if self.input.capacity() - self.input.len() < INPUT_LEN / 4 {
            self.input.reserve(INPUT_LEN);
        }
        &mut self.input
    }

    /// Whether a ping should go with what is sent.
    pub(crate) fn wants_ping(&self) -> bool {
        self.ping.is_none() && self.unpinged
    }

    pub(crate) fn next_ping(&mut self, now: Instant) -> u64 {
        let number = self.ping_next;
        self.ping_next += 1;
        self.ping = Some((number, now));
        self.unpinged = false;
        number
    }

    /// Something came from the peer.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.received_at = now;
    }

    pub(crate) fn heard_at(&self) -> Instant {
        self.received_at
    }

    /// The answer to a ping; whether it was the one that was waited for.
    pub(crate) fn answered(&mut self, number: u64, now: Instant) -> bool {
        match self.ping {
            Some((waiting, at)) if waiting == number => {
                self.ping = None;
                self.rtt = Some(now.saturating_duration_since(at));
                true
            }
            _ => false,
        }
    }

    /// Since when the peer owes an answer.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        self.ping.map(|(_, at)| at)
    }

    /// The time after which silence is a stall.
    pub(crate) fn stalls_after(&self, least: Duration) -> Duration {
        self.rtt.map_or(least, |rtt| least.max(rtt * STALL_ROUND_TRIPS))
    }

    /// Since when the peer owes an answer and is silent.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        self.ping.map(|(_, at)| at.max(self.received_at))
    }
}
