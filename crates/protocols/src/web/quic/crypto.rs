//! The protection of Initial packets (RFC 9001 §5): its keys follow from the client's first connection id, so anybody on
//! the path can read them.

use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;

use super::version::{self, Rules};
use crate::Dir;

/// Bytes of the authentication tag.
pub(crate) const TAG_LEN: usize = 16;
/// Bytes of ciphertext that header protection samples, four bytes after the start of the packet number.
pub(crate) const SAMPLE_LEN: usize = 16;

/// Keys of one direction.
pub(crate) struct Keys {
    packet: LessSafeKey,
    header: HeaderProtectionKey,
    iv: [u8; 12],
}

/// HKDF-Expand-Label of TLS 1.3 (RFC 8446 §7.1) for what fits into one block of SHA-256.
fn expand_label<const N: usize>(secret: &hmac::Key, label: &str) -> [u8; N] {
    const { assert!(N <= 32) };
    let mut info = hmac::Context::with_key(secret);
    info.update(&[0, N as u8, 6 + label.len() as u8]);
    info.update(b"tls13 ");
    info.update(label.as_bytes());
    // No context; then the number of the block.
    info.update(&[0, 1]);
    let mut out = [0; N];
    out.copy_from_slice(&info.sign().as_ref()[..N]);
    out
}

impl Keys {
    /// The Initial keys of `dir` under one of the version's salts.
    pub(crate) fn initial(version: u32, salt: &[u8; 20], client_dcid: &[u8], dir: Dir) -> Option<Self> {
        let initial = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), client_dcid);
        let initial = hmac::Key::new(hmac::HMAC_SHA256, initial.as_ref());
        let side = match dir {
            Dir::Client => "client in",
            Dir::Server => "server in",
        };
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &expand_label::<32>(&initial, side));
        let [key, iv, hp] = match version::rules(version)? {
            Rules::V2 => ["quicv2 key", "quicv2 iv", "quicv2 hp"],
            _ => ["quic key", "quic iv", "quic hp"],
        };
        Some(Self {
            packet: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &expand_label::<16>(&secret, key)).ok()?),
            iv: expand_label(&secret, iv),
            header: HeaderProtectionKey::new(&AES_128, &expand_label::<16>(&secret, hp)).ok()?,
        })
    }

    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(n, p)| *n ^= p);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Removes the protection of the packet with a long header in `packet`, whose packet number begins at `at`. Answers
    /// the payload, or `None` if it was not protected with these keys. `packet` is spoilt either way.
    pub(crate) fn open<'a>(&self, packet: &'a mut [u8], at: usize) -> Option<&'a [u8]> {
        let mask = self.header.new_mask(packet.get(at + 4..at + 4 + SAMPLE_LEN)?).ok()?;
        packet[0] ^= mask[0] & 0x0f;
        let number_len = usize::from(packet[0] & 3) + 1;
        let mut number = 0;
        for (byte, mask) in packet[at..at + number_len].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
            // Initial packets are the first of their number space: numbers are small and need no expansion.
            number = number << 8 | u64::from(*byte);
        }
        let (header, payload) = packet.split_at_mut(at + number_len);
        self.packet.open_in_place(self.nonce(number), Aad::from(header), payload).ok().map(|p| &*p)
    }

    /// Protects a packet: `header` up to and with the packet number, which takes the last bytes of it as many as its
    /// first byte says. For tests.
    pub(crate) fn seal(&self, header: &[u8], number: u64, payload: &[u8]) -> Option<Vec<u8>> {
        let number_len = usize::from(header.first()? & 3) + 1;
        let at = header.len().checked_sub(number_len)?;
        let mut body = payload.to_vec();
        self.packet.seal_in_place_append_tag(self.nonce(number), Aad::from(header), &mut body).ok()?;
        let mut packet = [header, &body].concat();
        let mask = self.header.new_mask(packet.get(at + 4..at + 4 + SAMPLE_LEN)?).ok()?;
        packet[0] ^= mask[0] & 0x0f;
        packet[at..at + number_len].iter_mut().zip(&mask[1..]).for_each(|(b, m)| *b ^= m);
        Some(packet)
    }
}
