//! Which parts of a file a `Range` asks for (RFC 9110 §14), as nginx reads it.

use std::ops::Range;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// The whole file: no part is asked for, or more than the whole.
    Whole,
    /// These, in the order in which they were asked for; at least one, none empty.
    Some(Vec<Range<u64>>),
    /// The header is malformed, or nothing that it asks for is there.
    NotSatisfiable,
}

/// Reads the value of a `Range` header for a file of `len` bytes.
pub(super) fn parts(header: &[u8], len: u64) -> Parts {
    let is_bytes = header.get(..6).is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes="));
    let (true, Some(list)) = (is_bytes, header.get(6..).filter(|list| !list.is_empty())) else {
        return Parts::Whole;
    };
    let mut ranges = Vec::new();
    let mut total = 0_u64;
    for asked in list.split(|byte| *byte == b',') {
        let Some(range) = one(asked.trim_ascii(), len) else { return Parts::NotSatisfiable };
        if range.start < range.end {
            total = total.saturating_add(range.end - range.start);
            ranges.push(range);
        } else if range.start == 0 {
            return Parts::Whole;
        }
    }
    match ranges.is_empty() {
        true => Parts::NotSatisfiable,
        // So that nobody makes many answers of one file by overlapping parts.
        false if total > len => Parts::Whole,
        false => Parts::Some(ranges),
    }
}

/// `5-9`, `5-` or `-5`; empty if it lies beyond the end.
fn one(asked: &[u8], len: u64) -> Option<Range<u64>> {
    let dash = asked.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (asked[..dash].trim_ascii_end(), asked[dash + 1..].trim_ascii_start());
    if first.is_empty() {
        return Some(len.saturating_sub(number(last)?)..len);
    }
    let first = number(first)?;
    let end = if last.is_empty() { len } else { number(last)?.saturating_add(1).min(len) };
    Some(first..end)
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file() {
        let some =
            |ranges: &[(u64, u64)]| Parts::Some(ranges.iter().map(|(start, end)| *start..*end).collect());
        for (header, expected) in [
            ("bytes=0-3", some(&[(0, 4)])),
            ("BYTES=5-", some(&[(5, 10)])),
            ("bytes=-3", some(&[(7, 10)])),
            ("bytes=-30", some(&[(0, 10)])),
            ("bytes=0-3, 6-99", some(&[(0, 4), (6, 10)])),
            ("bytes=20-30,1-1", some(&[(1, 2)])),
            ("bytes=0-9,1-2", Parts::Whole),
            ("bytes=", Parts::Whole),
            ("lines=0-3", Parts::Whole),
            ("bytes=10-", Parts::NotSatisfiable),
            ("bytes=-0", Parts::NotSatisfiable),
            ("bytes=5-3", Parts::NotSatisfiable),
            ("bytes=x", Parts::NotSatisfiable),
            ("bytes=1-+2", Parts::NotSatisfiable),
            ("bytes=1-2,", Parts::NotSatisfiable),
            ("bytes=99999999999999999999-", Parts::NotSatisfiable),
        ] {
            assert_eq!(parts(header.as_bytes(), 10), expected, "{header}");
        }
        assert_eq!(parts(b"bytes=0-", 0), Parts::Whole);
    }
}
