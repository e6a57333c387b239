//! What is usual: medians of the same hour of the week, and how far values stray from them.

use crate::when::{DAY_S, HOUR_S};

/// How far back a baseline looks.
pub const HISTORY_S: i64 = 28 * DAY_S;
/// A class of hours has a median of its own from so many values on.
const CLASS_VALUES_MIN: usize = 3;
/// The median absolute deviation of normal values times this is their standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;
/// 1970 began on a Thursday; this makes weeks begin on a Monday.
const WEEK_OFFSET_S: i64 = 3 * DAY_S;

/// What is usual at each hour of the week, of what came before some time.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// By hour of the week (a step of a day or more: by day), by hour of the day, and of all.
    week: Vec<Option<f64>>,
    day: Vec<Option<f64>>,
    all: f64,
    mean: f64,
    scale: f64,
    step_s: i64,
}

/// How far a baseline's history reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// There is a median of the same hour of the week.
    HourOfWeek,
    /// There is only one of the same hour of the day.
    HourOfDay,
    /// There is only one of everything.
    All,
}

/// What is usual at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The median.
    pub median: f64,
    /// 1.4826 times the median absolute deviation from the medians, over the whole history.
    pub scale: f64,
    /// What the median is of.
    pub detail: Detail,
}

impl Baseline {
    /// Of times and values that are `step_s` apart, in order. Nothing if there are fewer than `values_min` that are numbers.
    pub fn of(history: &[(i64, f64)], step_s: i64, values_min: usize) -> Option<Self> {
        let history: Vec<(i64, f64)> = history.iter().copied().filter(|(_, v)| v.is_finite()).collect();
        if history.is_empty() || history.len() < values_min {
            return None;
        }
        let classes = |count: usize, class: &dyn Fn(i64) -> usize| -> Vec<Option<f64>> {
            let mut values: Vec<Vec<f64>> = vec![Vec::new(); count];
            for (at, value) in &history {
                if let Some(class) = values.get_mut(class(*at)) {
                    class.push(*value);
                }
            }
            values.into_iter().map(|v| if v.len() < CLASS_VALUES_MIN { None } else { median(v) }).collect()
        };
        let week = classes(168, &|at| hour_of_week(at, step_s));
        // With steps of a day there is but one hour of the day, which is the median of all.
        let day = if step_s >= DAY_S { Vec::new() } else { classes(24, &hour_of_day) };
        let all = median(history.iter().map(|(_, value)| *value).collect())?;
        let mean = history.iter().map(|(_, value)| value).sum::<f64>() / history.len() as f64;
        let mut baseline = Self { week, day, all, mean, scale: 0.0, step_s };
        let off = history.iter().map(|(at, value)| (value - baseline.usual(*at).median).abs()).collect();
        baseline.scale = MAD_TO_SIGMA * median(off)?;
        Some(baseline)
    }

    /// What is usual at a time.
    pub fn usual(&self, at: i64) -> Usual {
        let of = |medians: &[Option<f64>], class: usize| medians.get(class).copied().flatten();
        let (median, detail) = of(&self.week, hour_of_week(at, self.step_s))
            .map(|median| (median, Detail::HourOfWeek))
            .or_else(|| of(&self.day, hour_of_day(at)).map(|median| (median, Detail::HourOfDay)))
            .unwrap_or((self.all, Detail::All));
        Usual { median, scale: self.scale, detail }
    }

    /// What is to be expected of a count at a time: the median, or where that is below one, so that medians say
    /// little, the mean of all.
    pub fn expected_count(&self, at: i64) -> f64 {
        let median = self.usual(at).median;
        if median >= 1.0 { median } else { self.mean.min(1.0).max(median) }
    }

    /// How many of a count there are in a day, on average.
    pub fn per_day(&self) -> f64 {
        self.mean * DAY_S as f64 / self.step_s.max(1) as f64
    }
}

fn hour_of_week(at: i64, step_s: i64) -> usize {
    let hour = (at + WEEK_OFFSET_S).rem_euclid(7 * DAY_S) / HOUR_S;
    if step_s >= DAY_S { (hour / 24 * 24) as usize } else { hour as usize }
}

fn hour_of_day(at: i64) -> usize {
    (at.rem_euclid(DAY_S) / HOUR_S) as usize
}

/// The median; of an even number of values the mean of the middle two. Nothing for no values.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let high = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(high);
    }
    values.get(middle.checked_sub(1)?).map(|low| low + (high - low) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(count: i64, value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
        (0..count).map(|hour| (hour * HOUR_S, value(hour))).collect()
    }

    #[test]
    fn a_long_history_knows_the_hour_of_the_week() {
        // 1970 began on a Thursday: hours 48 to 71 are a Saturday.
        let weekend = |hour: i64| if matches!((hour / 24) % 7, 2 | 3) { 10.0 } else { 40.0 };
        let baseline = Baseline::of(&hours(24 * 28, weekend), HOUR_S, 24).unwrap();
        let saturday = baseline.usual(28 * DAY_S + 2 * DAY_S);
        assert_eq!((saturday.median, saturday.detail), (10.0, Detail::HourOfWeek));
        assert_eq!(baseline.usual(28 * DAY_S).median, 40.0);
        assert_eq!(saturday.scale, 0.0);
    }

    #[test]
    fn a_shorter_one_the_hour_of_the_day_and_a_short_one_all() {
        let night = |hour: i64| if hour % 24 < 6 { 1.0 } else { 9.0 };
        let days = Baseline::of(&hours(24 * 4, night), HOUR_S, 24).unwrap().usual(40 * DAY_S);
        assert_eq!((days.median, days.detail), (1.0, Detail::HourOfDay));
        let short = Baseline::of(&hours(30, night), HOUR_S, 24).unwrap().usual(40 * DAY_S);
        assert_eq!((short.median, short.detail), (9.0, Detail::All));
        assert!(Baseline::of(&hours(23, night), HOUR_S, 24).is_none());
    }

    #[test]
    fn an_outlier_moves_neither_median_nor_scale() {
        let values = |outlier: f64| {
            let series = hours(100, |hour| if hour == 50 { outlier } else { 100.0 + (hour % 5) as f64 });
            let usual = Baseline::of(&series, HOUR_S, 24).unwrap().usual(0);
            (usual.median.round(), usual.scale.round())
        };
        assert_eq!(values(100.0), values(1e9));
    }

    #[test]
    fn medians_of_nothing_one_and_two() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 2.0]), Some(3.0));
    }
}
