//! The code that finds and mends what was mistyped: Reed–Solomon over GF(2¹⁰), a symbol being two characters.
//!
//! Six check symbols give a distance of seven: two wrong symbols are mended and, beside them, any two more are still
//! found. Of words that were never written about one in 10⁸ is taken for a mendable one. A word has at most 1023 symbols.

/// How many check symbols there are.
pub(super) const CHECKS: usize = 6;
/// The most symbols of a word.
pub(super) const SYMBOLS_MAX: usize = 1023;
/// x¹⁰ + x³ + 1, which is primitive.
const POLYNOMIAL: u16 = 0x409;
const ORDER: usize = 1023;

/// Powers of the generator twice over, so that sums of two logarithms need no reduction; and logarithms.
const TABLES: ([u16; 2 * ORDER], [u16; 1024]) = {
    let mut powers = [0; 2 * ORDER];
    let mut logs = [0; 1024];
    let mut power = 1;
    let mut at = 0;
    while at < ORDER {
        powers[at] = power;
        powers[at + ORDER] = power;
        logs[power as usize] = at as u16;
        power <<= 1;
        if power & 0x400 != 0 {
            power ^= POLYNOMIAL;
        }
        at += 1;
    }
    (powers, logs)
};

fn log(a: u16) -> usize {
    usize::from(TABLES.1[usize::from(a)])
}

/// The generator to this power.
fn power(exponent: usize) -> u16 {
    TABLES.0[exponent % ORDER]
}

fn mul(a: u16, b: u16) -> u16 {
    if a == 0 || b == 0 { 0 } else { TABLES.0[log(a) + log(b)] }
}

/// `b` is not zero.
fn div(a: u16, b: u16) -> u16 {
    if a == 0 { 0 } else { TABLES.0[log(a) + ORDER - log(b)] }
}

/// (x + g)(x + g²)…(x + g⁶) without its leading one, the highest power first.
fn generator() -> [u16; CHECKS] {
    let mut product = [0; CHECKS + 1];
    product[CHECKS] = 1;
    for root in 1..=CHECKS {
        for at in 0..CHECKS {
            product[at] = product[at + 1] ^ mul(product[at], power(root));
        }
        product[CHECKS] = mul(product[CHECKS], power(root));
    }
    std::array::from_fn(|at| product[at + 1])
}

/// The check symbols of a message.
pub(super) fn checks(message: &[u16]) -> [u16; CHECKS] {
    let generator = generator();
    let mut rest = [0; CHECKS];
    for symbol in message {
        let first = symbol ^ rest[0];
        rest.rotate_left(1);
        rest[CHECKS - 1] = 0;
        for (rest, factor) in rest.iter_mut().zip(generator) {
            *rest ^= mul(first, factor);
        }
    }
    rest
}

/// A wrong symbol: where it is, and what has to be added to it.
pub(super) type Wrong = (usize, u16);

/// Finds at most `most` (1 or 2) wrong symbols of a word: message and checks. `None` if there are more.
pub(super) fn find(word: &[u16], most: usize) -> Option<Vec<Wrong>> {
    let s: [u16; CHECKS] =
        std::array::from_fn(|at| word.iter().fold(0, |sum, symbol| mul(sum, power(at + 1)) ^ symbol));
    if s == [0; CHECKS] {
        return Some(Vec::new());
    }
    // The symbol whose place has this value.
    let place = |x: u16| (x != 0 && log(x) < word.len()).then(|| word.len() - 1 - log(x));
    if s[0] != 0 {
        let x = div(s[1], s[0]);
        if x != 0 && s.windows(2).all(|pair| pair[1] == mul(pair[0], x)) {
            return place(x).map(|at| vec![(at, div(s[0], x))]);
        }
    }
    let determinant = mul(s[1], s[1]) ^ mul(s[0], s[2]);
    if most < 2 || determinant == 0 {
        return None;
    }
    // The places are the roots of x² + sum·x + product, and the syndromes its recurrence.
    let sum = div(mul(s[2], s[1]) ^ mul(s[0], s[3]), determinant);
    let product = div(mul(s[1], s[3]) ^ mul(s[2], s[2]), determinant);
    let follows = |three: &[u16]| three[2] == mul(sum, three[1]) ^ mul(product, three[0]);
    if !s.windows(3).all(follows) {
        return None;
    }
    let is_root = |x: &u16| mul(*x, *x) ^ mul(sum, *x) ^ product == 0;
    let x1 = (0..word.len()).map(power).find(is_root)?;
    let x2 = sum ^ x1;
    let y1 = div(s[1] ^ mul(x2, s[0]), mul(x1, sum));
    let y2 = div(s[0] ^ mul(y1, x1), x2);
    (x1 != x2 && y1 != 0 && y2 != 0).then_some(())?;
    Some(vec![(place(x1)?, y1), (place(x2)?, y2)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = Vec<u16>> {
        proptest::collection::vec(0..1024u16, 1..SYMBOLS_MAX - CHECKS).prop_map(|mut word| {
            let checks = checks(&word);
            word.extend(checks);
            word
        })
    }

    proptest! {
        #[test]
        fn two_wrong_symbols_are_found(
            word in word(),
            at in any::<[prop::sample::Index; 2]>(),
            add in (1..1024u16, 0..1024u16),
        ) {
            prop_assert_eq!(find(&word, 2), Some(vec![]));
            let mut read = word.clone();
            read[at[0].index(word.len())] ^= add.0;
            read[at[1].index(word.len())] ^= add.1;
            for (place, add) in find(&read, 2).unwrap() {
                read[place] ^= add;
            }
            prop_assert_eq!(read, word);
        }

        #[test]
        fn three_or_four_are_not_taken_for_two(
            word in word(),
            at in any::<[prop::sample::Index; 4]>(),
            add in (1..1024u16, 1..1024u16, 1..1024u16, 0..1024u16),
        ) {
            let places: std::collections::BTreeSet<usize> = at.iter().map(|at| at.index(word.len())).collect();
            prop_assume!(places.len() == 4);
            let mut read = word;
            for (place, add) in places.iter().zip([add.0, add.1, add.2, add.3]) {
                read[*place] ^= add;
            }
            prop_assert_eq!(find(&read, 2), None);
        }
    }
}
