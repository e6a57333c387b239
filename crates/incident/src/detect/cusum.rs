//! The cumulative sum that finds when something changed, and when it changed back.
//!
//! Every detector of this crate comes down to a list of [`Step`]s: a stretch of time, and by how much what was seen in it
//! speaks for "changed" against "as before": the logarithm of the likelihood ratio. Page's CUSUM (Biometrika 41, 1954)
//! adds them up, never below zero, and says *changed* when the sum passes a threshold; then it adds up the opposite
//! sign, until a second threshold says *back*. The two thresholds are the hysteresis: between them nothing is said.
//!
//! The alarm comes later than the change. When the change was is estimated afterwards, from all steps up to the alarm:
//! each step's probability of being the first changed one is proportional to the likelihood of all that followed it.

use crate::when::Moment;

/// A stretch of time, and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When it begins, in seconds since 1970.
    pub at: i64,
    /// When it ends, in seconds since 1970; not before `at`.
    pub until: i64,
    /// ln(likelihood if changed / likelihood if as before); finite.
    pub llr: f64,
}

/// What the sum must pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// For *changed*. The average run length without a change is at least e to this power, in steps (Lorden, Annals of
    /// Mathematical Statistics 42, 1971).
    pub onset: f64,
    /// For *back*; lower, as it is worse to say that something is over late than to say wrongly that it began.
    pub end: f64,
}

/// A change, and the way back, if there was one.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// When it began.
    pub onset: Moment,
    /// The likeliest first step of it.
    pub first: usize,
    /// The step at which the sum passed the threshold.
    pub alarm: usize,
    /// When it ended; nothing if it lasts to the end of the steps.
    pub end: Option<Moment>,
    /// The step at which the opposite sum passed its threshold.
    pub back: Option<usize>,
    /// The first step that could be the beginning: one past the last alarm before.
    pub from: usize,
    /// One past the likeliest last step of it.
    pub past: usize,
}

/// How much probability the interval of a [`Moment`] holds.
pub const CREDIBLE_MASS: f64 = 0.95;

/// Steps further from the likeliest than this (a factor of 10¹³) can't be the change.
const LLR_NEGLIGIBLE: f64 = 30.0;

/// All changes in steps that are in the order of time.
pub fn segments(steps: &[Step], thresholds: Thresholds) -> Vec<Segment> {
    let mut found: Vec<Segment> = Vec::new();
    let mut open = false;
    let mut sum = 0.0_f64;
    // No change can lie before the alarm of the last one.
    let mut after = 0;
    for (i, step) in steps.iter().enumerate() {
        let (llr, threshold) = if open { (-step.llr, thresholds.end) } else { (step.llr, thresholds.onset) };
        sum = (sum + llr).max(0.0);
        if sum <= threshold {
            continue;
        }
        let (moment, index) = estimate(steps, after, i, open);
        if !open {
            found.push(Segment {
                onset: moment,
                first: index,
                alarm: i,
                end: None,
                back: None,
                from: after,
                past: steps.len(),
            });
        } else if let Some(last) = found.last_mut() {
            last.end = Some(moment);
            last.back = Some(i);
            last.past = index;
        }
        open = !open;
        sum = 0.0;
        after = i + 1;
    }
    found
}

/// Dates a segment anew by steps that say the same more sharply, now that it is known how strong the change was.
pub(crate) fn date_again(segment: &mut Segment, sharper: &[Step]) {
    (segment.onset, segment.first) = estimate(sharper, segment.from, segment.alarm, false);
    if let Some(back) = segment.back {
        let (end, past) = estimate(sharper, segment.alarm + 1, back, true);
        (segment.end, segment.past) = (Some(end), past);
    }
}

/// Which of the steps `after..=alarm` was the first after the change. `back` turns the sign around.
fn estimate(steps: &[Step], after: usize, alarm: usize, back: bool) -> (Moment, usize) {
    // The logarithm of how much likelier all is if the change was just before the step, for each step from the last.
    let mut sums: Vec<(usize, f64)> = Vec::new();
    let (mut sum, mut best) = (0.0, f64::MIN);
    let mut likeliest = alarm;
    for i in (after..=alarm).rev() {
        let Some(step) = steps.get(i) else { break };
        sum += if back { -step.llr } else { step.llr };
        if sum >= best {
            (best, likeliest) = (sum, i);
        }
        if sum < best - LLR_NEGLIGIBLE {
            break;
        }
        sums.push((i, sum));
    }
    let mut weights: Vec<(usize, f64)> = sums.iter().map(|(i, sum)| (*i, (sum - best).exp())).collect();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let (mut low, mut high, mut mass) = (likeliest, likeliest, 0.0);
    for (i, weight) in weights {
        (low, high) = (low.min(i), high.max(i));
        mass += weight / total;
        if mass >= CREDIBLE_MASS {
            break;
        }
    }
    let at = |i: usize| steps.get(i).map_or(0, |step| step.at);
    let until = |i: usize| steps.get(i).map_or(0, |step| step.until);
    let moment = Moment {
        // It came after the step before the first that can be it. With none before, it may have been so always.
        earliest: low.checked_sub(1).map(until),
        best: at(likeliest),
        latest: until(high),
    };
    (moment, likeliest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { onset: 11.5, end: 6.9 };

    fn steps(llrs: impl IntoIterator<Item = f64>) -> Vec<Step> {
        llrs.into_iter()
            .enumerate()
            .map(|(i, llr)| Step { at: i as i64 * 3600, until: i as i64 * 3600 + 3599, llr })
            .collect()
    }

    #[test]
    fn nothing_is_found_in_quiet() {
        assert_eq!(segments(&steps([-0.6; 500]), THRESHOLDS), []);
        assert_eq!(segments(&[], THRESHOLDS), []);
    }

    #[test]
    fn a_change_and_its_end_are_dated_at_their_beginning_not_at_the_alarm() {
        let llrs = [vec![-0.6; 50], vec![2.31; 40], vec![-0.6; 30]].concat();
        let found = segments(&steps(llrs), THRESHOLDS);
        assert_eq!(found.len(), 1);
        let segment = &found[0];
        assert_eq!((segment.first, segment.alarm, segment.past), (50, 54, 90));
        assert_eq!(segment.onset.best, 50 * 3600);
        // 95 % of the probability lies on the steps 45 to 51.
        assert_eq!((segment.onset.earliest, segment.onset.latest), (Some(45 * 3600 - 1), 52 * 3600 - 1));
        let end = segment.end.unwrap();
        assert_eq!(end.best, 90 * 3600);
    }

    #[test]
    fn what_was_so_from_the_first_step_on_has_no_earliest_time() {
        let found = segments(&steps([2.3; 20]), THRESHOLDS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].onset.earliest, None);
        assert_eq!(found[0].end, None);
    }

    #[test]
    fn a_blur_gives_a_wider_interval() {
        let sharp = [vec![-0.6; 50], vec![2.3; 40]].concat();
        let blurred = [vec![-0.6; 50], [0.1, 0.0, -0.1].repeat(4), vec![2.3; 40]].concat();
        let width = |llrs: Vec<f64>| {
            let onset = segments(&steps(llrs), THRESHOLDS)[0].onset;
            onset.latest - onset.earliest.unwrap()
        };
        assert!(width(blurred) > width(sharp) + 6 * 3600);
    }

    #[test]
    fn hysteresis_bridges_a_short_lull() {
        let llrs = [vec![-0.6; 20], vec![2.3; 10], vec![-0.6; 8], vec![2.3; 10]].concat();
        let found = segments(&steps(llrs), THRESHOLDS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].end, None);
    }
}
