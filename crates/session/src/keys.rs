//! From the handshake's result to keys, and records under them.
//!
//! A record is `length || ciphertext`: two bytes that are masked, so that a path's bytes are uniform after the handshake,
//! and one pass of an AEAD over its frames, in place. The mask is that of QUIC's header protection (RFC 9001 §5.4), of
//! the record's number instead of a sample of its ciphertext, so that it is known before the ciphertext has come.

use bytes::{Buf as _, Bytes, BytesMut};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::{digest, hkdf};

/// A record with its length and its tag: as much as one record of TLS holds.
pub const RECORD_LEN_MAX: usize = 16_384;
/// What a record takes beside its frames: the length and the tag.
pub const RECORD_OVERHEAD: usize = LENGTH_LEN + TAG_LEN;
const LENGTH_LEN: usize = 2;
const TAG_LEN: usize = 16;
/// Keys are renewed after so many records, far below the limits of AES-GCM (RFC 8446 §5.5: 2^24.5 full records).
pub(crate) const RECORDS_PER_KEY: u64 = 1 << 20;
/// What an unreliable datagram takes beside its frames: its number and the tag.
pub const DATAGRAM_OVERHEAD: usize = 8 + TAG_LEN;

/// A pass over a session's bulk data.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Suite {
    /// AES-128-GCM: the fastest where the processor has AES.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// ChaCha20-Poly1305: the fastest where it has not.
    ChaCha20Poly1305,
}

impl Suite {
    pub(crate) const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// Its number on the wire.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Aes128Gcm => 1,
            Self::Aes256Gcm => 2,
            Self::ChaCha20Poly1305 => 3,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    fn mask(self) -> &'static quic::Algorithm {
        match self {
            Self::Aes128Gcm => &quic::AES_128,
            Self::Aes256Gcm => &quic::AES_256,
            Self::ChaCha20Poly1305 => &quic::CHACHA20,
        }
    }
}

/// A secret of 32 bytes, which is not printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

impl Secret {
    /// The root of all keys of a path: both of the handshake's keys, and its hash.
    pub(crate) fn of_handshake(hash: &[u8], client: &[u8; 32], server: &[u8; 32]) -> Self {
        // Extract of RFC 5869 §2.2 is HMAC; ring keeps its result to itself.
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, hash);
        let tag = ring::hmac::sign(&key, &[&client[..], server].concat());
        let mut secret = [0; 32];
        secret.copy_from_slice(tag.as_ref());
        Self(secret)
    }

    /// Expand of RFC 5869 §2.3, with `daylight session 1 ` before the label.
    fn expand_into(&self, label: &str, out: &mut [u8]) {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.0);
        // Both fail only for more than 255 hashes' length.
        if let Ok(okm) = prk.expand(&[b"daylight session 1 ", label.as_bytes()], Len(out.len())) {
            let filled = okm.fill(out);
            debug_assert!(filled.is_ok());
        }
    }

    pub(crate) fn expand(&self, label: &str) -> Self {
        let mut secret = [0; 32];
        self.expand_into(label, &mut secret);
        Self(secret)
    }

    fn bytes<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut bytes = [0; N];
        self.expand_into(label, &mut bytes);
        bytes
    }
}

/// The keys of one direction of a path's records, as long as they are not renewed.
struct Keys {
    secret: Secret,
    aead: LessSafeKey,
    iv: [u8; 12],
    mask: quic::HeaderProtectionKey,
}

impl Keys {
    fn new(suite: Suite, secret: Secret) -> Option<Self> {
        let key = secret.bytes::<32>("key");
        let mask = secret.bytes::<32>("length");
        // No key has a length that its algorithm refuses.
        let aead = UnboundKey::new(suite.aead(), &key[..suite.aead().key_len()]).ok()?;
        let mask = quic::HeaderProtectionKey::new(suite.mask(), &mask[..suite.mask().key_len()]).ok()?;
        Some(Self { aead: LessSafeKey::new(aead), iv: secret.bytes("iv"), mask, secret })
    }

