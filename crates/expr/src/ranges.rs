//! Sets of values of ordered kinds, for proofs: unlike [`Ranges`](crate::list::Ranges) they have complements.

use std::net::IpAddr;

use crate::List;
use crate::list::Networks;
use crate::program::{Check, Relation};

/// What all values are, of which a set holds some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Universe {
    /// Whole numbers, times, truth values: moved up by 2¹²⁷.
    Int,
    /// Real numbers by their order; the second family is what is no number.
    Float,
    /// IPv4, and IPv6 as the second family.
    Address,
}

type Spans = Vec<(u128, u128)>;

/// A set of values of one universe, in two families: sorted ranges, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Values {
    universe: Universe,
    families: [Spans; 2],
}

impl Universe {
    fn all(self) -> [(u128, u128); 2] {
        match self {
            // An upside-down range is empty.
            Self::Int => [(0, u128::MAX), (1, 0)],
            Self::Float => [(0, u128::MAX), (0, 0)],
            Self::Address => [(0, u32::MAX.into()), (0, u128::MAX)],
        }
    }
}

impl Values {
    fn new(universe: Universe, families: [Spans; 2]) -> Self {
        Self { universe, families: families.map(merged) }
    }

    /// The values that a check fits, if it is one that can be told as ranges.
    pub(crate) fn of(check: &Check) -> Option<Self> {
        let ints = |ranges: &mut dyn Iterator<Item = (i128, i128)>| {
            Self::new(Universe::Int, [ranges.map(|(low, high)| (int(low), int(high))).collect(), Vec::new()])
        };
        Some(match check {
            Check::Int(low, high) => ints(&mut std::iter::once((*low, *high))),
            Check::Ints(ranges) => ints(&mut ranges.iter().copied()),
            Check::Float(relation, x) => {
                let at = float(*x);
                let range = match relation {
                    Relation::Eq => (at, at),
                    Relation::Lt => (0, at.checked_sub(1)?),
                    Relation::Le => (0, at),
                    Relation::Gt => (at.checked_add(1)?, u128::MAX),
                    Relation::Ge => (at, u128::MAX),
                    Relation::Contains => return None,
                };
                Self::new(Universe::Float, [vec![range], Vec::new()])
            }
            Check::Floats(ranges) => {
                let ranges = ranges.iter().map(|(low, high)| (float(*low), float(*high)));
                Self::new(Universe::Float, [ranges.collect(), Vec::new()])
            }
            Check::V4(low, high) => {
                Self::new(Universe::Address, [vec![((*low).into(), (*high).into())], Vec::new()])
            }
            Check::V6(low, high) => Self::new(Universe::Address, [Vec::new(), vec![(*low, *high)]]),
            Check::Addresses(networks) => Self::addresses(networks),
            Check::List(list) => return Self::of_list(list),
            Check::Any(checks) => {
                let mut all = checks.iter().map(Self::of);
                let mut union = all.next()??;
                for values in all {
                    let values = values.filter(|values| values.universe == union.universe)?;
                    let [first, second] = values.families;
                    union.families[0].extend(first);
                    union.families[1].extend(second);
                }
                Self::new(union.universe, union.families)
            }
            _ => return None,
        })
    }

    /// The values of a list of addresses or numbers.
    pub(crate) fn of_list(list: &List) -> Option<Self> {
        if let Some(networks) = list.as_networks() {
            return Some(Self::addresses(networks));
        }
        let numbers = list.as_numbers()?;
        let ranges = numbers.iter().map(|(low, high)| (int(*low), int(*high)));
        Some(Self::new(Universe::Int, [ranges.collect(), Vec::new()]))
    }

    fn addresses(networks: &Networks) -> Self {
        let v4 = networks.v4().iter().map(|(low, high)| ((*low).into(), (*high).into()));
        Self::new(Universe::Address, [v4.collect(), networks.v6().iter().copied().collect()])
    }

