//! Puts pieces of a byte stream in order: the fragments of a DTLS message, the CRYPTO frames of QUIC.

/// Bytes from offset 0 on, of which pieces came in any order.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    bytes: Vec<u8>,
    /// What is there: start and end, in order, never touching one another.
    pieces: Vec<(u32, u32)>,
}

impl Assembler {
    /// A stream is kept up to this many bytes; what lies beyond is dropped.
    pub(crate) const BYTES_MAX: usize = super::MESSAGE_MAX + 4;
    /// A piece that would leave more holes than this is dropped.
    const PIECES_MAX: usize = 64;

    /// Adds a piece. What is there already stays as it is.
    pub(crate) fn insert(&mut self, offset: u64, data: &[u8]) {
        let Ok(start) = usize::try_from(offset) else { return };
        let end = start.saturating_add(data.len()).min(Self::BYTES_MAX);
        if start >= end {
            return;
        }
        let (from, to) = (start as u32, end as u32);
        // The pieces that the new one overlaps or touches become one with it.
        let first = self.pieces.partition_point(|(_, e)| *e < from);
        let last = self.pieces.partition_point(|(s, _)| *s <= to);
        if first == last && self.pieces.len() >= Self::PIECES_MAX {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        // Fill the holes only: the first to come wins.
        let mut at = start;
        for (s, e) in self.pieces.get(first..last).unwrap_or_default() {
            let (s, e) = (*s as usize, *e as usize);
            if at < s {
                self.bytes[at..s].copy_from_slice(&data[at - start..s - start]);
            }
            at = at.max(e);
        }
        if at < end {
            self.bytes[at..end].copy_from_slice(&data[at - start..end - start]);
        }
        let joined = self.pieces.get(first..last).unwrap_or_default();
        let from = joined.first().map_or(from, |(s, _)| from.min(*s));
        let to = joined.last().map_or(to, |(_, e)| to.max(*e));
        self.pieces.splice(first..last, [(from, to)]);
    }

    /// What is there without a hole from the start on.
    pub(crate) fn prefix(&self) -> &[u8] {
        match self.pieces.first() {
            Some((0, end)) => &self.bytes[..*end as usize],
            _ => &[],
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_come_wins_and_the_end_is_bounded() {
        let mut a = Assembler::default();
        a.insert(4, b"EFGH");
        assert_eq!(a.prefix(), b"");
        a.insert(0, b"abcdefghij");
        assert_eq!(a.prefix(), b"abcdEFGHij");
        a.insert(u64::MAX, b"x");
        a.insert(Assembler::BYTES_MAX as u64 - 1, b"xyz");
        assert_eq!(a.held(), Assembler::BYTES_MAX);
        assert_eq!(a.prefix().len(), 10);
    }

    #[test]
    fn holes_are_bounded() {
        let mut a = Assembler::default();
        (0..200).for_each(|i| a.insert(i * 2 + 1, b"x"));
        assert_eq!(a.pieces.len(), Assembler::PIECES_MAX);
    }

    proptest::proptest! {
        #[test]
        fn any_order_gives_the_same_bytes(
            cuts in proptest::collection::vec((0usize..300, 1usize..80), 1..60), seed: u64,
        ) {
            let whole: Vec<u8> = (0..380u32).map(|i| (i * 7 % 251) as u8).collect();
            let mut cuts = cuts;
            cuts.push((0, 380));
            let n = cuts.len();
            cuts.swap(n - 1, seed as usize % n);
            let mut a = Assembler::default();
            for (start, len) in &cuts {
                a.insert(*start as u64, &whole[*start..start + len]);
            }
            proptest::prop_assert_eq!(a.prefix(), &whole[..]);
            proptest::prop_assert_eq!(a.pieces.len(), 1);
        }
    }
}