    /// The IV with the record's number in its last 8 bytes (RFC 8446 §5.3).
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    fn length_mask(&self, number: u64) -> u16 {
        let mut sample = [0; 16];
        sample[8..].copy_from_slice(&number.to_be_bytes());
        let [high, low, ..] = self.mask.new_mask(&sample).unwrap_or_default();
        u16::from_be_bytes([high, low])
    }
}

/// One direction of a path: its keys and how many records they have seen.
struct Direction {
    suite: Suite,
    keys: Keys,
    /// The next record under these keys.
    number: u64,
}

impl Direction {
    fn new(suite: Suite, secret: Secret) -> Option<Self> {
        Some(Self { suite, keys: Keys::new(suite, secret)?, number: 0 })
    }

    /// Counts a record; the next keys come of a one-way step, so that seized ones do not open what was before.
    fn advance(&mut self) {
        self.number += 1;
        if self.number == RECORDS_PER_KEY
            && let Some(keys) = Keys::new(self.suite, self.keys.secret.expand("next"))
        {
            self.keys = keys;
            self.number = 0;
        }
    }
}

/// Makes records.
pub(crate) struct Sealer(Direction);

impl Sealer {
    pub(crate) fn new(suite: Suite, secret: Secret) -> Option<Self> {
        Direction::new(suite, secret).map(Self)
    }

    /// Leaves room for the length of a record, whose frames are to be appended.
    pub(crate) fn begin(out: &mut BytesMut) {
        out.extend_from_slice(&[0; LENGTH_LEN]);
    }

    /// Makes a record of what was appended since [`Sealer::begin`], which was called at `start`.
    pub(crate) fn seal(&mut self, out: &mut BytesMut, start: usize) {
        let Direction { keys, number, .. } = &self.0;
        let len = (out.len() - start - LENGTH_LEN + TAG_LEN) as u16;
        debug_assert!(usize::from(len) + LENGTH_LEN <= RECORD_LEN_MAX);
        let (length, frames) = out[start..].split_at_mut(LENGTH_LEN);
        let aad = Aad::from(len.to_be_bytes());
        length.copy_from_slice(&(len ^ keys.length_mask(*number)).to_be_bytes());
        // Sealing fails only for more than 64 GiB.
        if let Ok(tag) = keys.aead.seal_in_place_separate_tag(keys.nonce(*number), aad, frames) {
            out.extend_from_slice(tag.as_ref());
        }
        self.0.advance();
    }
}

/// A record that the holder of the other end's keys did not make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Damaged;

/// Opens records.
pub(crate) struct Opener {
    direction: Direction,
    /// The length of the record that is coming, when its first bytes have.
    coming: Option<usize>,
}

impl Opener {
    pub(crate) fn new(suite: Suite, secret: Secret) -> Option<Self> {
        Some(Self { direction: Direction::new(suite, secret)?, coming: None })
    }

    /// Takes one record from the front of `input` and gives its frames, or nothing while some of it is missing; then
    /// `input` has room for it.
    ///
    /// # Errors
    /// No record of the peer's: nothing after it can be opened either.
    pub(crate) fn open(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Damaged> {
        let Direction { keys, number, .. } = &self.direction;
        let len = match (self.coming, input.first_chunk::<LENGTH_LEN>()) {
            (Some(len), _) => len,
            (None, Some(length)) => {
                let len = usize::from(u16::from_be_bytes(*length) ^ keys.length_mask(*number));
                if len < TAG_LEN || LENGTH_LEN + len > RECORD_LEN_MAX {
                    return Err(Damaged);
                }
                *self.coming.insert(len)
            }
            (None, None) => return Ok(None),
        };
        if input.len() < LENGTH_LEN + len {
            return Ok(None);
        }
        let mut record = input.split_to(LENGTH_LEN + len);
        record.advance(LENGTH_LEN);
        let aad = Aad::from((len as u16).to_be_bytes());
        keys.aead.open_in_place(keys.nonce(*number), aad, &mut record).map_err(|_| Damaged)?;
        record.truncate(len - TAG_LEN);
        self.coming = None;
        self.direction.advance();
        Ok(Some(record.freeze()))
    }
}

/// Makes the unreliable datagrams of a path: `number || ciphertext`.
pub(crate) struct DatagramSealer(Direction);

impl DatagramSealer {
    pub(crate) fn new(suite: Suite, secret: Secret) -> Option<Self> {
        Direction::new(suite, secret).map(Self)
    }

