//! Where packets come from: capture files and pipes; and a writer for both formats.
//!
//! [`open`] gives a [`FrameSource`](daylight_packet::FrameSource), which hands out batches of frames that lie in the
//! memory they were read into. It finds out by itself what it has: pcap or pcapng, plain or under gzip or zstd, a file
//! or a pipe. [`expand`] turns what a user gave (files, directories, patterns) into paths.
//!
//! **Layers.** An input gives windows: runs of consecutive bytes. A [`Format`] walks over a window and
//! notes where frames lie; it does no I/O and copies nothing, so it can be tested, and fuzzed, on bytes alone.
//!
//! **Memory** does not grow with a file: a plain file of a megabyte or more is mapped four megabytes at a time, and
//! unmapped when the last batch of a window is dropped; everything else is read into buffers that are used again.
//!
//! Mapping, measured against reading with `read(2)` into 512 KiB buffers: `examples/walk.rs`, which walks a whole file
//! in the page cache and touches the first 64 bytes of every packet; user + system CPU seconds, the least of eight runs
//! taken in turn; 2 cores of an AMD EPYC that others used too, Linux 6.18, ext4:
//!
//! | file | page cache | mapped | read |
//! |---|---|---|---|
//! | 1373 MB, 1.28 M packets | large folios | 0.09 | 0.12 |
//! | 816 MB, 2.21 M packets | large folios | 0.06 | 0.09 |
//! | 1373 MB, 1.28 M packets | single pages | 0.15 | 0.14 |
//! | peak memory | | 6 MB | 3 MB |
//!
//! How a file lies in the page cache depends on how it came there: large folios if the kernel read it ahead or a
//! program wrote it in one go, single pages if it was copied in small steps. For `dd bs=256k` the first file takes
//! 0.12 s. Two things make the mapping worth it: windows aligned to 2 MiB, so that few faults map large folios, and
//! asking for the bytes ahead of the walk, because every record's place depends on the length of the one before, and
//! the walk would otherwise wait for memory at each. `MAP_POPULATE` and `MADV_POPULATE_READ` were slower (0.14 s
//! rather than 0.12 s at that time), windows of 8 MiB no faster than of 4.
//!
//! **A file that shrinks while it is mapped** (rotated in place, say) is noticed at the next window and ends as
//! damaged; but if the very window in use is cut off, the operating system kills the process with SIGBUS. That is the
//! price of mapping, as with every program that maps. Who reads files that others truncate reads them through a pipe
//! (`-`), or with [`OpenOptions::memory_map`] off.

mod expand;
mod format;
mod input;
mod open;
mod source;
mod touch;
mod write;

#[cfg(test)]
mod tests;

pub use expand::expand;
pub use format::{Format, NotACapture, Progress, Walked};
pub use open::{OpenOptions, open, open_bytes, open_reader};
pub use write::{PcapWriter, PcapngWriter};
