//! The tests by which two groups of connections are compared, and the measures that detectors use.
//!
//! Each gives the probability of what was seen, or of something more extreme, if there is no difference. Formulas as in
//! any textbook; the sources name the one that was followed where there is a choice.

use std::collections::BTreeMap;

use crate::hop::random::Random;

/// Shannon entropy in bits a byte, 0 to 8; 0 for nothing.
pub fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / total).map(|share| -share * share.log2()).sum()
}

/// Fisher's exact test, one-sided: how probable it is to have at least `hits` of `total` here, and the rest there, if both
/// have the same rate.
pub fn fisher_greater(hits: usize, total: usize, control_hits: usize, control_total: usize) -> f64 {
    let all = total + control_total;
    let marked = hits + control_hits;
    let chance = |k: usize| {
        (ln_choose(total, k) + ln_choose(control_total, marked - k) - ln_choose(all, marked)).exp()
    };
    (hits..=total.min(marked)).map(chance).sum::<f64>().min(1.0)
}

/// Pearson's test of homogeneity of two lists of categories; 1 if there is nothing to compare. Where fewer than five of a
/// category are expected on a side, the distribution of χ² does not hold (Cochran's rule); then the statistic is compared with
/// those of 9,999 random divisions of the same items (the same ones each time).
pub fn chi_square<T: Ord>(one: impl IntoIterator<Item = T>, other: impl IntoIterator<Item = T>) -> f64 {
    const DIVISIONS: u32 = 9_999;
    let mut numbers: BTreeMap<T, usize> = BTreeMap::new();
    let mut numbered = |items: &mut dyn Iterator<Item = T>| -> Vec<usize> {
        items
            .map(|item| {
                let next = numbers.len();
                *numbers.entry(item).or_insert(next)
            })
            .collect()
    };
    let one = numbered(&mut one.into_iter());
    let other = numbered(&mut other.into_iter());
    let mut totals = vec![0.0; numbers.len()];
    one.iter().chain(&other).for_each(|n| totals[*n] += 1.0);
    let size = (one.len() + other.len()) as f64;
    if totals.len() < 2 || one.is_empty() || other.is_empty() {
        return 1.0;
    }
    let shares = [one.len() as f64 / size, other.len() as f64 / size];
    // The other side follows from the totals.
    let statistic = |one: &[usize]| -> f64 {
        let mut counts = vec![0.0; totals.len()];
        one.iter().for_each(|n| counts[*n] += 1.0);
        let both = |(count, total): (&f64, &f64)| {
            let off = count - total * shares[0];
            off * off / (total * shares[0]) + off * off / (total * shares[1])
        };
        counts.iter().zip(&totals).map(both).sum()
    };
    let seen = statistic(&one);
    if totals.iter().all(|total| total * shares[0].min(shares[1]) >= 5.0) {
        return gamma_upper((totals.len() - 1) as f64 / 2.0, seen / 2.0);
    }
    let mut dice = Random::new(1);
    let mut items = [one.as_slice(), &other].concat();
    let as_far = (0..DIVISIONS).filter(|_| {
        // The first part of a shuffle (Fisher–Yates) is a random division.
        for n in 0..one.len() {
            let with = n + dice.below(items.len() - n);
            items.swap(n, with);
        }
        statistic(&items[..one.len()]) >= seen * (1.0 - 1e-9)
    });
    f64::from(1 + as_far.count() as u32) / f64::from(1 + DIVISIONS)
}

