//! Keys from what two sides share, and the ciphers that use them.

use ring::aead::{self, AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

pub(super) const TAG_LEN: usize = 16;

/// The cipher of records. The client chooses: it knows what its processor is good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Where the processor has instructions for AES.
    Aes128Gcm,
    /// Elsewhere.
    ChaCha20Poly1305,
}

impl Suite {
    /// The faster one on this machine.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        let has_aes = std::arch::is_x86_feature_detected!("aes");
        #[cfg(target_arch = "aarch64")]
        let has_aes = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let has_aes = false;
        if has_aes { Self::Aes128Gcm } else { Self::ChaCha20Poly1305 }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Aes128Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Aes128Gcm, Self::ChaCha20Poly1305].into_iter().find(|suite| suite.number() == number)
    }

    fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// What is derived (HKDF-SHA256, RFC 5869) from a secret.
pub(super) struct Derived(Prk);

impl Derived {
    pub(super) fn new(salt: &[u8], secret: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(secret))
    }

    /// Fills `out`, of at most 8,160 bytes.
    pub(super) fn fill(&self, purpose: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
        self.0.expand(purpose, Len(out.len()))?.fill(out)
    }

    pub(super) fn cipher(&self, suite: Suite, purpose: &[&[u8]]) -> Result<Cipher, Unspecified> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let key = &mut key[..suite.algorithm().key_len()];
        self.fill(purpose, key)?;
        Ok(Cipher { key: LessSafeKey::new(UnboundKey::new(suite.algorithm(), key)?), next: 0 })
    }
}

/// A cipher that seals or opens one box after the other, each under the next number.
pub(super) struct Cipher {
    key: LessSafeKey,
    next: u64,
}

impl Cipher {
    fn nonce(&mut self) -> Result<Nonce, Unspecified> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.next.to_be_bytes());
        // Nobody lives to see the last.
        self.next = self.next.checked_add(1).ok_or(Unspecified)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals what `out` holds from `from` on, and appends the tag.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, from: usize) -> Result<(), Unspecified> {
        let nonce = self.nonce()?;
        let (_, open) = out.split_at_mut(from);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), open)?;
        out.extend(tag.as_ref());
        Ok(())
    }

    /// Opens a box where it lies, and gives what was in it.
    pub(super) fn open<'b>(&mut self, sealed: &'b mut [u8]) -> Result<&'b mut [u8], Unspecified> {
        let nonce = self.nonce()?;
        self.key.open_in_place(nonce, Aad::empty(), sealed)
    }
}
