//! The first flight and its answer: who the client is, and keys that nobody else has.

use curve25519_dalek::MontgomeryPoint;
use rand_core::CryptoRng;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::dress::{Dress, HEAD_LEN, WIRE_LEN_MAX};
use super::elligator::{Ephemeral, Representative, agree, point};
use super::keys::{Cipher, Derived, Suite, TAG_LEN};
use super::record::Traffic;

/// The most that can be sent along with the first flight, in bytes.
pub const EARLY_LEN_MAX: usize = 3000;
/// A flight is never shorter, so that its dress covers it.
pub(super) const EARLY_BOX_LEN_MIN: usize = 160;
const EARLY_BOX_LEN_MAX: usize = 2 + EARLY_LEN_MAX + TAG_LEN;
/// Padding of the first flight: up to so much, unless the flight is long already.
const PADDING_MAX: usize = 700;
/// How far the client's clock may be off, in seconds.
pub const CLOCK_TOLERANCE_S: u64 = 600;

/// What a card gives its holder, and the server knows of the card.
#[derive(Clone)]
pub struct Access {
    /// Tells cards of a server apart.
    pub id: [u8; 8],
    /// Known to the holder and the server alone.
    pub secret: [u8; 32],
}

/// What both sides take for the same: of another version, or for another server, nothing can be opened.
fn hello_key(server: &[u8; 32], shared: &[u8; 32], representative: &Representative) -> Option<Cipher> {
    let derived = Derived::new(server, shared);
    derived.cipher(Suite::ChaCha20Poly1305, &[b"daylight plain 1 hello", representative]).ok()
}

/// `head` is sealed, and with it the ephemeral key.
fn early_key(secret: &[u8; 32], shared: &[u8; 32], head: &[u8]) -> Option<Cipher> {
    let derived = Derived::new(secret, shared);
    derived.cipher(Suite::ChaCha20Poly1305, &[b"daylight plain 1 early", head]).ok()
}

/// Both directions' keys; the client's first.
fn traffic_keys(
    suite: Suite,
    secret: &[u8; 32],
    shared: [&[u8; 32]; 2],
    flight: &[u8; 32],
    answer: &Representative,
) -> Option<[Cipher; 2]> {
    let both = Zeroizing::new(shared.map(|part| *part).concat());
    let derived = Derived::new(secret, &both);
    let key = |side: &[u8]| derived.cipher(suite, &[b"daylight plain 1 ", side, flight, answer]).ok();
    Some([key(b"client")?, key(b"server")?])
}

fn exported<const N: usize>(
    secret: &[u8; 32],
    shared: &[u8; 32],
    flight: &[u8; 32],
    purpose: &[u8],
) -> Option<[u8; N]> {
    let mut keys = [0; N];
    Derived::new(secret, shared).fill(&[purpose, flight], &mut keys).ok()?;
    Some(keys)
}

fn hashed(flight: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, flight).as_ref());
    hash
}

/// A client that has sent its first flight.
pub struct ClientHello {
    ephemeral: Ephemeral,
    secret: Zeroizing<[u8; 32]>,
    shared: Zeroizing<[u8; 32]>,
    suite: Suite,
    flight: [u8; 32],
}

