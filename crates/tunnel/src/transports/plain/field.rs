//! Integers modulo 2²⁵⁵ − 19, for [Elligator](super::elligator): formally verified arithmetic (fiat-crypto) with operators.
//! Everything takes the same time whatever the values are.

use std::ops::{Add, Mul, Neg, Sub};

use fiat_crypto::curve25519_64::{
    fiat_25519_add, fiat_25519_carry, fiat_25519_carry_mul, fiat_25519_carry_square, fiat_25519_from_bytes,
    fiat_25519_loose_field_element as Loose, fiat_25519_opp, fiat_25519_relax, fiat_25519_selectznz,
    fiat_25519_sub, fiat_25519_tight_field_element as Tight, fiat_25519_to_bytes,
};
use subtle::ConstantTimeEq as _;

/// An integer modulo 2²⁵⁵ − 19.
#[derive(Clone, Copy)]
pub(super) struct Field(Tight);

impl Field {
    pub(super) const ZERO: Self = Self(Tight([0; 5]));
    pub(super) const ONE: Self = Self(Tight([1, 0, 0, 0, 0]));

    pub(super) const fn small(value: u32) -> Self {
        Self(Tight([value as u64, 0, 0, 0, 0]))
    }

    /// Of 32 bytes, the least significant first; the highest bit is ignored.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut bytes = *bytes;
        bytes[31] &= 0x7f;
        let mut value = Self::ZERO;
        fiat_25519_from_bytes(&mut value.0, &bytes);
        value
    }

    /// The same, as the least number there is for it.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        fiat_25519_to_bytes(&mut bytes, &self.0);
        bytes
    }

    fn loose(self) -> Loose {
        let mut loose = Loose([0; 5]);
        fiat_25519_relax(&mut loose, &self.0);
        loose
    }

    fn carried(loose: &Loose) -> Self {
        let mut value = Self::ZERO;
        fiat_25519_carry(&mut value.0, loose);
        value
    }

    pub(super) fn square(self) -> Self {
        let mut value = Self::ZERO;
        fiat_25519_carry_square(&mut value.0, &self.loose());
        value
    }

    fn squared(self, times: u32) -> Self {
        (0..times).fold(self, |value, _| value.square())
    }

    pub(super) fn is(self, other: Self) -> bool {
        self.to_bytes().ct_eq(&other.to_bytes()).into()
    }

    /// Above (p − 1) / 2: of a value and its negative one is, unless both are 0.
    pub(super) fn is_negative(self) -> bool {
        // Twice a value from (p + 1) / 2 on is reduced by p, which is odd, and so becomes odd.
        (self + self).to_bytes()[0] & 1 == 1
    }

    /// `other` if `choice`.
    pub(super) fn or(self, other: Self, choice: bool) -> Self {
        let mut value = Self::ZERO;
        fiat_25519_selectznz(&mut value.0.0, u8::from(choice), &self.0.0, &other.0.0);
        value
    }

    /// To the power of (p − 5) / 8 = 2²⁵² − 3.
    fn power(self) -> Self {
        // `ones(n)` is this to the power of 2ⁿ − 1.
        let ones_2 = self.square() * self;
        let ones_4 = ones_2.squared(2) * ones_2;
        let ones_5 = ones_4.square() * self;
        let ones_10 = ones_5.squared(5) * ones_5;
        let ones_20 = ones_10.squared(10) * ones_10;
        let ones_40 = ones_20.squared(20) * ones_20;
        let ones_50 = ones_40.squared(10) * ones_10;
        let ones_100 = ones_50.squared(50) * ones_50;
        let ones_200 = ones_100.squared(100) * ones_100;
        let ones_250 = ones_200.squared(50) * ones_50;
        ones_250.squared(2) * self
    }

    /// 1 / this; 0 of 0.
    pub(super) fn inverse(self) -> Self {
        // p − 2 = 8 (2²⁵² − 3) + 3.
        self.power().squared(3) * self.square() * self
    }

    /// The root of `self / below` that is not negative, and whether it is one: else it is of √−1 times that. 0 if `below`
    /// is 0. (The way of Bernstein et al., High-speed high-security signatures, section 5.)
    pub(super) fn root_of_ratio(self, below: Self) -> (Self, bool) {
        let below_3 = below.square() * below;
        let below_7 = below_3.square() * below;
        let root = self * below_3 * (self * below_7).power();
        let check = below * root.square();
        let is_off_by_sign = check.is(-self);
        let is_root = check.is(self) | is_off_by_sign;
        let root = root.or(root * ROOT_OF_MINUS_1, is_off_by_sign);
        (root.or(-root, root.is_negative()), is_root)
    }
}

/// √−1: 2 to the power of (p − 1) / 4. Five limbs of 51 bits.
const ROOT_OF_MINUS_1: Field = Field(Tight([
    0x0006_1b27_4a0e_a0b0,
    0x0000_d5a5_fc8f_189d,
    0x0007_ef5e_9cbd_0c60,
    0x0007_8595_a680_4c9e,
    0x0002_b832_4804_fc1d,
]));

impl Add for Field {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let mut sum = Loose([0; 5]);
        fiat_25519_add(&mut sum, &self.0, &other.0);
        Self::carried(&sum)
    }
}

impl Sub for Field {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let mut difference = Loose([0; 5]);
        fiat_25519_sub(&mut difference, &self.0, &other.0);
        Self::carried(&difference)
    }
}

impl Neg for Field {
    type Output = Self;

    fn neg(self) -> Self {
        let mut negative = Loose([0; 5]);
        fiat_25519_opp(&mut negative, &self.0);
        Self::carried(&negative)
    }
}

impl Mul for Field {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let mut product = Self::ZERO;
        fiat_25519_carry_mul(&mut product.0, &self.loose(), &other.loose());
        product
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn minus_one_has_a_root() {
        assert!(ROOT_OF_MINUS_1.square().is(-Field::ONE));
        assert!(!ROOT_OF_MINUS_1.is_negative() || !(-ROOT_OF_MINUS_1).is_negative());
        assert!(!Field::ZERO.is_negative() && !Field::ONE.is_negative() && (-Field::ONE).is_negative());
    }

    proptest! {
        #[test]
        fn roots(bytes: [u8; 32], below: [u8; 32]) {
            let (value, below) = (Field::from_bytes(&bytes), Field::from_bytes(&below));
            prop_assume!(!below.is(Field::ZERO) && !value.is(Field::ZERO));
            let (root, is_root) = value.root_of_ratio(below);
            prop_assert!(!root.is_negative());
            prop_assert_eq!((root.square() * below).is(value), is_root);
            // A square and √−1, which is none.
            let ratio = value.square() * below;
            prop_assert!(ratio.root_of_ratio(below).1);
            prop_assert!(!(ratio * ROOT_OF_MINUS_1).root_of_ratio(below).1);
            prop_assert_ne!(value.is_negative(), (-value).is_negative());
            prop_assert!((value * value.inverse()).is(Field::ONE));
        }
    }
}