    /// A datagram with these frames; `None` once the numbers of the key are used up.
    pub(crate) fn seal(&mut self, frames: &[u8]) -> Option<Vec<u8>> {
        let Direction { keys, number, .. } = &mut self.0;
        let at = *number;
        *number = number.checked_add(1).filter(|&next| next < DATAGRAMS_MAX)?;
        let mut out = Vec::with_capacity(DATAGRAM_OVERHEAD + frames.len());
        out.extend(at.to_be_bytes());
        out.extend(frames);
        let (number, rest) = out.split_at_mut(8);
        let tag = keys.aead.seal_in_place_separate_tag(keys.nonce(at), Aad::from(&*number), rest).ok()?;
        out.extend(tag.as_ref());
        Some(out)
    }
}

/// So many unreliable datagrams a path may send: AES-GCM's limit again, for datagrams of 1.5 kB.
const DATAGRAMS_MAX: u64 = 1 << 27;

/// Opens them: each once, in any order within the last 1024.
pub(crate) struct DatagramOpener {
    direction: Direction,
    /// Bit `i` of word `w`: number `newest - (64 w + i)` has come.
    seen: [u64; 16],
    /// One more than the newest number.
    end: u64,
}

impl DatagramOpener {
    pub(crate) fn new(suite: Suite, secret: Secret) -> Option<Self> {
        Some(Self { direction: Direction::new(suite, secret)?, seen: [0; 16], end: 0 })
    }

    /// The frames of a datagram; `None` for one that is not the peer's, came before, or is too old.
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Option<Bytes> {
        let (number, _) = datagram.split_first_chunk::<8>()?;
        let at = u64::from_be_bytes(*number);
        if at >= DATAGRAMS_MAX || self.has(at) {
            return None;
        }
        let mut frames = BytesMut::from(&datagram[8..]);
        let keys = &self.direction.keys;
        let len = keys.aead.open_in_place(keys.nonce(at), Aad::from(number), &mut frames).ok()?.len();
        self.mark(at);
        frames.truncate(len);
        Some(frames.freeze())
    }

    fn has(&self, at: u64) -> bool {
        match (self.end.checked_sub(at + 1)).map(|back| back as usize) {
            None => false,
            Some(back) => self.seen.get(back / 64).is_none_or(|word| word >> (back % 64) & 1 == 1),
        }
    }

    fn mark(&mut self, at: u64) {
        while self.end <= at {
            let by = (at + 1 - self.end).min(64);
            if at + 1 - self.end > 1024 {
                self.seen = [0; 16];
                self.end = at + 1;
                break;
            }
            for word in (0..16).rev() {
                let below = if word == 0 { 0 } else { self.seen[word - 1] };
                let up = self.seen[word].checked_shl(by as u32).unwrap_or(0);
                self.seen[word] = up | below.checked_shr(64 - by as u32).unwrap_or(0);
            }
            self.end += by;
        }
        let back = (self.end - 1 - at) as usize;
        self.seen[back / 64] |= 1 << (back % 64);
    }
}

/// Both directions of a path, in the view of one side.
pub(crate) struct PathKeys {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) datagram_sealer: DatagramSealer,
    pub(crate) datagram_opener: DatagramOpener,
}

impl PathKeys {
    pub(crate) fn new(suite: Suite, root: &Secret, client: bool) -> Option<Self> {
        let (own, peer) = if client { ("client", "server") } else { ("server", "client") };
        let datagram = |side: &str| root.expand(side).expand("datagram");
        Some(Self {
            sealer: Sealer::new(suite, root.expand(own))?,
            opener: Opener::new(suite, root.expand(peer))?,
            datagram_sealer: DatagramSealer::new(suite, datagram(own))?,
            datagram_opener: DatagramOpener::new(suite, datagram(peer))?,
        })
    }
}