impl ClientHello {
    /// Begins, and gives the first flight, which is to go out in one piece. `now_s` is in seconds since 1970. `early` goes
    /// with it: whoever gets hold of the server's key and the card's secret later can read it, and only the server's memory
    /// keeps it from being taken twice.
    ///
    /// `None` if `early` is longer than [`EARLY_LEN_MAX`], or the server's key is none.
    pub fn new(
        server: &[u8; 32],
        access: &Access,
        suite: Suite,
        now_s: u64,
        early: &[u8],
        random: &mut impl CryptoRng,
    ) -> Option<(Self, Vec<u8>)> {
        let dress = Dress::of(server)?;
        let ephemeral = Ephemeral::generate(random);
        let shared = ephemeral.agree(&MontgomeryPoint(*server))?;
        let least = EARLY_BOX_LEN_MIN.saturating_sub(2 + early.len() + TAG_LEN);
        let most = PADDING_MAX.saturating_sub(early.len() / 2).max(least + 64);
        let padding = least + random.next_u32() as usize % (most - least);
        let box_len = (2 + early.len() + padding).min(EARLY_BOX_LEN_MAX - TAG_LEN) + TAG_LEN;
        let early_len =
            u16::try_from(early.len()).ok().filter(|length| usize::from(*length) <= EARLY_LEN_MAX)?;

        let trail = dress.trail(random);
        let mut flight = ephemeral.representative().to_vec();
        flight.extend(u32::try_from(now_s).ok()?.to_be_bytes());
        flight.extend(access.id);
        flight.extend([suite.number(), trail]);
        flight.extend(u16::try_from(box_len).ok()?.to_be_bytes());
        hello_key(server, &shared, ephemeral.representative())?.seal(&mut flight, 32).ok()?;
        let mut cipher = early_key(&access.secret, &shared, &flight)?;
        flight.extend(early_len.to_be_bytes());
        flight.extend(early);
        flight.resize(HEAD_LEN + box_len - TAG_LEN, 0);
        cipher.seal(&mut flight, HEAD_LEN).ok()?;
        let wire = dress.put_on(&flight, trail, random)?;
        let hello =
            Self { ephemeral, secret: Zeroizing::new(access.secret), shared, suite, flight: hashed(&flight) };
        Some((hello, wire))
    }

    /// Keys for another purpose than records, which the other side has too. `None` only if nothing can be derived here at all.
    pub(crate) fn export<const N: usize>(&self, purpose: &[u8]) -> Option<[u8; N]> {
        exported(&self.secret, &self.shared, &self.flight, purpose)
    }

    /// The server's answer begins with these 32 bytes; what follows are records. `None` if that can't be an answer. Whether
    /// it is one, shows at the first record.
    pub fn answer(self, answer: &Representative) -> Option<Traffic> {
        let both = self.ephemeral.agree(&point(answer))?;
        let [seal, open] =
            traffic_keys(self.suite, &self.secret, [&both, &self.shared], &self.flight, answer)?;
        Some(Traffic::new(seal, open))
    }
}

/// A server's key, and what follows from it.
pub struct Listener {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
    dress: Dress,
}

impl Listener {
    /// Of a secret X25519 key. `None` only if nothing can be derived from a key here at all.
    pub fn new(secret: [u8; 32]) -> Option<Self> {
        let public = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
        Some(Self { secret: Zeroizing::new(secret), public, dress: Dress::of(&public)? })
    }

    /// The public key, as it stands in cards.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }
}

/// Why a first flight was refused. Whoever sent it learns neither that nor why: the server reads on, and is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing that somebody with a card of this server sent.
    #[error("not a first flight for this server")]
    NotMine,
    /// Of a version that is not known here.
    #[error("a first flight of another version")]
    Version,
    /// No card has this identifier, or it was revoked.
    #[error("no card has this identifier")]
    UnknownAccess,
    /// The secret is not the card's.
    #[error("not the card's secret")]
    WrongSecret,
    /// The client's clock is off by more than [`CLOCK_TOLERANCE_S`], or it is an old flight.
    #[error("the flight's time is off by {off_s} s, and {CLOCK_TOLERANCE_S} s are allowed")]
    Clock {
        /// Seconds; negative if it is from the past.
        off_s: i64,
    },
}

/// How far a flight has come.
pub enum Progress {
    /// More has to come.
    Need,
    /// It is one, by all that it says itself. Whether it came before, the server's [memory](super::replay) knows.
    Hello(Box<Hello>),
    /// It is none; nothing that comes after it changes that.
    Refused(Refusal),
}

/// Reads a first flight as it comes in.
#[derive(Default)]
pub struct HelloReader {
    wire: Vec<u8>,
    head: Option<Head>,
}

