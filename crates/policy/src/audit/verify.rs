//! The whole log, checked offline with a public key alone.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::disk::{Disk, Folder, Item, walk};
use super::log::{of_entry, read_checkpoint, read_tile};
use super::recover::TILES;
use super::tile::{Edge, Kind, Tile, WIDTH, hash_bytes, push_entry, read_bundle};
use super::{AuditError, Entry, Event, Hash, Label, SignedCheckpoint, Timestamp, VerifierKey};

/// What was verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// The checkpoint that covers it.
    pub checkpoint: SignedCheckpoint,
    /// The key in force, which signed the checkpoint: the one given or a successor of it.
    pub key: VerifierKey,
    /// All keys that the log had, in order.
    pub keys: Vec<VerifierKey>,
    /// The time of the first entry.
    pub first: Option<Timestamp>,
    /// The time of the last entry.
    pub last: Option<Timestamp>,
    /// How many entries there are of each kind, by the kind's name in the log.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Files checked, byte for byte: tiles, bundles, and partial ones.
    pub files: u64,
    /// Files beyond the checkpoint: of an append that is under way or was interrupted. Nothing vouches for them.
    pub pending: u64,
}

/// Verifies the whole log in a folder: every entry decodes and stands where its time allows, every byte of every tile
/// is what the entries give, the root is the one that the checkpoint has, and the checkpoint is signed by the given key
/// or one that it handed the log to. Reads each file once, and holds one bundle at a time.
///
/// # Errors
/// The first thing that is wrong, with the entry or the file.
pub fn verify(folder: &Path, key: &VerifierKey) -> Result<Verified, AuditError> {
    verify_on(&Folder::reading(folder), key)
}

pub(super) fn verify_on(disk: &dyn Disk, key: &VerifierKey) -> Result<Verified, AuditError> {
    let signed = read_checkpoint(disk)?;
    let size = signed.checkpoint().size;
    let mut check = Check { disk, size, edge: Edge::default(), files: 0, wrong: None };
    let mut content = Content::default();
    for index in 0..size.div_ceil(WIDTH as u64) {
        check.bundle(index, &mut content)?;
    }
    check.partials()?;
    let root = check.edge.root();
    if root != signed.checkpoint().root {
        return Err(AuditError::Root { size, found: root, signed: signed.checkpoint().root });
    }
    content.end(size)?;
    let keys = content.keys(key)?;
    let in_force = keys.last().unwrap_or(key).clone();
    signed.verify(&in_force)?;
    Ok(Verified {
        key: in_force,
        keys,
        first: content.first,
        last: content.last,
        kinds: content.kinds,
        files: check.files,
        pending: pending(disk, size)?,
        checkpoint: signed,
    })
}

/// Rebuilds the tree from the entries, and holds each tile against the file.
struct Check<'a> {
    disk: &'a dyn Disk,
    size: u64,
    edge: Edge,
    files: u64,
    wrong: Option<AuditError>,
}

