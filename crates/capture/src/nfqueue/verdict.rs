//! Verdicts, and how they are told to the kernel in few messages.
//!
//! The kernel knows two messages. `NFQNL_MSG_VERDICT` answers one packet. `NFQNL_MSG_VERDICT_BATCH` answers *every*
//! packet that waits, up to a number, whether it was named or not; so it may only be sent if nothing older is held
//! back.

use super::wire::{
    CT, CTA_MARK, CTA_MARK_MASK, MARK, MESSAGE_VERDICT, MESSAGE_VERDICT_BATCH, VERDICT_HDR, Writer,
};

/// Of `linux/netfilter.h`.
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NF_REPEAT: u32 = 4;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on its way, to the chain after the one it was queued in.
    Accept,
    /// It is thrown away. Its sender isn't told.
    Drop,
    /// It begins the chain it was queued in anew, which sees its mark. A rule there must know the mark, or the packet
    /// comes to the queue again and again.
    Repeat,
    /// It waits until [`Queue::release`](super::Queue::release) gives its verdict, or the queue is closed.
    Hold,
}

/// Bits of a mark: those in `mask` become those of `value`, the others stay as they are.
///
/// Marks are shared by all rules of a machine, so each program has bits of its own and leaves the rest alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// What they become. Bits outside of `mask` count for nothing.
    pub value: u32,
    /// Which they are.
    pub mask: u32,
}

impl Bits {
    /// `mark` with these bits set.
    #[must_use]
    pub fn applied_to(self, mark: u32) -> u32 {
        mark & !self.mask | self.value & self.mask
    }
}

/// What becomes of a packet and of its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the packet.
    pub action: Action,
    /// Bits of the packet's mark to set, which later rules see.
    pub mark: Option<Bits>,
    /// Bits of its connection's mark to set at once. Only on a queue with
    /// [`Options::connections`](super::Options::connections); elsewhere a rule saves the packet's mark (see the
    /// module's documentation).
    pub connection_mark: Option<Bits>,
}

impl Verdict {
    /// The packet goes on.
    pub const ACCEPT: Self = Self { action: Action::Accept, mark: None, connection_mark: None };
    /// The packet is thrown away.
    pub const DROP: Self = Self { action: Action::Drop, mark: None, connection_mark: None };
    /// The packet begins its chain anew; see [`Action::Repeat`].
    pub const REPEAT: Self = Self { action: Action::Repeat, mark: None, connection_mark: None };
    /// The packet waits.
    pub const HOLD: Self = Self { action: Action::Hold, mark: None, connection_mark: None };

    /// The same, setting bits of the packet's mark.
    #[must_use]
    pub const fn marked(self, bits: Bits) -> Self {
        Self { mark: Some(bits), ..self }
    }

    /// The same, setting bits of the connection's mark.
    #[must_use]
    pub const fn connection_marked(self, bits: Bits) -> Self {
        Self { connection_mark: Some(bits), ..self }
    }
}

/// A packet's number, its mark, and what was decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) id: u32,
    pub(super) mark: u32,
    pub(super) verdict: Verdict,
}

impl Decided {
    /// The verdict's number and the mark to set; `None` if it is held.
    fn told(&self) -> Option<Told> {
        let number = match self.verdict.action {
            Action::Accept => NF_ACCEPT,
            Action::Drop => NF_DROP,
            Action::Repeat => NF_REPEAT,
            Action::Hold => return None,
        };
        let mark = self.verdict.mark.map(|bits| bits.applied_to(self.mark));
        Some(Told { number, mark, connection_mark: self.verdict.connection_mark })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    number: u32,
    mark: Option<u32>,
    connection_mark: Option<Bits>,
}

/// Writes the messages for packets that wait, given in the order of their numbers, and returns how many messages
/// these are. `held` says that older ones wait and shall go on waiting.
///
/// The packets are released in the order given.
pub(super) fn write_verdicts(out: &mut Vec<u8>, queue: u16, decided: &[Decided], mut held: bool) -> u32 {
    let mut messages = 0;
    let mut rest = decided;
    while let Some((first, after)) = rest.split_first() {
        let Some(told) = first.told() else {
            held = true;
            rest = after;
            continue;
        };
        // A batch sets the packet's mark, but not the connection's.
        let same = |other: &&Decided| other.told() == Some(told);
        let run =
            if held || told.connection_mark.is_some() { 0 } else { after.iter().take_while(same).count() };
        let last = run.checked_sub(1).and_then(|index| after.get(index)).unwrap_or(first);
        let kind = if run == 0 { MESSAGE_VERDICT } else { MESSAGE_VERDICT_BATCH };
        write(out, kind, queue, last.id, told);
        messages += 1;
        rest = after.get(run..).unwrap_or_default();
    }
    messages
}

/// Answers everything that waits up to number `last`.
pub(super) fn write_all(out: &mut Vec<u8>, queue: u16, last: u32, accept: bool) {
    let number = if accept { NF_ACCEPT } else { NF_DROP };
    write(out, MESSAGE_VERDICT_BATCH, queue, last, Told { number, mark: None, connection_mark: None });
}

fn write(out: &mut Vec<u8>, kind: u16, queue: u16, id: u32, told: Told) {
    let [n0, n1, n2, n3] = told.number.to_be_bytes();
    let [i0, i1, i2, i3] = id.to_be_bytes();
    let mut writer =
        Writer::new(out, kind, queue, false).attribute(VERDICT_HDR, &[n0, n1, n2, n3, i0, i1, i2, i3]);
    if let Some(mark) = told.mark {
        writer = writer.attribute(MARK, &mark.to_be_bytes());
    }
    if let Some(Bits { value, mask }) = told.connection_mark {
        writer = writer.nested(CT, &[(CTA_MARK, value & mask), (CTA_MARK_MASK, mask)]);
    }
    writer.end();
}
