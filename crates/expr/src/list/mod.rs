//! Sets of constants: what stands in braces after `in`, and the lists that `$name` stands for.

mod compare;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::buf::Buf;
use crate::{Kind, Network};

pub(crate) type Octets = Box<[u8]>;
type Hasher = foldhash::fast::RandomState;

/// Ranges of values, both ends included, sorted and without overlaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges<T>(Box<[(T, T)]>);

impl<T: Ord + Clone> Ranges<T> {
    pub(crate) fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1 => last.1 = last.1.clone().max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged.into())
    }

    pub(crate) fn contains<Q: Ord + ?Sized>(&self, value: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
    {
        self.find(value).is_some()
    }

    /// The range that a value is in.
    fn find<Q: Ord + ?Sized>(&self, value: &Q) -> Option<&(T, T)>
    where
        T: std::borrow::Borrow<Q>,
    {
        let above = self.0.partition_point(|(low, _)| std::borrow::Borrow::<Q>::borrow(low) <= value);
        let range = self.0.get(above.checked_sub(1)?)?;
        (value <= std::borrow::Borrow::<Q>::borrow(&range.1)).then_some(range)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (T, T)> {
        self.0.iter()
    }

    pub(crate) fn last(&self) -> Option<&(T, T)> {
        self.0.last()
    }
}

/// Addresses and networks of both families. An IPv4 address is never in an IPv6 network, not even as `::ffff:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Networks {
    /// From ranges of which both ends are of one family (others are left out).
    pub(crate) fn new(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range {
                (IpAddr::V4(low), IpAddr::V4(high)) => v4.push((low.into(), high.into())),
                (IpAddr::V6(low), IpAddr::V6(high)) => v6.push((low.into(), high.into())),
                _ => {}
            }
        }
        Self { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    pub(crate) fn v4(&self) -> &Ranges<u32> {
        &self.v4
    }

    pub(crate) fn v6(&self) -> &Ranges<u128> {
        &self.v6
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(&u32::from(address)),
            IpAddr::V6(address) => self.v6.contains(&u128::from(address)),
        }
    }
}

/// A set of byte strings.
#[derive(Clone, Debug, Default)]
pub(crate) struct OctetSet(HashSet<Octets, Hasher>);

impl OctetSet {
    pub(crate) fn contains(&self, value: &[u8]) -> bool {
        self.0.contains(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|text| &**text)
    }
}

impl FromIterator<Octets> for OctetSet {
    fn from_iter<I: IntoIterator<Item = Octets>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

/// Which names a domain of a list stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Scope {
    itself: bool,
    below: bool,
}

/// A list that an expression can name: `hostname in $blocked`, `src_ip in $office`. It is built once and shared by all
/// programs that name it.
#[derive(Clone, Debug)]
pub struct List(Items);

type Domains = HashMap<Octets, Scope, Hasher>;

#[derive(Clone, Debug)]
enum Items {
    Domains(Domains),
    Texts(OctetSet),
    Networks(Networks),
    Numbers(Ranges<i128>),
}

/// A name longer than this is matched by its end only: no DNS name is longer (RFC 1035 §2.3.4).
const DOMAIN_LEN_MAX: usize = 255;

impl List {
    /// Domain names. `example.com` matches that name and every name below it; `*.example.com` (or `.example.com`) only
    /// those below it, and `=example.com` that name alone. Case and a dot at the end don't count. Names outside ASCII must be given in their `xn--` form.
    /// Looking a name up costs one hash for each of its labels, however long the list.
    pub fn domains<S: AsRef<str>>(domains: impl IntoIterator<Item = S>) -> Self {
        let mut map = Domains::default();
        for domain in domains {
            let domain = domain.as_ref().trim();
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            let below = domain.strip_prefix("*.").or_else(|| domain.strip_prefix('.'));
            let alone = domain.strip_prefix('=');
            let name = below.or(alone).unwrap_or(domain);
            if !name.is_empty() {
                let scope = map.entry(name.to_ascii_lowercase().into_bytes().into()).or_default();
                scope.below |= alone.is_none();
                scope.itself |= below.is_none();
            }
        }
        map.shrink_to_fit();
        Self(Items::Domains(map))
    }

