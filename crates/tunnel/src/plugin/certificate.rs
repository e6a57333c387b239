//! What a client of a plug-in has to know of its server, in one word.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::transports::plain::Access;

const LEN: usize = 32 + 8 + 32;

/// A server's key and a card's access to it: 96 letters, digits, `-` and `_`. Whoever has it can use the server, and find
/// out that it is one.
#[derive(Clone)]
pub struct Certificate {
    /// The server's public key.
    pub server: [u8; 32],
    /// Whose it is, to the server.
    pub access: Access,
}

/// A certificate that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a certificate is 96 letters, digits, '-' and '_', as the server printed it; this has {length} characters"
)]
pub struct CertificateError {
    length: usize,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, access: Access { id, secret } } = self;
        f.write_str(&BASE64.encode([&server[..], id, secret].concat()))
    }
}

impl FromStr for Certificate {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let wrong = || CertificateError { length: text.chars().count() };
        let bytes: [u8; LEN] = BASE64.decode(text).ok().and_then(|b| b.try_into().ok()).ok_or_else(wrong)?;
        let (server, access) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let (id, secret) = access.split_first_chunk().ok_or_else(wrong)?;
        let secret = secret.try_into().map_err(|_| wrong())?;
        Ok(Self { server: *server, access: Access { id: *id, secret } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn goes_both_ways(server: [u8; 32], id: [u8; 8], secret: [u8; 32]) {
            let text = Certificate { server, access: Access { id, secret } }.to_string();
            prop_assert_eq!(text.len(), 96);
            let read: Certificate = text.parse().unwrap();
            prop_assert_eq!((read.server, read.access.id, read.access.secret), (server, id, secret));
        }

        #[test]
        fn nothing_else_is_one(text in "[A-Za-z0-9_=-]{0,95}") {
            prop_assert!(text.parse::<Certificate>().is_err());
        }
    }
}
