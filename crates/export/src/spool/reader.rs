//! Reads on from where a destination is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frame::{self, HEADER_BYTES, Read};
use super::position::Position;
use super::{Spool, SpoolError, io_error};
use crate::record::Entry;

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How large a batch is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most so many records.
    pub records_max: u64,
    /// No more records once their lines have so many bytes.
    pub bytes_max: usize,
    /// A batch that is smaller waits so long for more.
    pub linger: Duration,
    /// Only records with risks.
    pub risks_only: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { records_max: 500, bytes_max: 1 << 20, linger: Duration::from_millis(50), risks_only: false }
    }
}

/// Records that are sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The first record's number, even if it is left out.
    pub from: u64,
    /// One more than the last record's number.
    pub until: u64,
    /// Records in between that are no more: they were dropped for the budget, or the disk spoilt them.
    pub missing: u64,
    /// The records, in order.
    pub entries: Vec<Entry>,
}

/// A destination's reader.
pub struct Reader {
    spool: Arc<Spool>,
    slot: usize,
    open: Option<Open>,
}

/// A segment that is being read.
struct Open {
    file: File,
    base: u64,
    /// Where the next record begins, and its number.
    offset: u64,
    sequence: u64,
    /// Bytes from `offset` on that were read ahead.
    ahead: Vec<u8>,
    used: usize,
}

/// Where records can be found.
enum Found {
    /// In this segment: its first number, its path, its filled bytes and its end.
    In(u64, std::path::PathBuf, u64, u64),
    /// They were dropped: the oldest that there is.
    Dropped(u64),
    Nowhere,
}

impl Reader {
    pub(super) fn new(spool: Arc<Spool>, slot: usize) -> Self {
        Self { spool, slot, open: None }
    }

    fn position(&self) -> Position {
        self.spool.state().readers.get(self.slot).map(|slot| slot.position).unwrap_or_default()
    }

    /// The next batch, waiting for one at most `patience`; `None` if there is none yet, or none any more.
    ///
    /// A batch that was handed out and not acknowledged comes again, the same, also after a restart, unless its records were
    /// dropped meanwhile.
    ///
    /// # Errors
    /// If the segment can't be read.
    pub fn next(&mut self, limits: &Limits, patience: Duration) -> Result<Option<Batch>, SpoolError> {
        let position = self.position();
        if position.until > position.next {
            let again = Limits { records_max: u64::MAX, bytes_max: usize::MAX, ..*limits };
            return self.read(position.next, position.until, &again).map(Some);
        }
        let (mut end, mut closed) = self.spool.wait(position.next, patience);
        if end <= position.next {
            return Ok(None);
        }
        let deadline = Instant::now() + limits.linger;
        while end - position.next < limits.records_max && !closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (end, closed) = self.spool.wait(position.next + limits.records_max - 1, left);
        }
        let until = end.min(position.next.saturating_add(limits.records_max));
        let batch = self.read(position.next, until, limits)?;
        self.spool.state().set_position(self.slot, Position { next: position.next, until: batch.until });
        Ok(Some(batch))
    }

    /// True if everything was acknowledged and nothing more will come.
    pub fn is_over(&self) -> bool {
        let state = self.spool.state();
        state.closed && state.readers.get(self.slot).is_none_or(|slot| slot.position.next >= state.end())
    }

    /// Says that a batch has arrived.
    pub fn acknowledge(&mut self, batch: &Batch) {
        let records = (batch.until - batch.from).saturating_sub(batch.missing);
        let mut state = self.spool.state();
        state.acknowledge(self.slot, batch.until, records);
        let oldest = state.segments.front().map(|oldest| oldest.base);
        drop(state);
        // A file that is held open takes its room on disk although it was removed.
        if self.open.as_ref().is_some_and(|open| oldest.is_none_or(|oldest| open.base < oldest)) {
            self.open = None;
        }
    }

    fn read(&mut self, from: u64, until: u64, limits: &Limits) -> Result<Batch, SpoolError> {
        let mut entries = Vec::new();
        let (mut sequence, mut bytes, mut missing) = (from, 0, 0);
        while sequence < until && bytes < limits.bytes_max {
            let (path, filled, end) = match self.find(sequence) {
                Found::In(base, path, filled, end) => {
                    if self.open.as_ref().is_none_or(|open| open.base != base || open.sequence > sequence) {
                        match File::open(&path) {
                            Ok(file) => self.open = Some(Open::new(file, base)),
                            // It was dropped just now.
                            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                            Err(cause) => return Err(io_error(&path)(cause)),
                        }
                    }
                    (path, filled, end)
                }
                Found::Dropped(oldest) => {
                    let oldest = oldest.min(until);
                    self.spool.count(self.slot, oldest - sequence, 0);
                    missing += oldest - sequence;
                    sequence = oldest;
                    continue;
                }
                Found::Nowhere => break,
            };
            let Some(open) = &mut self.open else { break };
            while sequence < until.min(end) && bytes < limits.bytes_max {
                let number = open.sequence;
                match open.next(filled).map_err(io_error(&path))? {
                    Read::Entry(entry, _) if number >= sequence => {
                        sequence = number + 1;
                        if entry.has_risks || !limits.risks_only {
                            bytes += entry.line.len();
                            entries.push(entry);
                        }
                    }
                    Read::Entry(..) => {}
                    Read::Spoilt(_) if number >= sequence => {
                        sequence = number + 1;
                        missing += 1;
                        self.spool.count(self.slot, 0, 1);
                    }
                    Read::Spoilt(_) => {}
                    Read::Short(_) | Read::Lost => {
                        // The rest of the segment can't be read.
                        let next = end.min(until);
                        self.spool.count(self.slot, 0, next - sequence);
                        missing += next - sequence;
                        (open.sequence, sequence) = (end, next);
                    }
                }
            }
        }
        Ok(Batch { from, until: sequence, missing, entries })
    }

    fn find(&self, sequence: u64) -> Found {
        let state = self.spool.state();
        match state.segments.front() {
            Some(oldest) if sequence < oldest.base => return Found::Dropped(oldest.base),
            _ => {}
        }
        let behind = state.segments.partition_point(|segment| segment.base <= sequence);
        match behind.checked_sub(1).and_then(|at| state.segments.get(at)) {
            Some(segment) if sequence < segment.end => {
                Found::In(segment.base, segment.path.clone(), segment.bytes, segment.end)
            }
            _ => Found::Nowhere,
        }
    }
}

