//! What will be measured, in which order: put together from targets, lists and services, shown before anything is sent.

mod list;
mod services;
mod target;

use std::collections::{BTreeMap, HashSet};

pub use list::{Entry, LIST_BYTES_MAX, List, ListError, Skipped};
pub use services::{Group, Need, Service, Services, ServicesError};
pub use target::{Scheme, TARGET_BYTES_MAX, Target, TargetError};

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What.
    pub target: Target,
    /// The list's category code, or the service's category.
    pub category: Option<String>,
    /// The id of the service that it belongs to.
    pub service: Option<String>,
    /// Whether the service needs it, or one like it.
    pub need: Option<Need>,
}

/// All that will be measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of measuring.
    pub items: Vec<Item>,
    /// What the order was drawn with: [`Plan::shuffle`] with it gives the same order again.
    pub seed: u64,
    /// How many items each left-out category had.
    pub left_out: BTreeMap<String, usize>,
}

impl Plan {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list's rows, without those of the given categories.
    pub fn add(&mut self, entries: impl IntoIterator<Item = Entry>, without: &HashSet<String>) {
        for Entry { target, category } in entries {
            match &category {
                Some(code) if without.contains(code) => *self.left_out.entry(code.clone()).or_default() += 1,
                _ => self.items.push(Item { target, category, service: None, need: None }),
            }
        }
    }

    /// Adds a service's endpoints.
    pub fn add_service(&mut self, service: &Service) {
        self.items.extend(service.endpoints().map(|(target, need)| Item {
            target: target.clone(),
            category: Some(service.category.clone()),
            service: Some(service.id.clone()),
            need: Some(need),
        }));
    }

    /// Puts the items into an order drawn with `seed`, each target once.
    ///
    /// Neighbours in a list are alike: measured in its order, one site's residual blocking would fall on the next, and a
    /// watcher would know the list. The order is Fisher–Yates' with SplitMix64, so that it is the same in any version.
    pub fn shuffle(&mut self, seed: u64) {
        let mut seen = HashSet::new();
        self.items.retain(|item| seen.insert(item.target.clone()));
        let mut state = seed;
        for last in (1..self.items.len()).rev() {
            let bound = last as u64 + 1;
            // The bias of a remainder is below 2^-40 for any list that fits into memory.
            self.items.swap(last, usize::try_from(split_mix(&mut state) % bound).unwrap_or(last));
        }
        self.seed = seed;
    }

    /// How many items each category has; those without one are in none.
    #[must_use]
    pub fn categories(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for category in self.items.iter().filter_map(|item| item.category.as_deref()) {
            *counts.entry(category).or_default() += 1;
        }
        counts
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(hosts: usize) -> Plan {
        let text: String =
            (0..hosts).map(|n| format!("h{n}.example,{}\n", ["NEWS", "PORN"][n % 2])).collect();
        let mut plan = Plan::new();
        plan.add(List::read(format!("url,category_code\n{text}").as_bytes()).entries, &HashSet::new());
        plan
    }

    #[test]
    fn a_seed_gives_one_order() {
        let (mut one, mut two, mut three) = (plan(100), plan(100), plan(100));
        one.shuffle(7);
        two.shuffle(7);
        three.shuffle(8);
        assert_eq!(one, two);
        assert_ne!(one.items, three.items);
        let mut hosts: Vec<_> = one.items.iter().map(|item| item.target.host().to_owned()).collect();
        hosts.sort();
        hosts.dedup();
        assert_eq!(hosts.len(), 100);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
    }

    #[test]
    fn categories_can_be_left_out() {
        let without = HashSet::from(["PORN".to_owned()]);
        let mut left = Plan::new();
        left.add(
            plan(10).items.into_iter().map(|item| Entry { target: item.target, category: item.category }),
            &without,
        );
        assert_eq!(left.items.len(), 5);
        assert_eq!(left.left_out, BTreeMap::from([("PORN".to_owned(), 5)]));
        assert_eq!(left.categories(), BTreeMap::from([("NEWS", 5)]));
    }

    #[test]
    fn a_target_of_two_sources_is_measured_once() {
        let mut plan = plan(3);
        plan.add(List::read(b"h1.example\n").entries, &HashSet::new());
        plan.add_service(Services::built_in().unwrap().named("signal").unwrap());
        plan.shuffle(1);
        assert_eq!(plan.items.len(), 3 + 5);
        assert_eq!(plan.items.iter().filter(|item| item.service.as_deref() == Some("signal")).count(), 5);
    }
}
