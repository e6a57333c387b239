//! What a queue did, and what the kernel counted.

/// What a queue did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets handed out.
    pub packets: u64,
    /// Their bytes on the wire, from the network header on.
    pub bytes: u64,
    /// Batches that were not empty.
    pub batches: u64,
    /// Packets accepted, also those that nobody decided.
    pub accepted: u64,
    /// Packets dropped, likewise.
    pub dropped: u64,
    /// Packets that began their chain anew.
    pub repeated: u64,
    /// Messages with verdicts sent; fewer than verdicts where one answers several packets.
    pub verdict_messages: u64,
    /// Packets that were to be held when `held_max` were already.
    pub not_held: u64,
    /// Messages with verdicts that the kernel refused: the packet had gone, for instance with its interface. Told by
    /// the kernel's answers, so up to the last batch received.
    pub refused: u64,
    /// Messages that could not be read. Their packets went as `accept_undecided` says, if their numbers could be.
    pub malformed: u64,
    /// Messages that found no room in the socket's memory; their packets went on if `fail_open`, else they were
    /// dropped. The kernel's counter: it has 32 bits and wraps.
    pub overruns: u32,
}

/// What the kernel says about a queue; its counters have 32 bits and wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelCounters {
    /// Netlink port of its reader, usually the number of a process.
    pub port: u32,
    /// Packets that wait for a verdict.
    pub waiting: u32,
    /// Bytes it copies of each packet.
    pub copy_range: u32,
    /// Packets dropped since the queue was full.
    pub dropped_full: u32,
    /// Packets dropped since the socket's memory was.
    pub dropped_overrun: u32,
    /// The last packet's number.
    pub last_id: u32,
}

/// Finds queue `number` in the kernel's table (`/proc/net/netfilter/nfnetlink_queue`): a line for each, of nine
/// numbers.
pub(super) fn kernel_counters(table: &str, number: u16) -> Option<KernelCounters> {
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
        let mut next = || fields.next()?.ok();
        if next()? != u32::from(number) {
            return None;
        }
        let (port, waiting, _mode) = (next()?, next()?, next()?);
        let (copy_range, dropped_full, dropped_overrun) = (next()?, next()?, next()?);
        Some(KernelCounters { port, waiting, copy_range, dropped_full, dropped_overrun, last_id: next()? })
    })
}