impl Spool {
    fn count(&self, slot: usize, dropped: u64, spoilt: u64) {
        if let Some(slot) = self.state().readers.get_mut(slot) {
            slot.counters.dropped += dropped;
            slot.counters.spoilt += spoilt;
        }
    }
}

impl Open {
    fn new(file: File, base: u64) -> Self {
        Self { file, base, offset: HEADER_BYTES, sequence: base, ahead: Vec::new(), used: 0 }
    }

    /// What stands at the offset; moves on behind it.
    fn next(&mut self, filled: u64) -> io::Result<Read> {
        loop {
            let have = self.ahead.get(self.used..).unwrap_or_default();
            match frame::read(have, self.sequence) {
                Read::Short(need) => {
                    let start = self.offset.saturating_add(have.len() as u64);
                    let room = filled.saturating_sub(start);
                    let wanted = (need - have.len()) as u64;
                    if room < wanted {
                        return Ok(Read::Short(need));
                    }
                    let len = room.min(wanted.max(CHUNK_BYTES as u64)) as usize;
                    self.ahead.drain(..self.used);
                    self.used = 0;
                    let kept = self.ahead.len();
                    self.ahead.resize(kept + len, 0);
                    if let Err(cause) =
                        self.file.read_exact_at(self.ahead.get_mut(kept..).unwrap_or_default(), start)
                    {
                        self.ahead.truncate(kept);
                        // The file is shorter than it was: the rest is gone, and so it is counted.
                        if cause.kind() == io::ErrorKind::UnexpectedEof {
                            return Ok(Read::Lost);
                        }
                        return Err(cause);
                    }
                }
                found @ (Read::Entry(_, len) | Read::Spoilt(len)) => {
                    self.used += len;
                    self.offset += len as u64;
                    self.sequence += 1;
                    return Ok(found);
                }
                Read::Lost => return Ok(Read::Lost),
            }
        }
    }
}
