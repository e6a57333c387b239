//! The filter's public page.
//!
//! Two threads keep a view of the log, from its folder and the operator's public key alone: one reads what is appended and
//! verifies that it continues what was there, the other verifies every byte of the log now and then. Pages are made from
//! the view; proofs, and the log's files for whoever mirrors it, are read when they are asked for. Whatever is wrong with the
//! log is said on every page, and what was verified before stays to be read.
//!
//! With the policy's file too it can say of hosts that nobody has tried to reach whether they would be stopped. The file is used
//! only while it and its lists are, byte for byte, what the log says is in force.
//!
//! The pages, each of them as data too (`.json`, or by `Accept: application/json`):
//!
//! | path | what |
//! |---|---|
//! | `/` | what is in force, and what it stopped in the last day |
//! | `/is-blocked?host=…` | the answer about a host, with proofs |
//! | `/rules` | every rule that there is or was |
//! | `/rule/POLICY/RULE` | one of them; [`daylight_policy::rule_path`] gives its path, which never changes |
//! | `/log` | the checkpoint, how to verify it, the last entries |
//! | `/proof/N` | the proof that entry `N` is in the log (C2SP tlog-proof) |
//! | `/log/checkpoint`, `/log/tile/…` | the log itself (C2SP tlog-tiles) |
//! | `/status` | whether all is well: 200, or 503 |

mod ask;
mod board;
mod document;
mod follow;
mod html;
mod routes;
mod subject;
mod tiles;
mod would;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_policy::audit::VerifierKey;

use crate::server::{Limits, Server, ServerError};

/// How a public page is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The log's folder.
    pub log: PathBuf,
    /// The public key that vouches for it.
    pub key: VerifierKey,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who runs the filter, as people know them.
    pub operator: Option<String>,
    /// Where they can be reached: a URL (`https:`, `mailto:`) or any other words.
    pub contact: Option<String>,
    /// The policy's file, with its lists beside it.
    pub policy: Option<PathBuf>,
    /// After how long without an entry it is said that the log has not been written for long. A filter that stops nothing
    /// writes nothing.
    pub stale_after: Duration,
    /// How often the whole log is verified.
    pub audit_every: Duration,
    /// What clients may take.
    pub limits: Limits,
}

impl Settings {
    /// For a log's folder and its key, on this address: without a policy, and with what suits most for the rest.
    pub fn new(log: PathBuf, key: VerifierKey, listen: SocketAddr) -> Self {
        Self {
            log,
            key,
            listen,
            operator: None,
            contact: None,
            policy: None,
            stale_after: Duration::from_secs(48 * 3600),
            audit_every: Duration::from_secs(3600),
            limits: Limits::default(),
        }
    }
}

/// A public page that listens, and does not answer yet.
#[derive(Debug)]
pub struct Page {
    server: Server,
    settings: Settings,
}

impl Page {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the address is taken, or not this machine's.
    pub fn bind(settings: Settings) -> Result<Self, ServerError> {
        Ok(Self { server: Server::bind(settings.listen, settings.limits)?, settings })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system doesn't say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.server.local_addr()
    }

    /// Serves until `is_over`, which is asked ten times a second. `tell` is told, in a line for the operator, when something is
    /// wrong with the log or the policy, and when it is right again; nothing about clients is ever told.
    ///
    /// A log that can't be read or does not verify is no error: then the pages say so.
    ///
    /// # Errors
    /// If the system gives no threads or timers.
    pub fn run(self, is_over: impl Fn() -> bool, tell: impl Fn(&str) + Sync) -> Result<(), ServerError> {
        let Self { server, settings } = self;
        let source = follow::Source {
            log: settings.log.clone(),
            key: settings.key.clone(),
            policy: settings.policy.clone(),
            audit_every: settings.audit_every,
        };
        let shared = Arc::new(follow::Shared::default());
        let site = Arc::new(Site { settings, shared: Arc::clone(&shared) });
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let threads = [
                scope.spawn(|| follow::follow(&source, &shared, &over, &tell)),
                scope.spawn(|| follow::audit(&source, &shared, &over, &tell)),
            ];
            let result = server.run(site, is_over);
            over.store(true, Ordering::Relaxed);
            threads.iter().for_each(|thread| thread.thread().unpark());
            result
        })
    }
}

/// Serves the public page until `is_over`; see [`Page::run`].
///
/// # Errors
/// As [`Page::bind`] and [`Page::run`].
pub fn serve(
    settings: Settings,
    is_over: impl Fn() -> bool,
    tell: impl Fn(&str) + Sync,
) -> Result<(), ServerError> {
    Page::bind(settings)?.run(is_over, tell)
}

/// What answers requests.
struct Site {
    settings: Settings,
    shared: Arc<follow::Shared>,
}

impl Site {
    /// An error's message without where the log lies on this machine.
    fn without_path(&self, message: &str) -> String {
        message.replace(&self.settings.log.display().to_string(), "the log's folder")
    }
}
