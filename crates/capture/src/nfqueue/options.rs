//! How a queue is set up.

use super::error::Error;
use super::sys::DATAGRAMS_MAX;

/// The most bytes of a packet that a message can carry: an attribute has 16 bits for its length, and a header of 4
/// bytes.
pub const COPY_RANGE_MAX: u32 = 0xffff - 4;

/// How a queue is set up. [`Options::default`] suits a filter that looks at the beginnings of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many bytes of each packet are copied, from the network header on: 1 to [`COPY_RANGE_MAX`]. The rest stays
    /// in the kernel and goes on with the packet. This decides the speed of bulk transfers.
    pub copy_range: u32,
    /// Packets that the sender or the network card put together are handed out as one, and sent on as one. Without
    /// this the kernel cuts each in up to 45 pieces and queues them all.
    pub gso: bool,
    /// When the queue or the socket's memory is full, packets go on without a verdict; otherwise they are dropped.
    pub fail_open: bool,
    /// Each packet says which connection it belongs to, and verdicts can set that connection's mark. Not every kernel
    /// can.
    pub connections: bool,
    /// What becomes of packets that nobody decided: those of a batch that nothing was said about, those that couldn't
    /// be held for want of room, and those that wait when the queue is closed. `true` lets them go on.
    pub accept_undecided: bool,
    /// How many packets may wait for a verdict, at least 1. The kernel holds them whole, so that is up to 64 KiB of
    /// its memory for each with [`gso`](Self::gso).
    pub queue_len: u32,
    /// How many packets may be held back at once ([`Action::Hold`](super::Action::Hold)). They count for `queue_len`
    /// too.
    pub held_max: usize,
    /// How many bytes the kernel may keep of messages that were not read yet, beyond what unprivileged programs may
    /// ask for.
    pub receive_buffer_bytes: u32,
    /// How many packets are handed out at once, 1 to 128. The queue has buffers for as many, of the copy range and 1
    /// KiB each.
    pub batch_len: usize,
}

impl Default for Options {
    /// 2048 bytes of each packet, large segments, open on failure, 2048 packets in the queue, 1024 of them held, 16
    /// MiB of messages, 64 packets at once.
    fn default() -> Self {
        Self {
            copy_range: 2048,
            gso: true,
            fail_open: true,
            connections: false,
            accept_undecided: true,
            queue_len: 2048,
            held_max: 1024,
            receive_buffer_bytes: 16 << 20,
            batch_len: 64,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), Error> {
        let limits = [
            ("copy_range", u64::from(self.copy_range), u64::from(COPY_RANGE_MAX)),
            ("queue_len", u64::from(self.queue_len), u64::from(u32::MAX)),
            // The kernel doubles it, and has 32 bits with a sign for that.
            ("receive_buffer_bytes", u64::from(self.receive_buffer_bytes), 1 << 30),
            ("batch_len", self.batch_len as u64, DATAGRAMS_MAX as u64),
        ];
        for (option, value, max) in limits {
            if !(1..=max).contains(&value) {
                return Err(Error::Option { option, value, min: 1, max });
            }
        }
        Ok(())
    }
}