impl Check<'_> {
    fn bundle(&mut self, index: u64, content: &mut Content) -> Result<(), AuditError> {
        let tile = Tile { kind: Kind::Entries, index, width: WIDTH };
        let tile = Tile { width: tile.width_at(self.size), ..tile };
        let bytes = read_tile(self.disk, tile, self.size)?;
        let entries = read_bundle(&bytes).filter(|entries| entries.len() >= tile.width);
        let entries = entries.ok_or_else(|| AuditError::File {
            path: self.disk.path(&tile.to_string()),
            why: format!("does not hold {} whole entries: damaged", tile.width),
        })?;
        let mut canonical = Vec::with_capacity(bytes.len());
        for (bytes, at) in entries.iter().take(tile.width).zip(index << 8..) {
            let entry = Entry::decode(bytes).map_err(|error| of_entry(error, at))?;
            content.add(at, &entry)?;
            push_entry(&mut canonical, bytes);
            let mut full = Vec::new();
            self.edge.push(Hash::leaf(bytes), &mut |tile, hashes| full.push((tile, hash_bytes(hashes))));
            for (tile, bytes) in full {
                self.file(tile, &bytes);
            }
        }
        self.file(tile, &canonical);
        self.wrong.take().map_or(Ok(()), Err)
    }

    /// The unfinished tiles of hashes.
    fn partials(&mut self) -> Result<(), AuditError> {
        let partials: Vec<(Tile, Vec<u8>)> = self
            .edge
            .partials()
            .filter(|(tile, _)| tile.width > 0)
            .map(|(tile, hashes)| (tile, hash_bytes(hashes)))
            .collect();
        for (tile, bytes) in partials {
            self.file(tile, &bytes);
        }
        self.wrong.take().map_or(Ok(()), Err)
    }

    /// Holds a tile's file, and the narrower partial ones beside it, against what they must hold.
    fn file(&mut self, tile: Tile, bytes: &[u8]) {
        if self.wrong.is_none() {
            self.wrong = self.compare(tile, bytes).err();
        }
    }

    fn compare(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), AuditError> {
        let found = read_tile(self.disk, tile, self.size)?;
        // The log may have grown since the checkpoint was read; then the full tile stands for the partial one.
        let grown = tile.width < WIDTH && self.disk.read(&tile.to_string())?.is_none();
        self.same(tile, if grown { found.get(..bytes.len()).unwrap_or(&found) } else { &found }, bytes)?;
        for item in self.disk.list(&tile.partials())? {
            let Item::File(name) = item else { continue };
            let Some(partial) = Tile::parse(&format!("{}/{name}", tile.partials())) else { continue };
            if partial.width >= tile.width {
                continue;
            }
            // It may have been removed in this moment, as full tiles take the place of partial ones.
            let Some(found) = self.disk.read(&partial.to_string())? else { continue };
            let expected = match tile.kind {
                Kind::Hashes(_) => bytes.get(..32 * partial.width),
                Kind::Entries => first_entries(bytes, partial.width),
            };
            self.same(partial, &found, expected.unwrap_or(bytes))?;
        }
        Ok(())
    }

    fn same(&mut self, tile: Tile, found: &[u8], expected: &[u8]) -> Result<(), AuditError> {
        self.files += 1;
        if found == expected {
            return Ok(());
        }
        let path = self.disk.path(&tile.to_string());
        let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let why = match tile.kind {
            Kind::Hashes(0) => {
                let entry = (tile.index << 8) + (at / 32) as u64;
                format!(
                    "byte {at}: not the hash of entry {entry} as it is now: the entry or the tile was changed"
                )
            }
            Kind::Hashes(_) => {
                format!("byte {at}: not the hash of the tile below: one of the two was changed")
            }
            Kind::Entries => {
                format!("byte {at}: differs from the entries of the full bundle, or goes on behind them")
            }
        };
        Err(AuditError::File { path, why })
    }
}

/// The part of a bundle that holds its first entries.
fn first_entries(bundle: &[u8], count: usize) -> Option<&[u8]> {
    let entries = read_bundle(bundle)?;
    let length: usize = entries.iter().take(count).map(|entry| 2 + entry.len()).sum();
    bundle.get(..length)
}

/// How many files lie beyond the checkpoint; an error if one has no place in a log at all.
fn pending(disk: &dyn Disk, size: u64) -> Result<u64, AuditError> {
    let mut pending = 0;
    for name in walk(disk, TILES)? {
        let tile = Tile::parse(&name).ok_or_else(|| AuditError::File {
            path: disk.path(&name),
            why: "not the name of a tile: it does not belong into the log".to_owned(),
        })?;
        pending += u64::from(tile.width > tile.width_at(size));
    }
    Ok(pending)
}

/// What the entries say, held against the rules of the log.
#[derive(Default)]
struct Content {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    kinds: BTreeMap<&'static str, u64>,
    chain: Vec<VerifierKey>,
    /// The policy whose rules and lists are being told, whether its terms were, and how many rules and lists are still
    /// to come.
    open: Option<(Label, bool, u32, u32)>,
    /// Every rule ever told, by policy and name.
    rules: HashSet<(Label, Label)>,
}

