//! The handshake of a path: `Noise_NKpsk0+psk2_25519_ChaChaPoly_SHA256`, with ML-KEM-768's shared secret for `psk2`.
//!
//! ```text
//! client                                                         server
//!   length || Noise 1: e, es under psk0 { KEM key, parameters }    ->
//!   <-    length || KEM ciphertext || Noise 2: e, ee, psk2 { parameters }
//!   records …                                                      records …
//! ```
//!
//! The first record from the client shows that it holds the keys; before it the server keeps nothing but the keys
//! themselves, so that a first message that is sent again creates nothing.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use ml_kem::kem::{Decapsulate as _, Encapsulate as _, KeyExport as _};
use ml_kem::{MlKem768, ml_kem_768};
use ring::hmac;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use crate::keys::{PathKeys, Secret, Suite, sha256};
use crate::wire::{Malformed, Reader, put_varint, varint_len};

const PATTERN: &str = "Noise_NKpsk0+psk2_25519_ChaChaPoly_SHA256";
/// The version, which both sides hash before anything else.
const PROLOGUE: &[u8] = b"daylight session 1";
const LENGTH_LEN: usize = 2;
/// The longest message of a handshake with its length: what a stranger can make a server keep.
pub const HANDSHAKE_LEN_MAX: usize = 4096;
const NOISE_OVERHEAD: usize = 32 + 16;
const KEM_KEY_LEN: usize = 1184;
const KEM_CIPHERTEXT_LEN: usize = 1088;

/// Parameters: a type, a length, a value. Unknown ones are ignored.
mod parameter {
    pub(super) const PADDING: u64 = 0x00;
    pub(super) const SUITES: u64 = 0x01;
    pub(super) const MAX_DATA: u64 = 0x02;
    pub(super) const MAX_STREAM_DATA: u64 = 0x03;
    pub(super) const SESSION: u64 = 0x04;
    pub(super) const PATH: u64 = 0x05;
    pub(super) const MAX_STREAMS: u64 = 0x06;
    pub(super) const REFUSAL: u64 = 0x07;
    pub(super) const PROOF: u64 = 0x08;
}

/// Names a session at its server: 16 random bytes, the server's choice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub [u8; 16]);

/// What the outer channel knows that nobody between its ends does, such as 32 bytes of a TLS exporter (RFC 9266); `None`
/// where there is no such thing, or somebody between (a reverse proxy) ends the channel.
pub type ChannelBinding = Option<[u8; 32]>;

/// The public key of an X25519 private key.
#[must_use]
pub fn public_key(private_key: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    if let Some(mut dh) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) {
        dh.set(private_key);
        public.copy_from_slice(dh.pubkey());
    }
    public
}

/// Hash and cipher by ring, X25519 by curve25519-dalek, and random numbers from the seed.
struct Resolver {
    seed: [u8; 32],
}

struct Numbers(ChaCha20Rng);

