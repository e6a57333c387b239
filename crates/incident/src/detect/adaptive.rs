//! Steps of a series of values, each held against what was usual before it.

use super::Parameters;
use super::baseline::{Baseline, HISTORY_S};
use super::cusum::{Step, Thresholds};
use super::likelihood::shift_llr;

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To lower values.
    Down,
    /// To higher values.
    Up,
}

/// Makes steps for values that are `step_s` apart, and says what was usual at each (nothing while the history is shorter
/// than `values_min`).
///
/// What is usual comes from up to 28 days before. As soon as values speak for a change they are kept aside: if they turn
/// out to be none they join the history, otherwise what is usual stands still until the change is over, and nothing in
/// it becomes history. So a long outage does not become what is usual.
pub(crate) fn steps(
    series: &[(i64, f64)],
    step_s: i64,
    values_min: usize,
    thresholds: Thresholds,
    llr: &dyn Fn(&Baseline, i64, f64) -> f64,
) -> (Vec<Step>, Vec<Option<f64>>) {
    let mut steps = Vec::with_capacity(series.len());
    let mut usual = Vec::with_capacity(series.len());
    let mut baseline: Option<Baseline> = None;
    let mut history: Vec<(i64, f64)> = Vec::new();
    let mut aside: Vec<(i64, f64)> = Vec::new();
    let (mut made_of, mut sum, mut changed) = (0, 0.0_f64, false);
    for (at, value) in series {
        if !changed && aside.is_empty() && history.len() > made_of {
            // Once it rests on much, a baseline serves a while, for speed.
            if baseline.is_none() || history.len() >= made_of + made_of / 24 {
                let from = history.partition_point(|(before, _)| *before < at - HISTORY_S);
                baseline = Baseline::of(history.get(from..).unwrap_or_default(), step_s, values_min);
                made_of = history.len();
            }
        }
        // What becomes the first baseline is taken to be as before: it can't be the change.
        let step = baseline.as_ref().map_or(-thresholds.onset, |baseline| llr(baseline, *at, *value));
        let step = if step.is_finite() { step } else { 0.0 };
        sum = (sum + if changed { -step } else { step }).max(0.0);
        if changed && sum > thresholds.end {
            (changed, sum) = (false, 0.0);
        } else if !changed {
            aside.push((*at, *value));
            if sum > thresholds.onset {
                (changed, sum) = (true, 0.0);
                aside.clear();
            } else if sum == 0.0 {
                history.append(&mut aside);
            }
        }
        steps.push(Step { at: *at, until: at + step_s - 1, llr: step });
        usual.push(baseline.as_ref().map(|baseline| baseline.usual(*at).median));
    }
    (steps, usual)
}

/// [`steps`] for values that a change moves in a direction. `scale_min` gives the least deviation for a median.
pub(crate) fn shift_steps(
    series: &[(i64, f64)],
    step_s: i64,
    direction: Direction,
    values_min: usize,
    scale_min: &dyn Fn(f64) -> f64,
    parameters: &Parameters,
) -> (Vec<Step>, Vec<Option<f64>>) {
    steps(series, step_s, values_min, parameters.series, &|baseline, at, value| {
        let usual = baseline.usual(at);
        let scale = usual.scale.max(scale_min(usual.median)).max(f64::MIN_POSITIVE);
        let off = (value - usual.median) / scale;
        let off = if direction == Direction::Down { -off } else { off };
        shift_llr(off, parameters.shift, parameters.deviations_max)
    })
}