impl Content {
    fn add(&mut self, index: u64, entry: &Entry) -> Result<(), AuditError> {
        if let Some(last) = self.last.filter(|last| *last > entry.time) {
            return Err(AuditError::BackDated { index, time: entry.time, last });
        }
        self.first.get_or_insert(entry.time);
        self.last = Some(entry.time);
        *self.kinds.entry(entry.event.kind()).or_default() += 1;
        let bad = |why: String| AuditError::Content { index, why };
        match (&entry.event, &mut self.open) {
            (Event::Rule(rule), Some((policy, terms, rules, _))) if *rules > 0 && rule.policy == *policy => {
                if !rule.hours.is_empty() && !*terms {
                    return Err(bad("it has hours, and its policy no time zone".to_owned()));
                }
                *rules -= 1;
                self.rules.insert((rule.policy.clone(), rule.rule.clone()));
            }
            (Event::List(list), Some((policy, _, 0, lists))) if *lists > 0 && list.policy == *policy => {
                *lists -= 1;
            }
            (Event::Rule(_) | Event::List(_), _) => {
                return Err(bad("a rule or list that no load of a policy announces".to_owned()));
            }
            (_, Some((policy, _, rules, lists))) => {
                return Err(bad(format!(
                    "{rules} rules and {lists} lists of policy {policy} should come first"
                )));
            }
            (Event::PolicyLoaded { policy, rules, lists, terms, .. }, None) => {
                self.open = Some((policy.clone(), terms.is_some(), *rules, *lists));
            }
            (Event::Totals(totals), None) => {
                if !self.rules.contains(&(totals.policy.clone(), totals.rule.clone())) {
                    let why = format!("rule {} of policy {} was never published", totals.rule, totals.policy);
                    return Err(bad(why));
                }
                if totals.hour.start() > entry.time {
                    return Err(bad(format!("its hour {} had not begun", totals.hour)));
                }
            }
            (Event::KeyRotated(rotation), None) => {
                rotation.verify(index)?;
                match self.chain.last() {
                    None => self.chain.extend([rotation.old().clone(), rotation.new_key().clone()]),
                    Some(key) if key == rotation.old() => self.chain.push(rotation.new_key().clone()),
                    Some(key) => {
                        return Err(bad(format!(
                            "handed on by {}, not by {}",
                            rotation.old().label(),
                            key.label()
                        )));
                    }
                }
            }
            (
                Event::FilterStarted { .. } | Event::FilterStopped { .. } | Event::PolicyRefused { .. },
                None,
            ) => {}
        }
        if matches!(self.open, Some((_, _, 0, 0))) {
            self.open = None;
        }
        Ok(())
    }

    fn end(&self, size: u64) -> Result<(), AuditError> {
        match &self.open {
            None => Ok(()),
            Some((policy, _, rules, lists)) => Err(AuditError::Content {
                index: size,
                why: format!("the log ends before {rules} rules and {lists} lists of policy {policy}"),
            }),
        }
    }

    /// The log's keys, which must have the given one among them.
    fn keys(&self, key: &VerifierKey) -> Result<Vec<VerifierKey>, AuditError> {
        if self.chain.is_empty() {
            return Ok(vec![key.clone()]);
        }
        if self.chain.contains(key) {
            return Ok(self.chain.clone());
        }
        let found: Vec<String> = self.chain.iter().map(VerifierKey::label).collect();
        Err(AuditError::WrongKey { wanted: key.label(), found: found.join(", ") })
    }
}

impl Event {
    /// The kind's name in the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FilterStarted { .. } => "filter-started",
            Self::FilterStopped { .. } => "filter-stopped",
            Self::KeyRotated(_) => "key-rotated",
            Self::List(_) => "list",
            Self::PolicyLoaded { .. } => "policy-loaded",
            Self::PolicyRefused { .. } => "policy-refused",
            Self::Rule(_) => "rule",
            Self::Totals(_) => "totals",
        }
    }
}
