//! A file that is complete in memory, and how it gets into the store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::layout::{is_unfinished, unfinished};

/// A file's bytes, and where it is to be.
pub(super) struct Image {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
}

impl Image {
    /// Writes it. Afterwards it is there whole and for good, or not at all.
    pub(super) fn write(&self, store: &Path) -> io::Result<()> {
        make_folder(store, &self.folder)?;
        let part = self.folder.join(unfinished(&self.name));
        let written = write_locked(&part, &self.bytes)
            .and_then(|_lock| fs::rename(&part, self.folder.join(&self.name)))
            .and_then(|()| sync(&self.folder));
        if written.is_err() {
            // If it is there under its name already, what failed is making its name durable: it is written again then.
            let _ = fs::remove_file(&part);
            let _ = fs::remove_file(self.folder.join(&self.name));
        }
        written
    }
}

/// The lock on the file lasts until it has its name: who cleans up leaves it alone as long.
fn write_locked(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.try_lock().map_err(io::Error::from)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes a folder within the store, and each on the way to it, durable.
fn make_folder(store: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(store)) {
        sync(above)?;
    }
    Ok(())
}

/// Makes durable what names a folder holds.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes the unfinished files of writers that are gone. Returns how many there were.
pub(super) fn clean(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(is_unfinished) {
            continue;
        }
        // A writer that has made the file and not locked it yet writes it again when it finds it gone.
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) && fs::remove_file(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
