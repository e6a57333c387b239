//! Which first flights a server has taken: none is taken twice, also not after a restart.
//!
//! The memory is exact. A flight's time bounds how long it is to be remembered; when the memory is full, new ones are
//! refused rather than old ones forgotten. What is taken is written down before anything is answered. Whatever a crash of
//! the whole machine may have kept from the disk is older than the machine's start, and so a machine that was started
//! since refuses what is older than that.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::elligator::Representative;
use super::hello::CLOCK_TOLERANCE_S;

/// Flights that are remembered at once; each takes about 40 bytes.
pub const REMEMBERED_MAX: usize = 1 << 20;
/// Flights of so many seconds are forgotten together.
const SPAN_S: u64 = 60;
/// The file begins so; then come the machine's start (36 bytes), the time before which nothing is taken (4), and entries of
/// time and identifier.
const MAGIC: [u8; 16] = *b"daylight plain 1";
const ENTRY_LEN: usize = 4 + 16;

/// Why a flight is not taken. Whoever sent it learns nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum Repeated {
    /// It was taken before.
    #[error("this flight came before")]
    Known,
    /// It may have been taken before: it is older than the machine's start.
    #[error("this flight is older than this machine's start, before which it may have come")]
    BeforeStart,
    /// Too many came in so short a time.
    #[error("{REMEMBERED_MAX} flights are remembered, more than which may not come within {} minutes", CLOCK_TOLERANCE_S / 30)]
    Full,
    /// It can't be written down.
    #[error("can't write to {path}: {cause}; free space there, or mend its permissions")]
    Write {
        /// The memory's file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// The flights that were taken.
pub struct Memory {
    path: PathBuf,
    file: File,
    /// By the span in which they were sent.
    spans: BTreeMap<u64, HashSet<[u8; 16]>>,
    count: usize,
    /// Entries of the file.
    written: usize,
    /// When it was first opened after the machine's start, if there was one before.
    not_before_s: u32,
    boot: [u8; 36],
}

impl Memory {
    /// Reads the memory in this file, or makes one. `boot` tells one start of the machine from another: on Linux, what
    /// `/proc/sys/kernel/random/boot_id` holds.
    ///
    /// # Errors
    /// If the file can't be read or written, or is something else.
    pub fn open(path: &Path, boot: [u8; 36], now_s: u64) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => file.read_to_end(&mut bytes).map(drop)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        };
        let mut memory = Self {
            path: path.to_owned(),
            // Written anew below, without what is forgotten.
            file: File::open("/dev/null")?,
            spans: BTreeMap::new(),
            count: 0,
            written: 0,
            not_before_s: 0,
            boot,
        };
        if !bytes.is_empty() {
            let head = bytes.strip_prefix(&MAGIC).and_then(<[u8]>::split_first_chunk::<36>);
            let Some((before, (not_before, entries))) =
                head.and_then(|(boot, rest)| Some((boot, rest.split_first_chunk()?)))
            else {
                let message = "it is not a memory of first flights: name another file, or remove it";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            memory.not_before_s = u32::from_be_bytes(*not_before);
            if *before != boot {
                memory.not_before_s = u32::try_from(now_s).unwrap_or(u32::MAX);
            }
            // A last entry that is cut short was never answered.
            for entry in entries.chunks_exact(ENTRY_LEN) {
                if let Some((time, id)) =
                    entry.split_first_chunk().zip(entry.last_chunk()).map(|((t, _), id)| (t, id))
                {
                    memory.remember(u32::from_be_bytes(*time).into(), *id);
                }
            }
        }
        memory.forget(now_s);
        memory.rewrite()?;
        Ok(memory)
    }

    /// Takes a flight with this key and of this time, unless it came before. What is
    /// [too old or too new](CLOCK_TOLERANCE_S) is not to come here at all.
    ///
    /// # Errors
    /// If it is not to be taken.
    pub fn take(&mut self, flight: &Representative, time_s: u64, now_s: u64) -> Result<(), Repeated> {
        self.forget(now_s);
        let mut id = [0; 16];
        id.copy_from_slice(&flight[..16]);
        if self.spans.get(&(time_s / SPAN_S)).is_some_and(|span| span.contains(&id)) {
            return Err(Repeated::Known);
        }
        if time_s < self.not_before_s.into() {
            return Err(Repeated::BeforeStart);
        }
        if self.count >= REMEMBERED_MAX {
            return Err(Repeated::Full);
        }
        let write = |cause| Repeated::Write { path: self.path.clone(), cause };
        let entry = [&(time_s as u32).to_be_bytes()[..], &id].concat();
        self.file.write_all(&entry).map_err(write)?;
        self.written += 1;
        self.remember(time_s, id);
        if self.written > 2 * self.count + 1000 {
            self.rewrite().map_err(|cause| Repeated::Write { path: self.path.clone(), cause })?;
        }
        Ok(())
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn remember(&mut self, time_s: u64, id: [u8; 16]) {
        self.count += usize::from(self.spans.entry(time_s / SPAN_S).or_default().insert(id));
    }

    /// What is older than any flight that is taken.
    fn forget(&mut self, now_s: u64) {
        let oldest = now_s.saturating_sub(CLOCK_TOLERANCE_S) / SPAN_S;
        while let Some(span) = self.spans.first_entry().filter(|span| *span.key() < oldest) {
            self.count -= span.remove().len();
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = [&MAGIC[..], &self.boot, &self.not_before_s.to_be_bytes()].concat();
        for (span, ids) in &self.spans {
            for id in ids {
                bytes.extend(((span * SPAN_S) as u32).to_be_bytes());
                bytes.extend(id);
            }
        }
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        self.written = self.count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;
    const BOOT: [u8; 36] = [b'a'; 36];

    fn flight(number: u32) -> Representative {
        let mut flight = [0; 32];
        flight[..4].copy_from_slice(&number.to_be_bytes());
        flight
    }

    #[test]
    fn nothing_is_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flights");
        let mut memory = Memory::open(&path, BOOT, NOW).unwrap();
        memory.take(&flight(1), NOW, NOW).unwrap();
        assert!(matches!(memory.take(&flight(1), NOW, NOW), Err(Repeated::Known)));
        memory.take(&flight(2), NOW - 300, NOW).unwrap();
        // Also not after the program was killed.
        drop(memory);
        let mut memory = Memory::open(&path, BOOT, NOW + 5).unwrap();
        assert_eq!(memory.len(), 2);
        for (number, time) in [(1, NOW), (2, NOW - 300)] {
            assert!(matches!(memory.take(&flight(number), time, NOW + 5), Err(Repeated::Known)));
        }
        memory.take(&flight(3), NOW, NOW + 5).unwrap();
        // What is too old to be taken is forgotten.
        drop(memory);
        let memory = Memory::open(&path, BOOT, NOW + CLOCK_TOLERANCE_S + 61).unwrap();
        assert!(memory.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), (MAGIC.len() + 36 + 4) as u64);
    }

    #[test]
    fn what_a_crash_may_have_lost_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flights");
        let mut memory = Memory::open(&path, BOOT, NOW).unwrap();
        memory.take(&flight(1), NOW, NOW).unwrap();
        // In the middle of an entry.
        memory.file.write_all(&[1, 2, 3]).unwrap();
        drop(memory);
        let mut memory = Memory::open(&path, [b'b'; 36], NOW + 60).unwrap();
        assert!(matches!(memory.take(&flight(1), NOW, NOW + 60), Err(Repeated::Known)));
        assert!(matches!(memory.take(&flight(2), NOW + 59, NOW + 60), Err(Repeated::BeforeStart)));
        memory.take(&flight(3), NOW + 60, NOW + 60).unwrap();
        // And once the program was started again, still.
        drop(memory);
        let mut memory = Memory::open(&path, [b'b'; 36], NOW + 61).unwrap();
        assert!(matches!(memory.take(&flight(4), NOW + 59, NOW + 61), Err(Repeated::BeforeStart)));
        memory.take(&flight(4), NOW + 60, NOW + 61).unwrap();
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flights");
        let mut memory = Memory::open(&path, BOOT, NOW).unwrap();
        for number in 0..10_000 {
            let now = NOW + u64::from(number);
            memory.take(&flight(number), now, now).unwrap();
        }
        assert!(memory.len() <= 700, "{}", memory.len());
        assert!(std::fs::metadata(&path).unwrap().len() < 2500 * ENTRY_LEN as u64);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, "Dear reader").unwrap();
        let error = Memory::open(&path, BOOT, NOW).err().unwrap();
        assert!(error.to_string().contains("name another file"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear reader");
    }
}