struct Head {
    sealed: [u8; HEAD_LEN],
    shared: Zeroizing<[u8; 32]>,
    access: [u8; 8],
    time_s: u32,
    suite: Suite,
    trail: u8,
    box_len: usize,
}

/// A first flight that was opened.
pub struct Hello {
    /// Whose card it was.
    pub access: [u8; 8],
    /// What came along.
    pub early: Vec<u8>,
    /// What came after it, so far: records.
    pub rest: Vec<u8>,
    /// By which the flight is known again.
    pub representative: Representative,
    /// The client's clock, in seconds since 1970.
    pub time_s: u64,
    secret: Zeroizing<[u8; 32]>,
    shared: Zeroizing<[u8; 32]>,
    suite: Suite,
    flight: [u8; 32],
}

impl HelloReader {
    /// Takes in what came. `secret_of` gives the secret of a card; `now_s` is in seconds since 1970.
    pub fn read(
        &mut self,
        bytes: &[u8],
        listener: &Listener,
        now_s: u64,
        secret_of: impl FnOnce(&[u8; 8]) -> Option<[u8; 32]>,
    ) -> Progress {
        self.wire.extend(bytes);
        match self.step(listener, now_s, secret_of) {
            Ok(Some(hello)) => Progress::Hello(Box::new(hello)),
            // Longer than any flight.
            Ok(None) if self.wire.len() > WIRE_LEN_MAX => Progress::Refused(Refusal::NotMine),
            Ok(None) => Progress::Need,
            Err(refusal) => Progress::Refused(refusal),
        }
    }

    fn step(
        &mut self,
        listener: &Listener,
        now_s: u64,
        secret_of: impl FnOnce(&[u8; 8]) -> Option<[u8; 32]>,
    ) -> Result<Option<Hello>, Refusal> {
        if self.head.is_none() {
            let Some((sealed, _)) = listener.dress.take_off(&self.wire, HEAD_LEN, 0) else { return Ok(None) };
            self.head = Some(Head::open(&sealed, listener)?);
        }
        let Some(head) = &self.head else { return Ok(None) };
        let length = HEAD_LEN + head.box_len;
        let Some((mut flight, used)) = listener.dress.take_off(&self.wire, length, head.trail) else {
            return Ok(None);
        };
        let off_s = i64::from(head.time_s) - now_s.cast_signed();
        if off_s.unsigned_abs() > CLOCK_TOLERANCE_S {
            return Err(Refusal::Clock { off_s });
        }
        let secret = Zeroizing::new(secret_of(&head.access).ok_or(Refusal::UnknownAccess)?);
        let hash = hashed(&flight);
        let mut cipher = early_key(&secret, &head.shared, &head.sealed).ok_or(Refusal::NotMine)?;
        let early = cipher.open(&mut flight[HEAD_LEN..]).map_err(|_| Refusal::WrongSecret)?;
        let early = early
            .split_first_chunk()
            .and_then(|(length, rest)| rest.get(..u16::from_be_bytes(*length).into()))
            .ok_or(Refusal::Version)?;
        let mut representative = [0; 32];
        representative.copy_from_slice(&head.sealed[..32]);
        Ok(Some(Hello {
            access: head.access,
            early: early.to_vec(),
            rest: self.wire.split_off(used),
            representative,
            time_s: head.time_s.into(),
            secret,
            shared: head.shared.clone(),
            suite: head.suite,
            flight: hash,
        }))
    }
}

