//! What an observation speaks for: the likelihood ratios that the cumulative sum adds up.

/// How often probes meet interference, before and after a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// The share of probes that report interference where there is none.
    pub before: f64,
    /// The least share that a change is to be found at soon.
    pub after: f64,
    /// An hour counts as at most so many probes: what makes all fail at once, such as a broken test helper, must last
    /// longer than an hour to be taken for a change.
    pub probes_per_hour_max: f64,
}

impl Shares {
    /// The logarithm of the likelihood ratio of `blocked` of `probes` in an hour.
    pub fn llr(&self, blocked: u32, probes: u32) -> f64 {
        if probes == 0 {
            return 0.0;
        }
        let (blocked, probes) = (f64::from(blocked.min(probes)), f64::from(probes));
        let weight = (self.probes_per_hour_max / probes).min(1.0);
        weight * (blocked * self.step_up() - (probes - blocked) * self.step_down())
    }

    /// What a probe adds that meets interference.
    pub fn step_up(&self) -> f64 {
        (self.after / self.before).ln()
    }

    /// What a probe takes away that doesn't.
    pub fn step_down(&self) -> f64 {
        ((1.0 - self.before) / (1.0 - self.after)).ln()
    }

    /// The share above which the sum rises: a lasting change below it is never found.
    pub fn least_visible(&self) -> f64 {
        self.step_down() / (self.step_up() + self.step_down())
    }
}

/// The logarithm of the likelihood ratio of a count where `expected` are usual, if a change leaves `fraction` of them;
/// counts are taken to be Poisson's. At most `step_max` either way.
pub fn count_llr(count: f64, expected: f64, fraction: f64, step_max: f64) -> f64 {
    (count * fraction.ln() + (1.0 - fraction) * expected).clamp(-step_max, step_max)
}

/// The logarithm of the likelihood ratio of a value that lies `deviations` robust standard deviations beyond what is usual,
/// if a change moves the mean by `shift` of them. Deviations beyond `deviations_max` count as that, as the tails of
/// real series are heavier than the normal distribution's.
pub fn shift_llr(deviations: f64, shift: f64, deviations_max: f64) -> f64 {
    shift * deviations.clamp(-deviations_max, deviations_max) - shift * shift / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares { before: 0.05, after: 0.5, probes_per_hour_max: 4.0 };

    #[test]
    fn the_ratio_is_that_of_the_binomial_distribution() {
        let likelihood = |share: f64| share.powi(2) * (1.0 - share);
        let expected = (likelihood(0.5) / likelihood(0.05)).ln();
        assert!((SHARES.llr(2, 3) - expected).abs() < 1e-12);
        assert_eq!(SHARES.llr(0, 0), 0.0);
    }

    #[test]
    fn a_crowd_in_one_hour_weighs_no_more_than_four() {
        assert!((SHARES.llr(400, 400) - SHARES.llr(4, 4)).abs() < 1e-9);
        assert!((SHARES.llr(200, 400) - SHARES.llr(2, 4)).abs() < 1e-9);
    }

    #[test]
    fn the_least_visible_share_neither_rises_nor_falls() {
        let share = SHARES.least_visible();
        assert!((share * SHARES.step_up() - (1.0 - share) * SHARES.step_down()).abs() < 1e-12);
        assert!((0.21..0.22).contains(&share));
    }

    #[test]
    fn counts_speak_for_what_they_are_nearer_to() {
        assert!(count_llr(0.0, 4.0, 0.25, 6.0) > 2.9);
        assert!(count_llr(4.0, 4.0, 0.25, 6.0) < -2.0);
        assert_eq!(count_llr(0.0, 1000.0, 0.25, 6.0), 6.0);
    }

    #[test]
    fn a_deviation_of_half_the_shift_says_nothing() {
        assert_eq!(shift_llr(1.5, 3.0, 5.0), 0.0);
        assert_eq!(shift_llr(500.0, 3.0, 5.0), 10.5);
    }
}
