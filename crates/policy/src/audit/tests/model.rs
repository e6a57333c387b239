//! A file system in memory of which the process can be killed and the power cut at any step, and that can be full.
//!
//! It promises as little as POSIX does: bytes last once the file is synced, names once the folder is; until then each may
//! be lost or kept on its own, and a write that is cut off leaves any part of its bytes.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::super::disk::{Disk, Item};
use super::super::recover::CHECKPOINT;
use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Clone, Debug)]
enum Change {
    Put(String, Node),
    Remove(String),
    Rename(String, String),
}

type Names = BTreeMap<String, Node>;

#[derive(Default)]
struct Inner {
    inodes: Vec<Vec<u8>>,
    /// The inode that a write that was cut off has left unsynced.
    torn: Option<usize>,
    names: Names,
    durable: Names,
    /// Changes of names that no sync has made last.
    pending: Vec<Change>,
    steps: usize,
    fault: Option<Fault>,
    dead: bool,
    random: u64,
    /// Every checkpoint that a reader could have seen.
    shown: Vec<String>,
}

/// What goes wrong, and at which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This step and all after it don't happen any more: the process is dead.
    Dies(usize),
    /// This step fails for lack of room; later ones go well.
    Full(usize),
}

#[derive(Clone, Default)]
pub(super) struct Model(Arc<Mutex<Inner>>);

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Inner {
    fn random(&mut self, below: usize) -> usize {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }

    /// How many of these bytes are left of a write that was cut off: none, all and any part are equally likely.
    fn part(&mut self, length: usize) -> usize {
        match self.random(3) {
            0 => 0,
            1 => length,
            _ => self.random(length + 1),
        }
    }

    /// Whether this step happens; if not, how it fails.
    fn step(&mut self) -> Result<(), io::ErrorKind> {
        let step = self.steps;
        self.steps += 1;
        match self.fault {
            _ if self.dead => Err(io::ErrorKind::Other),
            Some(Fault::Dies(at)) if step >= at => {
                self.dead = true;
                Err(io::ErrorKind::Other)
            }
            Some(Fault::Full(at)) if step == at => Err(io::ErrorKind::StorageFull),
            _ => Ok(()),
        }
    }

    fn apply(names: &mut Names, change: &Change) {
        match change {
            Change::Put(name, node) => {
                names.insert(name.clone(), *node);
            }
            Change::Remove(name) => {
                names.remove(name);
            }
            Change::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.names, &change);
        self.pending.push(change);
        if let Some(Node::File(inode)) = self.names.get(CHECKPOINT) {
            let text = String::from_utf8(self.inodes[*inode].clone()).unwrap();
            if self.shown.last() != Some(&text) {
                self.shown.push(text);
            }
        }
    }
}

impl Change {
    fn name(&self) -> &str {
        match self {
            Self::Put(name, _) | Self::Remove(name) | Self::Rename(name, _) => name,
        }
    }
}

impl Model {
    pub(super) fn boxed(&self) -> Box<dyn Disk> {
        Box::new(self.clone())
    }

    /// Counts steps anew; the fault comes at its step from here.
    pub(super) fn arm(&self, fault: Option<Fault>, seed: u64) {
        let mut inner = self.0.lock().unwrap();
        (inner.steps, inner.fault, inner.dead, inner.random) = (0, fault, false, seed * 2 + 1);
    }

    pub(super) fn steps(&self) -> usize {
        self.0.lock().unwrap().steps
    }

    pub(super) fn shown(&self) -> Vec<String> {
        self.0.lock().unwrap().shown.clone()
    }

    /// A copy that goes its own way.
    pub(super) fn fork(&self) -> Self {
        let inner = self.0.lock().unwrap();
        Self(Arc::new(Mutex::new(Inner {
            inodes: inner.inodes.clone(),
            torn: inner.torn,
            names: inner.names.clone(),
            durable: inner.durable.clone(),
            pending: inner.pending.clone(),
            shown: inner.shown.clone(),
            random: 1,
            ..Inner::default()
        })))
    }

