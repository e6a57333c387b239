//! Who is let in: the server's key, the cards that are good, and what was taken already.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hkdf::{HKDF_SHA256, Salt};

use super::plain::replay::{Memory, Repeated};
use super::plain::stream::Door;
use super::plain::{Access, Hello, Listener};

/// Seconds since 1970 by the machine's clock.
#[must_use]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What follows from a card's secret, for its holder and for the server.
#[derive(Clone)]
pub struct CardKeys {
    /// For transports: which card it is, and that its sender holds it.
    pub access: Access,
    /// For the session.
    pub session: [u8; 32],
    /// Where `web` is found on the server's site, if the card does not say otherwise: `/` and twelve characters.
    pub path: String,
}

impl CardKeys {
    /// Of a secret of 16 bytes or more. `None` only if nothing can be derived here at all.
    #[must_use]
    pub fn of(secret: &[u8]) -> Option<Self> {
        let derived = Salt::new(HKDF_SHA256, b"daylight card 1").extract(secret);
        let fill = |purpose: &[u8]| {
            let mut key = [0; 32];
            derived.expand(&[purpose], HKDF_SHA256).ok()?.fill(&mut key).ok()?;
            Some(key)
        };
        let (id, name) = (fill(b"id")?, fill(b"path")?);
        let id = std::array::from_fn(|at| id[at]);
        let letters = name[..12]
            .iter()
            .map(|byte| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(byte % 32)]));
        let path = std::iter::once('/').chain(letters).collect();
        Some(Self { access: Access { id, secret: fill(b"transport")? }, session: fill(b"session")?, path })
    }
}

/// A server's door, to which all its transports lead: what one of them took, none takes again.
pub struct Doorman {
    listener: Listener,
    cards: RwLock<HashMap<[u8; 8], CardKeys>>,
    memory: Mutex<Memory>,
}

impl Doorman {
    /// With the server's secret X25519 key, no cards, and the memory in this file, which is made if it is not there.
    ///
    /// # Errors
    /// If the file can't be read or written, or is something else.
    pub fn open(key: [u8; 32], memory: &Path) -> io::Result<Self> {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = std::array::from_fn(|at| boot.get(at).copied().unwrap_or_default());
        let memory = Mutex::new(Memory::open(memory, boot, now_s())?);
        let no_keys = "no keys can be derived: the cryptographic library fails";
        let listener = Listener::new(key).ok_or_else(|| io::Error::other(no_keys))?;
        Ok(Self { listener, cards: RwLock::default(), memory })
    }

    /// From now on these cards are good, and no others.
    pub fn set_cards(&self, cards: impl IntoIterator<Item = CardKeys>) {
        let cards = cards.into_iter().map(|card| (card.access.id, card)).collect();
        *self.cards.write().unwrap_or_else(PoisonError::into_inner) = cards;
    }

    /// What follows from a card that is good.
    pub fn card(&self, access: &[u8; 8]) -> Option<CardKeys> {
        self.cards.read().unwrap_or_else(PoisonError::into_inner).get(access).cloned()
    }
}

impl Door for Doorman {
    fn listener(&self) -> &Listener {
        &self.listener
    }

    fn secret(&self, access: &[u8; 8]) -> Option<[u8; 32]> {
        self.card(access).map(|card| card.access.secret)
    }

    fn now_s(&self) -> u64 {
        now_s()
    }

    fn remember(&self, hello: &Hello) -> Result<(), Repeated> {
        // Nothing that panics holds it.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.take(&hello.representative, hello.time_s, now_s())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As they were when the first cards were printed.
    #[test]
    fn keys_of_a_card_stay_what_they_are() {
        let keys = CardKeys::of(&[7; 16]).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let all = [hex(&keys.access.id), hex(&keys.access.secret), hex(&keys.session), keys.path];
        let expected = [
            "dd0ae2b667709ce8",
            "337d632790a8dafa7ff14ed38672a2f900e813df3230249b1634274652334018",
            "dbb69330060eb7b47b216db90a24f6d13265b574afc43538f6aba1b3873d06ba",
            "/fcfxowoqzmzc",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn cards_are_exchanged() {
        let folder = tempfile::tempdir().unwrap();
        let door = Doorman::open([1; 32], &folder.path().join("taken")).unwrap();
        let [one, other] = [[1; 16], [2; 16]].map(|secret| CardKeys::of(&secret).unwrap());
        door.set_cards([one.clone()]);
        assert_eq!(door.secret(&one.access.id), Some(one.access.secret));
        assert_eq!(door.secret(&other.access.id), None);
        door.set_cards([other.clone()]);
        assert_eq!(door.secret(&one.access.id), None);
        assert_eq!(door.card(&other.access.id).map(|card| card.path), Some(other.path));
    }
}