    /// Texts, each exactly as it is.
    pub fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        Self(Items::Texts(texts.into_iter().map(|text| text.as_ref().as_bytes().into()).collect()))
    }

    /// Addresses and networks. Looking an address up costs a binary search.
    pub fn networks(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(Items::Networks(Networks::new(networks.into_iter().map(Network::range))))
    }

    /// Numbers, such as ports.
    pub fn numbers(numbers: impl IntoIterator<Item = RangeInclusive<u64>>) -> Self {
        let ranges = numbers.into_iter().filter(|range| !range.is_empty());
        Self(Items::Numbers(Ranges::new(ranges.map(|r| ((*r.start()).into(), (*r.end()).into())).collect())))
    }

    /// The kind of the fields that can be looked up in it.
    pub fn kind(&self) -> Kind {
        match self.0 {
            Items::Domains(_) | Items::Texts(_) => Kind::Str,
            Items::Networks(_) => Kind::Ip,
            Items::Numbers(_) => Kind::Uint,
        }
    }

    /// As in "`$name` is …".
    pub(crate) fn noun(&self) -> &'static str {
        match self.0 {
            Items::Domains(_) => "a list of domains",
            Items::Texts(_) => "a list of texts",
            Items::Networks(_) => "a list of addresses",
            Items::Numbers(_) => "a list of numbers",
        }
    }

    pub(crate) fn contains_octets(&self, value: &[u8]) -> bool {
        match &self.0 {
            Items::Domains(domains) => contains_domain(domains, value),
            Items::Texts(texts) => texts.contains(value),
            Items::Networks(_) | Items::Numbers(_) => false,
        }
    }

    pub(crate) fn contains_address(&self, address: IpAddr) -> bool {
        matches!(&self.0, Items::Networks(networks) if networks.contains(address))
    }

    pub(crate) fn contains_number(&self, number: i128) -> bool {
        matches!(&self.0, Items::Numbers(numbers) if numbers.contains(&number))
    }
}

fn contains_domain(domains: &Domains, name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let mut whole = name.len() <= DOMAIN_LEN_MAX;
    let mut rest = &name[name.len().saturating_sub(DOMAIN_LEN_MAX)..];
    let mut lower = Buf::new();
    if rest.iter().any(u8::is_ascii_uppercase) {
        lower.push(rest);
        lower.bytes_mut().make_ascii_lowercase();
        rest = lower.bytes();
    }
    loop {
        // A name that was cut begins in the middle of a label, which is nothing to look up.
        if (whole || rest.len() < name.len().min(DOMAIN_LEN_MAX))
            && let Some(scope) = domains.get(rest)
            && if whole { scope.itself } else { scope.below }
        {
            return true;
        }
        whole = false;
        match memchr::memchr(b'.', rest) {
            Some(dot) => rest = &rest[dot + 1..],
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_find() {
        let ranges = Ranges::new(vec![(10, 20), (1, 3), (15, 30), (40, 40)]);
        assert_eq!(*ranges.0, [(1, 3), (10, 30), (40, 40)]);
        for (value, found) in
            [(0, false), (1, true), (3, true), (4, false), (25, true), (31, false), (40, true), (41, false)]
        {
            assert_eq!(ranges.contains(&value), found, "{value}");
        }
        assert!(!Ranges::<u32>::new(vec![]).contains(&0));
    }

    #[test]
    fn domains_match_below_at_label_boundaries() {
        let list = List::domains(["example.com", "*.cdn.net", "Upper.Org.", "", "."]);
        for (name, found) in [
            ("example.com", true),
            ("www.example.com", true),
            ("a.b.example.com.", true),
            ("WWW.EXAMPLE.COM", true),
            ("notexample.com", false),
            ("example.com.evil.net", false),
            ("com", false),
            ("cdn.net", false),
            ("x.cdn.net", true),
            ("upper.org", true),
            ("", false),
            (".", false),
        ] {
            assert_eq!(list.contains_octets(name.as_bytes()), found, "{name}");
        }
        let alone = List::domains(["=only.test"]);
        assert!(alone.contains_octets(b"ONLY.test.") && !alone.contains_octets(b"www.only.test"));
        let long = format!("{}.example.com", "a.".repeat(2000));
        assert!(list.contains_octets(long.as_bytes()));
        assert!(!List::domains(["a".repeat(255)]).contains_octets("a".repeat(300).as_bytes()));
        assert!(!list.contains_octets(".".repeat(100_000).as_bytes()));
    }

    #[test]
    fn networks_keep_the_families_apart() {
        let list = List::networks(["10.0.0.0/8", "192.168.1.1", "2001:db8::/32"].map(|n| n.parse().unwrap()));
        for (address, found) in [
            ("10.255.0.1", true),
            ("11.0.0.0", false),
            ("192.168.1.1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(list.contains_address(address.parse().unwrap()), found, "{address}");
        }
    }
}
