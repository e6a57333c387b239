//! At which line of a list's file an entry stands: what the public log tells of entries that are no names.
//!
//! Kept beside the entries, and small: 16 bytes for a prefix of IPv4, 40 for one of IPv6, 12 for a text, whatever its
//! length. Domains are told by their names and have no part in it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use daylight_expr::{Network, ValueRef};

/// The lines of a list's entries.
#[derive(Clone, Debug)]
pub(crate) enum Lines {
    /// Domains have none.
    None,
    Networks {
        v4: Segments<u32>,
        v6: Segments<u128>,
    },
    Texts(Texts),
}

impl Lines {
    /// Of prefixes and their lines, in any order.
    pub(super) fn of_networks(networks: &[(Network, u32)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (network, line) in networks {
            match network.range() {
                (IpAddr::V4(low), IpAddr::V4(high)) => v4.push((low.into(), high.into(), *line)),
                (IpAddr::V6(low), IpAddr::V6(high)) => v6.push((low.into(), high.into(), *line)),
                _ => {}
            }
        }
        Self::Networks {
            v4: Segments::new(v4, |end: u32| end.checked_add(1)),
            v6: Segments::new(v6, |end: u128| end.checked_add(1)),
        }
    }

    /// The line of the entry by which a value is found: of the narrowest prefix, and of equal entries the first. What
    /// is not in the list has none, if it is a text only most likely: ask the list first.
    pub(super) fn find(&self, value: ValueRef<'_>) -> Option<u32> {
        match (self, value) {
            (Self::Networks { v4, .. }, ValueRef::Ip(IpAddr::V4(address))) => v4.find(address.into()),
            (Self::Networks { v6, .. }, ValueRef::Ip(IpAddr::V6(address))) => v6.find(address.into()),
            (Self::Texts(texts), ValueRef::Str(text)) => texts.find(text),
            _ => None,
        }
    }
}

/// The addresses, cut at every place where another prefix is the narrowest. Prefixes lie within each other or apart,
/// so that there are at most two cuts for each.
#[derive(Clone, Debug)]
pub(crate) struct Segments<T> {
    /// Where each segment begins, ascending; it goes on to the next.
    starts: Box<[T]>,
    /// The line of each; 0 for none.
    lines: Box<[u32]>,
}

impl<T: Ord + Copy> Segments<T> {
    /// Of ranges, both ends included, and their lines. `next` is what comes after a value, if anything does.
    fn new(mut ranges: Vec<(T, T, u32)>, next: impl Fn(T) -> Option<T>) -> Self {
        // What encloses others goes before them, and of equal ones the first in the file.
        ranges.sort_unstable_by(|(low, high, line), (other_low, other_high, other)| {
            low.cmp(other_low).then(other_high.cmp(high)).then(line.cmp(other))
        });
        ranges.dedup_by_key(|(low, high, _)| (*low, *high));
        let mut cuts: Vec<(T, u32)> = Vec::new();
        // The ranges that enclose the place which was come to, the narrowest last.
        let mut open: Vec<(T, u32)> = Vec::new();
        for (low, high, line) in ranges {
            close(&mut open, |end| end < low, &next, &mut cuts);
            cut(&mut cuts, low, line);
            open.push((high, line));
        }
        close(&mut open, |_| true, &next, &mut cuts);
        let (starts, lines): (Vec<T>, Vec<u32>) = cuts.into_iter().unzip();
        Self { starts: starts.into(), lines: lines.into() }
    }

    fn find(&self, value: T) -> Option<u32> {
        let after = self.starts.partition_point(|start| *start <= value);
        self.lines.get(after.checked_sub(1)?).copied().filter(|line| *line > 0)
    }
}

/// From `start` on it is this line.
fn cut<T: PartialEq>(cuts: &mut Vec<(T, u32)>, start: T, line: u32) {
    // Of several ranges that begin or end in one place the last has the say.
    cuts.pop_if(|(last, _)| *last == start);
    cuts.push((start, line));
}

/// Takes out the open ranges that are over: after each it is the line of the one around it.
fn close<T: Copy + PartialEq>(
    open: &mut Vec<(T, u32)>,
    is_over: impl Fn(T) -> bool,
    next: &impl Fn(T) -> Option<T>,
    cuts: &mut Vec<(T, u32)>,
) {
    while let Some((end, _)) = open.pop_if(|(end, _)| is_over(*end)) {
        let around = open.last().map_or(0, |(_, line)| *line);
        next(end).into_iter().for_each(|start| cut(cuts, start, around));
    }
}

/// Texts by their hashes, under a key that nobody knows: the texts themselves are in the list already. That two of a
/// million share one happens once in 30 million lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    key: RandomState,
    /// Ascending.
    hashes: Box<[u64]>,
    lines: Box<[u32]>,
}

