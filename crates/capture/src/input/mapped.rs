//! Large files, mapped: a packet whose payload nobody wants costs its headers' cache lines, and not a copy of it all.
//!
//! A mapped file can be cut short while it is read, by a program that writes it or by a failing disk. What was lost then
//! reads as zeros instead of ending the process (see [`guard`]), and the file counts as damaged from there on.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use daylight_packet::FrameBytes;
use memmap2::{Mmap, MmapOptions};

use super::guard::Guard;
use super::{Input, Tail, Window};

/// Regions begin at multiples of this: the kernel then maps a page cache of large folios by the huge page.
const ALIGNMENT: u64 = 2 << 20;

/// How many bytes a region has, if nothing larger is needed. Few enough to keep the resident set small, since what was
/// touched of a region counts until its last batch is dropped.
const REGION_LEN: u64 = 8 << 20;

/// Files below this length are read: mapping pays for itself only over many pages.
pub(crate) const FILE_LEN_MIN: u64 = REGION_LEN;

/// A part of the file.
struct Region {
    // Before the mapping, so that no guard outlives what it guards.
    guard: Guard,
    map: Mmap,
    lost: Arc<AtomicBool>,
}

impl FrameBytes for Region {
    fn bytes(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.guard.is_lost() {
            self.lost.store(true, Ordering::Relaxed);
        }
    }
}

pub(crate) struct Mapped {
    file: File,
    /// Up to where it is mapped, and how many bytes it has.
    read: AtomicU64,
    len: u64,
    region: Option<Arc<Region>>,
    /// If a region that is gone lost something.
    lost: Arc<AtomicBool>,
}

impl Mapped {
    /// # Errors
    /// If its length can't be told.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, read: AtomicU64::new(0), len, region: None, lost: Arc::default() })
    }
}

impl Input for Mapped {
    fn window(&mut self, offset: u64, rest: &[u8], need: usize) -> io::Result<Window> {
        // It may be growing, or have been cut.
        self.len = self.file.metadata()?.len();
        let damaged = |rest: &[u8]| {
            let tail = Tail::Damaged(CUT.into());
            Window { data: Arc::new(rest.to_vec()), start: 0, tail }
        };
        if self.len < offset + rest.len() as u64 {
            return Ok(damaged(rest));
        }
        let start = offset - offset % ALIGNMENT;
        let end = (offset + need as u64).max(start + REGION_LEN).min(self.len);
        if end == start {
            // The file ends where a region would begin.
            return Ok(Window { data: Arc::new(Vec::new()), start: 0, tail: Tail::End });
        }
        // SAFETY: the mapping is private and never written to. Others may write to the file meanwhile, which changes
        // bytes that were not looked at yet: as with a file that is read, they are checked where they are used, and
        // nothing relies on reading the same twice. If the file becomes shorter, the guard sees to it.
        #[allow(unsafe_code)]
        let map = unsafe { MmapOptions::new().offset(start).len((end - start) as usize).map(&self.file)? };
        let Some(guard) = Guard::new(&map) else {
            return Err(io::Error::other("too many captures are open at once"));
        };
        let region = Arc::new(Region { guard, map, lost: Arc::clone(&self.lost) });
        self.region = Some(Arc::clone(&region));
        self.read.store(end, Ordering::Relaxed);
        let tail = if end == self.len { Tail::End } else { Tail::More };
        Ok(Window { data: region, start: (offset - start) as usize, tail })
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Ordering::Relaxed), Some(self.len))
    }

    fn lost(&self) -> Option<&'static str> {
        let lost = self.lost.load(Ordering::Relaxed)
            || self.region.as_ref().is_some_and(|region| region.guard.is_lost());
        lost.then_some(CUT)
    }
}

const CUT: &str = "the file was cut short, or can't be read on, since it was opened";
