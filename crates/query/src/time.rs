//! Times as people give them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A text that is no time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time: 2026-11-24, 2026-11-24T10:30 (UTC), 2026-11-24T10:30:00+02:00, or how long ago: 30m, 24h, 7d, 4w"
)]
pub struct TimeError(String);

/// From when to when flows are looked at, by their ends, in nanoseconds since 1970. The first is within, the last is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From then on.
    pub since_ns: Option<i64>,
    /// Until then.
    pub until_ns: Option<i64>,
}

/// A time, or how long before `now_ns`. Without an offset it is in UTC.
///
/// # Errors
/// If it is neither.
pub fn parse_time(text: &str, now_ns: i64) -> Result<i64, TimeError> {
    let text = text.trim();
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        let number: u32 = number.parse().ok()?;
        i64::from(number)
            .checked_mul(seconds)?
            .checked_mul(1_000_000_000)
            .and_then(|ns| now_ns.checked_sub(ns))
    };
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let stamp = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(utc))
        .or_else(|| text.parse::<Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0))));
    let stamp = || i64::try_from(stamp?.as_nanosecond()).ok();
    ago().or_else(stamp).ok_or_else(|| TimeError(text.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let now = 500_000 * HOUR_NS;
        assert_eq!(parse_time("24h", now), Ok(now - 24 * HOUR_NS));
        assert_eq!(parse_time(" 7d", now), Ok(now - 168 * HOUR_NS));
        assert_eq!(parse_time("1970-01-02", now), Ok(24 * HOUR_NS));
        assert_eq!(parse_time("1970-01-01T01:00", now), Ok(HOUR_NS));
        assert_eq!(parse_time("1970-01-01T01:00:00Z", now), Ok(HOUR_NS));
        assert_eq!(parse_time("1970-01-01T03:00:00+02:00", now), Ok(HOUR_NS));
        for bad in ["", "h", "yesterday", "-1h", "1y", "2026-13-01", "ü"] {
            assert!(parse_time(bad, now).is_err(), "{bad}");
        }
    }
}
