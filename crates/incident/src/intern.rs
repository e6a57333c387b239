//! Numbers in place of what is said over and over.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::FixedState;

/// Gives every distinct value a number, in the order of their first use.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    numbers: HashMap<T, u32, FixedState>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default() }
    }
}

impl<T: Hash + Eq + Ord> Interner<T> {
    /// The number of a value; `own` makes it to be kept if it is new.
    pub(crate) fn number<Q>(&mut self, value: &Q, own: impl FnOnce(&Q) -> T) -> u32
    where
        T: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(own(value), number);
        number
    }

    /// The number of a value that is at hand to be kept.
    pub(crate) fn keep(&mut self, value: T) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(value).or_insert(next)
    }

    fn in_order(self) -> Vec<T> {
        let mut all: Vec<(T, u32)> = self.numbers.into_iter().collect();
        all.sort_by_key(|(_, number)| *number);
        all.into_iter().map(|(value, _)| value).collect()
    }
}

/// All values of several interners, sorted; and for each interner, what each of its numbers becomes. So numbers no longer
/// depend on the order in which anything was read.
pub(crate) fn merge<T: Hash + Eq + Ord + Clone>(interners: Vec<Interner<T>>) -> (Vec<T>, Vec<Vec<u32>>) {
    let lists: Vec<Vec<T>> = interners.into_iter().map(Interner::in_order).collect();
    let mut all: Vec<T> = lists.iter().flatten().cloned().collect();
    all.sort();
    all.dedup();
    let ranks = lists
        .iter()
        .map(|list| {
            let rank = |value| all.binary_search(value).map_or(u32::MAX, |rank| rank as u32);
            list.iter().map(rank).collect()
        })
        .collect();
    (all, ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_do_not_depend_on_who_saw_what_first() {
        let interner = |words: &[&str]| {
            let mut interner = Interner::<String>::default();
            for word in words {
                interner.number(*word, |word| word.to_owned());
            }
            interner
        };
        let (all, ranks) = merge(vec![interner(&["c", "a", "c"]), interner(&["b", "c"])]);
        assert_eq!(all, ["a", "b", "c"]);
        assert_eq!(ranks, [vec![2, 0], vec![1, 2]]);
    }
}