/// SHA-256 over several parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn pair(suite: Suite) -> (Sealer, Opener) {
        let secret = Secret([7; 32]);
        (Sealer::new(suite, secret.clone()).expect("keys"), Opener::new(suite, secret).expect("keys"))
    }

    fn record(sealer: &mut Sealer, frames: &[u8], out: &mut BytesMut) {
        let start = out.len();
        Sealer::begin(out);
        out.extend_from_slice(frames);
        sealer.seal(out, start);
    }

    proptest! {
        #[test]
        fn records_come_back(
            suite in 0usize..3,
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..6),
            step in 1usize..500,
        ) {
            let (mut sealer, mut opener) = pair(Suite::ALL[suite]);
            let mut wire = BytesMut::new();
            for frames in &records {
                record(&mut sealer, frames, &mut wire);
            }
            let (mut input, mut found) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(step) {
                input.extend_from_slice(piece);
                while let Some(frames) = opener.open(&mut input).expect("the peer's") {
                    found.push(frames.to_vec());
                }
            }
            prop_assert_eq!(found, records);
            prop_assert!(input.is_empty());
        }

        /// Nothing is given out that was not sealed, whichever bit is flipped.
        #[test]
        fn damage_is_found(suite in 0usize..3, at in 0usize..118, bit in 0u8..8) {
            let (mut sealer, mut opener) = pair(Suite::ALL[suite]);
            let mut wire = BytesMut::new();
            record(&mut sealer, &[5; 100], &mut wire);
            wire[at] ^= 1 << bit;
            wire.extend_from_slice(&[0; RECORD_LEN_MAX]);
            prop_assert_eq!(opener.open(&mut wire), Err(Damaged));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))] // Each seals thousands.

        /// Against a set of all numbers that came.
        #[test]
        fn a_datagram_comes_once(order in prop::collection::vec(0usize..3000, 1..200)) {
            let secret = Secret([9; 32]);
            let mut sealer = DatagramSealer::new(Suite::Aes128Gcm, secret.clone()).expect("keys");
            let mut opener = DatagramOpener::new(Suite::Aes128Gcm, secret).expect("keys");
            let sent: Vec<_> = (0..3000u32).map(|n| sealer.seal(&n.to_be_bytes()).expect("numbers")).collect();
            let (mut seen, mut newest) = (HashSet::new(), 0);
            for at in order {
                let expected = seen.insert(at) && at + 1024 > newest;
                newest = newest.max(at);
                let found = opener.open(&sent[at]).map(|frames| frames.to_vec());
                prop_assert_eq!(found, expected.then_some((at as u32).to_be_bytes().to_vec()));
            }
        }
    }

    #[test]
    fn both_sides_renew_their_keys() {
        let (mut sealer, mut opener) = pair(Suite::Aes128Gcm);
        (sealer.0.number, opener.direction.number) = (RECORDS_PER_KEY - 10, RECORDS_PER_KEY - 10);
        let mut wire = BytesMut::new();
        for number in 0..20u64 {
            record(&mut sealer, &number.to_be_bytes(), &mut wire);
            let frames = opener.open(&mut wire).expect("the peer's").expect("all of it");
            assert_eq!(*frames, number.to_be_bytes());
        }
        assert_eq!(sealer.0.number, 10);
        assert_eq!(sealer.0.keys.secret.0, Secret([7; 32]).expand("next").0);
    }

    /// The same frames never look the same, and lengths are as likely one as the other.
    #[test]
    fn lengths_are_masked() {
        let (mut sealer, _) = pair(Suite::ChaCha20Poly1305);
        let mut lengths = HashSet::new();
        for _ in 0..200 {
            let mut wire = BytesMut::new();
            record(&mut sealer, &[0; 10], &mut wire);
            lengths.insert([wire[0], wire[1]]);
        }
        assert!(lengths.len() > 190, "{}", lengths.len());
    }
}