impl Random for Numbers {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Numbers(ChaCha20Rng::from_seed(self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// One side's Noise state. `seed` must be secret and never used before.
fn noise(
    initiator: bool,
    key: &[u8; 32],
    access_secret: &[u8; 32],
    binding: ChannelBinding,
    seed: [u8; 32],
) -> Result<HandshakeState, snow::Error> {
    let mut prologue = PROLOGUE.to_vec();
    prologue.extend(binding.iter().flatten());
    let builder = Builder::with_resolver(PATTERN.parse()?, Box::new(Resolver { seed }));
    let builder = builder.prologue(&prologue)?.psk(0, access_secret)?;
    if initiator {
        builder.remote_public_key(key)?.build_initiator()
    } else {
        builder.local_private_key(key)?.build_responder()
    }
}

/// The secret that ML-KEM adds. The ciphertext is not part of Noise's transcript, so it is hashed in here.
fn kem_secret(shared: &[u8], ciphertext: &[u8]) -> [u8; 32] {
    sha256(&[b"daylight session 1 kem", shared, ciphertext])
}

/// That its sender knows the session that it wants to attach to, bound to this handshake by its KEM key.
fn proof(resumption: &Secret, session: SessionId, path: u64, kem_key: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &resumption.0);
    hmac::sign(&key, &proof_message(session, path, kem_key))
}

fn proof_message(session: SessionId, path: u64, kem_key: &[u8]) -> Vec<u8> {
    let hash = sha256(&[kem_key]);
    [&b"daylight session 1 attach"[..], &session.0, &path.to_be_bytes(), &hash].concat()
}

fn put_parameter(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    put_varint(out, kind);
    put_varint(out, value.len() as u64);
    out.extend(value);
}

fn put_number(out: &mut Vec<u8>, kind: u64, value: u64) {
    put_varint(out, kind);
    put_varint(out, varint_len(value) as u64);
    put_varint(out, value);
}

/// Fills up with padding so that the message grows by at least `padding` bytes, as far as it may.
fn pad(out: &mut Vec<u8>, padding: usize, len_max: usize) {
    let padding = padding.min(len_max.saturating_sub(out.len())).saturating_sub(3);
    if padding > 0 {
        put_varint(out, parameter::PADDING);
        out.extend((padding as u16 | 0x4000).to_be_bytes());
        out.extend(std::iter::repeat_n(0, padding));
    }
}

/// Parameters as they were read.
#[derive(Debug, Default, PartialEq)]
struct Parameters<'a> {
    suites: Option<&'a [u8]>,
    max_data: Option<u64>,
    max_stream_data: Option<u64>,
    session: Option<SessionId>,
    path: Option<u64>,
    max_streams: Option<u64>,
    refusal: Option<u64>,
    proof: Option<&'a [u8]>,
}

impl<'a> Parameters<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Malformed> {
            place.replace(value).map_or(Ok(()), |_| Err(Malformed))
        }
        fn number(value: &[u8]) -> Result<u64, Malformed> {
            let mut reader = Reader::new(value);
            let number = reader.varint()?;
            reader.is_empty().then_some(number).ok_or(Malformed)
        }
        let mut found = Self::default();
        while !reader.is_empty() {
            let (kind, value) = (reader.varint()?, reader.prefixed()?);
            match kind {
                parameter::SUITES => once(&mut found.suites, value)?,
                parameter::MAX_DATA => once(&mut found.max_data, number(value)?)?,
                parameter::MAX_STREAM_DATA => once(&mut found.max_stream_data, number(value)?)?,
                parameter::SESSION => {
                    once(&mut found.session, SessionId(value.try_into().map_err(|_| Malformed)?))?;
                }
                parameter::PATH => once(&mut found.path, number(value)?)?,
                parameter::MAX_STREAMS => once(&mut found.max_streams, number(value)?)?,
                parameter::REFUSAL => once(&mut found.refusal, number(value)?)?,
                parameter::PROOF => once(&mut found.proof, value)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The credit that one side gives the other at the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Credit {
    pub(crate) max_data: u64,
    pub(crate) max_stream_data: u64,
    /// From the server only.
    pub(crate) max_streams: u64,
}

impl Credit {
    /// What this side gives.
    pub(crate) fn granted(limits: &crate::Limits, server: bool) -> Self {
        Self {
            max_data: limits.session_window,
            max_stream_data: limits.stream_window,
            max_streams: if server { limits.streams_max } else { 0 },
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        put_number(out, parameter::MAX_DATA, self.max_data);
        put_number(out, parameter::MAX_STREAM_DATA, self.max_stream_data);
        if self.max_streams > 0 {
            put_number(out, parameter::MAX_STREAMS, self.max_streams);
        }
    }

    fn of(parameters: &Parameters<'_>) -> Self {
        Self {
            max_data: parameters.max_data.unwrap_or_default(),
            max_stream_data: parameters.max_stream_data.unwrap_or_default(),
            max_streams: parameters.max_streams.unwrap_or_default(),
        }
    }
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The message can't have come from a holder of a card, or was changed on the way.
    #[error("the first message is not from a holder of a card")]
    NotAuthentic,
    /// A holder of a card wrote what this version can't read.
    #[error("the first message holds what this version can't read: another version, or a fault")]
    Malformed,
    /// The client has none of the server's ciphers.
    #[error("client and server have no cipher in common")]
    NoSuite,
    /// What came after the handshake is not the client's: it does not hold the keys.
    #[error("the client does not hold the keys of its handshake")]
    NotConfirmed,
}

/// What a client wants of the server.
pub(crate) enum Request {
    New(Credit),
    Attach(SessionId, Secret),
}

/// What the server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    New(SessionId, Credit),
    Attached,
    Forgotten,
    Busy,
}

const REFUSED_FORGOTTEN: u64 = 1;
const REFUSED_BUSY: u64 = 2;

/// The client's side of a handshake that waits for the answer.
pub(crate) struct ClientHandshake {
    noise: HandshakeState,
    kem: ml_kem_768::DecapsulationKey,
    new: bool,
    /// What of the answer has come.
    input: Vec<u8>,
}

/// What a finished handshake gives.
pub(crate) struct Finished {
    pub(crate) keys: PathKeys,
    /// Of a new session.
    pub(crate) resumption: Secret,
    /// For the test vectors.
    #[cfg(test)]
    pub(crate) root: Secret,
}

impl Finished {
    fn new(mut noise: HandshakeState, suite: Suite, client: bool) -> Option<Self> {
        let (hash, (of_client, of_server)) =
            (noise.get_handshake_hash().to_vec(), noise.dangerously_get_raw_split());
        let root = Secret::of_handshake(&hash, &of_client, &of_server);
        Some(Self {
            keys: PathKeys::new(suite, &root, client)?,
            resumption: root.expand("resumption"),
            #[cfg(test)]
            root,
        })
    }
}

/// Where a message on a path ends.
enum Message<'a> {
    /// More bytes are needed.
    More,
    /// The message without its length, and how many bytes it took.
    Whole(&'a [u8], usize),
}

fn message(input: &[u8]) -> Result<Message<'_>, Malformed> {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_LEN>() else { return Ok(Message::More) };
    let len = usize::from(u16::from_be_bytes(*length));
    if LENGTH_LEN + len > HANDSHAKE_LEN_MAX {
        return Err(Malformed);
    }
    Ok(rest.get(..len).map_or(Message::More, |message| Message::Whole(message, LENGTH_LEN + len)))
}

impl ClientHandshake {
    /// Begins, and gives the first message. `padding` bytes are added to it, as far as it may grow.
    pub(crate) fn new(
        config: &crate::ClientConfig,
        request: &Request,
        path: u64,
        binding: ChannelBinding,
        padding: usize,
        rng: &mut ChaCha20Rng,
    ) -> Option<(Self, Vec<u8>)> {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let mut noise = noise(true, &config.server_key, &config.access_secret, binding, seed).ok()?;
        let mut kem_seed = ml_kem::Seed::default();
        rng.fill_bytes(&mut kem_seed);
        let kem = ml_kem_768::DecapsulationKey::from_seed(kem_seed);
        let kem_key = kem.encapsulation_key().to_bytes();

        let mut payload = kem_key.to_vec();
        let suites: Vec<_> = config.suites.iter().map(|suite| suite.number()).collect();
        put_parameter(&mut payload, parameter::SUITES, &suites);
        put_number(&mut payload, parameter::PATH, path);
        match request {
            Request::New(credit) => credit.put(&mut payload),
            Request::Attach(session, resumption) => {
                put_parameter(&mut payload, parameter::SESSION, &session.0);
                let proof = proof(resumption, *session, path, &kem_key);
                put_parameter(&mut payload, parameter::PROOF, proof.as_ref());
            }
        }
        pad(&mut payload, padding, HANDSHAKE_LEN_MAX - LENGTH_LEN - NOISE_OVERHEAD);
        let mut out = vec![0; LENGTH_LEN + NOISE_OVERHEAD + payload.len()];
        let len = noise.write_message(&payload, &mut out[LENGTH_LEN..]).ok()?;
        out[..LENGTH_LEN].copy_from_slice(&(len as u16).to_be_bytes());
        let new = matches!(request, Request::New(_));
        Some((Self { noise, kem, new, input: Vec::new() }, out))
    }

    /// Takes bytes of the server: the answer and the rest of them, once it is there.
    ///
    /// # Errors
    /// The answer is not the server's.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        config: &crate::ClientConfig,
    ) -> Result<Option<(Answer, Suite, Vec<u8>)>, Malformed> {
        let room = HANDSHAKE_LEN_MAX.saturating_sub(self.input.len());
        let (taken, after) = bytes.split_at(room.min(bytes.len()));
        self.input.extend_from_slice(taken);
        let (message, len) = match message(&self.input)? {
            Message::More if after.is_empty() => return Ok(None),
            Message::More => return Err(Malformed),
            Message::Whole(message, len) => (message, len),
        };
        let (ciphertext, message) = message.split_at_checked(KEM_CIPHERTEXT_LEN).ok_or(Malformed)?;
        let shared = self.kem.decapsulate_slice(ciphertext).map_err(|_| Malformed)?;
        self.noise.set_psk(2, &kem_secret(&shared, ciphertext)).map_err(|_| Malformed)?;
        let mut payload = vec![0; message.len()];
        let payload_len = self.noise.read_message(message, &mut payload).map_err(|_| Malformed)?;
        let found = Parameters::decode(&mut Reader::new(&payload[..payload_len]))?;
        let answer = match (found.refusal, self.new, found.session) {
            (Some(REFUSED_FORGOTTEN), _, _) => Answer::Forgotten,
            (Some(_), _, _) => Answer::Busy,
            (None, true, Some(session)) => Answer::New(session, Credit::of(&found)),
            (None, true, None) => return Err(Malformed),
            (None, false, _) => Answer::Attached,
        };
        let suite = match found.suites {
            Some(&[number]) => Suite::from_number(number).filter(|suite| config.suites.contains(suite)),
            _ => None,
        };
        let mut rest = self.input.split_off(len);
        rest.extend_from_slice(after);
        Ok(Some((answer, suite.ok_or(Malformed)?, rest)))
    }

    /// The keys, after the answer was read.
    pub(crate) fn finish(self, suite: Suite) -> Option<Finished> {
        Finished::new(self.noise, suite, true)
    }
}