    pub(crate) fn universe(&self) -> Universe {
        self.universe
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.families.iter().all(Vec::is_empty)
    }

    pub(crate) fn complement(&self) -> Self {
        let mut families = [Vec::new(), Vec::new()];
        for ((family, (first, last)), spans) in
            families.iter_mut().zip(self.universe.all()).zip(&self.families)
        {
            let mut from = Some(first);
            for (low, high) in spans {
                if let Some(from) = from
                    && from < *low
                {
                    family.push((from, low - 1));
                }
                from = high.checked_add(1);
            }
            if let Some(from) = from
                && from <= last
            {
                family.push((from, last));
            }
        }
        Self { universe: self.universe, families }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut families = [Vec::new(), Vec::new()];
        for (family, (ours, theirs)) in families.iter_mut().zip(self.families.iter().zip(&other.families)) {
            let (mut a, mut b) = (ours.iter().peekable(), theirs.iter().peekable());
            while let (Some((a_low, a_high)), Some((b_low, b_high))) = (a.peek(), b.peek()) {
                let (low, high) = (*a_low.max(b_low), *a_high.min(b_high));
                if low <= high {
                    family.push((low, high));
                }
                if a_high < b_high {
                    a.next()
                } else {
                    b.next()
                };
            }
        }
        Self { universe: self.universe, families }
    }

    /// The least address that is in it, as text.
    pub(crate) fn example(&self) -> Option<String> {
        let [v4, v6] = &self.families;
        match self.universe {
            Universe::Address => v4
                .first()
                .and_then(|(low, _)| u32::try_from(*low).ok())
                .map(|low| IpAddr::V4(low.into()).to_string())
                .or_else(|| v6.first().map(|(low, _)| IpAddr::V6((*low).into()).to_string())),
            Universe::Int => v4.first().map(|(low, _)| (low.wrapping_sub(1 << 127) as i128).to_string()),
            Universe::Float => None,
        }
    }
}

fn merged(mut spans: Spans) -> Spans {
    spans.retain(|(low, high)| low <= high);
    spans.sort_unstable();
    let mut merged: Spans = Vec::with_capacity(spans.len());
    for (low, high) in spans {
        match merged.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    merged
}

fn int(n: i128) -> u128 {
    (n as u128) ^ (1 << 127)
}

/// Numbers in their order. Minus zero is zero.
fn float(x: f64) -> u128 {
    let bits = (x + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    // One more, so that there is always one before.
    u128::from(ordered) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complements_and_intersections() {
        let ports = Values::of(&Check::Int(80, 443)).unwrap();
        let rest = ports.complement();
        assert!(ports.intersection(&rest).is_empty());
        assert_eq!(rest.complement(), ports);
        let both = Values::of(&Check::Int(400, 500)).unwrap().intersection(&ports);
        assert_eq!(both, Values::of(&Check::Int(400, 443)).unwrap());
        assert_eq!(both.example().unwrap(), "400");
        let address = Values::of(&Check::V4(1, 2)).unwrap();
        assert!(!address.complement().is_empty());
        assert!(address.intersection(&Values::of(&Check::V6(0, u128::MAX)).unwrap()).is_empty());
    }

    #[test]
    fn real_numbers_keep_their_order() {
        let numbers = [f64::NEG_INFINITY, -1.5, -1e-300, 0.0, 1e-300, 1.5, f64::INFINITY];
        assert!(numbers.windows(2).all(|pair| float(pair[0]) < float(pair[1])));
        assert_eq!(float(-0.0), float(0.0));
        let more = Values::of(&Check::Float(Relation::Gt, 1.5)).unwrap();
        let less = Values::of(&Check::Float(Relation::Le, 1.5)).unwrap();
        assert!(more.intersection(&less).is_empty());
        // What is no number is neither.
        assert!(!more.complement().intersection(&less.complement()).is_empty());
    }
}