impl Head {
    fn open(sealed: &[u8], listener: &Listener) -> Result<Self, Refusal> {
        let sealed: [u8; HEAD_LEN] = sealed.try_into().map_err(|_| Refusal::NotMine)?;
        let mut open = sealed;
        let (representative, inner) = open.split_first_chunk_mut().ok_or(Refusal::NotMine)?;
        let shared = agree(&listener.secret, &point(representative)).ok_or(Refusal::NotMine)?;
        let mut cipher = hello_key(&listener.public, &shared, representative).ok_or(Refusal::NotMine)?;
        let inner = cipher.open(inner).map_err(|_| Refusal::NotMine)?;
        let inner: [u8; 16] = (&*inner).try_into().map_err(|_| Refusal::NotMine)?;
        let [a, b, c, d, access @ .., suite, trail, high, low] = inner;
        let box_len = usize::from(u16::from_be_bytes([high, low]));
        let suite = Suite::from_number(suite).ok_or(Refusal::Version)?;
        if !(EARLY_BOX_LEN_MIN..=EARLY_BOX_LEN_MAX).contains(&box_len) {
            return Err(Refusal::Version);
        }
        let time_s = u32::from_be_bytes([a, b, c, d]);
        Ok(Self { sealed, shared, access, time_s, suite, trail, box_len })
    }
}

impl Hello {
    /// Keys for another purpose than records, which the other side has too. `None` only if nothing can be derived here at all.
    pub(crate) fn export<const N: usize>(&self, purpose: &[u8]) -> Option<[u8; N]> {
        exported(&self.secret, &self.shared, &self.flight, purpose)
    }

