//! Sessions without a handshake, and frames without records: for tests of what a peer that holds the keys can do.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::acceptor::AttachedPath;
use crate::handshake::{Credit, SessionId};
use crate::keys::{PathKeys, Secret, Suite};
use crate::{ClientConfig, Limits, PathId, Session};

/// One side of a session with one path; keys and seeds are known to all.
///
/// # Panics
/// Never: the keys have the right lengths.
#[must_use]
#[allow(clippy::expect_used)] // For tests alone.
pub fn session(client: bool, limits: &Limits, now: Instant) -> (Session, PathId) {
    let keys = PathKeys::new(Suite::Aes128Gcm, &Secret([1; 32]), client).expect("keys of the right length");
    let id = PathId(0);
    let session = SessionId([2; 16]);
    if !client {
        let path = AttachedPath { id, keys, first: Bytes::new(), input: BytesMut::new() };
        let credit = Credit::granted(limits, false);
        return (Session::server(limits.clone(), session, credit, now, [3; 32], path), id);
    }
    let mut config = ClientConfig::new([4; 32], [5; 32]);
    config.limits = limits.clone();
    let mut client = Session::client(Arc::new(config), now, [6; 32]);
    client.establish_for_fuzzing(session, Credit::granted(limits, true), keys, now);
    (client, id)
}

impl Session {
    /// Takes the frames of one record.
    pub fn handle_frames(&mut self, path: PathId, now: Instant, frames: &[u8]) {
        self.handle_opened(path.0, now, &Bytes::copy_from_slice(frames));
    }
}
