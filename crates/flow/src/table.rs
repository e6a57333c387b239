//! The flow table: open addressing over a slab.

use std::ops::{Index, IndexMut};

use daylight_packet::FlowKey;

use crate::Flow;

/// The number of a flow in its table; used again after the flow is removed.
pub type FlowIndex = u32;

const EMPTY: u32 = u32::MAX;
const REMOVED: u32 = u32::MAX - 1;
/// Flows lie in chunks, so that growing never copies them.
const CHUNK: usize = 1024;

/// One place of the index: the upper half of the hash, and the flow.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    flow: u32,
}

/// Flows by key. Lookups take the hash from the caller, so that a batch can be looked up in steps whose cache misses
/// overlap: [`first_guess`](Self::first_guess) for all packets, then [`Flow::touch`] for what was
/// [`guessed`](Self::guessed), and then each packet's work.
#[derive(Debug)]
pub struct Table<X> {
    slots: Vec<Slot>,
    /// Slots that are not EMPTY.
    used: usize,
    chunks: Vec<Box<[Flow<X>; CHUNK]>>,
    /// Flows that were ever used; those beyond are blank.
    begun: usize,
    free: Vec<FlowIndex>,
    live: usize,
}

impl<X> Default for Table<X> {
    fn default() -> Self {
        Self {
            slots: vec![Slot { tag: 0, flow: EMPTY }; 1024],
            used: 0,
            chunks: Vec::new(),
            begun: 0,
            free: Vec::new(),
            live: 0,
        }
    }
}

impl<X> Table<X> {
    /// How many flows are in it.
    pub fn len(&self) -> usize {
        self.live
    }

    /// True if none are.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The flow that a hash most likely leads to. Reads the index alone; the answer may be wrong or gone.
    #[inline]
    pub fn first_guess(&self, hash: u64) -> FlowIndex {
        self.slots[hash as usize & (self.slots.len() - 1)].flow
    }

    /// The flow that was guessed, if the guess was one.
    #[inline]
    pub fn guessed(&self, guess: FlowIndex) -> Option<&Flow<X>> {
        (guess < REMOVED).then(|| &self[guess])
    }

    /// The flow of a key.
    pub fn find(&self, hash: u64, key: &FlowKey) -> Option<FlowIndex> {
        let mask = self.slots.len() - 1;
        let tag = (hash >> 32) as u32;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.flow == EMPTY {
                return None;
            }
            if slot.tag == tag && slot.flow != REMOVED && self[slot.flow].key == *key {
                return Some(slot.flow);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a flow whose key is not in the table.
    pub fn insert(&mut self, hash: u64, flow: Flow<X>) -> FlowIndex
    where
        X: Default,
    {
        // Few enough that a key which is not there is soon known not to be.
        if (self.used + 1) * 5 > self.slots.len() * 3 {
            self.rebuild();
        }
        let index = self.free.pop().unwrap_or_else(|| {
            if self.begun == self.chunks.len() * CHUNK {
                self.chunks.push(blank_chunk());
            }
            self.begun += 1;
            (self.begun - 1) as FlowIndex
        });
        self[index] = flow;
        self[index].hash = hash;
        self.place(hash, index);
        self.live += 1;
        index
    }

    fn place(&mut self, hash: u64, index: FlowIndex) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].flow < REMOVED {
            at = (at + 1) & mask;
        }
        self.used += usize::from(self.slots[at].flow == EMPTY);
        self.slots[at] = Slot { tag: (hash >> 32) as u32, flow: index };
    }

    /// Removes a flow from the table. Its place stays readable until the next [`insert`](Self::insert).
    pub fn remove(&mut self, index: FlowIndex) {
        let hash = self[index].hash;
        if hash == 0 {
            return;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].flow != index {
            at = (at + 1) & mask;
        }
        if self.slots[(at + 1) & mask].flow == EMPTY {
            self.slots[at].flow = EMPTY;
            self.used -= 1;
        } else {
            self.slots[at].flow = REMOVED;
        }
        self[index].hash = 0;
        self.free.push(index);
        self.live -= 1;
    }

    /// Makes the index anew, with a third of its places taken at most.
    fn rebuild(&mut self) {
        let size = ((self.live + 1) * 3).next_power_of_two().max(1024);
        self.slots = vec![Slot { tag: 0, flow: EMPTY }; size];
        self.used = 0;
        for index in self.indices().collect::<Vec<_>>() {
            let hash = self[index].hash;
            self.place(hash, index);
        }
    }

    /// The numbers of all flows, oldest place first.
    pub fn indices(&self) -> impl Iterator<Item = FlowIndex> + '_ {
        let places = self.chunks.iter().enumerate();
        places.flat_map(|(c, chunk)| {
            let live = chunk.iter().enumerate().filter(|(_, f)| f.hash != 0);
            live.map(move |(i, _)| (c * CHUNK + i) as FlowIndex)
        })
    }
}

/// A chunk of flows that were never used.
fn blank_chunk<X: Default>() -> Box<[Flow<X>; CHUNK]> {
    let blank = |_| Flow::new(FlowKey::default(), true, 0, 0, X::default());
    let flows: Box<[Flow<X>]> = (0..CHUNK).map(blank).collect();
    // It has that many.
    #[allow(clippy::unwrap_used)]
    flows.try_into().ok().unwrap()
}

impl<X> Index<FlowIndex> for Table<X> {
    type Output = Flow<X>;
    fn index(&self, index: FlowIndex) -> &Flow<X> {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

impl<X> IndexMut<FlowIndex> for Table<X> {
    fn index_mut(&mut self, index: FlowIndex) -> &mut Flow<X> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::FlowHasher;

    fn key(n: u16) -> FlowKey {
        FlowKey { ports: [n, 80], protocol: 6, ip_version: 4, ..FlowKey::default() }
    }

    proptest::proptest! {
        #[test]
        fn it_behaves_like_a_map(ops in proptest::collection::vec((0u16..400, proptest::bool::ANY), 0..3000)) {
            let hasher = FlowHasher::with_seed(1);
            let mut table: Table<u16> = Table::default();
            let mut model = HashMap::new();
            for (n, add) in ops {
                let hash = hasher.hash(&key(n));
                let found = table.find(hash, &key(n));
                proptest::prop_assert_eq!(found, model.get(&n).copied());
                match (add, found) {
                    (true, None) => { model.insert(n, table.insert(hash, Flow::new(key(n), true, 0, 0, n))); }
                    (false, Some(i)) => { proptest::prop_assert_eq!(table[i].x, n); table.remove(i); model.remove(&n); }
                    _ => {}
                }
                proptest::prop_assert_eq!(table.len(), model.len());
            }
            let mut left: Vec<_> = table.indices().collect();
            let mut want: Vec<_> = model.into_values().collect();
            left.sort_unstable();
            want.sort_unstable();
            proptest::prop_assert_eq!(left, want);
        }
    }
}
