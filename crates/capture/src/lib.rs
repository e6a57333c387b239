//! Where packets come from: capture files and pipes, with a writer for both formats; and, on Linux, interfaces
//! ([`live`]) and the kernel's packet queues ([`nfqueue`]).
//!
//! [`open`] gives a [`FrameSource`](daylight_packet::FrameSource), which hands out batches of frames that lie in the
//! memory they were read into. It finds out by itself what it has: pcap or pcapng, plain or under gzip or zstd, a file
//! or a pipe. [`expand`] turns what a user gave (files, directories, patterns) into paths.
//!
//! **Layers.** An input gives windows: runs of consecutive bytes. A [`Format`] walks over a window and
//! notes where frames lie; it does no I/O and copies nothing, so it can be tested, and fuzzed, on bytes alone.
//!
//! **Memory** does not grow with a file. Large plain files are mapped, 8 MiB at a time; everything else is read into buffers
//! of 512 KiB, which stay in a core's cache and are used again when the last batch in them is dropped. Why, and what
//! was measured: `docs/decisions/0006-captures-mapped.md`.
#![deny(unsafe_code)]

mod expand;
mod format;
mod input;
#[cfg(target_os = "linux")]
pub mod listener;
#[cfg(target_os = "linux")]
pub mod live;
#[cfg(target_os = "linux")]
pub mod nfqueue;
mod open;
#[cfg(target_os = "linux")]
pub mod raw_socket;
#[cfg(target_os = "linux")]
mod saved_syn;
mod source;
#[cfg(target_os = "linux")]
mod sys;
mod write;

#[cfg(test)]
mod tests;

pub use expand::expand;
pub use format::{Format, NotACapture, Progress, Walked};
pub use open::{open, open_bytes, open_reader};
#[cfg(target_os = "linux")]
pub use saved_syn::{save_syns, saved_syn};
pub use write::{PcapWriter, PcapngWriter};
