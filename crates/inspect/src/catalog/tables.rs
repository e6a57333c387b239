//! The catalog made ready for look-ups.
//!
//! The build script makes the tables of the built-in catalog with the same code with which `--catalog` remakes them, and
//! writes them down as constants: at start nothing is parsed, built or copied.

use std::collections::BTreeMap;

use super::parse::File;
use super::prefix::{self, NONE, Prefix};

/// An application or service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App {
    /// As in a record: lower case, hyphenated.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Its category's name.
    pub category: &'static str,
}

/// A kind of applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    /// As in a record: `software-update`.
    pub name: &'static str,
    /// For people: `Software update`.
    pub title: &'static str,
    /// What belongs in it.
    pub help: &'static str,
}

/// Everything that look-ups need. Applications are numbers: their places in `apps`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) categories: &'static [Category],
    /// By name.
    pub(crate) apps: &'static [App],
    /// All host names, one after the other.
    pub(crate) text: &'static str,
    /// A hash table of host names, open addressing, a power of two of them: see [`Slot`].
    pub(crate) slots: &'static [[u8; 16]],
    /// Bytes in the longest host name.
    pub(crate) longest: usize,
    /// Sorted.
    pub(crate) alpn: &'static [(&'static str, u16)],
    /// The address prefixes as they were listed (for remaking the tables).
    pub(crate) prefixes: &'static [(u128, u8, u16)],
    /// The same, flattened: see [`prefix::flatten`].
    pub(crate) addresses: &'static [(u128, u16)],
}

/// A host name in the hash table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Its hash: see [`step`].
    hash: u32,
    /// Where it begins in the text.
    at: u32,
    /// Its length; 0 if the slot is empty.
    length: u8,
    /// The application that has the name and all names below it, or `NONE`.
    pub(crate) suffix: u16,
    /// The application that has this name alone, or `NONE`.
    pub(crate) exact: u16,
}

impl Slot {
    const EMPTY: [u8; 16] = [0; 16];

    fn read(bytes: &[u8; 16]) -> Self {
        let [h0, h1, h2, h3, a0, a1, a2, a3, s0, s1, e0, e1, length, ..] = *bytes;
        Self {
            hash: u32::from_le_bytes([h0, h1, h2, h3]),
            at: u32::from_le_bytes([a0, a1, a2, a3]),
            suffix: u16::from_le_bytes([s0, s1]),
            exact: u16::from_le_bytes([e0, e1]),
            length,
        }
    }

    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.hash.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.suffix.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.exact.to_le_bytes());
        bytes[12] = self.length;
        bytes
    }
}

/// A name's hash is made from its last byte to its first, so that the hashes of all its suffixes are made on the way.
/// Capital letters count as small ones. Names are looked up, never stored, so that nobody can fill a chain.
#[inline]
pub(crate) fn step(hash: u64, byte: u8) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((byte | 0x20).into())
}

/// Where to look for a hash: the upper half of the product is the well-mixed one.
#[inline]
fn folded(hash: u64) -> u32 {
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
}

impl Tables {
    /// The slot of a name, given the name and its hash.
    #[inline]
    pub(crate) fn slot(&self, hash: u64, name: &[u8]) -> Option<Slot> {
        let hash = folded(hash);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize;
        loop {
            // The mask keeps it within, and at least a third of the slots is empty, so that this ends.
            let slot = Slot::read(self.slots.get(at & mask)?);
            if slot.length == 0 {
                return None;
            }
            let matches = |text: &[u8]| text == name || text.eq_ignore_ascii_case(name);
            if slot.hash == hash && matches(self.name(slot).as_bytes()) {
                return Some(slot);
            }
            at += 1;
        }
    }

    fn name(&self, slot: Slot) -> &'static str {
        let at = slot.at as usize;
        self.text.get(at..at + usize::from(slot.length)).unwrap_or_default()
    }
}

/// A catalog in the making: who has what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// Name to title and place of the category.
    apps: BTreeMap<String, (String, usize)>,
    suffixes: BTreeMap<String, String>,
    exact: BTreeMap<String, String>,
    alpn: BTreeMap<String, String>,
    prefixes: BTreeMap<Prefix, String>,
}

/// What a [`Draft`] becomes, before it is written down or leaked.
pub(crate) struct Built {
    /// Name, title, place of the category.
    pub(crate) apps: Vec<(String, String, usize)>,
    pub(crate) text: String,
    pub(crate) slots: Vec<[u8; 16]>,
    pub(crate) longest: usize,
    pub(crate) alpn: Vec<(String, u16)>,
    pub(crate) prefixes: Vec<(Prefix, u16)>,
    pub(crate) addresses: Vec<(u128, u16)>,
}

