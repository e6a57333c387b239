//! Where packets come from: capture files and pipes; and a writer for both formats.
//!
//! [`open`] gives a [`FrameSource`](daylight_packet::FrameSource), which hands out batches of frames that lie in the
//! memory they were read into. It finds out by itself what it has: pcap or pcapng, plain or under gzip or zstd, a file
//! or a pipe. [`expand`] turns what a user gave (files, directories, patterns) into paths.
//!
//! **Layers.** An input gives windows: runs of consecutive bytes. A [`Format`] walks over a window and
//! notes where frames lie; it does no I/O and copies nothing, so it can be tested, and fuzzed, on bytes alone.
//!
//! **Memory** does not grow with a file: everything is read into buffers of 512 KiB, which stay in a core's cache and are
//! used again when the last batch in them is dropped.
//!
//! Files are read, not mapped. Mapping was built and measured (a walk over a whole file in the page cache that touches
//! the first 64 bytes of every packet; user + system CPU seconds, the least of eight runs taken in turn; 2 cores of an
//! AMD EPYC, Linux 6.18): it wins only while the page cache holds the file in large folios, which is so for a file that
//! was just written and not for one that lay a while, and it needs `unsafe`, prefetching, and a process that dies when
//! somebody truncates the file.
//!
//! | file | page cache | mapped | read |
//! |---|---|---|---|
//! | 1373 MB, 1.28 M packets | large folios | 0.10 | 0.12 |
//! | 816 MB, 2.21 M packets | large folios | 0.07 | 0.09 |
//! | 1373 MB, 1.28 M packets | single pages | 0.15 | 0.13 |
//! | peak memory | | 6 MB | 3 MB |
#![forbid(unsafe_code)]

mod expand;
mod format;
mod input;
mod open;
mod source;
mod write;

#[cfg(test)]
mod tests;

pub use expand::expand;
pub use format::{Format, NotACapture, Progress, Walked};
pub use open::{open, open_bytes, open_reader};
pub use write::{PcapWriter, PcapngWriter};
