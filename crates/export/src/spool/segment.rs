//! The files of a spool.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::frame::{self, HEADER_BYTES, MAGIC, Read};
use super::{SpoolError, io_error};

const SUFFIX: &str = ".spool";

/// One file: the records from `base` on, up to `end`.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) base: u64,
    /// One more than the last record's number.
    pub(super) end: u64,
    /// The file's length, as far as it is filled with whole records.
    pub(super) bytes: u64,
}

/// The segments in a folder, oldest first. Of each, the end is where the next begins; of the last it is not known yet.
pub(super) fn find(folder: &Path) -> Result<VecDeque<Segment>, SpoolError> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        let name = entry.file_name();
        let base =
            name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|base| base.parse().ok());
        let Some(base) = base else { continue };
        let bytes = entry.metadata().map_err(io_error(&entry.path()))?.len();
        segments.push(Segment { path: entry.path(), base, end: base, bytes });
    }
    segments.sort_by_key(|segment| segment.base);
    let ends: Vec<u64> = segments.iter().skip(1).map(|segment| segment.base).collect();
    segments.iter_mut().zip(ends).for_each(|(segment, end)| segment.end = end);
    Ok(segments.into())
}

impl Segment {
    pub(super) fn create(folder: &Path, base: u64) -> io::Result<(Self, File)> {
        let path = folder.join(format!("{base:020}{SUFFIX}"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        if let Err(cause) = file.write_all(&frame::header(base)) {
            // It will be tried again; an empty file in the folder says nothing.
            let _ = std::fs::remove_file(&path);
            return Err(cause);
        }
        Ok((Self { path, base, end: base, bytes: HEADER_BYTES }, file))
    }

    pub(super) fn count(&self) -> u64 {
        self.end - self.base
    }

    /// Finds the last whole record, and cuts off what is behind it: a write that was interrupted.
    pub(super) fn recover(&mut self) -> Result<File, SpoolError> {
        let at = io_error(&self.path);
        let mut recover = || {
            let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            (self.end, self.bytes) = (self.base, HEADER_BYTES);
            if bytes.len() < HEADER_BYTES as usize || !bytes.starts_with(MAGIC) {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&frame::header(self.base))?;
                return Ok(file);
            }
            let (mut offset, mut sequence) = (HEADER_BYTES as usize, self.base);
            loop {
                match frame::read(bytes.get(offset..).unwrap_or_default(), sequence) {
                    Read::Entry(_, len) => {
                        offset += len;
                        sequence += 1;
                        (self.end, self.bytes) = (sequence, offset as u64);
                    }
                    // Only if another one follows is it a record that was whole once.
                    Read::Spoilt(len) => {
                        offset += len;
                        sequence += 1;
                    }
                    Read::Short(_) | Read::Lost => break,
                }
            }
            file.set_len(self.bytes)?;
            file.seek(SeekFrom::Start(self.bytes))?;
            Ok(file)
        };
        recover().map_err(at)
    }
}
