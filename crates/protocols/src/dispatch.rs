//! The dispatcher: from the first payload of a flow to the few protocols it could be.
//!
//! All patterns of all protocols are compiled once into bit vectors, one bit a pattern. For each offset that any
//! pattern looks at there is a table from byte value to the set of patterns that this byte allows; AND-ing the sets of
//! the payload's first bytes leaves the patterns that match. The cost depends on the number of offsets, not on the
//! number of protocols, and no protocol's code runs before its pattern matched.

use std::collections::HashMap;

use crate::protocol::{OFFSET_MAX, Pattern};
use crate::{Dir, Probe, Protocol, ProtocolId, Transport, Verdict};

/// The most patterns that fit.
pub const PATTERNS_MAX: usize = WORDS * 64;
const WORDS: usize = 4;

type Bits = [u64; WORDS];

/// The patterns of one transport, compiled.
struct Table {
    /// For each offset: byte value -> index into `sets`. An offset no pattern looks at is left out.
    offsets: Vec<(usize, Box<[u16; 256]>)>,
    /// The distinct sets, each with the pattern's bit set where the byte is allowed.
    sets: Vec<Bits>,
    /// Per offset: the patterns that do not need a byte there (all a payload that ends before it can still match).
    short: Vec<Bits>,
    /// For each length class (see [`length_class`]): the patterns that such a length may fit.
    lengths: Vec<Bits>,
    /// By direction.
    dirs: [Bits; 2],
    /// Bit -> pattern and its protocol.
    patterns: Vec<(ProtocolId, Pattern)>,
}

/// The compiled patterns of a set of protocols. Made once; shared by all flows.
pub struct Dispatcher {
    tcp: Table,
    udp: Table,
    ip: Vec<(u8, ProtocolId)>,
}

/// The protocols that a payload's patterns leave, in the order in which to ask them.
#[derive(Clone, Copy, Debug)]
pub struct Candidates {
    ids: [ProtocolId; Self::MAX],
    len: u8,
}

impl Candidates {
    /// More than this many protocols are never candidates for one payload.
    pub const MAX: usize = 24;

    /// None.
    pub const fn none() -> Self {
        Self { ids: [ProtocolId::Unknown; Self::MAX], len: 0 }
    }

    /// The protocols, best first.
    pub fn as_slice(&self) -> &[ProtocolId] {
        &self.ids[..self.len as usize]
    }

    fn push(&mut self, id: ProtocolId) {
        if (self.len as usize) < Self::MAX && !self.as_slice().contains(&id) {
            self.ids[self.len as usize] = id;
            self.len += 1;
        }
    }
}

/// Which protocols have said no for a flow: they aren't asked again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected([u64; 5]);

impl Rejected {
    /// Remembers a no.
    pub fn insert(&mut self, id: ProtocolId) {
        let n = id as usize;
        if let Some(word) = self.0.get_mut(n / 64) {
            *word |= 1 << (n % 64);
        }
    }

    /// True if it said no before.
    pub fn contains(&self, id: ProtocolId) -> bool {
        let n = id as usize;
        self.0.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }
}

/// What came of asking the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is this protocol.
    Found {
        /// Which.
        protocol: ProtocolId,
        /// The ends are the other way round than was thought.
        reversed: bool,
    },
    /// Somebody needs this many bytes of the stream (TCP) before they can tell.
    Need(usize),
    /// Somebody needs another payload.
    Later,
    /// Nobody knows it.
    Unknown,
}

impl Dispatcher {
    /// Compiles the patterns of `protocols`.
    pub fn new(protocols: impl Iterator<Item = ProtocolId> + Clone) -> Self {
        let of = |transport: Transport| {
            Table::new(protocols.clone().flat_map(move |id| {
                id.get().patterns.iter().filter(move |p| p.transport == transport).map(move |p| (id, *p))
            }))
        };
        let ip = protocols
            .clone()
            .flat_map(|id| {
                id.get().patterns.iter().filter_map(move |p| match p.transport {
                    Transport::Ip(number) => Some((number, id)),
                    _ => None,
                })
            })
            .collect();
        Self { tcp: of(Transport::Tcp), udp: of(Transport::Udp), ip }
    }