    /// The power goes, and comes back: what was not synced is kept or lost, each by chance.
    pub(super) fn cut_power(&self) {
        let mut inner = self.0.lock().unwrap();
        if let Some(inode) = inner.torn.take() {
            let length = inner.inodes[inode].len();
            let left = inner.part(length);
            inner.inodes[inode].truncate(left);
        }
        let mut names = inner.durable.clone();
        for change in std::mem::take(&mut inner.pending) {
            let there = |names: &Names| {
                let folder = folder_of(change.name());
                folder.is_empty() || names.contains_key(folder)
            };
            if inner.random(2) == 0 && there(&names) {
                Inner::apply(&mut names, &change);
            }
        }
        // What lies in a folder that was lost is lost.
        while let Some(lost) = names
            .keys()
            .find(|name| !folder_of(name).is_empty() && !names.contains_key(folder_of(name)))
            .cloned()
        {
            names.remove(&lost);
        }
        (inner.names, inner.durable, inner.dead, inner.fault) = (names.clone(), names, false, None);
    }

    fn fails(&self, name: &str, kind: io::ErrorKind) -> AuditError {
        AuditError::io("write", self.path(name), kind.into())
    }
}

impl Disk for Model {
    fn path(&self, name: &str) -> PathBuf {
        Path::new("model").join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, AuditError> {
        let inner = self.0.lock().unwrap();
        if inner.dead {
            return Err(self.fails(name, io::ErrorKind::Other));
        }
        Ok(inner.names.get(name).map(|node| match node {
            Node::File(inode) => inner.inodes[*inode].clone(),
            Node::Folder => panic!("{name} is a folder"),
        }))
    }

    fn list(&self, folder: &str) -> Result<Vec<Item>, AuditError> {
        let inner = self.0.lock().unwrap();
        let inside = inner.names.iter().filter(|(name, _)| folder_of(name) == folder);
        Ok(inside
            .map(|(name, node)| {
                let name = name.rsplit('/').next().unwrap().to_owned();
                if *node == Node::Folder { Item::Folder(name) } else { Item::File(name) }
            })
            .collect())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), AuditError> {
        let mut inner = self.0.lock().unwrap();
        assert!(folder_of(name).is_empty() || inner.names.contains_key(folder_of(name)), "{name}");
        let was_dead = inner.dead;
        let done = inner.step();
        let part = match done {
            Ok(()) => bytes.len(),
            Err(_) if was_dead => return Err(self.fails(name, io::ErrorKind::Other)),
            Err(_) => inner.part(bytes.len()),
        };
        let inode = match inner.names.get(name) {
            Some(Node::File(inode)) => *inode,
            _ => {
                inner.inodes.push(Vec::new());
                inner.inodes.len() - 1
            }
        };
        assert_ne!(name, CHECKPOINT, "the checkpoint is only ever renamed into place");
        inner.inodes[inode] = bytes[..part].to_vec();
        match done {
            Err(_) => inner.torn = Some(inode),
            Ok(()) if inner.torn == Some(inode) => inner.torn = None,
            Ok(()) => {}
        }
        if !inner.names.contains_key(name) {
            inner.change(Change::Put(name.to_owned(), Node::File(inode)));
        }
        done.map_err(|kind| self.fails(name, kind))
    }

    fn create_folder(&mut self, folder: &str) -> Result<(), AuditError> {
        let mut inner = self.0.lock().unwrap();
        inner.step().map_err(|kind| self.fails(folder, kind))?;
        if !inner.names.contains_key(folder) {
            inner.change(Change::Put(folder.to_owned(), Node::Folder));
        }
        Ok(())
    }

    fn sync_folder(&mut self, folder: &str) -> Result<(), AuditError> {
        let mut inner = self.0.lock().unwrap();
        inner.step().map_err(|kind| self.fails(folder, kind))?;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.pending).into_iter().partition(|c| folder_of(c.name()) == folder);
        inner.pending = elsewhere;
        for change in here {
            Inner::apply(&mut inner.durable, &change);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), AuditError> {
        let mut inner = self.0.lock().unwrap();
        inner.step().map_err(|kind| self.fails(to, kind))?;
        inner.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&mut self, item: &Item) -> Result<(), AuditError> {
        let mut inner = self.0.lock().unwrap();
        let (Item::File(name) | Item::Folder(name)) = item;
        inner.step().map_err(|kind| self.fails(name, kind))?;
        inner.change(Change::Remove(name.clone()));
        Ok(())
    }
}
