//! Records on disk, waiting for whoever they are for.
//!
//! A [`Spool`] is a folder of segments. Records are appended by the threads that make them, with one `write` each, so that a
//! killed process loses none that was handed over; several [`Reader`]s, one a destination, read on at their own pace from
//! what they have acknowledged. A segment goes when all have. When the segments reach their budget, the oldest goes
//! although somebody still wanted it: each destination counts what it missed.
//!
//! **Disk full.** A record that can't be written is dropped and counted, half of it is cut off again, and the next is tried
//! anew: what is kept already stays, and whatever a destination acknowledges makes room.
//!
//! **Power.** [`Spool::sync`], called once a second by the exporter, bounds what a power cut takes to that second. Positions
//! are not waited for: if one is lost, records are sent again.

mod frame;
mod position;
mod reader;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::record::RecordId;
use position::{Position, PositionFile};
pub use reader::{Batch, Limits, Reader};
use segment::Segment;

/// What is wrong with a spool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// A file or the folder can't be read or written.
    #[error("can't use the spool at {}: {cause}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Another process has it.
    #[error("the spool {} is in use by another process: give each its own folder", path.display())]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SpoolError + '_ {
    |cause| SpoolError::Io { path: path.to_owned(), cause }
}

/// What a spool has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolCounters {
    /// Records handed over.
    pub handed_over: u64,
    /// Records written down.
    pub spooled: u64,
    /// Records that could not be written: disk full, or longer than 1 MiB.
    pub unwritten: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segments dropped for the budget before all had read them.
    pub segments_dropped: u64,
}

/// What one destination has done, as far as the spool knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderCounters {
    /// Records that are behind the destination's position.
    pub acknowledged: u64,
    /// Records that were dropped for the budget before this destination had them.
    pub dropped: u64,
    /// Records that could not be read any more: the disk spoilt them.
    pub spoilt: u64,
    /// Records that wait.
    pub lag: u64,
}

/// Records on disk.
pub struct Spool {
    folder: PathBuf,
    segment_bytes: u64,
    budget_bytes: u64,
    state: Mutex<State>,
    news: Condvar,
    /// Held as long as the spool is open.
    _lock: File,
}

struct State {
    /// Oldest first; the last is written to.
    segments: VecDeque<Segment>,
    /// The last segment, if it can be written to.
    file: Option<File>,
    counters: SpoolCounters,
    readers: Vec<Slot>,
    frame: Vec<u8>,
    unsynced: bool,
    /// The last record could not be written.
    is_full: bool,
    closed: bool,
    error: Option<String>,
}

/// A reader as the spool knows it.
struct Slot {
    name: Box<str>,
    position: Position,
    file: PositionFile,
    counters: ReaderCounters,
}

/// The least budget, in bytes.
pub const BUDGET_BYTES_MIN: u64 = 1 << 20;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

