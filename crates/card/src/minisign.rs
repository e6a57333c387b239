//! Signatures of files that `minisign` checks (<https://jedisct1.github.io/minisign/>, "Signature format").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};

use crate::{PublicKey, SecretKey};

/// What stands for Ed25519 before a key, and before a signature of a hash.
const KEY_ALGORITHM: &[u8] = b"Ed";
const HASHED_ALGORITHM: &[u8] = b"ED";

/// The text of a public key file.
#[must_use]
pub(crate) fn public_key(key: &PublicKey) -> String {
    let id = key.id().0;
    let encoded = STANDARD.encode([KEY_ALGORITHM, &id, &key.0].concat());
    // Minisign prints an id as a number whose first byte is the lowest.
    format!("untrusted comment: minisign public key {:016X}\n{encoded}\n", u64::from_le_bytes(id))
}

/// The text of a signature file. `comment` is under the signature; it must be one line.
#[must_use]
pub(crate) fn sign(file: &[u8], comment: &str, key: &SecretKey) -> String {
    let signature = key.sign(&Blake2b512::digest(file));
    let global = key.sign(&[&signature, comment.as_bytes()].concat());
    let encoded = STANDARD.encode([HASHED_ALGORITHM, &key.public().id().0, &signature].concat());
    let global = STANDARD.encode(global);
    format!(
        "untrusted comment: signature of a Daylight drive\n{encoded}\ntrusted comment: {comment}\n{global}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_implementation_verifies() {
        let key = SecretKey::from_seed([3; 32]).unwrap();
        let public = minisign_verify::PublicKey::decode(&public_key(&key.public())).unwrap();
        let signature = minisign_verify::Signature::decode(&sign(b"what was said", "when", &key)).unwrap();
        public.verify(b"what was said", &signature, false).unwrap();
        assert!(public.verify(b"what was not said", &signature, false).is_err());
    }
}
