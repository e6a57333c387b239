//! How far a destination is, kept in a file.
//!
//! The file has two places of [`SLOT_BYTES`], written by turns and never longer than at first: a torn write leaves the other
//! place as it was, and a full disk has room for what has its room already.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SLOT_BYTES: usize = 32;

/// What is sent next, and what was about to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The first record that was not acknowledged.
    pub(super) next: u64,
    /// The first record behind the batch that was handed out last; at most `next` if there is none. The same batch is
    /// handed out again after a restart, so that who counts batches counts it once.
    pub(super) until: u64,
}

pub(super) struct PositionFile {
    file: File,
    turn: u64,
}

impl PositionFile {
    /// The file, and what it says. A file that can't be read as one says nothing.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Position>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut found = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            if file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64).is_ok() {
                found = found.max(decode(&bytes));
            }
        }
        let turn = found.map_or(0, |(turn, ..)| turn);
        Ok((Self { file, turn }, found.map(|(_, next, until)| Position { next, until })))
    }

    pub(super) fn write(&mut self, position: Position) -> io::Result<()> {
        let turn = self.turn + 1;
        self.file.write_all_at(&encode(turn, position), turn % 2 * SLOT_BYTES as u64)?;
        self.turn = turn;
        Ok(())
    }
}

fn encode(turn: u64, position: Position) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let words = [turn, position.next, position.until];
    bytes.chunks_exact_mut(8).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
    let (body, sum) = bytes.split_at_mut(24);
    sum.copy_from_slice(&u64::from(crc32fast::hash(body)).to_le_bytes());
    bytes
}

/// Turn, next and until.
fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, u64, u64)> {
    let (body, _) = bytes.split_at(24);
    let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    (word(24)? == u64::from(crc32fast::hash(body)) && word(0)? > 0).then_some((word(0)?, word(8)?, word(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.position");
        let (mut file, nothing) = PositionFile::open(&path).unwrap();
        assert_eq!(nothing, None);
        for next in 1..6 {
            file.write(Position { next, until: next + 10 }).unwrap();
            let (_, found) = PositionFile::open(&path).unwrap();
            assert_eq!(found, Some(Position { next, until: next + 10 }));
        }
        // The fifth stands in the second place: half of it is lost.
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 64);
        bytes[40..].fill(0xaa);
        std::fs::write(&path, bytes).unwrap();
        let (mut file, found) = PositionFile::open(&path).unwrap();
        assert_eq!(found, Some(Position { next: 4, until: 14 }));
        file.write(Position { next: 6, until: 6 }).unwrap();
        assert_eq!(PositionFile::open(&path).unwrap().1, Some(Position { next: 6, until: 6 }));
        std::fs::write(&path, "not a position").unwrap();
        assert_eq!(PositionFile::open(&path).unwrap().1, None);
    }
}
