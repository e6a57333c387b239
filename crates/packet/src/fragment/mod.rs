//! IP fragments, put together again.
//!
//! A frame that decoded to [`Decoded::Fragment`](crate::Decoded::Fragment) goes to [`Defragmenter::push`], in the order
//! of the capture. The fragment that completes a datagram gives it, as a [`Reassembled`] packet of its own memory.
//!
//! **What identifies a datagram**: addresses, identification, for IPv4 the protocol, and the VLAN and tunnel it was in
//! (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! **Overlaps** are how a sender shows a monitor something else than the receiver sees. They are counted, marked on
//! the packet ([`Issues::FRAGMENT_OVERLAP`]), and resolved by [`OverlapPolicy`]. A receiver that follows RFC 5722
//! discards an IPv6 datagram with an overlap; it is put together here all the same, because the attempt is worth
//! seeing. An exact duplicate of what is held already is no overlap (RFC 8200 §4.5).
//!
//! **Bounds**: bytes held, datagrams held, and 30 s of capture time from a datagram's first fragment. The oldest
//! datagram goes first. What goes without having been completed, but with its first fragment, can still be had
//! from [`take_incomplete`](Defragmenter::take_incomplete) as a packet cut short, so that its flow is known.

mod datagram;
mod reassembled;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::decoded::Issues;
use crate::decoder::{Address, Context, Decoder, FragmentAt, Layer, Stop, Walk};
use crate::frame::LinkType;
use crate::tunnels::Tunnels;
use datagram::{Added, DATAGRAM_OVERHEAD, Datagram};

pub use reassembled::Reassembled;

/// How many datagrams that went incomplete wait to be taken; beyond, the oldest is forgotten.
const INCOMPLETE_MAX: usize = 64;

/// Whose bytes hold where fragments overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlapPolicy {
    /// Those of the fragment that came first, as with Windows and BSD in the common cases.
    #[default]
    FirstWins,
    /// Those of the fragment that came last, as with some routers and printers.
    LastWins,
}

/// What a [`Defragmenter`] may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefragmentLimits {
    /// Bytes of fragments, with a fixed overhead for each fragment and datagram. Default 16 MiB.
    pub bytes_max: usize,
    /// Datagrams. Default 8192.
    pub datagrams_max: usize,
    /// Time from a datagram's first fragment to its last, in capture time. Default 30 s.
    pub timeout_ns: i64,
}

impl Default for DefragmentLimits {
    fn default() -> Self {
        Self { bytes_max: 16 << 20, datagrams_max: 8192, timeout_ns: 30_000_000_000 }
    }
}

/// What a [`Defragmenter`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefragmentCounters {
    /// Fragments given.
    pub fragments: u64,
    /// Datagrams put together.
    pub reassembled: u64,
    /// Fragments that overlapped what was held, or contradicted its length.
    pub overlaps: u64,
    /// Fragments that repeated what was held.
    pub duplicates: u64,
    /// Fragments that no sender makes: empty, or reaching beyond the largest datagram.
    pub malformed: u64,
    /// Datagrams given up because their time was over.
    pub timed_out: u64,
    /// Datagrams given up to keep within the limits.
    pub evicted: u64,
    /// Datagrams that were still incomplete when drained.
    pub unfinished: u64,
}

impl std::ops::AddAssign for DefragmentCounters {
    fn add_assign(&mut self, other: Self) {
        self.fragments += other.fragments;
        self.reassembled += other.reassembled;
        self.overlaps += other.overlaps;
        self.duplicates += other.duplicates;
        self.malformed += other.malformed;
        self.timed_out += other.timed_out;
        self.evicted += other.evicted;
        self.unfinished += other.unfinished;
    }
}

/// What became of a fragment.
#[derive(Debug)]
pub enum Defragmented {
    /// It is held until the rest comes.
    Held,
    /// It completed its datagram.
    Complete(Box<Reassembled>),
    /// It was malformed and is gone.
    Dropped,
    /// The frame holds no fragment.
    NotAFragment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: Address,
    destination: Address,
    id: u32,
    vlan: u32,
    tunnel: u32,
    /// 0 for IPv6, whose fragments after the first may name another one.
    protocol: u8,
    version: u8,
}

/// Holds fragments until their datagrams are complete.
#[derive(Debug, Default)]
pub struct Defragmenter {
    limits: DefragmentLimits,
    policy: OverlapPolicy,
    datagrams: BTreeMap<Key, Datagram>,
    /// The datagrams by age.
    order: BTreeMap<u64, Key>,
    next_serial: u64,
    bytes: usize,
    counters: DefragmentCounters,
    incomplete: VecDeque<Reassembled>,
}

impl Defragmenter {
    /// An empty one.
    pub fn new(limits: DefragmentLimits, policy: OverlapPolicy) -> Self {
        Self { limits, policy, ..Self::default() }
    }

    /// What it has seen so far.
    pub fn counters(&self) -> DefragmentCounters {
        self.counters
    }

    /// How many bytes it holds, overhead included.
    pub fn bytes_held(&self) -> usize {
        self.bytes
    }

    /// How many datagrams it holds.
    pub fn datagrams_held(&self) -> usize {
        self.datagrams.len()
    }