/// A first message that the server has opened.
pub(crate) struct Opened {
    noise: HandshakeState,
    kem_key: Vec<u8>,
    pub(crate) path: u64,
    pub(crate) suite: Suite,
    pub(crate) credit: Credit,
    /// The session to attach to, and the proof.
    pub(crate) attach: Option<(SessionId, Vec<u8>)>,
    /// How many bytes of the path the message took.
    pub(crate) len: usize,
}

/// Takes what a client sent first, as far as it has come.
///
/// # Errors
/// It is no message of a holder of a card, or of another version.
pub(crate) fn open(
    input: &[u8],
    config: &crate::ServerConfig,
    access_secret: &[u8; 32],
    binding: ChannelBinding,
    seed: [u8; 32],
) -> Result<Option<Opened>, HandshakeError> {
    let (message, len) = match message(input).map_err(|Malformed| HandshakeError::NotAuthentic)? {
        Message::More => return Ok(None),
        Message::Whole(message, len) => (message, len),
    };
    let mut payload = vec![0; message.len()];
    let not_authentic = |_| HandshakeError::NotAuthentic;
    let mut noise = noise(false, &config.private_key, access_secret, binding, seed).map_err(not_authentic)?;
    let payload_len = noise.read_message(message, &mut payload).map_err(not_authentic)?;
    let malformed = |Malformed| HandshakeError::Malformed;
    let mut reader = Reader::new(&payload[..payload_len]);
    let kem_key = reader.take(KEM_KEY_LEN).map_err(malformed)?.to_vec();
    let found = Parameters::decode(&mut reader).map_err(malformed)?;
    let attach = match (found.session, found.proof) {
        (Some(session), Some(proof)) => Some((session, proof.to_vec())),
        (None, None) => None,
        _ => return Err(HandshakeError::Malformed),
    };
    let mut offered = found.suites.unwrap_or_default().iter();
    let suite = offered.find_map(|number| Suite::from_number(*number).filter(|s| config.suites.contains(s)));
    Ok(Some(Opened {
        noise,
        kem_key,
        path: found.path.ok_or(HandshakeError::Malformed)?,
        suite: suite.ok_or(HandshakeError::NoSuite)?,
        credit: Credit::of(&found),
        attach,
        len,
    }))
}

