//! Times: hours of cells, moments with their uncertainty, and how both are written for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Seconds of an hour.
pub(crate) const HOUR_S: i64 = 3600;
/// Seconds of a day.
pub(crate) const DAY_S: i64 = 86_400;

/// When something changed: the likeliest time, and the interval in which it was with a probability of 95 %. Seconds
/// since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Not before this; nothing if it may have been so before the data begin.
    pub earliest: Option<i64>,
    /// The likeliest time.
    pub best: i64,
    /// Not after this.
    pub latest: i64,
}

impl Moment {
    /// Whether the two intervals have a time in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.earliest.is_none_or(|from| from <= other.latest)
            && other.earliest.is_none_or(|from| from <= self.latest)
    }
}

/// The hour that a time lies in, counted since 1970.
pub(crate) fn hour_of(seconds: i64) -> u32 {
    u32::try_from(seconds.div_euclid(HOUR_S)).unwrap_or(0)
}

/// A time as RFC 3339, to the second: `2020-08-09T06:00:00Z`.
pub(crate) fn rfc3339(seconds: i64) -> String {
    format(seconds, "%Y-%m-%dT%H:%M:%SZ")
}

/// A time for people: `9 August 2020, 06:00`.
pub(crate) fn minute(seconds: i64) -> String {
    format(seconds, "%-d %B %Y, %H:%M")
}

/// A day for people: `9 August 2020`.
pub(crate) fn day(seconds: i64) -> String {
    format(seconds, "%-d %B %Y")
}

/// A short time for tables: `9 Aug 06:00`.
pub(crate) fn short(seconds: i64) -> String {
    format(seconds, "%-d %b %H:%M")
}

/// By a pattern of strftime; empty for times that no calendar has.
pub(crate) fn format(seconds: i64, pattern: &str) -> String {
    Timestamp::from_second(seconds)
        .map(|time| time.to_zoned(TimeZone::UTC).strftime(pattern).to_string())
        .unwrap_or_default()
}

/// Two times as a range that does not say twice what they share: `9 August 2020, 06:00 to 08:00`.
pub(crate) fn range(from: i64, until: i64) -> String {
    let same_day = from.div_euclid(DAY_S) == until.div_euclid(DAY_S);
    let whole_days =
        from.rem_euclid(DAY_S) == 0 && (until.rem_euclid(DAY_S) == 0 || (until + 1) % DAY_S == 0);
    if whole_days {
        let last = (until - 1).max(from);
        return match from.div_euclid(DAY_S) == last.div_euclid(DAY_S) {
            true => day(from),
            false if format(from, "%Y%m") == format(last, "%Y%m") => {
                format!("{} to {}", format(from, "%-d"), day(last))
            }
            false => format!("{} to {}", day(from), day(last)),
        };
    }
    if minute(from) == minute(until) {
        minute(from)
    } else if same_day {
        format!("{} to {}", minute(from), format(until, "%H:%M"))
    } else {
        format!("{} to {}", minute(from), minute(until))
    }
}

/// A length of time for people: `3 hours`, `25 days`.
pub(crate) fn span(seconds: i64) -> String {
    let (count, unit) = match seconds.max(0) {
        s if s < 2 * 60 => (s, "second"),
        s if s < 2 * HOUR_S => (s / 60, "minute"),
        s if s < 2 * DAY_S => (s / HOUR_S, "hour"),
        s => (s / DAY_S, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Reads a time: RFC 3339, `2020-08-09 06:00:00` and `2020-08-09T06:00` (UTC), a day, or seconds (milliseconds if there are
/// too many) since 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>() {
        return time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second());
    }
    let number: f64 = text.parse().ok()?;
    let seconds = if number.abs() >= 1e11 { number / 1000.0 } else { number };
    (seconds.is_finite() && seconds.abs() < 1e11 && text.len() >= 9).then_some(seconds.floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUGUST_9: i64 = 1_596_931_200;

    #[test]
    fn times_are_read_in_the_forms_that_files_have() {
        for text in [
            "2020-08-09",
            "2020-08-09T00:00:00Z",
            "2020-08-09 00:00:00",
            "2020-08-09T00:00",
            "2020-08-09T03:00:00+03:00",
            "1596931200",
            "1596931200000",
        ] {
            assert_eq!(parse(text), Some(AUGUST_9), "{text}");
        }
        for text in ["", "yesterday", "2020", "2020-13-01", "NaN", "inf", "12"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_say_nothing_twice() {
        assert_eq!(range(AUGUST_9, AUGUST_9 + 7200), "9 August 2020, 00:00 to 02:00");
        assert_eq!(range(AUGUST_9 + 60, AUGUST_9 + 100), "9 August 2020, 00:01");
        assert_eq!(range(AUGUST_9, AUGUST_9 + DAY_S), "9 August 2020");
        assert_eq!(range(AUGUST_9 - DAY_S, AUGUST_9 + DAY_S), "8 to 9 August 2020");
        assert_eq!(range(AUGUST_9 - HOUR_S, AUGUST_9), "8 August 2020, 23:00 to 9 August 2020, 00:00");
    }

    #[test]
    fn spans_have_their_unit() {
        assert_eq!(span(90), "90 seconds");
        assert_eq!(span(3 * HOUR_S), "3 hours");
        assert_eq!(span(25 * DAY_S), "25 days");
    }
}
