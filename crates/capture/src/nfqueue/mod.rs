//! The kernel's packet queues (NFQUEUE), spoken over netlink: packets come in batches, verdicts go back in few
//! messages.
//!
//! A rule of the kernel's packet filter puts packets in a queue, where they wait; a program reads them and says what
//! becomes of each. [`Queue::open`] takes a queue, [`Queue::receive`] hands out a [`Batch`] of [`Packet`]s whose
//! bytes lie where they were received, each with a place for its [`Verdict`], and [`Queue::send`] tells the kernel:
//!
//! ```no_run
//! use daylight_capture::nfqueue::{Options, Queue, Verdict};
//!
//! let mut queue = Queue::open(5, Options::default())?;
//! loop {
//!     let mut batch = queue.receive(None)?;
//!     for (packet, verdict) in batch.iter_mut() {
//!         *verdict = if packet.payload.ends_with(b"forbidden") { Verdict::DROP } else { Verdict::ACCEPT };
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), daylight_capture::nfqueue::Error>(())
//! ```
//!
//! A queue belongs to one thread. Several of them share the work if the rule spreads connections over several queues
//! (`--queue-balance`), each with a thread of its own; both directions of a connection come to the same queue.
//!
//! **Order.** Packets are handed out in the order in which they were queued. When [`Queue::send`] returns, the kernel
//! has sent on every packet it was told of, first those that were [released](Queue::release), in the order of their
//! release, then those of the batch in the batch's order, whatever the verdicts and the order in which they were set.
//! A packet that is [held](Action::Hold) is overtaken by those behind it. Between two queues there is no order.
//!
//! **Every packet is answered.** One that nobody decided goes as [`Options::accept_undecided`] says: with its batch,
//! when too many are held, and when the queue is dropped, which also answers what waits unread. When the process is
//! killed, the kernel drops what waits at that moment, and the rule decides from then on (`--queue-bypass` lets
//! packets pass). [`Options::fail_open`] is about a queue whose reader doesn't keep up.
//!
//! **Speed** comes from three things, in this order: large segments stay whole ([`Options::gso`]), only the beginning
//! of a packet is copied ([`Options::copy_range`]), and one message answers a run of packets with the same verdict.
//! What was measured, the kernel's rules, and how a connection leaves the queue for good once it is decided:
//! `docs/reference/nfqueue.md`.
//!
//! Nothing here changes a packet's bytes or makes a packet: there is no call for it.

mod batch;
mod counters;
mod error;
mod open;
mod options;
mod queue;
mod sys;
mod verdict;
mod wire;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use counters::{Counters, KernelCounters};
pub use error::Error;
pub use open::counters as kernel_counters;
pub use options::{COPY_RANGE_MAX, Options};
pub use queue::Queue;
pub use verdict::{Action, Bits, Verdict};
pub use wire::{Checksum, Connection, Message, MessageError, Packet, State, parse_message};
