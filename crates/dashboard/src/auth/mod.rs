//! Who may look: passwords, sessions, and how often one may try.

mod attempts;
mod passwords;
mod sessions;

pub(crate) use attempts::Attempts;
pub use passwords::{PASSWORD_LEN_MIN, PasswordError, set_password};
pub(crate) use passwords::{Passwords, verify};
pub(crate) use sessions::{Session, Sessions};

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// 256 random bits in hexadecimal; `None` if the system gives none.
pub(crate) fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tokens against forged requests: each is bound to the secret in a cookie, and can be made by this process only.
#[derive(Debug)]
pub(crate) struct Tokens(hmac::Key);

impl Tokens {
    pub(crate) fn new() -> Option<Self> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok().map(Self)
    }

    pub(crate) fn of(&self, secret: &str) -> String {
        hex(hmac::sign(&self.0, secret.as_bytes()).as_ref())
    }

    /// In a time that tells nothing.
    pub(crate) fn is_of(&self, token: &str, secret: &str) -> bool {
        subtle::ConstantTimeEq::ct_eq(token.as_bytes(), self.of(secret).as_bytes()).into()
    }
}