    /// The protocols whose patterns match a first payload, those first that are at home on one of its ports.
    pub fn candidates(&self, probe: &Probe<'_>) -> Candidates {
        let mut found = Candidates::none();
        let table = match probe.transport {
            Transport::Tcp => &self.tcp,
            Transport::Udp => &self.udp,
            Transport::Ip(number) => {
                self.ip.iter().filter(|(n, _)| *n == number).for_each(|(_, id)| found.push(*id));
                return found;
            }
        };
        let bits = table.matching(probe);
        let at_home = |id: ProtocolId| {
            id.get().ports.iter().any(|p| p.transport == probe.transport && probe.port(p.number))
        };
        for hinted in [true, false] {
            for (word, mut set) in bits.iter().copied().enumerate() {
                while set != 0 {
                    let bit = word * 64 + set.trailing_zeros() as usize;
                    set &= set - 1;
                    if let Some((id, _)) = table.patterns.get(bit)
                        && at_home(*id) == hinted
                    {
                        found.push(*id);
                    }
                }
            }
        }
        found
    }

    /// Asks the candidates for this payload, but for those that have said no already, and remembers who says no now.
    pub fn identify(&self, probe: &Probe<'_>, rejected: &mut Rejected) -> Outcome {
        let candidates = self.candidates(probe);
        match ask(candidates.as_slice(), probe, rejected) {
            // Patterns look at so many bytes: with fewer, others may become candidates before these have enough.
            Outcome::Need(n) if probe.payload.len() < OFFSET_MAX => {
                Outcome::Need(n.min(probe.payload.len() + 1))
            }
            outcome => outcome,
        }
    }

    /// The compiled table for people: offsets, distinct byte sets, bytes of memory.
    pub fn describe(&self) -> [TableSize; 2] {
        [("tcp", &self.tcp), ("udp", &self.udp)].map(|(transport, t)| TableSize {
            transport,
            patterns: t.patterns.len(),
            offsets: t.offsets.iter().map(|(o, _)| *o).collect(),
            sets: t.sets.len(),
            bytes: t.offsets.len() * 512
                + (t.sets.len() + t.short.len() + t.lengths.len() + 2) * size_of::<Bits>(),
        })
    }

    /// How the candidates for a payload come about: for each offset, how many patterns are left.
    pub fn explain(&self, probe: &Probe<'_>) -> Vec<(usize, u8, Vec<ProtocolId>)> {
        let table = match probe.transport {
            Transport::Tcp => &self.tcp,
            Transport::Udp => &self.udp,
            Transport::Ip(_) => return Vec::new(),
        };
        let mut bits = table.start(probe);
        let mut rows = Vec::new();
        for (i, (offset, classes)) in table.offsets.iter().enumerate() {
            let Some(byte) = probe.payload.get(*offset) else {
                and(&mut bits, &table.short[i]);
                break;
            };
            and(&mut bits, &table.sets[classes[*byte as usize] as usize]);
            let mut left: Vec<_> = table.ids(&bits).collect();
            left.dedup();
            rows.push((*offset, *byte, left));
        }
        rows
    }
}

/// The size of a compiled table, for `daylight protocols --explain`.
#[derive(Clone, Debug)]
pub struct TableSize {
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// How many patterns it holds.
    pub patterns: usize,
    /// The payload offsets it looks at.
    pub offsets: Vec<usize>,
    /// How many distinct sets of patterns a byte can stand for.
    pub sets: usize,
    /// Its size in memory.
    pub bytes: usize,
}

/// Asks protocols in order.
pub(crate) fn ask(ids: &[ProtocolId], probe: &Probe<'_>, rejected: &mut Rejected) -> Outcome {
    let mut outcome = Outcome::Unknown;
    for id in ids.iter().copied() {
        if rejected.contains(id) {
            continue;
        }
        let protocol: &Protocol = id.get();
        match (protocol.identify)(probe) {
            Verdict::Yes => return Outcome::Found { protocol: id, reversed: false },
            Verdict::YesReversed => return Outcome::Found { protocol: id, reversed: true },
            Verdict::Need(n) if n > probe.payload.len() && probe.transport == Transport::Tcp => {
                outcome = match outcome {
                    Outcome::Need(m) => Outcome::Need(m.min(n)),
                    _ => Outcome::Need(n),
                };
            }
            Verdict::Need(_) | Verdict::Later => {
                if outcome == Outcome::Unknown {
                    outcome = Outcome::Later;
                }
            }
            Verdict::No => rejected.insert(id),
        }
    }
    outcome
}

