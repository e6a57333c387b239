//! A folder that is made, with files that are not there yet.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder of its owner's alone.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, and those above it; one that is there must be empty.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        if std::fs::read_dir(path)?.next().is_some() {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "there is something in it already"));
        }
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a folder in it.
    pub(super) fn make_folder(&self, name: &Path) -> io::Result<Self> {
        Self::make(&self.0.join(name))
    }

    /// Writes a file that only its owner may read, as if at another time.
    pub(super) fn write(&self, name: &Path, content: &[u8], time: Option<SystemTime>) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        file.write_all(content)?;
        time.map_or(Ok(()), |time| file.set_modified(time))
    }
}
