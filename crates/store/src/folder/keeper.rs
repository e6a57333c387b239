//! Housekeeping: merging what is small, removing what is old or too much.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::image::clean;
use super::layout::{DataFile, Hour, files, hours, list_of, listed};
use super::lock::Lock;
use super::merge::merge;
use super::{FolderError, now_ns};
use crate::pseudonym::keys::Keyring;

/// Smaller files are worth merging.
const SMALL_BYTES: u64 = 64 << 20;
/// So many files are merged at once, for each is open …
const FILES_MAX: usize = 256;
/// … and so many bytes.
const MERGED_BYTES_MAX: u64 = 1 << 30;
/// In an hour that is not over, that many small files are too many.
const UNFINISHED_FILES_MAX: usize = 128;
/// A clock that goes on by more than this from one tick to the next was set.
const STEP_MAX_NS: i64 = 3_600_000_000_000;
/// After that, nothing is removed for its age for so long: the clock may be set back.
const DOUBT_NS: i64 = 24 * STEP_MAX_NS;
/// How often a keeper looks.
const EVERY_NS: i64 = 60_000_000_000;

/// What is kept.
#[derive(Clone, Debug)]
pub struct KeeperOptions {
    /// The store's folder.
    pub folder: PathBuf,
    /// Hours that ended longer ago are removed. `None`: for ever.
    pub keep_for: Option<Duration>,
    /// If the files take more, the oldest hours are removed. `None`: as much as there is room for.
    pub keep_bytes: Option<u64>,
    /// The file of the pseudonyms' keys: those that no record is under any more are dropped, if records are not kept for ever.
    pub key_file: Option<PathBuf>,
    /// An hour's files are merged when it has been over for so long. Default: 10 minutes.
    pub settle: Duration,
    /// Files that were merged are removed after so long: a query that began before may still open them. Default: 10 minutes.
    pub grace: Duration,
}

impl KeeperOptions {
    /// Everything is kept, and merged.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            keep_for: None,
            keep_bytes: None,
            key_file: None,
            settle: Duration::from_secs(600),
            grace: Duration::from_secs(600),
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Files that others were made of.
    pub merged: u64,
    /// Files that were made of them.
    pub made: u64,
    /// Records in those.
    pub rows: u64,
    /// Files that were removed: merged, too old or too much.
    pub removed_files: u64,
    /// Their size.
    pub removed_bytes: u64,
    /// Hours that were removed for their age or for room.
    pub removed_hours: u64,
    /// Keys that were dropped.
    pub dropped_keys: u64,
    /// What could not be done, each with the file's name.
    pub problems: Vec<String>,
}

/// Does the housekeeping of a store. Any number may be at work on one store: one acts at a time.
pub struct Keeper {
    options: KeeperOptions,
    /// The last tick.
    last_ns: Option<i64>,
    /// The clock was set: until then, nothing is too old.
    doubt_until_ns: i64,
    /// When it looked last.
    looked_ns: Option<i64>,
}

impl Keeper {
    /// A keeper that has done nothing yet.
    pub fn new(options: KeeperOptions) -> Self {
        Self { options, last_ns: None, doubt_until_ns: i64::MIN, looked_ns: None }
    }

