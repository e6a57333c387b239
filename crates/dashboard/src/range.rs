//! The time that a page is about: a preset that moves with the clock, or two fixed ends. It is a part of every address.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use url::form_urlencoded::Serializer;

const SECOND_NS: i64 = 1_000_000_000;

/// Presets with their seconds.
pub(crate) const PRESETS: [(&str, i64); 7] = [
    ("15m", 900),
    ("1h", 3600),
    ("6h", 21_600),
    ("24h", 86_400),
    ("7d", 604_800),
    ("30d", 2_592_000),
    ("90d", 7_776_000),
];
const DEFAULT: usize = 3;
/// Steps of charts, in seconds; each divides the next unit of time, so that ticks fall on round times.
const STEPS: [i64; 14] =
    [10, 30, 60, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000];
/// About so many points are on a chart.
const POINTS: i64 = 96;
/// Nobody has records of before 1990, or needs more than a century.
const LONGEST_S: i64 = 100 * 366 * 86_400;

/// From when to when. The first is within, the last is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) since_ns: i64,
    pub(crate) until_ns: i64,
    /// Its name, if it is one that moves.
    pub(crate) preset: Option<&'static str>,
}

impl Range {
    /// As asked for. What makes no sense is the default: a page is shown in any case.
    pub(crate) fn of(preset: Option<&str>, from: Option<&str>, to: Option<&str>, now_ns: i64) -> Self {
        if let Some(since_ns) = from.and_then(time_ns) {
            let until_ns = to.and_then(time_ns).unwrap_or(now_ns);
            if since_ns < until_ns && until_ns - since_ns <= LONGEST_S.saturating_mul(SECOND_NS) {
                return Self { since_ns, until_ns, preset: None };
            }
        }
        let known = PRESETS.iter().find(|(name, _)| Some(*name) == preset);
        let (name, seconds) = *known.unwrap_or(&PRESETS[DEFAULT]);
        Self { since_ns: now_ns - seconds * SECOND_NS, until_ns: now_ns, preset: Some(name) }
    }

    pub(crate) fn seconds(&self) -> i64 {
        (self.until_ns - self.since_ns) / SECOND_NS
    }

    /// How long a step of a chart over it is.
    pub(crate) fn step_s(&self) -> i64 {
        let wanted = self.seconds() / POINTS;
        STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(STEPS[STEPS.len() - 1])
    }

    /// The numbers of its first and last step since 1970.
    pub(crate) fn steps(&self) -> (i64, i64) {
        let step_ns = self.step_s() * SECOND_NS;
        (self.since_ns.div_euclid(step_ns), (self.until_ns - 1).div_euclid(step_ns))
    }

    /// Writes it into an address.
    pub(crate) fn write(&self, query: &mut Serializer<'_, String>) {
        match self.preset {
            Some(name) if name == PRESETS[DEFAULT].0 => {}
            Some(name) => {
                query.append_pair("range", name);
            }
            None => {
                query.append_pair("from", &rfc3339(self.since_ns)).append_pair("to", &rfc3339(self.until_ns));
            }
        }
    }
}

/// In UTC, to the second if it is a whole one.
pub(crate) fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(ns.into()).unwrap_or_default().to_string()
}

/// A time as people, forms and links give it; without an offset it is in UTC.
pub(crate) fn time_ns(text: &str) -> Option<i64> {
    let text = text.trim();
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let stamp = text.parse::<Timestamp>().ok();
    let stamp = stamp.or_else(|| text.parse::<DateTime>().ok().and_then(utc));
    let stamp = stamp.or_else(|| text.parse::<Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0))))?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

/// By this machine's clock.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000 * SECOND_NS;

    #[test]
    fn presets_and_ends() {
        let day = Range::of(None, None, None, NOW);
        assert_eq!((day.preset, day.seconds()), (Some("24h"), 86_400));
        assert_eq!(Range::of(Some("1h"), None, None, NOW).seconds(), 3600);
        assert_eq!(Range::of(Some("nonsense"), None, None, NOW), day);
        let fixed = Range::of(None, Some("2026-11-01"), Some("2026-11-02T00:00"), NOW);
        assert_eq!((fixed.preset, fixed.seconds()), (None, 86_400));
        assert_eq!(Range::of(None, Some("2026-11-02"), Some("2026-11-01"), NOW), day);
        assert_eq!(Range::of(None, Some("1026-11-02"), None, NOW), day);
    }

    #[test]
    fn an_address_gives_the_range_again() {
        for range in [
            Range::of(Some("7d"), None, None, NOW),
            Range::of(None, Some("2026-11-01T10:00:00Z"), Some("2026-11-01T10:00:00.5Z"), NOW),
        ] {
            let mut query = Serializer::new(String::new());
            range.write(&mut query);
            let query = query.finish();
            let get = |name: &str| {
                url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, v)| v)
            };
            assert_eq!(
                Range::of(get("range").as_deref(), get("from").as_deref(), get("to").as_deref(), NOW),
                range
            );
        }
    }

    #[test]
    fn charts_have_a_bearable_number_of_points() {
        for (name, _) in PRESETS {
            let (first, last) = Range::of(Some(name), None, None, NOW).steps();
            assert!((40..=100).contains(&(last - first + 1)), "{name}: {}", last - first + 1);
        }
    }
}