impl Opened {
    /// Whether the proof is one of the session's holder.
    pub(crate) fn proves(&self, resumption: &Secret) -> bool {
        self.attach.as_ref().is_some_and(|(session, proof)| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &resumption.0);
            hmac::verify(&key, &proof_message(*session, self.path, &self.kem_key), proof).is_ok()
        })
    }

    /// The answer's bytes, and the keys.
    ///
    /// # Errors
    /// The client's KEM key is none.
    pub(crate) fn answer(
        mut self,
        answer: Answer,
        padding: usize,
        rng: &mut ChaCha20Rng,
    ) -> Result<(Vec<u8>, Finished), HandshakeError> {
        let malformed = HandshakeError::Malformed;
        let kem_key = self.kem_key[..].try_into().map_err(|_| malformed)?;
        let kem_key = ml_kem::EncapsulationKey::<MlKem768>::new(kem_key).map_err(|_| malformed)?;
        let (ciphertext, shared) = kem_key.encapsulate_with_rng(rng);
        self.noise.set_psk(2, &kem_secret(&shared, &ciphertext)).map_err(|_| malformed)?;
        let mut payload = Vec::new();
        put_parameter(&mut payload, parameter::SUITES, &[self.suite.number()]);
        match answer {
            Answer::New(session, credit) => {
                put_parameter(&mut payload, parameter::SESSION, &session.0);
                credit.put(&mut payload);
            }
            Answer::Attached => {}
            Answer::Forgotten => put_number(&mut payload, parameter::REFUSAL, REFUSED_FORGOTTEN),
            Answer::Busy => put_number(&mut payload, parameter::REFUSAL, REFUSED_BUSY),
        }
        let before = LENGTH_LEN + KEM_CIPHERTEXT_LEN;
        pad(&mut payload, padding, HANDSHAKE_LEN_MAX - before - NOISE_OVERHEAD);
        let mut out = vec![0; before + NOISE_OVERHEAD + payload.len()];
        out[LENGTH_LEN..before].copy_from_slice(&ciphertext);
        self.noise.write_message(&payload, &mut out[before..]).map_err(|_| malformed)?;
        let len = (out.len() - LENGTH_LEN) as u16;
        out[..LENGTH_LEN].copy_from_slice(&len.to_be_bytes());
        let finished = Finished::new(self.noise, self.suite, false).ok_or(malformed)?;
        Ok((out, finished))
    }
}