    /// It is now so late, in nanoseconds since 1970. Once a minute it does what there is to do, which can take long: not on a
    /// thread that packets wait for. A clock that was set forward by more than an hour removes nothing for a day.
    ///
    /// # Errors
    /// If the store can't be read or written.
    pub fn tick(&mut self, now_ns: i64) -> Result<Kept, FolderError> {
        let step = self.last_ns.map_or(0, |last| now_ns.saturating_sub(last));
        self.last_ns = Some(now_ns);
        if step > STEP_MAX_NS {
            self.doubt_until_ns = now_ns.saturating_add(DOUBT_NS);
        } else if step < 0 {
            // What was later than now is in the future again.
            self.doubt_until_ns = self.doubt_until_ns.min(now_ns.saturating_add(DOUBT_NS));
            self.looked_ns = None;
        }
        if self.looked_ns.is_some_and(|looked| now_ns.saturating_sub(looked) < EVERY_NS) {
            return Ok(Kept::default());
        }
        self.looked_ns = Some(now_ns);
        let _lock = match Lock::take(&self.options.folder) {
            Err(FolderError::Busy { .. }) => return Ok(Kept::default()),
            lock => lock?,
        };
        let mut kept = Kept::default();
        self.sweep(now_ns, &mut kept)?;
        self.remove(now_ns, now_ns >= self.doubt_until_ns, &mut kept)?;
        self.merge(Some(now_ns), &mut kept)?;
        Ok(kept)
    }

    /// Merges what is small, in hours that are over; with `all`, in every hour, and removes what was merged at once: only
    /// for a store that nobody reads.
    ///
    /// # Errors
    /// If the store can't be read or written, or another process is at work on it.
    pub fn compact(&self, all: bool) -> Result<Kept, FolderError> {
        let _lock = Lock::take(&self.options.folder)?;
        let mut kept = Kept::default();
        let now_ns = now_ns();
        self.merge((!all).then_some(now_ns), &mut kept)?;
        self.sweep(if all { i64::MAX } else { now_ns }, &mut kept)?;
        Ok(kept)
    }

    /// Removes what is too old or too much.
    ///
    /// # Errors
    /// If the store can't be read or written, or another process is at work on it.
    pub fn prune(&self) -> Result<Kept, FolderError> {
        let _lock = Lock::take(&self.options.folder)?;
        let mut kept = Kept::default();
        self.remove(now_ns(), true, &mut kept)?;
        Ok(kept)
    }