impl Draft {
    /// What the tables hold.
    pub(crate) fn from_tables(tables: &Tables) -> Self {
        let name = |app: u16| tables.apps.get(usize::from(app)).map(|a| a.name.to_owned());
        let mut draft = Self::default();
        for app in tables.apps {
            let category = tables.categories.iter().position(|c| c.name == app.category).unwrap_or_default();
            draft.apps.insert(app.name.into(), (app.title.into(), category));
        }
        for slot in tables.slots.iter().map(Slot::read).filter(|slot| slot.length > 0) {
            let host = tables.name(slot);
            if let Some(app) = name(slot.suffix) {
                draft.suffixes.insert(host.into(), app);
            }
            if let Some(app) = name(slot.exact) {
                draft.exact.insert(host.into(), app);
            }
        }
        draft.alpn = tables.alpn.iter().filter_map(|(id, app)| Some(((*id).into(), name(*app)?))).collect();
        let prefixes = tables.prefixes.iter();
        draft.prefixes = prefixes
            .filter_map(|(bits, length, app)| Some((Prefix { bits: *bits, length: *length }, name(*app)?)))
            .collect();
        draft
    }

    /// The names that stand for those below them too, with the applications that have them.
    #[cfg(test)]
    pub(crate) fn suffixes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.suffixes.iter().map(|(host, app)| (host.as_str(), app.as_str()))
    }

    /// Adds what a file says. What it gives to an application is taken from the one that had it.
    pub(crate) fn add(&mut self, file: File) {
        for app in file.apps {
            let name = app.name.value;
            if app.replace {
                self.suffixes.retain(|_, owner| *owner != name);
                self.exact.retain(|_, owner| *owner != name);
                self.alpn.retain(|_, owner| *owner != name);
                self.prefixes.retain(|_, owner| *owner != name);
            }
            let entry = self.apps.entry(name.clone()).or_insert_with(|| (name.clone(), 0));
            if let Some(title) = app.title {
                entry.0 = title;
            }
            if let Some(category) = app.category {
                entry.1 = category;
            }
            for host in app.hosts {
                let hosts = if host.exact { &mut self.exact } else { &mut self.suffixes };
                hosts.insert(host.name, name.clone());
            }
            self.alpn.extend(app.alpn.into_iter().map(|id| (id.value, name.clone())));
            self.prefixes.extend(app.prefixes.into_iter().map(|p| (p.value, name.clone())));
        }
    }

    /// Makes the tables.
    pub(crate) fn build(self) -> Built {
        let apps: Vec<_> =
            self.apps.into_iter().map(|(name, (title, category))| (name, title, category)).collect();
        let number = |name: &str| {
            let place = apps.binary_search_by(|(n, ..)| n.as_str().cmp(name));
            place.ok().and_then(|place| u16::try_from(place).ok()).unwrap_or(NONE)
        };
        let mut hosts: BTreeMap<&str, (u16, u16)> = BTreeMap::new();
        for (host, app) in &self.suffixes {
            hosts.entry(host).or_insert((NONE, NONE)).0 = number(app);
        }
        for (host, app) in &self.exact {
            hosts.entry(host).or_insert((NONE, NONE)).1 = number(app);
        }
        let (text, slots) = hash_table(&hosts);
        let prefixes: Vec<_> = self.prefixes.iter().map(|(prefix, app)| (*prefix, number(app))).collect();
        Built {
            longest: hosts.keys().map(|host| host.len()).max().unwrap_or_default(),
            text,
            slots,
            alpn: self.alpn.iter().map(|(id, app)| (id.clone(), number(app))).collect(),
            addresses: prefix::flatten(&prefixes),
            prefixes,
            apps,
        }
    }
}

/// The names' text and slots.
fn hash_table(hosts: &BTreeMap<&str, (u16, u16)>) -> (String, Vec<[u8; 16]>) {
    let mut text = String::new();
    let mut slots = vec![Slot::EMPTY; (hosts.len() + hosts.len() / 2).next_power_of_two().max(8)];
    let mask = slots.len() - 1;
    for (host, (suffix, exact)) in hosts {
        let hash = folded(host.bytes().rev().fold(0, step));
        let (at, length) = (text.len() as u32, host.len() as u8);
        text.push_str(host);
        let slot = Slot { hash, at, length, suffix: *suffix, exact: *exact };
        let mut place = hash as usize & mask;
        while slots.get(place).is_some_and(|s| *s != Slot::EMPTY) {
            place = (place + 1) & mask;
        }
        if let Some(free) = slots.get_mut(place) {
            *free = slot.bytes();
        }
    }
    (text, slots)
}

impl Built {
    /// Tables that live as long as the program: a catalog is loaded once.
    pub(crate) fn leak(self, categories: &'static [Category]) -> Tables {
        let apps = self.apps.into_iter().map(|(name, title, category)| App {
            name: name.leak(),
            title: title.leak(),
            category: categories.get(category).map_or("", |c| c.name),
        });
        let alpn = self.alpn.into_iter().map(|(id, app)| (&*id.leak(), app));
        let prefixes = self.prefixes.into_iter().map(|(p, app)| (p.bits, p.length, app));
        Tables {
            categories,
            apps: apps.collect::<Vec<_>>().leak(),
            text: self.text.leak(),
            slots: self.slots.leak(),
            longest: self.longest,
            alpn: alpn.collect::<Vec<_>>().leak(),
            prefixes: prefixes.collect::<Vec<_>>().leak(),
            addresses: self.addresses.leak(),
        }
    }
}