/// The two-sample test of Kolmogorov and Smirnov, two-sided, by the asymptotic formula with Stephens's correction for small
/// samples. 1 if one of them is empty.
pub fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> f64 {
    let (above, below) = distances(one, other);
    let size = effective_size(one, other);
    let lambda = (size.sqrt() + 0.12 + 0.11 / size.sqrt()) * above.max(below);
    if lambda < 0.2 || size == 0.0 {
        return 1.0;
    }
    let term = |k: i32| {
        f64::from(if k % 2 == 1 { 2 } else { -2 }) * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// The same, one-sided: small if `one` tends to larger values than `other`.
pub fn tends_higher(one: &[f64], other: &[f64]) -> f64 {
    let (_, below) = distances(one, other);
    let size = effective_size(one, other);
    (-2.0 * size * below * below).exp()
}

/// How far the distribution function of `one` rises above that of `other`, and how far it falls below it.
fn distances(one: &[f64], other: &[f64]) -> (f64, f64) {
    if one.is_empty() || other.is_empty() {
        return (0.0, 0.0);
    }
    let share = |of: &[f64], at: f64| of.iter().filter(|v| **v <= at).count() as f64 / of.len() as f64;
    let at_each = one.iter().chain(other).map(|at| share(one, *at) - share(other, *at));
    at_each.fold((0.0, 0.0), |(above, below): (f64, f64), d| (above.max(d), below.max(-d)))
}

fn effective_size(one: &[f64], other: &[f64]) -> f64 {
    let (n, m) = (one.len() as f64, other.len() as f64);
    if n + m == 0.0 { 0.0 } else { n * m / (n + m) }
}

/// The middle value; of an even number, the upper of both. `None` if there is none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// How far a point lies from the middle of a cloud: `sqrt((x − m)ᵀ S⁻¹ (x − m))`, with the inverse covariance given.
pub fn mahalanobis<const N: usize>(point: &[f64; N], mean: &[f64; N], inverse: &[[f64; N]; N]) -> f64 {
    let off: [f64; N] = std::array::from_fn(|i| point[i] - mean[i]);
    let row = |row: &[f64; N]| row.iter().zip(&off).map(|(a, b)| a * b).sum::<f64>();
    inverse.iter().zip(&off).map(|(weights, x)| row(weights) * x).sum::<f64>().max(0.0).sqrt()
}

fn ln_choose(n: usize, k: usize) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
}

/// The logarithm of the gamma function, by Lanczos's approximation (g = 7, nine terms); good to 15 digits for x ≥ 0.5.
fn ln_gamma(x: f64) -> f64 {
    const FIRST: f64 = 0.999_999_999_999_809_9;
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = TERMS.iter().zip(1..).fold(FIRST, |sum, (term, i)| sum + term / (x + f64::from(i)));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The upper regularised incomplete gamma function Q(a, x): the tail of the χ² distribution with 2a degrees of freedom
/// beyond 2x. By its series below a + 1, by Lentz's continued fraction above.
fn gamma_upper(a: f64, x: f64) -> f64 {
    const STEPS: i32 = 500;
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..STEPS {
            term *= x / (a + f64::from(n));
            sum += term;
        }
        return (1.0 - sum * scale).clamp(0.0, 1.0);
    }
    let mut b = x + 1.0 - a;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for n in 1..STEPS {
        let n = f64::from(n);
        let factor = -n * (n - a);
        b += 2.0;
        d = 1.0 / (factor * d + b);
        c = b + factor / c;
        fraction *= d * c;
    }
    (scale * fraction).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-3 * expected.max(0.1), "{value} is not {expected}");
    }

    #[test]
    fn fisher_and_the_lady_tasting_tea() {
        // Fisher 1935: all four cups of four right, 1/70; three or more, 17/70.
        near(fisher_greater(4, 4, 0, 4), 1.0 / 70.0);
        near(fisher_greater(3, 4, 1, 4), 17.0 / 70.0);
        near(fisher_greater(0, 1000, 0, 1000), 1.0);
        near(fisher_greater(10, 1000, 10, 1000), 0.588);
        // Seven of a thousand, where the control has none, is the least that tells at 1 %.
        assert!(fisher_greater(7, 1000, 0, 1000) < 0.01 && fisher_greater(6, 1000, 0, 1000) > 0.01);
    }

    #[test]
    fn chi_square_by_the_table() {
        // The 5 % and 1 % points for one degree of freedom, and for ten.
        near(gamma_upper(0.5, 3.841 / 2.0), 0.05);
        near(gamma_upper(0.5, 6.635 / 2.0), 0.01);
        near(gamma_upper(5.0, 18.307 / 2.0), 0.05);
        let list = |a: usize, b: usize| std::iter::repeat_n('a', a).chain(std::iter::repeat_n('b', b));
        // (30·30 − 10·10)² · 80 / 40⁴ = 20, beyond which lies 7.7e-6.
        assert!((chi_square(list(30, 10), list(10, 30)) - 7.744e-6).abs() < 1e-8);
        near(chi_square(list(20, 20), list(20, 20)), 1.0);
        near(chi_square(list(5, 0), list(0, 0)), 1.0);
        // By random divisions. All items differ: no division is further off than another.
        near(chi_square(0..10, 10..20), 1.0);
        // The lady's cups again, two-sided: 2/70; and eight against eight, which is 2/12870.
        assert!((chi_square(list(4, 0), list(0, 4)) - 2.0 / 70.0).abs() < 0.005);
        assert!(chi_square(list(8, 0), list(0, 8)) < 0.001);
    }

    #[test]
    fn kolmogorov_smirnov_by_the_table() {
        let one: Vec<f64> = (0..100).map(f64::from).collect();
        near(kolmogorov_smirnov(&one, &one), 1.0);
        // Critical distance at 5 % for two samples of 100: 1.358 · sqrt(2 / 100) = 0.192.
        let moved = |by: f64| one.iter().map(|v| v + by).collect::<Vec<_>>();
        assert!(
            kolmogorov_smirnov(&one, &moved(15.0)) > 0.05 && kolmogorov_smirnov(&one, &moved(22.0)) < 0.05
        );
        assert!(tends_higher(&moved(30.0), &one) < 0.001 && tends_higher(&moved(-30.0), &one) > 0.9);
        near(kolmogorov_smirnov(&one, &[]), 1.0);
    }

    #[test]
    fn entropy_and_distance() {
        near(entropy(b"aaaa"), 0.0);
        near(entropy(b"abab"), 1.0);
        near(entropy(&(0..=255).collect::<Vec<u8>>()), 8.0);
        near(entropy(b""), 0.0);
        // With the unit matrix it is Euclid's distance.
        near(mahalanobis(&[3.0, 4.0], &[0.0, 0.0], &[[1.0, 0.0], [0.0, 1.0]]), 5.0);
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[])), (Some(2.0), None));
    }
}
