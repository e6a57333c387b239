//! Interfaces, as they are listened to while traffic passes.
//!
//! [`open`] opens an interface for several workers and gives each its [`Tap`]: a ring of AF_PACKET (TPACKET_V3) that the
//! kernel fills, or sockets of AF_XDP. A tap hands out batches of frames that lie where the kernel put them, and gives
//! the memory back when a batch is dropped: so who is slow loses packets (and is told how many), and holds no more memory
//! than the ring has.
//!
//! **Who gets what.** With several workers the kernel spreads packets by the rule of [`Spread`], so that both directions of
//! a flow go to one worker. It can't know everything (tunnels, fragments): whoever takes a packet asks the rule again.
//!
//! **Rights.** AF_PACKET takes CAP_NET_RAW alone, also for promiscuous mode, which the kernel takes back when the socket is
//! closed, however that happens. AF_XDP takes CAP_NET_ADMIN and CAP_BPF besides.

mod bpf;
mod error;
mod fanout;
mod filter;
mod interface;
mod ring;
mod xdp;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use daylight_packet::{Batch, Spread};

use crate::sys;

pub(crate) use bpf::Instruction;
pub use error::LiveError;
pub use filter::Filter;
pub use interface::{index_of, interfaces};

/// How to listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// AF_XDP where the interface has no address (so that taking its packets from the kernel hurts nobody) and its driver
    /// can do it; else AF_PACKET.
    #[default]
    Auto,
    /// AF_PACKET: a copy of everything that passes.
    Packet,
    /// AF_XDP: takes what arrives, and the kernel does not see it. For mirror ports.
    Xdp,
}

/// Settings of [`open`].
#[derive(Clone, Debug)]
pub struct Options {
    /// How.
    pub means: Means,
    /// Which packets; all if `None`.
    pub filter: Option<Filter>,
    /// Also those that are for others. Default true.
    pub promiscuous: bool,
    /// Bytes of a ring; there is one for each worker and interface. Rounded to blocks of 1 MiB, at least 2. Default 64 MiB.
    pub ring_bytes: usize,
    /// Frames are cut to so many bytes. Default: not at all.
    pub snap_len: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { means: Means::Auto, filter: None, promiscuous: true, ring_bytes: 64 << 20, snap_len: u32::MAX }
    }
}

/// What was counted of an interface by one worker's tap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapCounters {
    /// Frames handed out.
    pub received: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Frames that the kernel dropped because there was no room: the worker was too slow.
    pub dropped: u64,
}

impl std::ops::AddAssign for TapCounters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
    }
}

/// One worker's part of an interface.
pub trait Tap: AsFd + Send {
    /// The frames that are there now, if there are any: a block of the ring, or what fits into a batch. Does not wait.
    ///
    /// # Errors
    /// If the interface is gone. One that is only down gives nothing until it is up again.
    fn take(&mut self) -> std::io::Result<Option<Batch>>;

    /// What was counted since it was opened.
    fn counters(&mut self) -> TapCounters;

    /// By which means it listens.
    fn means(&self) -> Means;
}

/// Opens an interface for so many workers. There is a tap for each worker, in their order; by AF_XDP one for each queue of
/// the interface, to be dealt out.
///
/// # Errors
/// If there is no such interface, or it can't be listened to as asked for.
pub fn open(
    interface: &str,
    options: &Options,
    spread: Spread,
    workers: usize,
) -> Result<Vec<Box<dyn Tap>>, LiveError> {
    match options.means {
        Means::Xdp => return xdp::open(interface, options, true),
        Means::Auto if interface::is_idle(interface) => {
            if let Ok(taps) = xdp::open(interface, options, false) {
                return Ok(taps);
            }
        }
        Means::Auto | Means::Packet => {}
    }
    ring::open(interface, options, spread, workers.max(1))
}

/// Waits until one of the taps has something, or an error to tell, or for so long.
///
/// # Errors
/// If the system can't wait. A signal ends the wait without an error.
pub fn wait(taps: &[Box<dyn Tap>], timeout: Duration) -> std::io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = taps.iter().map(|tap| tap.as_fd()).collect();
    sys::wait(&fds, timeout)
}
