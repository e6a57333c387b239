//! Tiles and entry bundles as C2SP tlog-tiles has them: their names on disk, their bytes, and the tree's right edge.

use std::fmt;

use super::merkle::root_of;
use super::{ENTRY_BYTES_MAX, HASH_BYTES, Hash};

/// How many hashes a full tile has, and how many entries a full bundle.
pub(crate) const WIDTH: usize = 256;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The entries themselves.
    Entries,
    /// Hashes of this level; each is over 256^level leaves.
    Hashes(u32),
}

/// A tile's place in the log. `width` is 256 for a full tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tile {
    pub(crate) kind: Kind,
    pub(crate) index: u64,
    pub(crate) width: usize,
}

impl Tile {
    /// How many hashes a level has in a tree of this size.
    pub(crate) fn count(level: u32, size: u64) -> u64 {
        size.checked_shr(8 * level).unwrap_or(0)
    }

    /// The width that this tile (of whatever width) has in a tree of this size; 0 if it is not there.
    pub(crate) fn width_at(self, size: u64) -> usize {
        let count = match self.kind {
            Kind::Entries => size,
            Kind::Hashes(level) => Self::count(level, size),
        };
        count.saturating_sub(self.index.saturating_mul(WIDTH as u64)).min(WIDTH as u64) as usize
    }

    /// The same tile when it is full.
    pub(crate) fn full(self) -> Self {
        Self { width: WIDTH, ..self }
    }

    /// The folder in which the partial tiles of this one lie.
    pub(crate) fn partials(self) -> String {
        format!("{}.p", self.full())
    }

    /// Reads the name of a tile: the inverse of its `Display`.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Hashes(number(level)?.try_into().ok().filter(|level| *level < 64)?),
        };
        let (name, width) = match rest.split_once(".p/") {
            Some((name, width)) => (name, number(width)?.try_into().ok().filter(|w| (1..WIDTH).contains(w))?),
            None => (rest, WIDTH),
        };
        let mut index: u64 = 0;
        let mut elements = name.split('/').peekable();
        while let Some(element) = elements.next() {
            let digits = if elements.peek().is_some() { element.strip_prefix('x')? } else { element };
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { kind, index, width };
        // One name for each tile: no leading x000.
        (tile.to_string() == path).then_some(tile)
    }
}

/// A decimal number without leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Entries => f.write_str("tile/entries/")?,
            Kind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (place, group) in groups.iter().enumerate().rev() {
            if place > 0 {
                write!(f, "x{group:03}/")?;
            } else {
                write!(f, "{group:03}")?;
            }
        }
        if self.width < WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// The bytes of a tile of hashes.
pub(crate) fn hash_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile, if its bytes are a whole number of them.
pub(crate) fn read_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (chunks, rest) = bytes.as_chunks::<HASH_BYTES>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| Hash(*chunk)).collect())
}

/// Adds an entry to a bundle: its length as a big-endian 16-bit number, then its bytes. False if it is too long.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    const _: () = assert!(ENTRY_BYTES_MAX == u16::MAX as usize);
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle, if its bytes end with an entry's end.
pub(crate) fn read_bundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bytes = rest;
    }
    Some(entries)
}

/// The right edge of a growing tree: the unfinished tile of every level. This is all that appending needs to know of
/// a log: at most 255 hashes a level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of a tree of this size from the unfinished tiles, lowest level first.
    pub(crate) fn new(size: u64, levels: Vec<Vec<Hash>>) -> Self {
        debug_assert!(
            levels.iter().zip(0..).all(|(tile, level)| tile.len() as u64 == Tile::count(level, size) % 256)
        );
        Self { size, levels }
    }

    /// The unfinished tiles, lowest level first; some may be empty.
    pub(crate) fn partials(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        self.levels.iter().zip(0..).map(|(hashes, level)| {
            let index = Tile::count(level, self.size) >> 8;
            (Tile { kind: Kind::Hashes(level), index, width: hashes.len() }, hashes.as_slice())
        })
    }

    /// Adds a leaf, and hands out the tiles that this made full.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0u32.. {
            if self.levels.len() <= level as usize {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(level as usize) else { return };
            tile.push(hash);
            if tile.len() < WIDTH {
                return;
            }
            let index = (Tile::count(level, self.size) >> 8) - 1;
            full(Tile { kind: Kind::Hashes(level), index, width: WIDTH }, tile);
            hash = root_of(tile);
            tile.clear();
        }
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Hash {
        let mut root = None;
        for tile in &self.levels {
            // The complete subtrees in a tile are as its length has bits; the smallest is the rightmost.
            let mut rest = tile.as_slice();
            while !rest.is_empty() {
                let (left, peak) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let peak = root_of(peak);
                root = Some(root.map_or(peak, |right| Hash::node(peak, right)));
                rest = left;
            }
        }
        root.unwrap_or_else(Hash::empty)
    }
}
