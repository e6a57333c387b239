//! Words, numbers and dates in five languages. Messages are data: a file a language, all with the same keys.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The code, what the language calls itself, and its file.
const FILES: [(&str, &str, &str); 5] = [
    ("en", "English", include_str!("locales/en.toml")),
    ("be", "Беларуская", include_str!("locales/be.toml")),
    ("ru", "Русский", include_str!("locales/ru.toml")),
    ("de", "Deutsch", include_str!("locales/de.toml")),
    ("fr", "Français", include_str!("locales/fr.toml")),
];

/// A language.
#[derive(Debug)]
pub(crate) struct Locale {
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    messages: BTreeMap<String, String>,
}

/// All, English first.
pub(crate) fn all() -> &'static [Locale] {
    static ALL: LazyLock<Vec<Locale>> = LazyLock::new(|| {
        let read = |(code, title, text): (&'static str, &'static str, &str)| {
            // That every file can be read is a test's affair.
            Locale { code, title, messages: toml::from_str(text).unwrap_or_default() }
        };
        FILES.into_iter().map(read).collect()
    });
    &ALL
}

impl Locale {
    /// The one of this code.
    pub(crate) fn named(code: &str) -> Option<&'static Self> {
        all().iter().find(|locale| locale.code == code)
    }

    /// The one that the reader likes best, by `Accept-Language` (RFC 9110 §12.5.4); English if none.
    pub(crate) fn accepted(header: &str) -> &'static Self {
        let mut best: Option<(f32, &'static Self)> = None;
        for part in header.split(',').take(20) {
            let mut pieces = part.split(';');
            let tag = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality =
                pieces.find_map(|piece| piece.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            let primary = tag.split('-').next().unwrap_or_default();
            if let Some(locale) = Self::named(primary)
                && quality > 0.0
                && best.is_none_or(|(before, _)| quality > before)
            {
                best = Some((quality, locale));
            }
        }
        best.map_or_else(|| &all()[0], |(_, locale)| locale)
    }

    /// A message. One that no file has is its key: a test sees to it that there is none.
    pub(crate) fn get<'a>(&'a self, key: &'a str) -> &'a str {
        self.messages.get(key).map_or(key, String::as_str)
    }

    /// A message with values for its `{name}`s.
    pub(crate) fn with(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut out = String::new();
        let mut rest = self.get(key);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else { break };
            let value = values.iter().find(|(known, _)| *known == name);
            out.push_str(value.map_or("", |(_, value)| value));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// A whole number with its groups of three.
    pub(crate) fn count(&self, number: i128) -> String {
        let digits = number.unsigned_abs().to_string();
        let mut out = if number < 0 { "−".to_owned() } else { String::new() };
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
                out.push_str(self.get("number-group"));
            }
            out.push(digit);
        }
        out
    }

    /// With so many digits behind the point.
    pub(crate) fn decimal(&self, number: f64, digits: usize) -> String {
        format!("{number:.digits$}").replace('.', self.get("number-point"))
    }

    /// A quantity in powers of 1000: `1.2 GB`, `34 Mbit/s`.
    pub(crate) fn quantity(&self, number: f64, unit: &str) -> String {
        const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
        let (mut number, mut power) = (number, 0);
        while number.abs() >= 999.5 && power + 1 < PREFIXES.len() {
            number /= 1000.0;
            power += 1;
        }
        let digits = usize::from(power > 0 && number.abs() < 99.95);
        let prefix = PREFIXES.get(power).copied().unwrap_or_default();
        let prefixes = self.get("unit-prefixes");
        let prefix = match power.checked_sub(1).and_then(|at| prefixes.split(' ').nth(at)) {
            Some(own) if power > 0 => own,
            _ => prefix,
        };
        let text = format!("{}\u{a0}{prefix}{}", self.decimal(number, digits), self.get(unit));
        text.trim_end_matches('\u{a0}').to_owned()
    }

    pub(crate) fn bytes(&self, number: f64) -> String {
        self.quantity(number, "unit-byte")
    }

    pub(crate) fn bits_per_s(&self, number: f64) -> String {
        self.quantity(number, "unit-bit-per-s")
    }

    /// A time that something took.
    pub(crate) fn seconds(&self, seconds: f64) -> String {
        let whole = seconds.max(0.0) as u64;
        let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
            format!("{large}\u{a0}{} {small}\u{a0}{}", self.get(large_unit), self.get(small_unit))
        };
        match whole {
            0 => format!("{}\u{a0}{}", self.count((seconds * 1000.0) as i128), self.get("unit-ms")),
            1..60 => format!("{}\u{a0}{}", self.decimal(seconds, 1), self.get("unit-s")),
            60..3600 => pair(whole / 60, "unit-min", whole % 60, "unit-s"),
            3600..86_400 => pair(whole / 3600, "unit-h", whole / 60 % 60, "unit-min"),
            _ => pair(whole / 86_400, "unit-d", whole / 3600 % 24, "unit-h"),
        }
    }

    /// A date with its time, in UTC.
    pub(crate) fn time(&self, ns: i64) -> String {
        self.moment(ns, "time-full")
    }

    /// A time as short as a chart's axis over so many seconds wants it.
    pub(crate) fn tick(&self, ns: i64, over_s: i64) -> String {
        self.moment(ns, if over_s <= 2 * 86_400 { "time-clock" } else { "time-day" })
    }

    fn moment(&self, ns: i64, pattern: &str) -> String {
        let time = Timestamp::from_nanosecond(ns.into()).unwrap_or_default().to_zoned(TimeZone::UTC);
        let month = usize::try_from(time.month()).unwrap_or(1).saturating_sub(1);
        let month = self.get("months").split(' ').nth(month).unwrap_or_default();
        let two = |number: i8| format!("{number:02}");
        let values = [
            ("day", time.day().to_string()),
            ("day2", two(time.day())),
            ("month", month.to_owned()),
            ("month2", two(time.month())),
            ("year", time.year().to_string()),
            ("hour", two(time.hour())),
            ("minute", two(time.minute())),
            ("second", two(time.second())),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.with(pattern, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `{name}`s of a message.
    fn holes(text: &str) -> Vec<&str> {
        let mut holes: Vec<&str> =
            text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        holes.sort_unstable();
        holes
    }

    #[test]
    fn every_language_has_every_message() {
        let english = &all()[0].messages;
        assert!(english.len() > 100);
        for ((code, _, text), locale) in FILES.iter().zip(all()) {
            toml::from_str::<BTreeMap<String, String>>(text)
                .unwrap_or_else(|error| panic!("{code}: {error}"));
            let keys = |messages: &BTreeMap<String, String>| messages.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&locale.messages), keys(english), "{code}");
            for (key, text) in &locale.messages {
                assert!(!text.is_empty(), "{code}: {key} is empty");
                assert_eq!(holes(text), holes(&english[key]), "{code}: {key}");
            }
            assert_eq!(locale.get("months").split(' ').count(), 12, "{code}");
            assert_eq!(locale.get("unit-prefixes").split(' ').count(), 6, "{code}");
        }
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        let of = |code: &str| Locale::named(code).unwrap();
        assert_eq!(of("en").count(1_234_567), "1,234,567");
        assert_eq!(of("de").count(-1_234_567), "−1.234.567");
        assert_eq!(of("en").count(1904), "1904");
        assert_eq!(of("de").bytes(13_240_000.0), "13,2\u{a0}MB");
        assert_eq!(of("fr").bytes(999.0), "999\u{a0}o");
        assert_eq!(of("ru").bits_per_s(1_234_000_000.0), "1,2\u{a0}Гбит/с");
        assert_eq!(of("en").quantity(45_210.0, "unit-packet-per-s"), "45.2\u{a0}k/s");
        assert_eq!(of("en").seconds(0.25), "250\u{a0}ms");
        assert_eq!(of("be").seconds(3725.0), "1\u{a0}г 2\u{a0}хв");
    }

    #[test]
    fn the_language_that_is_liked_best_is_taken() {
        for (header, code) in [
            ("de-AT,de;q=0.9,en;q=0.5", "de"),
            ("ja, be;q=0.3, ru;q=0.7", "ru"),
            ("fr;q=0, de;q=0.1", "de"),
            ("", "en"),
        ] {
            assert_eq!(Locale::accepted(header).code, code, "{header}");
        }
    }
}
