//! One housekeeper at a time: two that merged the same files would double them.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::FolderError;

/// Held as long as it lives; ends with the process in any case.
pub(super) struct Lock(#[allow(dead_code)] File);

impl Lock {
    pub(super) fn take(store: &Path) -> Result<Self, FolderError> {
        let path = store.join(".lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(FolderError::folder(store))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(FolderError::Busy { path: store.to_owned() }),
            Err(TryLockError::Error(cause)) => Err(FolderError::Folder { path: store.to_owned(), cause }),
        }
    }
}
