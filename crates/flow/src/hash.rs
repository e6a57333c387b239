//! A seeded hash of flow keys.

use std::hash::BuildHasher;

use daylight_packet::FlowKey;

/// Hashes keys with a seed that a sender can't know, so that nobody can aim flows at one bucket.
#[derive(Clone, Copy, Debug)]
pub struct FlowHasher {
    seed: [u64; 3],
}

impl FlowHasher {
    /// With a seed of one's own: for tests, and to share one seed between shards.
    pub fn with_seed(seed: u64) -> Self {
        // SplitMix64, to spread the seed over three words.
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        };
        Self { seed: [next() | 1, next() | 1, next() | 1] }
    }

    /// With a seed from the system's randomness.
    pub fn random() -> Self {
        Self::with_seed(foldhash::quality::RandomState::default().hash_one(0u64))
    }

    /// The hash of a key, never 0: three folded 64×64 multiplications.
    #[inline]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        let [a, b, c, d, e, f] = key.words();
        let [s, t, u] = self.seed;
        let x = fold(a ^ s, c ^ t.rotate_left(17));
        let y = fold(b ^ t, d ^ u.rotate_left(29));
        fold(x ^ e ^ u, y ^ f ^ s.rotate_left(41)).max(1)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a).wrapping_mul(u128::from(b));
    (wide as u64) ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_spread_over_buckets_and_seeds_differ() {
        let hasher = FlowHasher::with_seed(7);
        let mut buckets = [0u32; 64];
        for i in 0..64_000u64 {
            let key = FlowKey { addresses: [[0, i], [0, 1 << 40]], ..FlowKey::default() };
            buckets[(hasher.hash(&key) % 64) as usize] += 1;
        }
        assert!(buckets.iter().all(|n| (850..1150).contains(n)), "{buckets:?}");
        let key = FlowKey::default();
        assert_ne!(hasher.hash(&key), FlowHasher::with_seed(8).hash(&key));
    }
}