impl Table {
    fn new(patterns: impl Iterator<Item = (ProtocolId, Pattern)>) -> Self {
        let patterns: Vec<_> = patterns.collect();
        assert!(patterns.len() <= PATTERNS_MAX, "raise dispatch::WORDS");
        let mut sets: Vec<Bits> = Vec::new();
        let mut classes_of: HashMap<Bits, u16> = HashMap::new();
        let mut offsets = Vec::new();
        let mut short = Vec::new();
        // How many of the first bytes a pattern looks at.
        let looks_to =
            |p: &Pattern| p.tests.iter().map(|t| t.offset as usize + 1).fold(p.prefix.len(), usize::max);
        for offset in 0..OFFSET_MAX {
            let looks =
                |p: &Pattern| offset < p.prefix.len() || p.tests.iter().any(|t| t.offset as usize == offset);
            if !patterns.iter().any(|(_, p)| looks(p)) {
                continue;
            }
            // Patterns that don't look here allow every byte; only the others need asking.
            let looking: Vec<_> = patterns.iter().enumerate().filter(|(_, (_, p))| looks(p)).collect();
            let base = bits_of(&patterns, |p| !looks(p));
            let mut allowed = vec![base; 256];
            for (i, (_, p)) in &looking {
                // Most patterns say which byte it must be.
                let bytes = p.prefix.get(offset).map_or(0..=255, |byte| *byte..=*byte);
                for byte in bytes.filter(|byte| p.allows(offset, *byte)) {
                    allowed[usize::from(byte)][i / 64] |= 1 << (i % 64);
                }
            }
            let mut class_of = |set| {
                *classes_of.entry(set).or_insert_with(|| {
                    sets.push(set);
                    (sets.len() - 1) as u16
                })
            };
            let base_class = class_of(base);
            let mut classes = Box::new([base_class; 256]);
            for (class, set) in classes.iter_mut().zip(allowed).filter(|(_, set)| *set != base) {
                *class = class_of(set);
            }
            offsets.push((offset, classes));
            short.push(bits_of(&patterns, |p| looks_to(p) <= offset));
        }
        let lengths = (0..LENGTH_CLASSES)
            .map(|class| {
                let (low, high) = class_bounds(class);
                bits_of(&patterns, |p| p.len_min <= high && p.len_max >= low)
            })
            .collect();
        let dirs = [Dir::Client, Dir::Server]
            .map(|dir| bits_of(&patterns, |p| p.dir.is_none_or(|wanted| wanted == dir)));
        Self { offsets, sets, short, lengths, dirs, patterns }
    }

    /// The patterns that direction and length allow.
    fn start(&self, probe: &Probe<'_>) -> Bits {
        let mut bits = self.dirs[probe.dir.index()];
        let len = probe.payload.len().min(u16::MAX.into()) as u16;
        and(&mut bits, &self.lengths[length_class(len)]);
        bits
    }

    fn matching(&self, probe: &Probe<'_>) -> Bits {
        let mut bits = self.start(probe);
        for ((offset, classes), short) in self.offsets.iter().zip(&self.short) {
            let Some(byte) = probe.payload.get(*offset) else {
                and(&mut bits, short);
                break;
            };
            and(&mut bits, &self.sets[classes[*byte as usize] as usize]);
        }
        // A length class is coarse: check the bounds themselves for the few that are left.
        let len = probe.payload.len().min(u16::MAX.into()) as u16;
        for (word, set) in bits.iter_mut().enumerate() {
            let mut left = *set;
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                if let Some((_, p)) = self.patterns.get(word * 64 + bit)
                    && !(p.len_min..=p.len_max).contains(&len)
                {
                    *set &= !(1 << bit);
                }
            }
        }
        bits
    }

    fn ids<'a>(&'a self, bits: &'a Bits) -> impl Iterator<Item = ProtocolId> + 'a {
        self.patterns
            .iter()
            .enumerate()
            .filter(|(i, _)| bits[i / 64] >> (i % 64) & 1 == 1)
            .map(|(_, (id, _))| *id)
    }
}