    /// Takes a frame that decoded to [`Decoded::Fragment`](crate::Decoded::Fragment).
    pub fn push(
        &mut self,
        decoder: &Decoder,
        link: LinkType,
        bytes: &[u8],
        ts_ns: i64,
        wire_len: u32,
    ) -> Defragmented {
        let mut tunnels = Tunnels::default();
        let walk = Walk::new(*decoder, bytes, ts_ns, wire_len, Context::default(), Some(&mut tunnels));
        match walk.run(Layer::Link(link)) {
            Stop::Fragment(fragment) => {
                let frame_len = wire_len.max(bytes.len() as u32);
                self.insert(&fragment, bytes, ts_ns, frame_len, tunnels)
            }
            _ => Defragmented::NotAFragment,
        }
    }

    /// Takes a packet that was put together and decoded to [`Decoded::Fragment`](crate::Decoded::Fragment) again:
    /// fragments in a tunnel whose packets were fragmented themselves.
    pub fn push_reassembled(&mut self, decoder: &Decoder, packet: &Reassembled) -> Defragmented {
        let mut tunnels = packet.outer_tunnels;
        match packet.walk(decoder, Some(&mut tunnels)) {
            Stop::Fragment(fragment) => {
                self.insert(&fragment, packet.bytes(), packet.ts_ns, packet.frame_len, tunnels)
            }
            _ => Defragmented::NotAFragment,
        }
    }

    /// The oldest datagram that was given up since this was last asked and whose first fragment had come, as far as
    /// it had come. Meant to be asked after each push; at most 64 wait.
    pub fn take_incomplete(&mut self) -> Option<Reassembled> {
        self.incomplete.pop_front()
    }

    /// Gives up the oldest datagram held, at the end of a capture: `take_incomplete` until none is left. After that
    /// nothing is held any more.
    pub fn drain(&mut self) -> Option<Reassembled> {
        loop {
            if let Some(packet) = self.incomplete.pop_front() {
                return Some(packet);
            }
            let (_, datagram) = self.remove_oldest()?;
            self.counters.unfinished += 1;
            if let Some(packet) = datagram.finish() {
                return Some(packet);
            }
        }
    }

    fn insert(
        &mut self,
        fragment: &FragmentAt,
        bytes: &[u8],
        ts_ns: i64,
        frame_len: u32,
        tunnels: Tunnels,
    ) -> Defragmented {
        self.counters.fragments += 1;
        self.expire(ts_ns);
        let key = Key {
            source: fragment.source,
            destination: fragment.destination,
            id: fragment.id,
            vlan: fragment.context.vlan,
            tunnel: fragment.context.tunnel,
            protocol: if fragment.version == 4 { fragment.protocol } else { 0 },
            version: fragment.version,
        };
        let serial = self.next_serial;
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            self.order.insert(serial, key);
            self.next_serial += 1;
            self.bytes += DATAGRAM_OVERHEAD;
            Datagram::new(serial, ts_ns, fragment, tunnels)
        });
        let before = datagram.bytes_held();
        let added = datagram.add(fragment, bytes, ts_ns, frame_len, self.policy);
        self.bytes = self.bytes + datagram.bytes_held() - before;
        let complete = datagram.is_complete();
        let is_empty = datagram.is_empty();
        match added {
            Added::New => {}
            Added::Overlap => self.counters.overlaps += 1,
            Added::Duplicate => self.counters.duplicates += 1,
            Added::Malformed => {
                self.counters.malformed += 1;
                if is_empty {
                    self.remove(key);
                }
                return Defragmented::Dropped;
            }
        }
        if complete && let Some(packet) = self.remove(key).and_then(Datagram::finish) {
            self.counters.reassembled += 1;
            return Defragmented::Complete(Box::new(packet));
        }
        while self.bytes > self.limits.bytes_max || self.datagrams.len() > self.limits.datagrams_max {
            let Some((_, datagram)) = self.remove_oldest() else { break };
            self.counters.evicted += 1;
            self.give_up(datagram);
        }
        Defragmented::Held
    }

    /// Gives up what is too old at `now_ns`.
    fn expire(&mut self, now_ns: i64) {
        while let Some(key) = self.order.first_key_value().map(|(_, key)| *key)
            && let Some(datagram) = self.datagrams.get(&key)
            && now_ns.saturating_sub(datagram.first_ts_ns()) > self.limits.timeout_ns
        {
            if let Some(datagram) = self.remove(key) {
                self.counters.timed_out += 1;
                self.give_up(datagram);
            }
        }
    }

    fn give_up(&mut self, datagram: Datagram) {
        if let Some(packet) = datagram.finish() {
            if self.incomplete.len() >= INCOMPLETE_MAX {
                self.incomplete.pop_front();
            }
            self.incomplete.push_back(packet);
        }
    }

    fn remove(&mut self, key: Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(&key)?;
        self.order.remove(&datagram.serial());
        self.bytes -= DATAGRAM_OVERHEAD + datagram.bytes_held();
        Some(datagram)
    }

    fn remove_oldest(&mut self) -> Option<(Key, Datagram)> {
        let key = *self.order.first_key_value()?.1;
        Some((key, self.remove(key)?))
    }
}

/// The issues of a packet that was put together.
fn issues_of(outer: Issues, overlapped: bool) -> Issues {
    let issues = outer.with(Issues::REASSEMBLED);
    if overlapped { issues.with(Issues::FRAGMENT_OVERLAP) } else { issues }
}
