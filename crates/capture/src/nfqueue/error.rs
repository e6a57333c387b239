//! What can go wrong with a queue.

use std::io;

/// Why a queue can't be opened, read or answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Queues have 16-bit numbers.
    #[error("there is no queue {0}: queues are numbered from 0 to 65535")]
    Number(u32),
    /// A setting that the queue can't have.
    #[error("{option} is {value}; it must be from {min} to {max}")]
    Option {
        /// The field of [`Options`](super::Options).
        option: &'static str,
        /// What it was set to.
        value: u64,
        /// The least it can be.
        min: u64,
        /// The most it can be.
        max: u64,
    },
    /// The process may not open queues here.
    #[error(
        "queue {number} can't be opened: it takes the capability CAP_NET_ADMIN in the user namespace that this network \
         namespace belongs to; run as root, or give the program that capability"
    )]
    NotPermitted {
        /// The queue's number.
        number: u16,
    },
    /// Somebody has it already.
    #[error(
        "queue {number} is taken{}; stop the program that reads it, or choose another number here and in the rules",
        holder.map(|port| format!(" (by netlink port {port}, usually the number of a process)")).unwrap_or_default()
    )]
    Taken {
        /// The queue's number.
        number: u16,
        /// The netlink port of its reader, as the kernel tells it.
        holder: Option<u32>,
    },
    /// The kernel has no queues.
    #[error(
        "the kernel has no packet queues: load its module (`modprobe nfnetlink_queue`), or build it with \
         CONFIG_NETFILTER_NETLINK_QUEUE"
    )]
    NoQueues,
    /// The kernel can't tell about connections in a queue.
    #[error(
        "the kernel can't tell a queue's packets' connections: it takes CONFIG_NETFILTER_NETLINK_GLUE_CT and the module \
         nf_conntrack_netlink; open the queue without `connections`, and let a rule save the packet's mark (CONNMARK)"
    )]
    NoConnections,
    /// The kernel doesn't know the flags for fail-open and large segments.
    #[error("the kernel is too old for queues with `fail_open` or `gso`, which Linux has had since 3.10")]
    TooOld,
    /// A verdict set a connection's mark on a queue that was opened without `connections`. Everything else in it was
    /// done.
    #[error("the connection's mark can't be set on queue {number}: it was opened without `connections`")]
    ConnectionMark {
        /// The queue's number.
        number: u16,
    },
    /// Nothing is held under that number.
    #[error("packet {id} can't be released from queue {number}: it isn't held")]
    NotHeld {
        /// The queue's number.
        number: u16,
        /// The packet's number.
        id: u32,
    },
    /// A verdict that only says to wait further.
    #[error(
        "packet {id} of queue {number} is held already: release it with a verdict that accepts or drops it"
    )]
    HeldAlready {
        /// The queue's number.
        number: u16,
        /// The packet's number.
        id: u32,
    },
    /// A system call failed.
    #[error("queue {number}: {doing} failed: {error}")]
    System {
        /// The queue's number.
        number: u16,
        /// What was tried.
        doing: &'static str,
        /// What the kernel says.
        #[source]
        error: io::Error,
    },
}
