//! Graphs of blocks: columns that rise by an eighth of a character.

/// Rows of text, the highest first, that show one column for each value, the last to the right.
pub(crate) fn columns(values: &[u64], max: u64, width: usize, height: usize) -> Vec<String> {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(width)..];
    let level = |value: u64| {
        let steps = height as u128 * 8;
        let level = u128::from(value.min(max)) * steps / u128::from(max.max(1));
        // Little is not nothing.
        level.max(u128::from(value > 0)) as usize
    };
    let row = |row: usize| {
        let below = (height - 1 - row) * 8;
        let blank = std::iter::repeat_n(' ', width - values.len());
        blank.chain(values.iter().map(|v| EIGHTHS[level(*v).saturating_sub(below).min(8)])).collect()
    };
    (0..height).map(row).collect()
}

/// A bar to the right for a part of a whole.
pub(crate) fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = u128::from(part.min(whole)) * (width as u128 * 8) / u128::from(whole.max(1));
    let eighths = eighths.max(u128::from(part > 0 && width > 0)) as usize;
    let mut out = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        out.push(EIGHTHS[eighths % 8]);
    }
    let used = eighths.div_ceil(8);
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    out
}

/// As many values as there is room for, each the mean (or the sum) of several that follow each other, and how many that is. Groups begin
/// at whole multiples of their size since the start, so that a graph moves on and does not flicker; the first and the
/// last may not be full.
pub(crate) fn condensed(values: &[u64], since_start: u64, width: usize, sums: bool) -> (Vec<u64>, usize) {
    if values.len() <= width {
        return (values.to_vec(), 1);
    }
    let mut group = 1;
    for size in [2, 3, 5, 6, 10, 12, 15, 20, 30, 60, 120] {
        group = size;
        // One more, for groups that are not full at both ends.
        if values.len() / size + 2 <= width {
            break;
        }
    }
    let first = since_start.saturating_sub(values.len() as u64);
    let mut out = Vec::new();
    let (mut sum, mut count) = (0_u64, 0);
    for (i, value) in values.iter().enumerate() {
        sum = sum.saturating_add(*value);
        count += 1;
        if (first + i as u64 + 1).is_multiple_of(group as u64) {
            out.push(if sums { sum } else { sum.div_ceil(count) });
            (sum, count) = (0, 0);
        }
    }
    if count > 0 {
        out.push(if sums { sum } else { sum.div_ceil(count) });
    }
    (out, group)
}

/// The next number that is easy to read: 1, 2 or 5 and noughts.
pub(crate) fn nice(max: u64) -> u64 {
    let mut ten = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let nice = ten.saturating_mul(step);
            if nice >= max {
                return nice;
            }
        }
        ten = ten.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn draws() {
        assert_eq!(columns(&[0, 1, 8, 16], 16, 5, 2), ["    █", "  ▁██"]);
        assert_eq!(columns(&[5, 16, 16], 16, 2, 1), ["██"]);
        assert_eq!(
            (bar(1, 2, 4), bar(1, 1000, 4), bar(0, 1, 2)),
            ("██  ".into(), "▏   ".into(), "  ".into())
        );
        assert_eq!([0, 1, 3, 70, 200, 201].map(nice), [1, 1, 5, 100, 200, 500]);
    }

    #[test]
    fn what_is_drawn_stays_as_it_moves_on() {
        let all: Vec<u64> = (0..900).map(|i| i * 37 % 101).collect();
        let at = |end: usize| condensed(&all[end.saturating_sub(300)..end], end as u64, 100, false);
        let (now, group) = at(600);
        assert_eq!((group, now.len()), (5, 60));
        // All but the first, which is not whole any more.
        assert_eq!(at(602).0[1..60], now[1..]);
        assert_eq!(at(605).0[..59], now[1..]);
    }

    proptest! {
        #[test]
        fn every_graph_has_its_size(
            values in prop::collection::vec(any::<u64>(), 0..50), max: u64, width in 0usize..40, height in 1usize..6,
        ) {
            let rows = columns(&values, max, width, height);
            prop_assert_eq!(rows.len(), height);
            prop_assert!(rows.iter().all(|row| row.chars().count() == width));
            prop_assert_eq!(bar(max / 2, max, width).chars().count(), width);
            prop_assert!(nice(max) >= max);
        }
    }
}
