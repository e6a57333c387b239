//! The file of passwords: a line a user, `name:$argon2id$…`, which only its owner may read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The shortest password that is set, in characters. Length is what counts; no other rule is made.
pub const PASSWORD_LEN_MIN: usize = 10;
/// The longest that is looked at, in bytes.
pub(crate) const PASSWORD_LEN_MAX: usize = 1024;
/// The largest file.
const FILE_LEN_MAX: u64 = 1 << 20;
/// A hash that no password has, of the same cost as others: who asks for a user that there is none of waits as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is wrong with passwords, or their file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It can't be read or written.
    #[error("can't use the password file {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// Others may read it.
    #[error("{} can be read by others; make it its owner's alone: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A line is none.
    #[error("{}:{line}: a line must be a user's name, a colon and an Argon2id hash; set the password anew", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number.
        line: usize,
    },
    /// It has no user.
    #[error("{} has no user; set a password first", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The name can't be one.
    #[error("{0:?} can't be a user's name: 1 to 64 letters, digits, '.', '-', '_' or '@'")]
    Name(String),
    /// The password is too short.
    #[error("the password is too short: at least {PASSWORD_LEN_MIN} characters, of any kind")]
    Short,
    /// The password is too long.
    #[error("the password is too long: at most {PASSWORD_LEN_MAX} bytes")]
    Long,
    /// The system gives no random numbers.
    #[error("the password can't be hashed: {0}")]
    Hash(String),
}

/// Users with their hashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passwords {
    users: BTreeMap<String, String>,
}

impl Passwords {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, PasswordError> {
        let passwords = Self::read_any(path)?;
        match passwords.users.is_empty() {
            true => Err(PasswordError::Empty { path: path.to_owned() }),
            false => Ok(passwords),
        }
    }

    fn read_any(path: &Path) -> Result<Self, PasswordError> {
        let failed = |cause| PasswordError::File { path: path.to_owned(), cause };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(PasswordError::Open { path: path.to_owned() });
        }
        if about.len() > FILE_LEN_MAX {
            return Err(failed(io::Error::other("it is too large to be one")));
        }
        let text = io::read_to_string(file).map_err(failed)?;
        let mut users = BTreeMap::new();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = || PasswordError::Line { path: path.to_owned(), line: i + 1 };
            let (name, hash) = line.split_once(':').ok_or_else(wrong)?;
            let parsed = PasswordHash::new(hash).map_err(|_| wrong())?;
            if !is_name(name) || parsed.algorithm.as_str() != "argon2id" {
                return Err(wrong());
            }
            users.insert(name.to_owned(), hash.to_owned());
        }
        Ok(Self { users })
    }

    /// The hash to try a password on, and whether there is such a user.
    pub(crate) fn hash_of(&self, user: &str) -> (String, bool) {
        self.users.get(user).map_or_else(|| (NOBODY.to_owned(), false), |hash| (hash.clone(), true))
    }
}

/// True if the password has this hash. Takes some 20 MB and tens of milliseconds.
pub(crate) fn verify(password: &str, hash: &str) -> bool {
    password.len() <= PASSWORD_LEN_MAX
        && PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'))
}

/// Sets a user's password in a file, which is made with the mode 0600 if there is none. The file is replaced as a whole: a
/// reader finds the old one or the new one.
///
/// # Errors
/// If the name or the password won't do, or the file can't be read or written.
pub fn set_password(path: &Path, user: &str, password: &str) -> Result<(), PasswordError> {
    if !is_name(user) {
        return Err(PasswordError::Name(user.to_owned()));
    }
    if password.chars().count() < PASSWORD_LEN_MIN {
        return Err(PasswordError::Short);
    }
    if password.len() > PASSWORD_LEN_MAX {
        return Err(PasswordError::Long);
    }
    let mut all = match Passwords::read_any(path) {
        Ok(all) => all,
        Err(PasswordError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            Passwords::default()
        }
        Err(error) => return Err(error),
    };
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Hash("no random numbers".to_owned()))?;
    let hash = |error: argon2::password_hash::Error| PasswordError::Hash(error.to_string());
    let salt = SaltString::encode_b64(&salt).map_err(hash)?;
    let hashed = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(hash)?;
    all.users.insert(user.to_owned(), hashed.to_string());
    let text: String = all.users.iter().map(|(name, hash)| format!("{name}:{hash}\n")).collect();
    write(path, text.as_bytes()).map_err(|cause| PasswordError::File { path: path.to_owned(), cause })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let _ = fs::remove_file(&beside);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        set_password(&path, "anna", "correct horse battery").unwrap();
        set_password(&path, "boris@example.org", "another long one").unwrap();
        set_password(&path, "anna", "a better password").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let all = Passwords::read(&path).unwrap();
        let (hash, is_user) = all.hash_of("anna");
        assert!(is_user && verify("a better password", &hash) && !verify("correct horse battery", &hash));
        let (nobody, is_user) = all.hash_of("carl");
        assert!(!is_user && PasswordHash::new(&nobody).is_ok() && !verify("a better password", &nobody));
    }

    #[test]
    fn what_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        assert!(matches!(set_password(&path, "a:b", "long enough it is"), Err(PasswordError::Name(_))));
        assert!(matches!(set_password(&path, "a", "short"), Err(PasswordError::Short)));
        assert!(matches!(Passwords::read(&path), Err(PasswordError::File { .. })));
        set_password(&path, "a", "long enough it is").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Passwords::read(&path), Err(PasswordError::Open { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "a:plain\n").unwrap();
        assert!(matches!(Passwords::read(&path), Err(PasswordError::Line { line: 1, .. })));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(Passwords::read(&path), Err(PasswordError::Empty { .. })));
    }
}
