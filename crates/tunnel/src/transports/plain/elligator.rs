//! Keys of X25519 that look like 32 random bytes: the map Elligator 2 for Curve25519, and its inverse.
//!
//! An X25519 key says of itself that it is one: it lies on the curve, which half of all numbers don't, and in the subgroup
//! of prime order. Bernstein, Hamburg, Krasnova and Lange (Elligator, CCS 2013, section 5) map every number to a point, and
//! about half the points back. So that every point comes up, also those outside the subgroup, a point of low order is added
//! to the key, which the other side's scalar, a multiple of 8, takes off again; and the two bits that no number has are
//! drawn at random. The direct map is that of RFC 9380, section 6.7.1.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::field::Field;

/// The curve is v² = u³ + A u² + u.
const A: Field = Field::small(486_662);
/// Bits of a representative's last byte that say nothing.
const SPARE: u8 = 0xc0;

/// What goes over the wire in place of a key: any 32 bytes.
pub type Representative = [u8; 32];

/// A key pair for one use.
pub struct Ephemeral {
    secret: Zeroizing<[u8; 32]>,
    representative: Representative,
}

impl Ephemeral {
    /// Draws one; about half of those drawn have no representative, and are thrown away.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        loop {
            let mut secret = Zeroizing::new([0; 32]);
            let mut tweak = [0];
            random.fill_bytes(&mut *secret);
            random.fill_bytes(&mut tweak);
            if let Some(representative) = represent(dirty(&secret, tweak[0]), tweak[0]) {
                return Self { secret, representative };
            }
        }
    }

    /// The public key, as it goes over the wire.
    pub fn representative(&self) -> &Representative {
        &self.representative
    }

    /// The secret shared with whoever has the secret of this point; `None` for a point of low order, with which there is
    /// no secret.
    pub fn agree(&self, with: &MontgomeryPoint) -> Option<Zeroizing<[u8; 32]>> {
        agree(&self.secret, with)
    }
}

/// The secret that the owners of `secret` and of `point`'s secret share; `None` for a point of low order.
pub fn agree(secret: &[u8; 32], point: &MontgomeryPoint) -> Option<Zeroizing<[u8; 32]>> {
    let shared = Zeroizing::new(point.mul_clamped(*secret).to_bytes());
    (*shared != [0; 32]).then_some(shared)
}

/// The key of `secret`, and one of the eight points of low order, by the tweak's lowest bits.
fn dirty(secret: &[u8; 32], tweak: u8) -> MontgomeryPoint {
    let low = EIGHT_TORSION[usize::from(tweak & 7)];
    (EdwardsPoint::mul_base_clamped(*secret) + low).to_montgomery()
}

/// The point that is represented: every 32 bytes are some point.
pub fn point(representative: &Representative) -> MontgomeryPoint {
    let mut bytes = *representative;
    bytes[31] &= !SPARE;
    let r = Field::from_bytes(&bytes);
    // u = −A / (1 + 2 r²), or −u − A if that is on the twist. 1 + 2 r² is never 0: −1/2 is no square.
    let below = Field::ONE + r.square() + r.square();
    // u³ + A u² + u = u (u² + A u + 1), here over below³.
    let above = -A * (A.square() - A.square() * below + below.square());
    let (_, is_on_curve) = above.root_of_ratio(below.square() * below);
    let u = -A * below.inverse();
    MontgomeryPoint(u.or(-u - A, !is_on_curve).to_bytes())
}

