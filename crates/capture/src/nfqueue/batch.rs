//! The packets that one call received, and a verdict beside each.

use super::sys::Ring;
use super::verdict::Verdict;
use super::wire::Packet;

/// A packet that is not answered yet: everything but its payload, where in the ring that lies, and what was decided.
pub(super) struct Entry {
    packet: Packet<'static>,
    datagram: usize,
    payload_start: usize,
    payload_len: usize,
    pub(super) verdict: Verdict,
}

impl Entry {
    /// `message_start` is where in the datagram the packet's message begins.
    pub(super) fn new(packet: Packet<'_>, datagram: usize, payload_start: usize, verdict: Verdict) -> Self {
        let payload_len = packet.payload.len();
        Self { packet: Packet { payload: &[], ..packet }, datagram, payload_start, payload_len, verdict }
    }

    pub(super) fn id(&self) -> u32 {
        self.packet.id
    }

    pub(super) fn mark(&self) -> u32 {
        self.packet.mark
    }

    fn packet<'a>(&self, ring: &'a Ring) -> Packet<'a> {
        let end = self.payload_start + self.payload_len;
        let payload = ring.datagram(self.datagram).get(self.payload_start..end).unwrap_or_default();
        Packet { payload, ..self.packet }
    }
}

/// Packets in the order in which they were queued, each with its verdict, which is at first the queue's for undecided
/// packets.
///
/// The verdicts are sent by [`Queue::send`](super::Queue::send), or before the next batch is received.
pub struct Batch<'a> {
    pub(super) ring: &'a Ring,
    pub(super) entries: &'a mut [Entry],
}

impl<'a> Batch<'a> {
    /// How many packets there are; 0 if time ran out first.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Packet `index`, for those who look at a batch more than once. It can be kept while verdicts are set.
    #[must_use]
    pub fn packet(&self, index: usize) -> Option<Packet<'a>> {
        self.entries.get(index).map(|entry| entry.packet(self.ring))
    }

    /// The verdict of packet `index`, to be set.
    pub fn verdict_mut(&mut self, index: usize) -> Option<&mut Verdict> {
        self.entries.get_mut(index).map(|entry| &mut entry.verdict)
    }

    /// All packets in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> {
        self.entries.iter().map(|entry| entry.packet(self.ring))
    }

    /// All packets in order, each with its verdict to be set.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Packet<'a>, &mut Verdict)> {
        self.entries.iter_mut().map(|entry| (entry.packet(self.ring), &mut entry.verdict))
    }
}
