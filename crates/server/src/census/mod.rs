//! Counts users without knowing them, and publishes what can be published.
//!
//! A [`Visitor`] is a session's part in it: the region of its first address and its transport, never the address. Clients
//! say by [the tunnel's protocol](daylight_tunnel::census) whether they are new today, this week, this month; a ledger
//! adds them up, and tables round what goes to the public.

mod ledger;
mod region;
mod table;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daylight_tunnel::census::{Firsts, serve, today};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};

use ledger::Ledger;
use region::{Region, Regions};

/// The ledger is written so often whether or not it changed: the file's time tells nothing of when somebody came.
const SAVE_INTERVAL: Duration = Duration::from_secs(600);

/// `[census]`: whether users are counted, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CensusConfig {
    /// A database of countries by address (MaxMind's format), such as GeoLite2 or DB-IP give. Default: none, and all are in
    /// the region `unknown`.
    pub regions: Option<PathBuf>,
    /// Numbers are published as multiples of this, rounded down; smaller ones not at all. Default 10, from 5 to 1000.
    #[serde(default = "granularity")]
    pub granularity: u64,
}

fn granularity() -> u64 {
    10
}

impl CensusConfig {
    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Option<String> {
        let is_wrong = !(5..=1000).contains(&self.granularity);
        is_wrong.then(|| format!("census.granularity is {}; it must be from 5 to 1000", self.granularity))
    }
}

/// Why users can't be counted, or the counts not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CensusError {
    /// A file can't be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The ledger is not what this program writes.
    #[error("{path}: {cause}: this is not a census; move it away to begin anew")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        cause: serde_json::Error,
    },
    /// The database of regions is none.
    #[error("{path}: {cause}: give a database of countries in MaxMind's format (.mmdb) as `census.regions`")]
    Regions {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: maxminddb::MaxMindDbError,
    },
}

impl CensusError {
    fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::File { path: path.to_owned(), cause }
    }
}

/// A server's census.
#[derive(Debug)]
pub struct Census {
    folder: PathBuf,
    granularity: u64,
    regions: Option<Regions>,
    ledger: Mutex<Ledger>,
    /// Held while files are written, which nobody who is counted waits for.
    saving: Mutex<()>,
}

impl Census {
    /// Goes on with the ledger in the folder, to which tables are published too, and which is made if it is not there.
    ///
    /// # Errors
    /// If a file can't be read or is something else.
    pub fn open(config: &CensusConfig, folder: &Path) -> Result<Arc<Self>, CensusError> {
        let regions = config.regions.as_deref().map(Regions::open).transpose()?;
        let ledger = Mutex::new(Ledger::open(folder, today())?);
        let (folder, granularity) = (folder.to_owned(), config.granularity);
        Ok(Arc::new(Self { folder, granularity, regions, ledger, saving: Mutex::default() }))
    }

    /// A new session's part. Of the address nothing but its region is kept.
    #[must_use]
    pub fn visitor(self: &Arc<Self>, from: Option<IpAddr>, transport: &'static str) -> Visitor {
        let region = self.regions.as_ref().zip(from).map(|(regions, from)| regions.of(from));
        let region = region.unwrap_or(Region::UNKNOWN);
        Visitor { census: self.clone(), region, transport, has_reported: AtomicBool::new(false) }
    }

    /// Writes the ledger, and publishes the days, weeks and months that are over. Waits for the disk.
    ///
    /// # Errors
    /// If a file can't be written; nothing is lost then as long as the server runs.
    pub fn save(&self) -> Result<(), CensusError> {
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copy = {
            let mut ledger = self.ledger();
            ledger.turn(today());
            ledger.clone()
        };
        let published = copy.publish(&self.folder, self.granularity)?;
        copy.save(&self.folder)?;
        self.ledger().forget(published);
        Ok(())
    }

    /// Saves every ten minutes, for ever. At the server's end [`Census::save`] is to be called once more.
    pub async fn keep(self: Arc<Self>, mut failed: impl FnMut(CensusError)) {
        loop {
            let census = self.clone();
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || census.save()).await {
                failed(error);
            }
            tokio::time::sleep(SAVE_INTERVAL).await;
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic while it was held may have cost one count.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session's part in the census.
#[derive(Debug)]
pub struct Visitor {
    census: Arc<Census>,
    region: Region,
    transport: &'static str,
    has_reported: AtomicBool,
}

impl Visitor {
    /// Serves a stream that [is a report](daylight_tunnel::census::is_report). A session has one; others are declined.
    ///
    /// # Errors
    /// If the stream breaks, takes too long, or brings something else.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let is_first = !self.has_reported.swap(true, Ordering::Relaxed);
        let count = |firsts: Firsts| {
            self.census.ledger().count(today(), self.region, self.transport, firsts);
        };
        serve(stream, is_first.then_some(count)).await
    }
}
