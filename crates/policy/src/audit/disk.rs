//! The few things that a log does with a file system. They stand behind a trait so that tests can cut the power
//! between any two of them.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::AuditError;

/// No file of a log is longer: a bundle has 256 entries of at most 64 KiB.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// What the writer locks.
const LOCK: &str = "lock";

/// What lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    File(String),
    Folder(String),
}

/// A folder with files in it, named by paths with `/`; `""` is the folder itself.
pub(crate) trait Disk: Send {
    /// Where this lies, for errors.
    fn path(&self, name: &str) -> PathBuf;

    /// The file's bytes; none if it is not there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, AuditError>;

    /// What lies in a folder, in no order; nothing if it is not there.
    fn list(&self, folder: &str) -> Result<Vec<Item>, AuditError>;

    /// Makes the file hold these bytes, for good. If this fails or is cut off, the file may hold a part of them, and
    /// nothing says that its name lasts until the folder is synced.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), AuditError>;

    /// Makes a folder, unless it is there. Its name lasts once the folder around it is synced.
    fn create_folder(&mut self, folder: &str) -> Result<(), AuditError>;

    /// Makes the names in a folder last: what was created, renamed and removed in it.
    fn sync_folder(&mut self, folder: &str) -> Result<(), AuditError>;

    /// Renames a file at one stroke.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), AuditError>;

    /// Removes a file or an empty folder.
    fn remove(&mut self, item: &Item) -> Result<(), AuditError>;
}

/// The names of all files under a folder.
pub(crate) fn walk(disk: &dyn Disk, folder: &str) -> Result<Vec<String>, AuditError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in disk.list(&folder)? {
            match item {
                Item::File(name) => files.push(format!("{folder}/{name}")),
                Item::Folder(name) => folders.push(format!("{folder}/{name}")),
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A folder of the real file system.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Held as long as this lives; the system lets go of it when the process ends, however it ends.
    _lock: Option<File>,
}

impl Folder {
    /// For reading. Many may read while one writes.
    pub(crate) fn reading(root: &Path) -> Self {
        Self { root: root.to_owned(), _lock: None }
    }

    /// For writing: made if it is not there, and locked.
    pub(crate) fn writing(root: &Path) -> Result<Self, AuditError> {
        fs::create_dir_all(root)
            .map_err(|source| AuditError::io("create the folder", root.to_owned(), source))?;
        let path = root.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| AuditError::io("create the lock", path.clone(), source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: Some(lock) }),
            Err(fs::TryLockError::WouldBlock) => Err(AuditError::Locked { path: root.to_owned() }),
            Err(fs::TryLockError::Error(source)) => Err(AuditError::io("lock", path, source)),
        }
    }

    fn error(&self, action: &'static str, name: &str) -> impl FnOnce(io::Error) -> AuditError {
        let path = self.path(name);
        move |source| AuditError::io(action, path, source)
    }
}

impl Disk for Folder {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, AuditError> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("open", name)(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(self.error("read", name))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let why = "longer than any file of a log".to_owned();
            return Err(AuditError::File { path: self.path(name), why });
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: &str) -> Result<Vec<Item>, AuditError> {
        let read = match fs::read_dir(self.path(folder)) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error("list", folder)(error)),
        };
        let mut items = Vec::new();
        for found in read {
            let found = found.map_err(self.error("list", folder))?;
            let name = found.file_name().to_string_lossy().into_owned();
            let kind = found.file_type().map_err(self.error("list", folder))?;
            items.push(if kind.is_dir() { Item::Folder(name) } else { Item::File(name) });
        }
        Ok(items)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), AuditError> {
        let mut file = File::create(self.path(name)).map_err(self.error("create", name))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(self.error("write", name))
    }

    fn create_folder(&mut self, folder: &str) -> Result<(), AuditError> {
        match fs::create_dir(self.path(folder)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.error("create the folder", folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn sync_folder(&mut self, folder: &str) -> Result<(), AuditError> {
        File::open(self.path(folder))
            .and_then(|folder| folder.sync_all())
            .map_err(self.error("sync the folder", folder))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), AuditError> {
        fs::rename(self.path(from), self.path(to)).map_err(self.error("put in place", to))
    }

    fn remove(&mut self, item: &Item) -> Result<(), AuditError> {
        match item {
            Item::File(name) => fs::remove_file(self.path(name)).map_err(self.error("remove", name)),
            Item::Folder(name) => fs::remove_dir(self.path(name)).map_err(self.error("remove", name)),
        }
    }
}
