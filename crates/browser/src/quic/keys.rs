//! Keys of QUIC's packets (RFC 9001 §5), by *ring*: the ciphers that quinn has by itself, at the same cost.

use bytes::BytesMut;
use quinn_proto::crypto::{self, CryptoError, KeyPair};
use ring::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey, quic};
use ring::hkdf::{self, KeyType, Prk};

/// For version 1 (RFC 9001 §5.2).
const INITIAL_SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
];
/// The key and the nonce of Retry packets' tags (RFC 9001 §5.8).
const RETRY_KEY: [u8; 16] =
    [0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e];
const RETRY_NONCE: [u8; NONCE_LEN] = [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb];
/// The tag of each of the ciphers, in bytes.
pub(super) const TAG_LEN: usize = 16;
/// The longest secret or key, in bytes.
const SECRET_LEN_MAX: usize = 48;

/// A cipher suite of TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Suite {
    /// By its number in the registry (RFC 8446 §B.4).
    pub(super) fn of(number: u16) -> Option<Self> {
        match number {
            0x1301 => Some(Self::Aes128Gcm),
            0x1302 => Some(Self::Aes256Gcm),
            0x1303 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::Aes256Gcm => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    fn header(self) -> &'static quic::Algorithm {
        match self {
            Self::Aes128Gcm => &quic::AES_128,
            Self::Aes256Gcm => &quic::AES_256,
            Self::ChaCha20Poly1305 => &quic::CHACHA20,
        }
    }

    fn hash(self) -> hkdf::Algorithm {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
            Self::Aes256Gcm => hkdf::HKDF_SHA384,
        }
    }
}

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label of TLS 1.3 (RFC 8446 §7.1), without context.
fn expand(secret: &Prk, label: &[u8], out: &mut [u8]) {
    debug_assert!(out.len() <= SECRET_LEN_MAX);
    let prefix = [0, out.len() as u8, (b"tls13 ".len() + label.len()) as u8];
    let info: [&[u8]; 4] = [&prefix, b"tls13 ", label, &[0]];
    // HKDF gives up to 255 times the hash's length.
    let filled = secret.expand(&info, Len(out.len())).and_then(|key| key.fill(out));
    debug_assert!(filled.is_ok());
}

/// What the keys of one direction come from.
#[derive(Clone)]
pub(super) struct Secret {
    suite: Suite,
    secret: Prk,
}

impl Secret {
    pub(super) fn new(suite: Suite, bytes: &[u8]) -> Self {
        Self { suite, secret: Prk::new_less_safe(suite.hash(), bytes) }
    }

    /// Of Initial packets, the client's and the server's.
    pub(super) fn initial(destination: &[u8]) -> (Self, Self) {
        let both = hkdf::Salt::new(hkdf::HKDF_SHA256, &INITIAL_SALT).extract(destination);
        let of = |label: &[u8]| {
            let mut secret = [0; 32];
            expand(&both, label, &mut secret);
            Self::new(Suite::Aes128Gcm, &secret)
        };
        (of(b"client in"), of(b"server in"))
    }

    /// What follows at a key update (RFC 9001 §6.1).
    pub(super) fn next(&self) -> Self {
        let mut next = [0; SECRET_LEN_MAX];
        let next = &mut next[..self.suite.hash().hmac_algorithm().digest_algorithm().output_len()];
        expand(&self.secret, b"quic ku", next);
        Self::new(self.suite, next)
    }

    /// The key of packets.
    pub(super) fn packet_key(&self) -> PacketKey {
        let mut bytes = [0; SECRET_LEN_MAX];
        let bytes = &mut bytes[..self.suite.aead().key_len()];
        expand(&self.secret, b"quic key", bytes);
        let mut iv = [0; NONCE_LEN];
        expand(&self.secret, b"quic iv", &mut iv);
        PacketKey { suite: self.suite, key: key(self.suite.aead(), bytes), iv }
    }

