//! What the first flight looks like.
//!
//! Filters that stop what is fully encrypted let pass a first packet that begins with printable characters, or holds a long
//! run of them, or in which clearly fewer or more than half the bits are set (Wu et al., How the Great Firewall of China
//! Detects and Blocks Fully Encrypted Traffic, USENIX Security 2023, section 4). Every server has a dress of its own, which
//! follows from its key, so that what one looks like does not tell what others do.

use rand_core::CryptoRng;

use super::keys::{Derived, Suite};

/// The first part of a flight: the ephemeral key and the sealed head.
pub(super) const HEAD_LEN: usize = 64;
/// The same as text, six bits a character.
const HEAD_TEXT_LEN: usize = (HEAD_LEN * 8).div_ceil(6);
/// So much of a flight is never moved: the weighted dresses depend on it.
const STILL_LEN: usize = 32;
/// Of 256 bytes after it, how many are filler in a weighted dress.
const FILLERS: u8 = 128;
/// Bytes from the wire that any flight fits into.
pub(super) const WIRE_LEN_MAX: usize = 8 << 10;

/// How a server's first flights look.
pub(super) struct Dress {
    look: Look,
    key: Derived,
}

enum Look {
    /// The head is a line of text, in an alphabet of the server's own.
    Text(Box<[u8; 64]>),
    /// Between the bytes lie others that have few bits set, or nearly all.
    Weighted { heavy: bool },
}

impl Dress {
    /// That of the server with this key.
    pub(super) fn of(server: &[u8; 32]) -> Option<Self> {
        let key = Derived::new(b"daylight plain 1 dress", server);
        let mut choice = [0; 1 + 2 * 94];
        key.fill(&[b"look"], &mut choice).ok()?;
        let (look, shuffle) = choice.split_first()?;
        let look = match look % 4 {
            0 => Look::Weighted { heavy: false },
            1 => Look::Weighted { heavy: true },
            // Everything printable but the space.
            _ => {
                let mut symbols: Vec<(u16, u8)> = shuffle
                    .chunks_exact(2)
                    .zip(b'!'..=b'~')
                    .map(|(order, symbol)| (u16::from_be_bytes([order[0], order[1]]), symbol))
                    .collect();
                symbols.sort_unstable();
                let mut alphabet = Box::new([0; 64]);
                alphabet.iter_mut().zip(symbols).for_each(|(place, (_, symbol))| *place = symbol);
                Look::Text(alphabet)
            }
        };
        Some(Self { look, key })
    }

    /// How many characters are to follow the head; the head says so.
    pub(super) fn trail(&self, random: &mut impl CryptoRng) -> u8 {
        match self.look {
            Look::Text(_) => (random.next_u32() % 100) as u8,
            Look::Weighted { .. } => 0,
        }
    }

    /// Dresses a flight of which the head says that so many characters follow it.
    pub(super) fn put_on(&self, flight: &[u8], trail: u8, random: &mut impl CryptoRng) -> Option<Vec<u8>> {
        let mut wire = Vec::with_capacity(2 * flight.len() + 256);
        match &self.look {
            Look::Text(alphabet) => {
                let (head, rest) = flight.split_at_checked(HEAD_LEN)?;
                let spare = (random.next_u32() & 0xf) as u8;
                wire.extend(sixes(head, spare).map(|six| alphabet[usize::from(six)]));
                wire.extend((0..trail).map(|_| alphabet[random.next_u32() as usize % 64]));
                wire.extend(rest);
            }
            Look::Weighted { heavy } => {
                let (still, mut rest) = flight.split_at_checked(STILL_LEN)?;
                wire.extend(still);
                let mut fillers = self.fillers(still, WIRE_LEN_MAX)?;
                while let Some((byte, more)) = rest.split_first() {
                    if fillers.next()? {
                        wire.push(filler(*heavy, random));
                    } else {
                        wire.push(*byte);
                        rest = more;
                    }
                }
            }
        }
        Some(wire)
    }

    /// The first `length` bytes of the flight, and how many bytes of the wire hold them; `None` as long as there are too
    /// few.
    pub(super) fn take_off(&self, wire: &[u8], length: usize, trail: u8) -> Option<(Vec<u8>, usize)> {
        let mut flight = Vec::with_capacity(length);
        match &self.look {
            Look::Text(alphabet) => {
                let text = wire.get(..HEAD_TEXT_LEN)?;
                // What is not of the alphabet stands for something: the seal finds it.
                let six = |symbol: &u8| alphabet.iter().position(|one| one == symbol).unwrap_or(0) as u32;
                for group in text.chunks(4) {
                    let bits = group.iter().fold(0, |bits, symbol| bits << 6 | six(symbol));
                    let bits = bits << (6 * (4 - group.len()));
                    flight.extend(bits.to_be_bytes().into_iter().skip(1).take(group.len() * 6 / 8));
                }
                if length == HEAD_LEN {
                    return Some((flight, HEAD_TEXT_LEN));
                }
                let start = HEAD_TEXT_LEN + usize::from(trail);
                let end = start + length.checked_sub(HEAD_LEN)?;
                flight.extend(wire.get(start..end)?);
                Some((flight, end))
            }
            Look::Weighted { .. } => {
                let (still, rest) = wire.split_at_checked(STILL_LEN)?;
                flight.extend(still);
                for (at, (byte, is_filler)) in rest.iter().zip(self.fillers(still, rest.len())?).enumerate() {
                    if !is_filler {
                        flight.push(*byte);
                    }
                    if flight.len() == length {
                        return Some((flight, STILL_LEN + at + 1));
                    }
                }
                None
            }
        }
    }

