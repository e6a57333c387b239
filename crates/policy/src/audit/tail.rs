//! Following a log.

use super::log::of_entry;
use super::split::{Comparison, compare_with_log};
use super::tile::{Edge, Kind, Tile, WIDTH, read_hashes};
use super::{AuditError, Entry, Event, Hash, Log, SignedCheckpoint, VerifierKey};

/// Follows a log from an entry on. Each [`Tail::poll`] gives the entries that came since, verified: together with all
/// that was seen before they give the root of the new checkpoint, so that nothing can be changed, taken out or slipped
/// in behind the follower's back. It follows the log to a new key too.
pub struct Tail {
    log: Log,
    edge: Edge,
}

/// What a poll found, verified.
struct News {
    edge: Edge,
    entries: Vec<(u64, Entry)>,
    key: VerifierKey,
}

impl Tail {
    pub(super) fn new(log: Log, from: u64) -> Result<Self, AuditError> {
        if from > log.len() {
            return Err(AuditError::OutOfRange { asked: from, size: log.len() });
        }
        let mut levels = Vec::new();
        for level in (0..).take_while(|level| Tile::count(*level, from) > 0) {
            let count = Tile::count(level, from);
            let tile = Tile { kind: Kind::Hashes(level), index: count >> 8, width: WIDTH };
            let width = (count % WIDTH as u64) as usize;
            let mut hashes = Vec::new();
            if width > 0 {
                let bytes = super::log::read_tile(log.disk(), tile, log.len())?;
                hashes = read_hashes(&bytes).unwrap_or_default();
                if hashes.len() < width {
                    let why = format!("has fewer than {width} hashes: damaged");
                    return Err(AuditError::File { path: log.disk().path(&tile.to_string()), why });
                }
                hashes.truncate(width);
            }
            levels.push(hashes);
        }
        Ok(Self { log, edge: Edge::new(from, levels) })
    }

    /// The index of the next entry.
    pub fn next_index(&self) -> u64 {
        self.edge.size
    }

    /// The checkpoint up to which the log was seen.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        self.log.checkpoint()
    }

    /// The log at that checkpoint.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The key in force.
    pub fn key(&self) -> &VerifierKey {
        self.log.key()
    }

    /// The entries that came since, with their indices; empty if there are none yet. Ask again after a while.
    ///
    /// # Errors
    /// [`AuditError::Shrunk`], [`AuditError::Root`] or [`AuditError::SplitView`] (with the evidence) if the log is not the
    /// one that was seen before; whatever else is wrong with the new entries. The tail stays where it was.
    pub fn poll(&mut self) -> Result<Vec<(u64, Entry)>, AuditError> {
        let signed = self.log.refreshed()?;
        let (before, now) = (self.log.len(), signed.checkpoint().size);
        if now < before {
            signed.verify(self.log.key())?;
            return Err(AuditError::Shrunk { before, now });
        }
        let (old, key) = (self.log.checkpoint().clone(), self.log.key().clone());
        self.log.advance(signed, key.clone());
        match self.read() {
            Ok(news) => {
                self.edge = news.edge;
                self.log.advance(self.log.checkpoint().clone(), news.key);
                Ok(news.entries)
            }
            Err(error) => {
                let split = compare_with_log(&old, &self.log);
                self.log.advance(old, key);
                Err(match split {
                    Ok(Comparison::Split(view)) => AuditError::SplitView(view),
                    _ => error,
                })
            }
        }
    }

    fn read(&self) -> Result<News, AuditError> {
        let (mut edge, mut key) = (self.edge.clone(), self.log.key().clone());
        let mut entries: Vec<(u64, Entry)> = Vec::new();
        while edge.size < self.log.len() {
            for bytes in self.log.bundle_from(edge.size)? {
                let index = edge.size;
                let entry = Entry::decode(&bytes).map_err(|error| of_entry(error, index))?;
                if let Some((_, last)) = entries.last().filter(|(_, last)| last.time > entry.time) {
                    return Err(AuditError::BackDated { index, time: entry.time, last: last.time });
                }
                if let Event::KeyRotated(rotation) = &entry.event {
                    rotation.verify(index)?;
                    if *rotation.old() == key {
                        key = rotation.new_key().clone();
                    }
                }
                edge.push(Hash::leaf(&bytes), &mut |_, _| {});
                entries.push((index, entry));
            }
        }
        let checkpoint = self.log.checkpoint().verify(&key)?;
        let found = edge.root();
        if found != checkpoint.root {
            return Err(AuditError::Root { size: edge.size, found, signed: checkpoint.root });
        }
        Ok(News { edge, entries, key })
    }
}