    /// The key of headers.
    pub(super) fn header_key(&self) -> HeaderKey {
        let mut bytes = [0; SECRET_LEN_MAX];
        let bytes = &mut bytes[..self.suite.header().key_len()];
        expand(&self.secret, b"quic hp", bytes);
        #[allow(clippy::expect_used, reason = "the key is as long as its algorithm says")]
        HeaderKey(quic::HeaderProtectionKey::new(self.suite.header(), bytes).expect("a key"))
    }
}

fn key(algorithm: &'static aead::Algorithm, bytes: &[u8]) -> LessSafeKey {
    #[allow(clippy::expect_used, reason = "the key is as long as its algorithm says")]
    LessSafeKey::new(UnboundKey::new(algorithm, bytes).expect("a key"))
}

/// The keys of both directions, for quinn.
pub(super) fn keys(
    local: &Secret,
    remote: &Secret,
    local_packets: Box<dyn crypto::PacketKey>,
    remote_packets: Box<dyn crypto::PacketKey>,
) -> crypto::Keys {
    crypto::Keys {
        header: KeyPair { local: Box::new(local.header_key()), remote: Box::new(remote.header_key()) },
        packet: KeyPair { local: local_packets, remote: remote_packets },
    }
}

/// Whether a Retry packet is an answer to what was sent to `destination` (RFC 9001 §5.8).
pub(super) fn is_retry(destination: &[u8], header: &[u8], payload: &[u8]) -> bool {
    let Some((payload, tag)) = payload.split_last_chunk::<TAG_LEN>() else { return false };
    let said = [&[destination.len() as u8][..], destination, header, payload].concat();
    let nonce = Nonce::assume_unique_for_key(RETRY_NONCE);
    let mut tag = *tag;
    key(&aead::AES_128_GCM, &RETRY_KEY).open_in_place(nonce, Aad::from(said), &mut tag).is_ok()
}

/// Protects packets of one direction.
pub(super) struct PacketKey {
    suite: Suite,
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
}