    /// For each of so many bytes after those, whether it is filler.
    fn fillers(&self, still: &[u8], count: usize) -> Option<impl Iterator<Item = bool> + use<>> {
        // A stream cipher's key stream.
        let mut places = vec![0; count];
        self.key.cipher(Suite::ChaCha20Poly1305, &[b"fillers", still]).ok()?.seal(&mut places, 0).ok()?;
        Some(places.into_iter().take(count).map(|place| place < FILLERS))
    }
}

/// A byte with at most two bits set, or at most two that are not.
fn filler(heavy: bool, random: &mut impl CryptoRng) -> u8 {
    let bits = random.next_u32();
    let light = (1 << (bits & 7)) | (1 << (bits >> 3 & 7));
    // One in four has a single bit, beside those where both are the same.
    let light = if bits >> 6 & 3 == 0 { light & (light - 1) } else { light };
    if heavy { !(light as u8) } else { light as u8 }
}

/// Six bits at a time; `spare` fills up the last.
fn sixes(bytes: &[u8], spare: u8) -> impl Iterator<Item = u8> {
    bytes.chunks(3).flat_map(move |group| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = match group.len() {
            1 => bits << 16 | u32::from(spare) << 12,
            _ => bits << (8 * (3 - group.len())),
        };
        let count = (group.len() * 8).div_ceil(6);
        (0..count).map(move |at| (bits >> (18 - 6 * at) & 0x3f) as u8)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// Three of the exemptions, as the paper words them, for any beginning of a flight that a packet may end at.
    fn is_exempt(packet: &[u8]) -> bool {
        let set: u32 = packet.iter().map(|byte| byte.count_ones()).sum();
        let mean = f64::from(set) / packet.len() as f64;
        let printable = |byte: &u8| (0x20..=0x7e).contains(byte);
        let run = packet.split(|byte| !printable(byte)).map(<[u8]>::len).max().unwrap_or(0);
        mean <= 3.4 || mean >= 4.6 || packet[..6].iter().all(printable) && run > 20
    }

    proptest! {
        #[test]
        fn comes_off_again(server: [u8; 32], seed: u64, rest in super::super::hello::EARLY_BOX_LEN_MIN..1500) {
            let mut random = StdRng::seed_from_u64(seed);
            let mut flight = vec![0; HEAD_LEN + rest];
            random.fill_bytes(&mut flight);
            let dress = Dress::of(&server).unwrap();
            let trail = dress.trail(&mut random);
            let wire = dress.put_on(&flight, trail, &mut random).unwrap();
            prop_assert!(wire.len() <= WIRE_LEN_MAX);
            let (head, used) = dress.take_off(&wire, HEAD_LEN, 0).unwrap();
            prop_assert_eq!(&head, &flight[..HEAD_LEN]);
            prop_assert!(dress.take_off(&wire[..used - 1], HEAD_LEN, 0).is_none());
            let (whole, used) = dress.take_off(&wire, flight.len(), trail).unwrap();
            prop_assert_eq!(&whole, &flight);
            prop_assert!(dress.take_off(&wire[..used - 1], flight.len(), trail).is_none());
            for length in [536, 1220, 1460, wire.len()].into_iter().filter(|length| *length <= wire.len()) {
                prop_assert!(is_exempt(&wire[..length]), "{length} of {}", wire.len());
            }
        }

        #[test]
        fn anything_can_come(server: [u8; 32], wire: Vec<u8>, length in 0_usize..3000, trail: u8) {
            let dress = Dress::of(&server).unwrap();
            if let Some((_, used)) = dress.take_off(&wire, HEAD_LEN + length, trail) {
                prop_assert!(used <= wire.len());
            }
        }
    }

    #[test]
    fn servers_look_different() {
        let looks: Vec<u8> = (0..64)
            .map(|at| match Dress::of(&[at; 32]).unwrap().look {
                Look::Text(alphabet) => alphabet[0],
                Look::Weighted { heavy } => u8::from(heavy),
            })
            .collect();
        let mut different = looks.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 20 && different[..2] == [0, 1], "{looks:?}");
    }
}
