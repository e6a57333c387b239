//! How long the cumulative sum runs until it passes its threshold: what a threshold costs in false alarms, and in delay.

use super::likelihood::Shares;

/// States of the chain. More change the third digit.
const STATES: usize = 240;

/// The average number of probes until the sum of a Bernoulli CUSUM passes `threshold`, one probe an hour, each meeting
/// interference with probability `share`; from a sum of nothing.
///
/// By Brook and Evans (Biometrika 59, 1972): the sum's range is cut into states of a Markov chain, and the mean time to its
/// absorption solves a system of linear equations. Cost: some 5 million multiplications.
pub fn average_run_length(shares: &Shares, threshold: f64, share: f64) -> f64 {
    let width = threshold / (STATES as f64 - 0.5);
    // A state is where the sum is, rounded; none past the last.
    let state = |sum: f64| (sum.max(0.0) / width).round() as usize;
    // (I - Q) L = 1, where Q has the probabilities of going on.
    let mut matrix = vec![vec![0.0; STATES + 1]; STATES];
    for (i, row) in matrix.iter_mut().enumerate() {
        let sum = i as f64 * width;
        for (next, probability) in
            [(state(sum + shares.step_up()), share), (state(sum - shares.step_down()), 1.0 - share)]
        {
            if let Some(cell) = row.get_mut(next).filter(|_| next < STATES) {
                *cell -= probability;
            }
        }
        if let Some(cell) = row.get_mut(i) {
            *cell += 1.0;
        }
        if let Some(right) = row.last_mut() {
            *right = 1.0;
        }
    }
    solve(matrix).first().copied().unwrap_or(f64::NAN)
}

/// Gauss's elimination with pivots; each row ends in its right side.
fn solve(mut matrix: Vec<Vec<f64>>) -> Vec<f64> {
    let n = matrix.len();
    let at = |matrix: &[Vec<f64>], row: usize, column: usize| -> f64 {
        matrix.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0.0)
    };
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|a, b| at(&matrix, *a, column).abs().total_cmp(&at(&matrix, *b, column).abs()))
            .unwrap_or(column);
        matrix.swap(column, pivot);
        let (done, rest) = matrix.split_at_mut(column + 1);
        let Some(top) = done.last() else { break };
        let head = top.get(column).copied().unwrap_or(0.0);
        for row in rest {
            let factor = row.get(column).copied().unwrap_or(0.0) / head;
            if factor != 0.0 {
                for (cell, above) in row.iter_mut().zip(top).skip(column) {
                    *cell -= factor * above;
                }
            }
        }
    }
    let mut solution = vec![0.0; n];
    for row in (0..n).rev() {
        let known: f64 =
            (row + 1..n).map(|j| at(&matrix, row, j) * solution.get(j).copied().unwrap_or(0.0)).sum();
        if let Some(value) = solution.get_mut(row) {
            *value = (at(&matrix, row, n) - known) / at(&matrix, row, row);
        }
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Parameters;

    /// A small generator of its own, so that the test is the same on every run.
    fn uniform(state: &mut u64) -> f64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn simulated(shares: &Shares, threshold: f64, share: f64, runs: u32) -> f64 {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut steps = 0_u64;
        for _ in 0..runs {
            let mut sum = 0.0_f64;
            while sum <= threshold {
                let blocked = uniform(&mut state) < share;
                sum = (sum + if blocked { shares.step_up() } else { -shares.step_down() }).max(0.0);
                steps += 1;
            }
        }
        steps as f64 / f64::from(runs)
    }

    #[test]
    fn the_chain_agrees_with_a_simulation() {
        let shares = Parameters::default().shares;
        for (threshold, share) in [(4.0, 0.05), (6.0, 0.1), (11.5, 0.5), (11.5, 0.9)] {
            let (computed, seen) =
                (average_run_length(&shares, threshold, share), simulated(&shares, threshold, share, 4000));
            let off = (computed / seen - 1.0).abs();
            assert!(
                off < 0.12,
                "threshold {threshold}, share {share}: computed {computed:.1}, simulated {seen:.1}"
            );
        }
    }

    #[test]
    fn the_defaults_keep_lordens_bound_and_find_a_full_block_in_five_probes() {
        let parameters = Parameters::default();
        let (shares, threshold) = (parameters.shares, parameters.interference.onset);
        let quiet = average_run_length(&shares, threshold, shares.before);
        assert!(quiet >= threshold.exp(), "{quiet}");
        let full = average_run_length(&shares, threshold, 1.0);
        assert!((4.5..5.6).contains(&full), "{full}");
    }
}