    /// Answers: the bytes with which the server's stream begins, which records follow. `None` if the client's key is one
    /// with which there is no secret.
    pub fn answer(&self, random: &mut impl CryptoRng) -> Option<(Representative, Traffic)> {
        let ephemeral = Ephemeral::generate(random);
        let both = ephemeral.agree(&point(&self.representative))?;
        let answer = *ephemeral.representative();
        let [open, seal] =
            traffic_keys(self.suite, &self.secret, [&both, &self.shared], &self.flight, &answer)?;
        Some((answer, Traffic::new(seal, open)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const NOW: u64 = 1_795_000_000;
    const ACCESS: Access = Access { id: *b"flier 17", secret: [9; 32] };

    fn listener(seed: u8) -> Listener {
        Listener::new([seed; 32]).unwrap()
    }

    fn secret(id: &[u8; 8]) -> Option<[u8; 32]> {
        (*id == ACCESS.id).then_some(ACCESS.secret)
    }

    fn read(listener: &Listener, wire: &[u8], piece: usize, now: u64) -> Progress {
        let mut reader = HelloReader::default();
        for bytes in wire.chunks(piece) {
            match reader.read(bytes, listener, now, secret) {
                Progress::Need => {}
                progress => return progress,
            }
        }
        Progress::Need
    }

    fn refusal(progress: Progress) -> Option<Refusal> {
        if let Progress::Refused(refusal) = progress { Some(refusal) } else { None }
    }

    proptest! {
        #[test]
        fn both_sides_get_the_same_keys(
            server: u8,
            seed: u64,
            early in proptest::collection::vec(any::<u8>(), 0..=EARLY_LEN_MAX),
            piece in 1_usize..3000,
            aes: bool,
        ) {
            let (listener, mut random) = (listener(server), StdRng::seed_from_u64(seed));
            let suite = if aes { Suite::Aes128Gcm } else { Suite::ChaCha20Poly1305 };
            let (client, wire) =
                ClientHello::new(listener.public(), &ACCESS, suite, NOW, &early, &mut random).unwrap();
            let Progress::Hello(hello) = read(&listener, &wire, piece, NOW + 60) else { panic!() };
            prop_assert_eq!((&hello.early, hello.access, hello.time_s), (&early, ACCESS.id, NOW));
            prop_assert!(hello.rest.is_empty());
            let (answer, mut server) = hello.answer(&mut random).unwrap();
            let mut client = client.answer(&answer).unwrap();
            let mut bytes = Vec::new();
            server.seal.seal(b"welcome", 5, false, &mut bytes).unwrap();
            let opened = client.open.open(&mut bytes.as_slice().into()).unwrap().unwrap();
            prop_assert_eq!(&opened.data[..], b"welcome");
            let mut bytes = Vec::new();
            client.seal.seal(b"thanks", 0, true, &mut bytes).unwrap();
            let opened = server.open.open(&mut bytes.as_slice().into()).unwrap().unwrap();
            prop_assert!(opened.is_end && &opened.data[..] == b"thanks");
        }

        #[test]
        fn one_wrong_bit_is_found(server: u8, seed: u64, at: proptest::sample::Index, bit in 0_u8..8) {
            let (listener, mut random) = (listener(server), StdRng::seed_from_u64(seed));
            let (_, wire) =
                ClientHello::new(listener.public(), &ACCESS, Suite::Aes128Gcm, NOW, b"", &mut random).unwrap();
            let mut wrong = wire.clone();
            let at = at.index(wire.len());
            wrong[at] ^= 1 << bit;
            // What is filler may say anything; then it is the same flight, which the memory knows.
            match read(&listener, &wrong, 4096, NOW) {
                Progress::Hello(hello) => {
                    let Progress::Hello(right) = read(&listener, &wire, 4096, NOW) else { panic!() };
                    prop_assert_eq!(hello.representative, right.representative);
                }
                Progress::Refused(refusal) => {
                    prop_assert!(matches!(refusal, Refusal::NotMine | Refusal::WrongSecret), "{refusal}");
                }
                Progress::Need => prop_assert!(false, "it waits for more"),
            }
        }

        #[test]
        fn noise_is_refused_or_waited_for(server: u8, wire: Vec<u8>, piece in 1_usize..100) {
            prop_assert!(!matches!(read(&listener(server), &wire, piece, NOW), Progress::Hello(_)));
        }
    }

    #[test]
    fn says_why_to_the_operator_only() {
        let (mine, other, mut random) = (listener(1), listener(2), StdRng::seed_from_u64(3));
        let mut flight = |access: &Access| {
            ClientHello::new(mine.public(), access, Suite::Aes128Gcm, NOW, b"hello", &mut random).unwrap().1
        };
        let wire = flight(&ACCESS);
        assert_eq!(refusal(read(&other, &wire, 4096, NOW)), Some(Refusal::NotMine));
        let late = NOW + CLOCK_TOLERANCE_S + 1;
        assert_eq!(refusal(read(&mine, &wire, 4096, late)), Some(Refusal::Clock { off_s: -601 }));
        assert_eq!(refusal(read(&mine, &wire, 4096, NOW - 700)), Some(Refusal::Clock { off_s: 700 }));
        let wire = flight(&Access { id: *b"unknown!", ..ACCESS });
        assert_eq!(refusal(read(&mine, &wire, 4096, NOW)), Some(Refusal::UnknownAccess));
        let wire = flight(&Access { secret: [8; 32], ..ACCESS });
        assert_eq!(refusal(read(&mine, &wire, 4096, NOW)), Some(Refusal::WrongSecret));
    }

    #[test]
    fn what_follows_the_flight_is_not_lost() {
        let (listener, mut random) = (listener(1), StdRng::seed_from_u64(3));
        let (_, mut wire) =
            ClientHello::new(listener.public(), &ACCESS, Suite::Aes128Gcm, NOW, b"", &mut random).unwrap();
        wire.extend(b"more");
        let Progress::Hello(hello) = read(&listener, &wire, 4096, NOW) else { panic!() };
        assert_eq!(hello.rest, b"more");
    }

    #[test]
    fn too_much_does_not_go_along() {
        let mut random = StdRng::seed_from_u64(3);
        let early = vec![0; EARLY_LEN_MAX + 1];
        let key = *listener(1).public();
        assert!(ClientHello::new(&key, &ACCESS, Suite::Aes128Gcm, NOW, &early, &mut random).is_none());
        // A key of low order.
        assert!(ClientHello::new(&[0; 32], &ACCESS, Suite::Aes128Gcm, NOW, b"", &mut random).is_none());
    }
}
