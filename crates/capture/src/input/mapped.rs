//! A plain file, mapped a window at a time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use daylight_packet::FrameBytes;
use memmap2::{Mmap, MmapOptions};

use super::{Input, Tail, Window};

/// Windows start at multiples of this, the size of a huge page.
const ALIGNMENT: u64 = 2 << 20;

/// How long a window is: a multiple of the alignment too, because the kernel aligns only such mappings in memory.
const WINDOW_LEN: u64 = 4 << 20;

struct MappedWindow(Mmap);

impl FrameBytes for MappedWindow {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) struct Mapped {
    file: File,
    len: u64,
    done: u64,
}

impl Mapped {
    pub(crate) fn new(file: File, len: u64) -> Self {
        Self { file, len, done: 0 }
    }
}

impl Input for Mapped {
    fn window(&mut self, offset: u64, _rest: &[u8], need: usize) -> io::Result<Window> {
        // A file that became shorter ends earlier; one that is still written to ends where it ended when opened.
        self.len = self.len.min(self.file.metadata()?.len());
        self.done = offset;
        if offset >= self.len {
            return Ok(Window { data: Arc::new(Vec::new()), start: 0, tail: Tail::End });
        }
        let base = offset / ALIGNMENT * ALIGNMENT;
        let end = (base + WINDOW_LEN).max(offset + need as u64).min(self.len);
        // SAFETY: the mapping is private to this process and only read. What memory safety asks for beyond that, that
        // nobody changes the file meanwhile, can't be had on Unix; nothing is concluded from reading a byte twice, and
        // every read is checked against the length of the mapping. A file that is truncated kills the process (see
        // the crate's documentation).
        // JUSTIFICATION: reading copies every byte, which costs more than all the rest of looking at a packet that
        // nothing is owed to any more; figures in the crate's documentation.
        let map = unsafe { MmapOptions::new().offset(base).len((end - base) as usize).map(&self.file)? };
        let tail = if end == self.len { Tail::End } else { Tail::More };
        Ok(Window { data: Arc::new(MappedWindow(map)), start: (offset - base) as usize, tail })
    }

    fn touch_ahead(&self) -> bool {
        true
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.done, Some(self.len))
    }
}
