//! Users by region and transport, and what of it can be published.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Users by region and transport.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Table(BTreeMap<String, BTreeMap<String, u64>>);

/// A table as it is published. Every number is rounded down to a multiple of the granularity, each by itself, and those
/// that come to nothing are left out. So no total minus its parts gives away a small number: each number that goes into
/// the difference may be off by nearly the granularity.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Published {
    users: u64,
    regions: BTreeMap<String, PublishedRegion>,
    /// Over all regions.
    transports: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct PublishedRegion {
    users: u64,
    transports: BTreeMap<String, u64>,
}

impl Table {
    /// Counts one more.
    pub(super) fn add(&mut self, region: &str, transport: &str) {
        let transports = self.0.entry(region.to_owned()).or_default();
        let users = transports.entry(transport.to_owned()).or_default();
        *users = users.saturating_add(1);
    }

    pub(super) fn publish(&self, granularity: u64) -> Published {
        let sum =
            |transports: &BTreeMap<String, u64>| transports.values().copied().fold(0, u64::saturating_add);
        let round = |users: u64| users - users % granularity;
        let rounded = |transports: &BTreeMap<String, u64>| {
            let rounded = transports.iter().map(|(name, users)| (name.clone(), round(*users)));
            rounded.filter(|(_, users)| *users > 0).collect()
        };
        let regions = self.0.iter().map(|(region, transports)| {
            let users = round(sum(transports));
            (region.clone(), PublishedRegion { users, transports: rounded(transports) })
        });
        let mut by_transport = BTreeMap::<String, u64>::new();
        for (name, users) in self.0.values().flatten() {
            let all = by_transport.entry(name.clone()).or_default();
            *all = all.saturating_add(*users);
        }
        Published {
            users: round(sum(&by_transport)),
            regions: regions.filter(|(_, region)| region.users > 0).collect(),
            transports: rounded(&by_transport),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cells: &[(&str, &str, u64)]) -> Table {
        let mut table = Table::default();
        for (region, transport, users) in cells {
            (0..*users).for_each(|_| table.add(region, transport));
        }
        table
    }

    #[test]
    fn small_numbers_are_not_published() {
        let published = table(&[("BY", "web", 81), ("BY", "plain", 9), ("BY", "h3", 9), ("AM", "web", 9)]);
        let expected = serde_json::json!({
            "users": 100,
            "regions": { "BY": { "users": 90, "transports": { "web": 80 } } },
            "transports": { "web": 90 },
        });
        assert_eq!(serde_json::to_value(published.publish(10)).unwrap(), expected);
        let nobody = serde_json::json!({ "users": 0, "regions": {}, "transports": {} });
        assert_eq!(serde_json::to_value(Table::default().publish(10)).unwrap(), nobody);
    }

    /// Of a region with three transports, the difference leaves at least eight values possible for the smallest.
    #[test]
    fn differences_leave_a_small_cell_open() {
        for (a, b) in (10..40).flat_map(|a| (10..40).map(move |b| (a, b))) {
            for hidden in 0..10 {
                let seen = |a, b, hidden| {
                    table(&[("BY", "web", a), ("BY", "h3", b), ("BY", "plain", hidden)]).publish(10)
                };
                let told = seen(a, b, hidden);
                let (low_a, low_b) = (a - a % 10, b - b % 10);
                let is_possible = |other: u64| {
                    // What web and h3 may have been, by what is published of them.
                    let sums = low_a + low_b + other..=low_a + low_b + 18 + other;
                    sums.into_iter().any(|sum| sum - sum % 10 == told.users)
                };
                assert!((0..10).filter(|other| is_possible(*other)).count() >= 8, "{a} {b} {hidden}");
            }
        }
    }
}
