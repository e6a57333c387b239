//! A server's keys, and the memory of what it took: files in a folder of its own.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;

use super::{Certificate, PluginError};
use crate::transports::door::{CardKeys, Doorman};
use crate::transports::plain::Access;
use crate::transports::plain::stream::Door as _;

const KEYS_LEN: usize = 32 + 8 + 32;

/// The door with the keys in this folder, which are made if there are none, and its certificate: it has one access.
pub(super) fn open(
    folder: &Path,
    random: &mut impl CryptoRng,
) -> Result<(Doorman, Certificate), PluginError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |cause| PluginError::File { path, cause }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(file(folder))?;
    let path = folder.join("plain.key");
    let keys: [u8; KEYS_LEN] = match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            let why =
                format!("it is not {KEYS_LEN} bytes long, as keys are: remove it to have new ones made");
            file(&path)(io::Error::new(io::ErrorKind::InvalidData, why))
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path, random).map_err(file(&path))?,
        Err(error) => return Err(file(&path)(error)),
    };
    let part = |from: usize| std::array::from_fn(|at| keys[from + at]);
    let access = Access { id: std::array::from_fn(|at| keys[32 + at]), secret: part(40) };
    let path: PathBuf = folder.join("plain.flights");
    let door = Doorman::open(part(0), &path).map_err(file(&path))?;
    let certificate = Certificate { server: *door.listener().public(), access: access.clone() };
    // No session comes by it, and nobody asks for a path.
    door.set_cards([CardKeys { access, session: [0; 32], path: String::new() }]);
    Ok((door, certificate))
}

/// Writes new keys, which nobody else may read.
fn make(path: &Path, random: &mut impl CryptoRng) -> io::Result<[u8; KEYS_LEN]> {
    let mut keys = [0; KEYS_LEN];
    random.fill_bytes(&mut keys);
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&keys)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_the_same_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let certificate = || open(&folder, &mut rand::rng()).map(|(_, certificate)| certificate.to_string());
        let first = certificate().unwrap();
        assert_eq!(certificate().unwrap(), first);
        let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("plain.key"))), (0o700, 0o600));
        fs::write(folder.join("plain.key"), "damaged").unwrap();
        let error = certificate().unwrap_err().to_string();
        assert!(error.contains("plain.key") && error.contains("remove it"), "{error}");
    }
}
