//! The keys of pseudonyms: a file that only its owner may read, with a new key every so often.
//!
//! A line is a key: its name, since when it is used (seconds since 1970), and 64 hexadecimal digits. The last is the one in
//! use. Older ones stay for as long as there are records under them, so that the operator can still find a client there;
//! then they are dropped, and what was copied from the store before can't be linked to anybody any more.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ipcrypt_rs::IpcryptPfx;

/// Nanoseconds in a second.
const SECOND_NS: i64 = 1_000_000_000;

const HEADER: &str =
    "# Daylight: keys of the pseudonyms in a store. Whoever has them can undo the pseudonyms.\n";

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It can't be read or made.
    #[error("can't use the keys in {}: {cause}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Others than its owner can read it.
    #[error("{} can be read by others (mode {mode:03o}): chmod 600 it, and think of the keys in it as known", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line is no key.
    #[error("{}:{line}: not a key: a name, the second it began, and 64 hexadecimal digits whose halves differ", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// A key.
#[derive(Clone)]
pub(crate) struct Key {
    /// Its name, which records hold.
    pub(crate) id: String,
    /// Used since, in seconds.
    pub(crate) since_s: i64,
    pub(crate) secret: [u8; 32],
}

/// The keys in a file.
pub(crate) struct Keyring {
    path: PathBuf,
    /// The last is in use.
    keys: Vec<Key>,
    rotate_s: i64,
}

impl Keyring {
    /// Reads the file, or makes it with a first key in it.
    pub(crate) fn open(path: &Path, rotate_s: i64, now_ns: i64) -> Result<Self, KeyError> {
        let mut keyring = Self { path: path.to_owned(), keys: Vec::new(), rotate_s };
        keyring.renew(now_ns)?;
        Ok(keyring)
    }

    /// The keys there are, the one in use last.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// True if it is time for a new key. A clock that went back makes none: the newest key is used on.
    pub(crate) fn is_old(&self, now_ns: i64) -> bool {
        self.keys.last().is_none_or(|key| now_ns / SECOND_NS - key.since_s >= self.rotate_s)
    }

    /// Reads the file anew, since another process may have made a key; if there is none that is young enough, makes one.
    pub(crate) fn renew(&mut self, now_ns: i64) -> Result<(), KeyError> {
        let _lock = self.locked()?;
        self.read()?;
        if !self.is_old(now_ns) {
            return Ok(());
        }
        let secret = IpcryptPfx::generate_key();
        self.keys.push(Key { id: name(&secret), since_s: now_ns / SECOND_NS, secret });
        self.write()
    }

    /// Drops the keys that were no longer used at this time.
    pub(crate) fn drop_before(&mut self, time_ns: i64) -> Result<usize, KeyError> {
        let ended = |pair: &[Key]| matches!(pair, [_, next] if next.since_s < time_ns / SECOND_NS);
        if !self.keys.windows(2).any(ended) {
            return Ok(0);
        }
        let _lock = self.locked()?;
        self.read()?;
        let old = self.keys.windows(2).take_while(|pair| ended(pair)).count();
        self.keys.drain(..old);
        self.write()?;
        Ok(old)
    }

    fn failed(&self, cause: io::Error) -> KeyError {
        KeyError::File { path: self.path.clone(), cause }
    }

    /// The file, made if it isn't there, and locked. The keys are replaced as a whole: a lock may have been waited for on a
    /// file that has another's place by now.
    fn locked(&self) -> Result<File, KeyError> {
        let once = || -> io::Result<Option<File>> {
            let file =
                OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
            file.lock()?;
            let same = std::fs::metadata(&self.path)
                .is_ok_and(|m| file.metadata().is_ok_and(|f| f.ino() == m.ino()));
            Ok(same.then_some(file))
        };
        loop {
            if let Some(file) = once().map_err(|cause| self.failed(cause))? {
                return Ok(file);
            }
        }
    }