/// The representative of a point, if there is one; of the two that its two v give, the tweak's third bit chooses, and its
/// highest two fill up the last byte.
fn represent(point: MontgomeryPoint, tweak: u8) -> Option<Representative> {
    let u = Field::from_bytes(&point.to_bytes());
    let other = u + A;
    let (above, below) = (u.or(other, tweak & 8 != 0), other.or(u, tweak & 8 != 0));
    // r = √(−u / 2(u + A)) or √(−(u + A) / 2u).
    let (r, is_root) = (-above).root_of_ratio(below + below);
    let mut bytes = r.to_bytes();
    bytes[31] |= tweak & SPARE;
    // The root of 0 is of points that nobody draws.
    (is_root && !r.is(Field::ZERO)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn number(hex: &str) -> [u8; 32] {
        let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(|at| digit(31 - at))
    }

    /// RFC 9380, appendix J.4.2: u[0] and Q.x.
    const MAPPED: [[&str; 2]; 5] = [
        [
            "608d892b641f0328523802a6603427c26e55e6f27e71a91a478148d45b5093cd",
            "51125222da5e763d97f3c10fcc92ea6860b9ccbbd2eb1285728f566721c1e65b",
        ],
        [
            "46f5b22494bfeaa7f232cc8d054be68561af50230234d7d1d63d1d9abeca8da5",
            "7d56d1e08cb0ccb92baf069c18c49bb5a0dcd927eff8dcf75ca921ef7f3e6eeb",
        ],
        [
            "235fe40c443766ce7e18111c33862d66c3b33267efa50d50f9e8e5d252a40aaa",
            "3fbe66b9c9883d79e8407150e7c2a1c8680bee496c62fabe4619a72b3cabe90f",
        ],
        [
            "001e92a544463bda9bd04ddbe3d6eed248f82de32f522669efc5ddce95f46f5b",
            "227e0bb89de700385d19ec40e857db6e6a3e634b1c32962f370d26f84ff19683",
        ],
        [
            "1a68a1af9f663592291af987203393f707305c7bac9c8d63d6a729bdc553dc19",
            "3bcd651ee54d5f7b6013898aab251ee8ecc0688166fce6e9548d38472f6bd196",
        ],
    ];

    #[test]
    fn as_in_the_standard() {
        for [r, u] in MAPPED {
            // Of r and −r, which are mapped to the same, a representative is the lesser one.
            let r = Field::from_bytes(&number(r));
            let r = r.or(-r, r.is_negative()).to_bytes();
            let mapped = point(&r);
            assert_eq!(mapped.to_bytes(), number(u));
            let back = [0, 8].map(|tweak| represent(mapped, tweak));
            assert!(back.contains(&Some(r)), "{back:x?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_point(representative: [u8; 32]) {
            let mapped = point(&representative);
            // On the curve, not on its twist.
            prop_assert!(mapped.to_edwards(0).is_some());
            let spare = representative[31] & SPARE;
            let back = [spare, spare | 8].map(|tweak| represent(mapped, tweak));
            let r = Field::from_bytes(&{ let mut r = representative; r[31] &= !SPARE; r });
            // Half of what has 254 bits is a hair above (p − 1) / 2, and stands for its negative.
            let least = { let mut least = r.or(-r, r.is_negative()).to_bytes(); least[31] |= spare; least };
            prop_assert!(back.contains(&Some(least)));
        }

        #[test]
        fn both_sides_agree(seed: u64, secret: [u8; 32]) {
            let mut random = StdRng::seed_from_u64(seed);
            let ephemeral = Ephemeral::generate(&mut random);
            let key = MontgomeryPoint::mul_base_clamped(secret);
            let ours = ephemeral.agree(&key).unwrap();
            let theirs = agree(&secret, &point(ephemeral.representative())).unwrap();
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn with_a_point_of_low_order_there_is_no_secret() {
        let ephemeral = Ephemeral::generate(&mut StdRng::seed_from_u64(1));
        for low in EIGHT_TORSION {
            assert!(ephemeral.agree(&low.to_montgomery()).is_none());
        }
    }

    /// Each bit is set in half of the representatives: of 4,000 draws each count is within
    /// five standard deviations.
    #[test]
    fn looks_random() {
        const DRAWS: usize = 4_000;
        let mut random = StdRng::seed_from_u64(2);
        let mut set = [0_usize; 256];
        let mut in_subgroup = 0_usize;
        for _ in 0..DRAWS {
            let ephemeral = Ephemeral::generate(&mut random);
            for (bit, count) in set.iter_mut().enumerate() {
                *count += usize::from(ephemeral.representative()[bit / 8] >> (bit % 8) & 1);
            }
            let point = point(ephemeral.representative());
            in_subgroup += usize::from(point.to_edwards(0).unwrap().is_torsion_free());
        }
        let off = |count: usize, part: f64| {
            let expected = DRAWS as f64 * part;
            (count as f64 - expected).abs() / (expected * (1.0 - part)).sqrt()
        };
        for (bit, count) in set.iter().enumerate() {
            assert!(off(*count, 0.5) < 5.0, "bit {bit}: {count}");
        }
        // One in eight, as of random points.
        assert!(off(in_subgroup, 0.125) < 5.0, "{in_subgroup}");
    }
}
