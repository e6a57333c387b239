//! Sessions that could be resumed, kept as Chrome keeps them: in memory, the two newest of each server.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{Ssl, SslContextBuilder, SslRef, SslSession, SslSessionCacheMode};

use crate::ffi::{is_single_use, set_session};

/// Servers at most; the one that was connected to longest ago is forgotten (Chrome: 1,024).
const SERVERS_MAX: usize = 1024;
/// Sessions of a server: as many as Chrome keeps, and as many as servers usually send.
const SESSIONS_MAX: usize = 2;

/// The sessions of a context's connections.
pub(crate) struct Memory {
    sessions: Arc<Sessions>,
    /// Where a connection has its server's name.
    server_name: Index<Ssl, Arc<str>>,
}

impl Memory {
    /// Keeps what the context's connections get.
    pub(crate) fn of(context: &mut SslContextBuilder) -> Result<Self, ErrorStack> {
        let memory = Self { sessions: Arc::default(), server_name: Ssl::new_ex_index()? };
        // Where BoringSSL would keep them, one of TLS 1.3 could be offered twice.
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let (sessions, server_name) = (memory.sessions.clone(), memory.server_name);
        context.set_new_session_callback(move |ssl, session| {
            if let Some(name) = ssl.ex_data(server_name) {
                sessions.push(name, session);
            }
        });
        Ok(memory)
    }

    /// Lets a connection go on from an earlier one with this server, if there was one.
    pub(crate) fn recall(&self, ssl: &mut SslRef, server_name: &str) -> Result<(), ErrorStack> {
        ssl.set_ex_data(self.server_name, server_name.into());
        self.sessions.take(server_name).map_or(Ok(()), |session| set_session(ssl, &session))
    }
}

#[derive(Default)]
struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_server: HashMap<Arc<str>, Entry>,
    /// Counts uses, to find the entry that was used longest ago.
    uses: u64,
}

#[derive(Default)]
struct Entry {
    /// The newest first.
    sessions: VecDeque<SslSession>,
    used: u64,
}

impl Sessions {
    fn push(&self, server: &Arc<str>, session: SslSession) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.uses += 1;
        let used = table.uses;
        if !table.by_server.contains_key(server) && table.by_server.len() >= SERVERS_MAX {
            let oldest =
                table.by_server.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                table.by_server.remove(&oldest);
            }
        }
        let entry = table.by_server.entry(server.clone()).or_default();
        entry.used = used;
        if !is_single_use(&session) {
            entry.sessions.clear();
        }
        entry.sessions.push_front(session);
        entry.sessions.truncate(SESSIONS_MAX);
    }

    /// The session to offer. One of TLS 1.3 is offered once.
    fn take(&self, server: &str) -> Option<SslSession> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.by_server.get_mut(server)?;
        let session = entry.sessions.pop_front()?;
        if !is_single_use(&session) {
            entry.sessions.push_front(session.clone());
        }
        Some(session)
    }
}
