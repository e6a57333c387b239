//! Looks for many short patterns at once, in any mixture of cases.
//!
//! A bit for each pair of bytes that some pattern begins with; where the text has such a pair, the few patterns that
//! begin so are compared. One pass over the text, whatever the number of patterns.

/// Patterns, each with a rank: of several that match, the one with the lowest rank counts.
pub(super) struct Matcher {
    pairs: Box<[u64; 1024]>,
    /// Sorted by the pair they begin with.
    patterns: Vec<(u16, &'static str, usize)>,
}

impl Matcher {
    /// From lists of lower-case patterns of two bytes or more; a list's place is the rank of its patterns.
    pub(super) fn new(lists: &[&[&'static str]]) -> Self {
        let mut pairs = Box::new([0; 1024]);
        let mut patterns = Vec::new();
        for (rank, list) in lists.iter().enumerate() {
            for pattern in *list {
                let Some([a, b]) = pattern.as_bytes().first_chunk() else { continue };
                let pair = u16::from_be_bytes([*a, *b]);
                pairs[usize::from(pair / 64)] |= 1 << (pair % 64);
                patterns.push((pair, *pattern, rank));
            }
        }
        patterns.sort_unstable();
        Self { pairs, patterns }
    }

    /// The match with the lowest rank, the first of several.
    pub(super) fn find(&self, text: &[u8]) -> Option<(&'static str, usize)> {
        let mut best: Option<(&'static str, usize)> = None;
        for (at, window) in text.windows(2).enumerate() {
            let pair = u16::from_be_bytes([window[0].to_ascii_lowercase(), window[1].to_ascii_lowercase()]);
            if self.pairs[usize::from(pair / 64)] >> (pair % 64) & 1 == 0 {
                continue;
            }
            let start = self.patterns.partition_point(|(p, ..)| *p < pair);
            for (_, pattern, rank) in self.patterns[start..].iter().take_while(|(p, ..)| *p == pair) {
                let here = text.get(at..at + pattern.len());
                if best.is_none_or(|(_, r)| *rank < r)
                    && here.is_some_and(|h| h.eq_ignore_ascii_case(pattern.as_bytes()))
                {
                    best = Some((pattern, *rank));
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there() {
        let m = Matcher::new(&[&["abc", "abd"], &["bd", "zz"]]);
        assert_eq!(m.find(b"xxABDxx"), Some(("abd", 0)));
        assert_eq!(m.find(b"zzab"), Some(("zz", 1)));
        assert_eq!(m.find(b"ab"), None);
        assert_eq!(m.find(b"bd abc"), Some(("abc", 0)));
        assert_eq!(m.find(b""), None);
    }
}