impl PacketKey {
    /// RFC 9001 §5.3.
    fn nonce(&self, packet: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[NONCE_LEN - 8..].iter_mut().zip(packet.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

impl crypto::PacketKey for PacketKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let (header, payload) = buf.split_at_mut(header_len);
        let (payload, tag) = payload.split_at_mut(payload.len() - TAG_LEN);
        match self.key.seal_in_place_separate_tag(self.nonce(packet), Aad::from(&*header), payload) {
            Ok(sealed) => tag.copy_from_slice(sealed.as_ref()),
            // Only of a packet of more than 64 GiB, and then nobody can read it.
            Err(_) => payload.fill(0),
        }
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let opened = self.key.open_in_place(self.nonce(packet), Aad::from(header), payload);
        let len = opened.map_err(|_| CryptoError)?.len();
        payload.truncate(len);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    /// RFC 9001 §6.6, as the next.
    fn confidentiality_limit(&self) -> u64 {
        match self.suite {
            Suite::Aes128Gcm | Suite::Aes256Gcm => 1 << 23,
            Suite::ChaCha20Poly1305 => u64::MAX,
        }
    }

    fn integrity_limit(&self) -> u64 {
        match self.suite {
            Suite::Aes128Gcm | Suite::Aes256Gcm => 1 << 52,
            Suite::ChaCha20Poly1305 => 1 << 36,
        }
    }
}

/// Protects headers of one direction (RFC 9001 §5.4).
pub(super) struct HeaderKey(quic::HeaderProtectionKey);

impl HeaderKey {
    /// Of the first byte, and of up to four of the packet's number.
    fn mask(&self, pn_offset: usize, packet: &[u8]) -> [u8; 5] {
        let sample = packet.get(pn_offset + 4..pn_offset + 4 + self.0.algorithm().sample_len());
        // Quinn takes and makes no packet that is too short for it.
        sample.and_then(|sample| self.0.new_mask(sample).ok()).unwrap_or_default()
    }
}

fn mask_first(first: &mut u8, mask: u8) {
    let is_long = *first & 0x80 != 0;
    *first ^= mask & if is_long { 0x0f } else { 0x1f };
}

/// The number is as long as the first byte says where that is in the clear.
fn mask_number(first: u8, number: &mut [u8], mask: &[u8]) {
    let len = usize::from(first & 0x03) + 1;
    for (byte, mask) in number.iter_mut().zip(mask).take(len) {
        *byte ^= mask;
    }
}

impl crypto::HeaderKey for HeaderKey {
    fn decrypt(&self, pn_offset: usize, packet: &mut [u8]) {
        let [first, number @ ..] = self.mask(pn_offset, packet);
        mask_first(&mut packet[0], first);
        mask_number(packet[0], &mut packet[pn_offset..], &number);
    }

    fn encrypt(&self, pn_offset: usize, packet: &mut [u8]) {
        let [first, number @ ..] = self.mask(pn_offset, packet);
        mask_number(packet[0], &mut packet[pn_offset..], &number);
        mask_first(&mut packet[0], first);
    }

    fn sample_size(&self) -> usize {
        self.0.algorithm().sample_len()
    }
}

#[cfg(test)]
mod tests {
    use quinn_proto::crypto::{HeaderKey as _, PacketKey as _};

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Protects a packet and takes the protection off again.
    fn there_and_back(secret: &Secret, header: &str, number: u64, payload: &str, expected: &str) {
        let (header, payload, expected) = (hex(header), hex(payload), hex(expected));
        let number_offset = header.len() - 1 - usize::from(header[0] & 0x03);
        let mut packet = [&header[..], &payload, &[0; TAG_LEN]].concat();
        let (packets, headers) = (secret.packet_key(), secret.header_key());
        packets.encrypt(number, &mut packet, header.len());
        headers.encrypt(number_offset, &mut packet);
        assert_eq!(packet, expected);
        headers.decrypt(number_offset, &mut packet);
        assert_eq!(packet[..header.len()], header);
        let mut body = BytesMut::from(&packet[header.len()..]);
        assert!(packets.decrypt(number + 1, &header, &mut body.clone()).is_err());
        packets.decrypt(number, &header, &mut body).unwrap();
        assert_eq!(body, payload);
    }

    /// RFC 9001 §A.3.
    #[test]
    fn initial_packets() {
        let (client, server) = Secret::initial(&hex("8394c8f03e515708"));
        assert!(client.packet_key().iv.starts_with(&hex("fa044b2f42a3fd3b46fb255c")));
        there_and_back(
            &server,
            "c1000000010008f067a5502a4262b50040750001",
            1,
            "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200
             130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00
             020304",
            "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3
             8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84
             022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
        );
    }

    /// RFC 9001 §A.5.
    #[test]
    fn short_packets_and_key_updates() {
        let secret = hex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b");
        let secret = Secret::new(Suite::of(0x1303).unwrap(), &secret);
        there_and_back(&secret, "4200bff4", 654_360_564, "01", "4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
        let next = hex("1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
        let next = Secret::new(Suite::ChaCha20Poly1305, &next);
        assert_eq!(secret.next().packet_key().iv, next.packet_key().iv);
        assert_ne!(secret.packet_key().iv, next.packet_key().iv);
    }

    /// RFC 9001 §A.4.
    #[test]
    fn retry_packets() {
        let destination = hex("8394c8f03e515708");
        let packet = hex("ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba");
        let (header, payload) = packet.split_at(15);
        assert!(is_retry(&destination, header, payload));
        assert!(!is_retry(&destination[1..], header, payload));
        assert!(!is_retry(&destination, header, &payload[1..]));
        assert!(!is_retry(&destination, header, &payload[..15]));
    }
}
