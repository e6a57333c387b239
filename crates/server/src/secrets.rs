//! The secrets of the cards that are let in: a text file, which the volunteer can edit and the server reads again at a reload.
//!
//! A line is a secret of 16 to 32 bytes in hexadecimal digits, and behind a space, if one likes, whom or what the card is
//! for. Empty lines and those that begin with `#` say nothing. To take a card back, delete its line.

use std::io;
use std::path::{Path, PathBuf};

use daylight_tunnel::transports::door::CardKeys;

/// What is wrong with a file of secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// It can't be read.
    #[error("can't read the cards' secrets {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A line is no secret.
    #[error("{}:{line}: a card's secret has 32 to 64 hexadecimal digits, an even number of them", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nothing can be derived from a secret here.
    #[error("no keys can be derived: the cryptographic library fails")]
    NoKeys,
}

/// Bytes of hexadecimal digits.
pub(crate) fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len().is_multiple_of(2);
    is_hex.then(|| text.as_bytes().chunks(2).map(digits).collect())?
}

/// What follows from each secret of a file.
///
/// # Errors
/// If it can't be read, or a line of it is wrong.
pub fn read(path: &Path) -> Result<Vec<CardKeys>, SecretsError> {
    let unreadable = |cause| SecretsError::Unreadable { path: path.to_owned(), cause };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mut cards = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(first) = line.split_whitespace().next().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        let secret = of_hex(first).filter(|secret| (16..=32).contains(&secret.len()));
        let secret = secret.ok_or_else(|| SecretsError::NotOne { path: path.to_owned(), line: at + 1 })?;
        cards.push(CardKeys::of(&secret).ok_or(SecretsError::NoKeys)?);
    }
    Ok(cards)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<CardKeys>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path()).map_err(|error| error.to_string().replace(file.path().to_str().unwrap(), "cards"))
    }

    #[test]
    fn lines_are_secrets() {
        let hex = "07".repeat(16);
        let cards = of(&format!("# ours\n\n{hex} the library\n  {}\n", "AB".repeat(32))).unwrap();
        assert_eq!(cards.len(), 2);
        assert_eq!(cards[0].access.id, CardKeys::of(&[7; 16]).unwrap().access.id);
    }

    #[test]
    fn what_is_no_secret_is_told_with_its_line() {
        for wrong in ["12", "x7070707070707070707070707070707", &"07".repeat(33), &"7".repeat(33)] {
            let said = of(&format!("# ours\n{wrong}\n")).err().unwrap();
            assert!(said.starts_with("cards:2: a card's secret has 32 to 64"), "{said}");
        }
        assert!(of("+7070707070707070707070707070707").is_err());
    }
}