impl Spool {
    /// Opens the spool in a folder, or makes one, for these destinations. `budget_bytes` bounds the segments on disk
    /// (at least [`BUDGET_BYTES_MIN`]; there are some 16 segments, of at most 64 MiB). A destination that was not there before
    /// begins with the oldest record that is kept; one that is not named any more is not waited for.
    ///
    /// # Errors
    /// If the folder can't be made, read or written, or another process uses it.
    pub fn open(folder: &Path, budget_bytes: u64, names: &[&str]) -> Result<Arc<Self>, SpoolError> {
        make_folder(folder)?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(SpoolError::InUse { path: folder.to_owned() });
            }
            Err(std::fs::TryLockError::Error(cause)) => return Err(io_error(&lock_path)(cause)),
        }
        let mut segments = segment::find(folder)?;
        let mut last = None;
        if let Some(segment) = segments.back_mut() {
            last = Some(segment.recover()?);
        }
        let end = segments.back().map_or(0, |segment| segment.end);
        let oldest = segments.front().map_or(end, |segment| segment.base);
        let mut readers = Vec::new();
        for name in names {
            let path = folder.join(format!("{name}.position"));
            let (file, found) = PositionFile::open(&path).map_err(io_error(&path))?;
            // After a power cut a position may be ahead of the records that it speaks of.
            let position = found.unwrap_or(Position { next: oldest, until: 0 });
            let position = Position { next: position.next.min(end), until: position.until.min(end) };
            readers.push(Slot { name: (*name).into(), position, file, counters: ReaderCounters::default() });
        }
        let budget_bytes = budget_bytes.max(BUDGET_BYTES_MIN);
        let counters = SpoolCounters {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            ..SpoolCounters::default()
        };
        let state = State {
            segments,
            file: last,
            counters,
            readers,
            frame: Vec::new(),
            unsynced: false,
            is_full: false,
            closed: false,
            error: None,
        };
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            segment_bytes: (budget_bytes / 16).min(SEGMENT_BYTES_MAX),
            budget_bytes,
            state: Mutex::new(state),
            news: Condvar::new(),
            _lock: lock,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left whole counters behind: each is set at once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a record down, if there is a destination. False if it could not be: it is counted, and [`error`](Self::error) says why.
    ///
    /// Takes one `write` to the page cache; waits for nothing but the disk.
    pub fn append(&self, id: RecordId, uid: &str, has_risks: bool, line: &[u8]) -> bool {
        let mut state = self.state();
        state.counters.handed_over += 1;
        // Nobody would ever read it.
        if state.readers.is_empty() {
            return true;
        }
        let mut frame = std::mem::take(&mut state.frame);
        let done = if line.len() > frame::LINE_BYTES_MAX {
            Err(io::Error::other(format!("a record of {} bytes is longer than 1 MiB", line.len())))
        } else {
            let sum = frame::begin(id, uid, has_risks, line, &mut frame);
            self.make_room(&mut state, frame.len() as u64).and_then(|()| {
                let sequence = state.segments.back().map_or(0, |segment| segment.end);
                frame::complete(&mut frame, sum, sequence);
                state.write(&frame)
            })
        };
        state.frame = frame;
        state.is_full = done.is_err() && line.len() <= frame::LINE_BYTES_MAX;
        match done {
            Ok(()) => {
                state.counters.spooled += 1;
                state.unsynced = true;
                drop(state);
                self.news.notify_all();
                true
            }
            Err(cause) => {
                state.counters.unwritten += 1;
                state.error = Some(cause.to_string());
                state.clean();
                false
            }
        }
    }

    /// Begins a new segment where the last is full, and drops the oldest where all together would be.
    fn make_room(&self, state: &mut State, bytes: u64) -> io::Result<()> {
        let full = state
            .segments
            .back()
            .is_none_or(|last| last.bytes + bytes > self.segment_bytes && last.count() > 0);
        if full || state.file.is_none() {
            let base = state.segments.back().map_or_else(|| state.furthest(), |last| last.end);
            let (segment, file) = Segment::create(&self.folder, base)?;
            // What was there by that name had no record in it.
            if state.segments.back().is_some_and(|last| last.base == base)
                && let Some(empty) = state.segments.pop_back()
            {
                state.counters.bytes -= empty.bytes;
            }
            state.counters.bytes += segment.bytes;
            state.segments.push_back(segment);
            state.file = Some(file);
            state.clean();
        }
        while state.counters.bytes + bytes > self.budget_bytes && state.segments.len() > 1 {
            state.drop_oldest();
            state.counters.segments_dropped += 1;
        }
        Ok(())
    }

    /// Has the system write to the disk what it holds.
    ///
    /// # Errors
    /// If the disk can't be written.
    pub fn sync(&self) -> Result<(), SpoolError> {
        let mut state = self.state();
        if !std::mem::take(&mut state.unsynced) {
            return Ok(());
        }
        let file = state.file.as_ref().map(File::try_clone);
        // Nobody waits for the disk to append.
        drop(state);
        match file {
            Some(file) => file.and_then(|file| file.sync_data()).map_err(io_error(&self.folder)),
            None => Ok(()),
        }
    }

    /// Says that nothing more will be appended: readers that have read everything are told so.
    pub fn close(&self) {
        self.state().closed = true;
        self.news.notify_all();
    }

    /// What it has seen since it was opened.
    pub fn counters(&self) -> SpoolCounters {
        self.state().counters
    }

    /// What a destination has seen since the spool was opened, if there is one of this name.
    pub fn reader_counters(&self, name: &str) -> Option<ReaderCounters> {
        let state = self.state();
        let end = state.end();
        let slot = state.readers.iter().find(|slot| &*slot.name == name)?;
        Some(ReaderCounters { lag: end.saturating_sub(slot.position.next), ..slot.counters })
    }

    /// Why a record or a position could last not be written.
    pub fn error(&self) -> Option<String> {
        self.state().error.clone()
    }

    /// Reads for a destination that the spool was opened for; `None` for another.
    pub fn reader(self: &Arc<Self>, name: &str) -> Option<Reader> {
        let slot = self.state().readers.iter().position(|slot| &*slot.name == name)?;
        Some(Reader::new(Arc::clone(self), slot))
    }

    /// Waits until there is a record with this number, or the spool is closed, or the time is over. Says how many there are,
    /// and whether it is closed.
    fn wait(&self, sequence: u64, patience: Duration) -> (u64, bool) {
        let state = self.state();
        let (state, _) = self
            .news
            .wait_timeout_while(state, patience, |state| state.end() <= sequence && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        (state.end(), state.closed)
    }
}

