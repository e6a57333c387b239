//! What one list has to do with another: for those who check policies, not for look-ups.

use std::net::IpAddr;

use super::{Domains, Items, List, Networks, Ranges, Scope};
use crate::ValueRef;
use crate::ranges::Values;

impl List {
    /// How many entries it has; of networks and numbers, how many ranges are left once those that overlap are joined.
    pub fn len(&self) -> usize {
        match &self.0 {
            Items::Domains(domains) => domains.len(),
            Items::Texts(texts) => texts.0.len(),
            Items::Networks(networks) => networks.v4.0.len() + networks.v6.0.len(),
            Items::Numbers(numbers) => numbers.0.len(),
        }
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if everything that fits the other list fits this one. Exact, but for domains that are covered only by
    /// several of this list together. Costs a look-up for each of the other's entries.
    pub fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Items::Domains(ours), Items::Domains(theirs)) => theirs.iter().all(|(name, scope)| {
                (!scope.itself || self.contains_octets(name)) && (!scope.below || covers_below(ours, name))
            }),
            (Items::Texts(ours), Items::Texts(theirs)) => theirs.iter().all(|text| ours.contains(text)),
            _ => match (Values::of_list(self), Values::of_list(other)) {
                (Some(ours), Some(theirs)) if ours.universe() == theirs.universe() => {
                    theirs.intersection(&ours.complement()).is_empty()
                }
                _ => other.is_empty(),
            },
        }
    }

    /// Something that fits both lists, as text, if there is any. Costs a look-up for each entry of both.
    pub fn meets(&self, other: &Self) -> Option<String> {
        match (&self.0, &other.0) {
            (Items::Domains(ours), Items::Domains(theirs)) => {
                in_other(ours, other, theirs).or_else(|| in_other(theirs, self, ours))
            }
            (Items::Texts(ours), Items::Texts(theirs)) => {
                let mut both: Vec<_> = ours.iter().filter(|text| theirs.contains(text)).collect();
                both.sort_unstable();
                both.first().map(|text| String::from_utf8_lossy(text).into_owned())
            }
            _ => {
                let (ours, theirs) = (Values::of_list(self)?, Values::of_list(other)?);
                (ours.universe() == theirs.universe()).then(|| ours.intersection(&theirs).example())?
            }
        }
    }

    /// True if a value is found in it.
    pub fn contains(&self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Str(text) => self.contains_octets(text.as_bytes()),
            ValueRef::Bytes(bytes) => self.contains_octets(bytes),
            ValueRef::Ip(address) => self.contains_address(address),
            ValueRef::Uint(n) => self.contains_number(n.into()),
            ValueRef::Bool(_) | ValueRef::Float(_) | ValueRef::Time(_) => false,
        }
    }

    /// The entry by which a value is found: the domain at or above a name, the text, the range of addresses. None if
    /// it isn't found.
    pub fn entry(&self, value: ValueRef<'_>) -> Option<String> {
        match (&self.0, value) {
            (Items::Domains(domains), ValueRef::Str(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let mut rest = name.as_str();
                loop {
                    let whole = rest.len() == name.len();
                    if let Some(scope) = domains.get(rest.as_bytes())
                        && if whole { scope.itself } else { scope.below }
                    {
                        return Some(if scope.itself { rest.to_owned() } else { format!("*.{rest}") });
                    }
                    rest = rest.split_once('.')?.1;
                }
            }
            (Items::Texts(texts), ValueRef::Str(text)) => {
                texts.contains(text.as_bytes()).then(|| text.to_owned())
            }
            (Items::Networks(networks), ValueRef::Ip(address)) => networks.entry(address),
            (Items::Numbers(numbers), ValueRef::Uint(n)) => {
                let (low, high) = numbers.find(&i128::from(n))?;
                Some(if low == high { low.to_string() } else { format!("{low}-{high}") })
            }
            _ => None,
        }
    }

    pub(crate) fn as_networks(&self) -> Option<&Networks> {
        if let Items::Networks(networks) = &self.0 { Some(networks) } else { None }
    }

    pub(crate) fn as_texts(&self) -> Option<&super::OctetSet> {
        if let Items::Texts(texts) = &self.0 { Some(texts) } else { None }
    }

    pub(crate) fn as_numbers(&self) -> Option<&Ranges<i128>> {
        if let Items::Numbers(numbers) = &self.0 { Some(numbers) } else { None }
    }
}

impl Networks {
    /// The range that an address is in: as a network if it is one, from first to last otherwise.
    fn entry(&self, address: IpAddr) -> Option<String> {
        let (low, high, size, bits) = match address {
            IpAddr::V4(address) => {
                let (low, high) = *self.v4.find(&u32::from(address))?;
                (IpAddr::V4(low.into()), IpAddr::V4(high.into()), u128::from(high - low), 32)
            }
            IpAddr::V6(address) => {
                let (low, high) = *self.v6.find(&u128::from(address))?;
                (IpAddr::V6(low.into()), IpAddr::V6(high.into()), high - low, 128)
            }
        };
        let host = size.checked_add(1).map_or(128, u128::trailing_zeros);
        let whole = size.checked_add(1).is_none_or(u128::is_power_of_two);
        let network = crate::Network::new(low, bits - host as u8).filter(|_| whole);
        Some(match network {
            _ if low == high => low.to_string(),
            Some(network) if network.range() == (low, high) => format!("{low}/{}", bits - host as u8),
            _ => format!("{low}-{high}"),
        })
    }
}

/// True if every name below `name` fits.
fn covers_below(domains: &Domains, name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if domains.get(rest).is_some_and(|scope| scope.below) {
            return true;
        }
        match memchr::memchr(b'.', rest) {
            Some(dot) => rest = &rest[dot + 1..],
            None => return false,
        }
    }
}

/// The first entry of `ours`, in the order of the alphabet, of which something fits the other list.
fn in_other(ours: &Domains, other: &List, theirs: &Domains) -> Option<String> {
    let meets = |name: &[u8], scope: Scope| {
        (scope.itself && other.contains_octets(name)) || (scope.below && covers_below(theirs, name))
    };
    let both = ours.iter().filter(|(name, scope)| meets(name, **scope)).map(|(name, _)| name);
    both.min().map(|name| String::from_utf8_lossy(name).into_owned())
}
