//! Points in time as text: ISO 8601 / RFC 3339, and the form that Wireshark shows.

use std::fmt::{self, Write};

const NS_PER_S: i64 = 1_000_000_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Nanoseconds since 1970-01-01T00:00:00Z. Without a zone the text is in UTC: nothing here asks the environment.
/// The error says what is wrong.
pub(crate) fn parse(text: &str) -> Result<i64, &'static str> {
    let mut rest = Rest(text.trim().as_bytes());
    let (year, month, day) = if rest.0.first().is_some_and(u8::is_ascii_alphabetic) {
        legacy_date(&mut rest)?
    } else {
        let year = rest.digits(4).ok_or(FORM)?;
        rest.eat(b'-').ok_or(FORM)?;
        let month = rest.digits(2).ok_or(FORM)?;
        rest.eat(b'-').ok_or(FORM)?;
        (year, month, rest.digits(2).ok_or(FORM)?)
    };
    if !(1..=12).contains(&month) {
        return Err("a month is between 01 and 12");
    }
    if !(1..=days_in(year, month)).contains(&day) {
        return Err("that month has no such day");
    }
    let (mut second_of_day, mut ns, mut offset_s) = (0, 0, 0);
    if rest.eat(b'T').or_else(|| rest.eat(b't')).or_else(|| rest.eat(b' ')).is_some() {
        let hour = rest.digits(2).ok_or(FORM)?;
        rest.eat(b':').ok_or(FORM)?;
        let minute = rest.digits(2).ok_or(FORM)?;
        let mut second = 0;
        if rest.eat(b':').is_some() {
            second = rest.digits(2).ok_or(FORM)?;
            if rest.eat(b'.').is_some() {
                ns = rest.fraction().ok_or("a fraction of a second has 1 to 9 digits")?;
            }
        }
        // 60 is a leap second: the first moment of the next minute.
        if hour > 23 || minute > 59 || second > 60 {
            return Err("a time of day is between 00:00:00 and 23:59:60");
        }
        second_of_day = hour * 3600 + minute * 60 + second;
        let spaced = rest.eat(b' ').is_some();
        offset_s = rest.zone(spaced).ok_or("the zone is none of Z, UTC, +HH:MM and -HH:MM")?;
    }
    if !rest.0.is_empty() {
        return Err(FORM);
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + second_of_day - offset_s;
    let ns = i128::from(seconds) * i128::from(NS_PER_S) + i128::from(ns);
    i64::try_from(ns).map_err(|_| "times are between the years 1678 and 2262")
}

const FORM: &str = "the form is YYYY-MM-DD hh:mm:ss.fraction, with Z or an offset at the end";

/// `Sep 26, 2004`, as Wireshark shows dates.
fn legacy_date(rest: &mut Rest<'_>) -> Result<(i64, i64, i64), &'static str> {
    let month = rest
        .0
        .get(..3)
        .and_then(|name| MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month.as_bytes())))
        .ok_or(FORM)?;
    rest.0 = rest.0.get(3..).unwrap_or_default();
    while rest.eat(b' ').is_some() {}
    let day = rest.digits(2).or_else(|| rest.digits(1)).ok_or(FORM)?;
    rest.eat(b',').ok_or(FORM)?;
    while rest.eat(b' ').is_some() {}
    Ok((rest.digits(4).ok_or(FORM)?, month as i64 + 1, day))
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn eat(&mut self, byte: u8) -> Option<()> {
        let rest = self.0.strip_prefix(&[byte])?;
        self.0 = rest;
        Some(())
    }

    /// Exactly `n` digits.
    fn digits(&mut self, n: usize) -> Option<i64> {
        let digits = self.0.get(..n).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        self.0 = self.0.get(n..)?;
        Some(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    /// The digits after the point, as nanoseconds.
    fn fraction(&mut self) -> Option<i64> {
        let n = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let scale = 9_u32.checked_sub(u32::try_from(n).ok()?)?;
        (n > 0).then(|| self.digits(n)).flatten().map(|value| value * 10_i64.pow(scale))
    }

    /// Seconds east of Greenwich.
    fn zone(&mut self, spaced: bool) -> Option<i64> {
        if self.0.is_empty() {
            return (!spaced).then_some(0);
        }
        if self.0 == b"Z" || self.0 == b"z" || self.0 == b"UTC" {
            self.0 = b"";
            return Some(0);
        }
        let sign = if self.eat(b'+').is_some() { 1 } else { self.eat(b'-').map(|()| -1)? };
        let hours = self.digits(2)?;
        let _ = self.eat(b':');
        let minutes = if self.0.is_empty() { 0 } else { self.digits(2)? };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; years of 400 have 146,097 days and begin in March here,
/// so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Writes RFC 3339 in UTC with nine digits after the point, as in records.
pub(crate) fn write(ns: i64, out: &mut impl Write) -> fmt::Result {
    let seconds = ns.div_euclid(NS_PER_S);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = ns.rem_euclid(NS_PER_S);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let day = 1_704_067_200 * NS_PER_S;
        for (text, ns) in [
            ("2024-01-01", day),
            ("2024-01-01 00:00", day),
            ("2024-01-01T00:00:00Z", day),
            ("2024-01-01 01:30:00+01:30", day),
            ("2023-12-31 19:00:00 -0500", day),
            ("2024-01-01T00:00:00.5", day + NS_PER_S / 2),
            ("2024-01-01T00:00:00.000000001Z", day + 1),
            ("Jan  1, 2024 00:00:00.25 UTC", day + NS_PER_S / 4),
            ("1970-01-01", 0),
            ("1969-12-31 23:59:59", -NS_PER_S),
            ("2000-02-29", 951_782_400 * NS_PER_S),
        ] {
            assert_eq!(parse(text), Ok(ns), "{text}");
        }
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-01-01T24:00:00",
            "2024-01-01 00:00:00.",
            "2024-01-01x",
            "2024-01-01 00:00:00 EST",
            "1500-01-01",
            "2500-01-01",
            "Foo 1, 2024",
            "2024-01-01 00:00:00.0000000001",
            "2024-01-01 00:00:00 ",
            "é",
        ] {
            if text.ends_with(' ') {
                assert_eq!(parse(text), Ok(day), "white space around is not counted");
            } else {
                assert!(parse(text).is_err(), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn written_times_read_back(ns: i64) {
            let mut text = String::new();
            write(ns, &mut text).unwrap();
            prop_assert_eq!(parse(&text), Ok(ns), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