/// Collects texts and their lines.
#[derive(Default)]
pub(super) struct TextLines {
    key: RandomState,
    found: Vec<(u64, u32)>,
}

impl TextLines {
    pub(super) fn add(&mut self, text: &str, line: u32) {
        self.found.push((self.key.hash_one(text), line));
    }

    pub(super) fn finish(mut self) -> Lines {
        self.found.sort_unstable();
        self.found.dedup_by_key(|(hash, _)| *hash);
        let (hashes, lines): (Vec<u64>, Vec<u32>) = self.found.into_iter().unzip();
        Lines::Texts(Texts { key: self.key, hashes: hashes.into(), lines: lines.into() })
    }
}

impl Texts {
    fn find(&self, text: &str) -> Option<u32> {
        let at = self.hashes.binary_search(&self.key.hash_one(text)).ok()?;
        self.lines.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<(Network, u32)> {
        texts.iter().zip(1..).map(|(text, line)| (text.parse().unwrap(), line)).collect()
    }

    fn line(lines: &Lines, address: &str) -> Option<u32> {
        lines.find(ValueRef::Ip(address.parse().unwrap()))
    }

    #[test]
    fn the_narrowest_prefix_counts_and_the_first_of_equal_ones() {
        let lines = Lines::of_networks(&networks(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "10.1.0.0/16",
            "10.0.0.0/9",
            "255.255.255.255",
            "10.255.255.255",
            "2001:db8::/32",
            "2001:db8::1",
            "10.1.2.4/31",
        ]));
        for (address, found) in [
            ("9.255.255.255", None),
            ("10.0.0.0", Some(5)),
            ("10.1.0.0", Some(2)),
            ("10.1.2.3", Some(3)),
            ("10.1.2.4", Some(10)),
            ("10.1.2.6", Some(2)),
            ("10.127.255.255", Some(5)),
            ("10.128.0.0", Some(1)),
            ("10.255.255.255", Some(7)),
            ("11.0.0.0", None),
            ("255.255.255.254", None),
            ("255.255.255.255", Some(6)),
            ("2001:db8::", Some(8)),
            ("2001:db8::1", Some(9)),
            ("2001:db8::2", Some(8)),
            ("2001:db9::", None),
            ("::ffff:10.0.0.1", None),
        ] {
            assert_eq!(line(&lines, address), found, "{address}");
        }
    }

    #[test]
    fn texts_have_the_line_on_which_they_stand_first() {
        let mut found = TextLines::default();
        for (text, line) in [("b", 2), ("a", 3), ("b", 9)] {
            found.add(text, line);
        }
        let lines = found.finish();
        let line = |text| lines.find(ValueRef::Str(text));
        assert_eq!((line("a"), line("b"), line("c")), (Some(3), Some(2), None));
    }

    proptest! {
        /// Against going through all of them.
        #[test]
        fn lines_are_those_of_a_walk_over_the_file(
            prefixes in prop::collection::vec((any::<u32>(), 0u8..=32), 0..40),
            near in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0u32..3), 0..40),
        ) {
            // Addresses of which many lie within each other's prefixes.
            let narrow = |address: u32| address & 0xc000_0c03;
            let networks: Vec<(Network, u32)> = prefixes
                .iter()
                .zip(1..)
                .map(|((address, length), line)| (Network::new(IpAddr::V4(narrow(*address).into()), *length).unwrap(), line))
                .collect();
            let lines = Lines::of_networks(&networks);
            let ends = networks.iter().flat_map(|(network, _)| {
                let (IpAddr::V4(low), IpAddr::V4(high)) = network.range() else { unreachable!() };
                [u32::from(low), u32::from(high)]
            });
            let ends: Vec<u32> = ends.collect();
            let asked = near.iter().map(|(at, address, off)| match ends.is_empty() {
                true => *address,
                false => at.get(&ends).wrapping_add(*off).wrapping_sub(1),
            });
            for address in asked.chain(ends.iter().copied()) {
                let inside = networks.iter().filter(|(network, _)| {
                    let (IpAddr::V4(low), IpAddr::V4(high)) = network.range() else { unreachable!() };
                    (u32::from(low)..=u32::from(high)).contains(&address)
                });
                let size = |network: &Network| match network.range() {
                    (IpAddr::V4(low), IpAddr::V4(high)) => u32::from(high) - u32::from(low),
                    _ => unreachable!(),
                };
                let expected = inside.min_by_key(|(network, line)| (size(network), *line)).map(|(_, line)| *line);
                prop_assert_eq!(lines.find(ValueRef::Ip(IpAddr::V4(address.into()))), expected);
            }
        }
    }
}