impl Pattern {
    fn allows(&self, offset: usize, byte: u8) -> bool {
        let literal = self
            .prefix
            .get(offset)
            .is_none_or(|want| if self.fold { want.eq_ignore_ascii_case(&byte) } else { *want == byte });
        literal && self.tests.iter().all(|t| t.offset as usize != offset || byte & t.mask == t.value)
    }
}

/// Lengths fall into classes of a power of two each, below 64 into their own.
const LENGTH_CLASSES: usize = 64 + 10;

fn length_class(len: u16) -> usize {
    if len < 64 { len as usize } else { 64 + (len.ilog2() as usize - 6) }
}

fn class_bounds(class: usize) -> (u16, u16) {
    if class < 64 {
        (class as u16, class as u16)
    } else {
        let low = 1u32 << (class - 64 + 6);
        (low as u16, (low * 2 - 1).min(u16::MAX.into()) as u16)
    }
}

fn bits_of(patterns: &[(ProtocolId, Pattern)], test: impl Fn(&Pattern) -> bool) -> Bits {
    let mut bits = [0; WORDS];
    for (i, (_, p)) in patterns.iter().enumerate() {
        bits[i / 64] |= u64::from(test(p)) << (i % 64);
    }
    bits
}

fn and(bits: &mut Bits, set: &Bits) {
    bits.iter_mut().zip(set).for_each(|(a, b)| *a &= b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// What the tables should compute, computed the slow way.
    fn linear(dispatcher: &Dispatcher, probe: &Probe<'_>) -> Vec<ProtocolId> {
        let table = if probe.transport == Transport::Tcp { &dispatcher.tcp } else { &dispatcher.udp };
        let mut ids: Vec<_> = table
            .patterns
            .iter()
            .filter(|(_, p)| {
                p.dir.is_none_or(|d| d == probe.dir)
                    && (p.len_min as usize..=p.len_max as usize).contains(&probe.payload.len())
                    && (0..OFFSET_MAX).all(|o| match probe.payload.get(o) {
                        Some(b) => p.allows(o, *b),
                        None => o >= p.prefix.len() && p.tests.iter().all(|t| t.offset as usize != o),
                    })
            })
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    proptest::proptest! {
        #[test]
        fn the_bit_vectors_agree_with_a_linear_scan(
            payload in proptest::collection::vec(proptest::num::u8::ANY, 1..80),
            tcp: bool, client: bool, pick: proptest::sample::Index, keep in 0usize..24,
        ) {
            let dispatcher = Dispatcher::new(ProtocolId::all());
            let transport = if tcp { Transport::Tcp } else { Transport::Udp };
            let table = if tcp { &dispatcher.tcp } else { &dispatcher.udp };
            // Random bytes hardly ever match: start from a pattern's own bytes, then keep a part of them.
            let mut payload = payload;
            if !table.patterns.is_empty() {
                let (_, p) = &table.patterns[pick.index(table.patterns.len())];
                for (i, b) in p.prefix.iter().enumerate().take(keep) { if i < payload.len() { payload[i] = *b; } }
                for t in p.tests { if let Some(b) = payload.get_mut(t.offset as usize) { *b = t.value; } }
            }
            let probe = Probe {
                dir: if client { Dir::Client } else { Dir::Server },
                ..testing::probe(transport, &payload)
            };
            let mut fast = dispatcher.candidates(&probe).as_slice().to_vec();
            fast.sort_unstable();
            proptest::prop_assert_eq!(fast, linear(&dispatcher, &probe));
        }
    }

    #[test]
    fn every_protocol_that_can_be_identified_has_strict_enough_patterns() {
        for id in ProtocolId::all() {
            for p in id.get().patterns {
                assert!(p.len_min <= p.len_max, "{}: lengths", id.name());
            }
        }
    }
}