    fn read(&mut self) -> Result<(), KeyError> {
        let mut text = String::new();
        let mut file = File::open(&self.path).map_err(|cause| self.failed(cause))?;
        let mode = file.metadata().map_err(|cause| self.failed(cause))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: self.path.clone(), mode });
        }
        file.read_to_string(&mut text).map_err(|cause| self.failed(cause))?;
        self.keys.clear();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = parse(line).ok_or_else(|| KeyError::NoKey { path: self.path.clone(), line: i + 1 })?;
            self.keys.push(key);
        }
        Ok(())
    }

    /// Puts the keys in place of the file.
    fn write(&self) -> Result<(), KeyError> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = self.path.with_file_name(name);
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            let mut text = HEADER.to_owned();
            for key in &self.keys {
                let digits: String = key.secret.iter().map(|byte| format!("{byte:02x}")).collect();
                text += &format!("{} {} {digits}\n", key.id, key.since_s);
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
        };
        write().map_err(|cause| {
            let _ = std::fs::remove_file(&new);
            self.failed(cause)
        })
    }
}

fn parse(line: &str) -> Option<Key> {
    let mut words = line.split_whitespace();
    let (id, since_s, digits) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    if words.next().is_some() || digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut secret = [0; 32];
    for (byte, at) in secret.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    let (a, b) = secret.split_at(16);
    (a != b).then(|| Key { id: id.to_owned(), since_s, secret })
}

/// A key's name: it tells nothing of the key.
fn name(secret: &[u8; 32]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let tag = ring::hmac::sign(&key, b"name");
    tag.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY_S: i64 = 86_400;

    fn ids(keyring: &Keyring) -> Vec<String> {
        keyring.keys().iter().map(|key| key.id.clone()).collect()
    }

    #[test]
    fn a_key_is_kept_and_replaced_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let first = Keyring::open(&path, 30 * DAY_S, 0).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut again = Keyring::open(&path, 30 * DAY_S, 29 * DAY_S * SECOND_NS).unwrap();
        assert_eq!(ids(&first), ids(&again));
        assert!(first.keys()[0].secret == again.keys()[0].secret);
        let later = 31 * DAY_S * SECOND_NS;
        assert!(again.is_old(later));
        again.renew(later).unwrap();
        assert_eq!(again.keys().len(), 2);
        assert_eq!(again.keys()[0].id, first.keys()[0].id);
        // Who comes later, or has the old one still, gets the same new one.
        let mut other = first;
        other.renew(later).unwrap();
        assert_eq!(ids(&other), ids(&again));
        // A clock that goes back changes nothing.
        assert!(!again.is_old(0));
        // The old key was used until day 31.
        assert_eq!(again.drop_before(30 * DAY_S * SECOND_NS).unwrap(), 0);
        assert_eq!(again.drop_before(32 * DAY_S * SECOND_NS).unwrap(), 1);
        let left = Keyring::open(&path, 30 * DAY_S, later).unwrap();
        assert_eq!(ids(&left), ids(&other)[1..]);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        drop(Keyring::open(&path, DAY_S, 0).unwrap());
        for mode in [0o640, 0o604, 0o666] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let Err(error) = Keyring::open(&path, DAY_S, 0) else { panic!("{mode:o}") };
            assert!(matches!(error, KeyError::Exposed { mode: m, .. } if m == mode), "{error}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let good = format!("abc 0 {}{}", "0".repeat(32), "1".repeat(32));
        for bad in
            ["x", "abc 0 12", &format!("abc 0 {}", "0".repeat(64)), &format!("abc x {}", "01".repeat(32))]
        {
            std::fs::write(&path, format!("# keys\n{good}\n{bad}\n")).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let Err(error) = Keyring::open(&path, DAY_S, 0) else { panic!("{bad}") };
            assert!(error.to_string().contains("store.key:3:"), "{error}");
        }
    }

    /// Several processes begin at once: all use one key.
    #[test]
    fn a_race_makes_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || ids(&Keyring::open(&path, DAY_S, 0).unwrap()))
            })
            .collect();
        let found: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert!(found.iter().all(|ids| *ids == found[0] && ids.len() == 1), "{found:?}");
    }
}