    /// Looks every ten seconds on a thread of its own, until what is given is dropped. `tell` gets what was done, if
    /// something was, or what went wrong.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(
        mut self,
        mut tell: impl FnMut(Result<Kept, FolderError>) + Send + 'static,
    ) -> io::Result<Running> {
        let (stop, stopped) = channel();
        let work = move || {
            while stopped.recv_timeout(Duration::from_secs(10)) == Err(RecvTimeoutError::Timeout) {
                match self.tick(now_ns()) {
                    Ok(kept) if kept == Kept::default() => {}
                    other => tell(other),
                }
            }
        };
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(work)?;
        Ok(Running { stop: Some(stop), thread: Some(thread) })
    }

    fn merge(&self, now_ns: Option<i64>, kept: &mut Kept) -> Result<(), FolderError> {
        let store = &self.options.folder;
        for hour in hours(store).map_err(FolderError::folder(store))? {
            let over = now_ns
                .is_none_or(|now| now.saturating_sub(hour.end_ns()) >= nanoseconds(self.options.settle));
            let enough = if over { 2 } else { UNFINISHED_FILES_MAX };
            // What can't be read is left where it is, and the others are merged without it.
            let mut bad: Vec<PathBuf> = Vec::new();
            loop {
                let (files, stale) = listed(store, hour).map_err(FolderError::folder(store))?;
                let mut bytes = 0;
                let small: Vec<DataFile> = files
                    .into_iter()
                    .filter(|file| file.bytes < SMALL_BYTES && !bad.contains(&file.path))
                    .take_while(|file| {
                        bytes += file.bytes;
                        bytes < MERGED_BYTES_MAX
                    })
                    .take(FILES_MAX)
                    .collect();
                if small.len() < enough {
                    break;
                }
                match merge(store, hour, &small, &stale) {
                    Ok(rows) => {
                        kept.merged += small.len() as u64;
                        kept.made += 1;
                        kept.rows += rows;
                    }
                    Err(FolderError::Merge { path, cause }) => {
                        kept.problems.push(format!("{}: {cause}", path.display()));
                        bad.push(path);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Removes files that were merged long enough ago, and what writers that are gone have left.
    fn sweep(&self, now_ns: i64, kept: &mut Kept) -> Result<(), FolderError> {
        let store = &self.options.folder;
        for hour in hours(store).map_err(FolderError::folder(store))? {
            let folder = store.join(hour.folder());
            self.sweep_hour(&folder, hour, now_ns, kept).map_err(FolderError::folder(&folder))?;
        }
        Ok(())
    }

    fn sweep_hour(&self, folder: &Path, hour: Hour, now_ns: i64, kept: &mut Kept) -> io::Result<()> {
        let grace = nanoseconds(self.options.grace);
        let is_old = |path: &Path| {
            let age = fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|time| {
                let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
                Some(now_ns.saturating_sub(i64::try_from(since.as_nanos()).ok()?))
            });
            age.is_some_and(|age| age >= grace)
        };
        clean(folder)?;
        let (files, stale) = listed(&self.options.folder, hour)?;
        // The lists as they were before anything is removed now: a list goes one round after its files.
        let mut lists = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "replaces") {
                let text = fs::read_to_string(&path)?;
                let gone = text.lines().all(|name| !folder.join(name).exists());
                lists.push((path, gone));
            }
        }
        let merged: Vec<PathBuf> =
            files.iter().chain(&stale).filter_map(|file| list_of(&file.path)).collect();
        // Of merges within the time of grace, readers may know nothing yet.
        if files.iter().chain(&stale).filter(|file| file.is_merged()).all(|file| is_old(&file.path)) {
            for file in &stale {
                fs::remove_file(&file.path)?;
                kept.removed_files += 1;
                kept.removed_bytes += file.bytes;
            }
        }
        for (list, gone) in lists {
            if is_old(&list) && (gone || !merged.contains(&list)) {
                fs::remove_file(list)?;
            }
        }
        Ok(())
    }

    fn remove(&self, now_ns: i64, by_age: bool, kept: &mut Kept) -> Result<(), FolderError> {
        let store = &self.options.folder;
        let failed = || FolderError::folder(store);
        let mut hours = hours(store).map_err(failed())?;
        if let Some(keep_for) = self.options.keep_for.filter(|_| by_age) {
            let before_ns = now_ns.saturating_sub(nanoseconds(keep_for));
            for hour in hours.extract_if(.., |hour| hour.end_ns() <= before_ns) {
                remove_hour(store, hour, kept).map_err(failed())?;
            }
            if let Some(keys) = self.options.key_file.as_deref().filter(|keys| keys.exists()) {
                kept.dropped_keys += Keyring::open(keys, i64::MAX, now_ns)?.drop_before(before_ns)? as u64;
            }
        }
        if let Some(limit) = self.options.keep_bytes {
            let mut sizes = Vec::new();
            for hour in hours {
                let (files, stale) = listed(store, hour).map_err(failed())?;
                sizes.push((hour, files.iter().chain(&stale).map(|file| file.bytes).sum::<u64>()));
            }
            let mut total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
            // The newest hour stays: it is being written.
            sizes.pop();
            for (hour, bytes) in sizes {
                if total <= limit {
                    break;
                }
                remove_hour(store, hour, kept).map_err(failed())?;
                total -= bytes;
            }
        }
        Ok(())
    }
}

/// A keeper at work. Dropping it waits for what it is doing.
pub struct Running {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Removes an hour with all that is in it, and the day's folder if it was the last.
fn remove_hour(store: &Path, hour: Hour, kept: &mut Kept) -> io::Result<()> {
    for file in files(store, hour)? {
        kept.removed_files += 1;
        kept.removed_bytes += file.bytes;
    }
    let folder = store.join(hour.folder());
    fs::remove_dir_all(&folder)?;
    kept.removed_hours += 1;
    // Other hours of the day may be in it.
    if let Some(day) = folder.parent() {
        let _ = fs::remove_dir(day);
    }
    Ok(())
}