impl State {
    /// One more than the last record's number.
    fn end(&self) -> u64 {
        self.segments.back().map_or_else(|| self.furthest(), |last| last.end)
    }

    /// How far the readers were, where no segment says so.
    fn furthest(&self) -> u64 {
        self.readers.iter().map(|slot| slot.position.next).max().unwrap_or(0)
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let (Some(file), Some(last)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(cause) = file.write_all(frame) {
            let cut = file.set_len(last.bytes).and_then(|()| file.seek(SeekFrom::Start(last.bytes)));
            if cut.is_err() {
                // Nothing behind this place could be found again.
                self.file = None;
            }
            return Err(cause);
        }
        last.bytes += frame.len() as u64;
        last.end += 1;
        self.counters.bytes += frame.len() as u64;
        Ok(())
    }

    /// Removes the segments that all have read; the last only if the disk is full, for it may be large.
    fn clean(&mut self) {
        let Some(needed) = self.readers.iter().map(|slot| slot.position.next).min() else { return };
        while let Some(oldest) = self.segments.front()
            && oldest.end <= needed
            && (self.segments.len() > 1 || self.is_full && oldest.count() > 0)
        {
            self.drop_oldest();
        }
        if self.segments.is_empty() {
            self.file = None;
        }
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.segments.pop_front() else { return };
        self.counters.bytes -= oldest.bytes;
        if let Err(cause) = std::fs::remove_file(&oldest.path) {
            self.error = Some(format!("can't remove {}: {cause}", oldest.path.display()));
        }
    }

    fn acknowledge(&mut self, slot: usize, until: u64, records: u64) {
        if let Some(slot) = self.readers.get_mut(slot) {
            slot.counters.acknowledged += records;
        }
        self.set_position(slot, Position { next: until, until });
        self.clean();
    }

    /// A position that can't be written down costs sending again, nothing else.
    fn set_position(&mut self, slot: usize, position: Position) {
        let Some(slot) = self.readers.get_mut(slot) else { return };
        if slot.position == position {
            return;
        }
        slot.position = position;
        if let Err(cause) = slot.file.write(position) {
            self.error = Some(format!("can't write {}.position: {cause}", slot.name));
        }
    }
}

/// Makes a folder that others can't look into.
fn make_folder(folder: &Path) -> Result<(), SpoolError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(folder))
}
