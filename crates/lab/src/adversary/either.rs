//! Adversaries that can stand at either place: what they do is the same, but for the packet that they catch. In the path
//! it is gone; on the path it goes on, and what was put in has to be there first.

use super::packet::Packet;
use super::{Adversary, AdversaryCounters, InPath, OnPath, Out, Place, Verdict};
use crate::hop::Direction;

/// What such an adversary does.
pub(super) trait Look: Send {
    /// Looks at a packet; true if it is caught. `now_ns` never goes back.
    fn look(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> bool;

    /// What was done so far. Packets that were seen and dropped are counted here.
    fn counters(&self) -> AdversaryCounters;
}

impl Adversary {
    /// Puts one at its place.
    pub(super) fn at(place: Place, look: impl Look + 'static) -> Self {
        let either = Either { look, seen: 0, dropped: 0 };
        match place {
            Place::InPath => Self::InPath(Box::new(either)),
            Place::OnPath => Self::OnPath(Box::new(either)),
        }
    }
}

struct Either<L> {
    look: L,
    seen: u64,
    dropped: u64,
}

impl<L: Look> Either<L> {
    fn look(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> bool {
        self.seen += 1;
        self.look.look(now_ns, direction, packet, out)
    }

    fn counters(&self) -> AdversaryCounters {
        AdversaryCounters { seen: self.seen, dropped: self.dropped, ..self.look.counters() }
    }
}

impl<L: Look> InPath for Either<L> {
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) -> Verdict {
        if !self.look(now_ns, direction, packet, out) {
            return Verdict::Pass;
        }
        self.dropped += 1;
        Verdict::Drop
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters()
    }
}

impl<L: Look> OnPath for Either<L> {
    fn packet(&mut self, now_ns: u64, direction: Direction, packet: &Packet<'_>, out: &mut Out) {
        self.look(now_ns, direction, packet, out);
    }

    fn counters(&self) -> AdversaryCounters {
        self.counters()
    }
}
