//! When a rule is in force: its hours in the policy's time zone, and the day on which it expires.

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// Minutes in a day.
const DAY: u16 = 24 * 60;

/// How many windows a rule may have: with all its texts it has to fit into an entry of the public log.
pub(crate) const WINDOWS_MAX: usize = 64;

/// A window of hours on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Window", into = "Window")]
pub struct Hours {
    /// A bit for each day of the week, Monday the lowest.
    pub days: u8,
    /// Minutes after midnight at which it begins, 0 to 1439.
    pub from: u16,
    /// Minutes after midnight at which it ends, 1 to 1440. If not after `from`, it ends on the next day.
    pub to: u16,
}

/// A window as the public log tells it.
#[derive(Serialize, Deserialize)]
struct Window {
    days: String,
    from: String,
    to: String,
}

impl From<Hours> for Window {
    fn from(hours: Hours) -> Self {
        let [from, to] = [hours.from, hours.to].map(time_of_day);
        Self { days: hours.day_names(), from, to }
    }
}

impl TryFrom<Window> for Hours {
    type Error = String;

    fn try_from(window: Window) -> Result<Self, String> {
        Self::new(days(&window.days)?, minutes(&window.from)?, minutes(&window.to)?)
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads days: `mon-fri`, `sat,sun`, `fri-mon`.
pub(crate) fn days(text: &str) -> Result<u8, String> {
    let day = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        DAYS.iter().position(|day| *day == name).ok_or_else(|| {
            format!("{name:?} is no day: write for example mon-fri or sat,sun, of {}", DAYS.join(", "))
        })
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        loop {
            bits |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Ok(bits)
}

/// Reads a time of day, `08:00` to `24:00`.
pub(crate) fn minutes(text: &str) -> Result<u16, String> {
    let wrong = || format!("{text:?} is no time of day: write it as 08:00, from 00:00 to 24:00");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let two = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse::<u16>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    if minutes > 59 || hours * 60 + minutes > DAY { Err(wrong()) } else { Ok(hours * 60 + minutes) }
}

fn time_of_day(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl Hours {
    /// A window; the error says what is wrong with it.
    pub(crate) fn new(days: u8, from: u16, to: u16) -> Result<Self, String> {
        if from == to || from == DAY || to == 0 {
            return Err("the window is empty".to_owned());
        }
        Ok(Self { days, from, to })
    }

    /// Its days one by one: `mon,tue`.
    fn day_names(self) -> String {
        let days = DAYS.iter().enumerate().filter(|(at, _)| self.days >> at & 1 == 1);
        days.map(|(_, day)| *day).collect::<Vec<_>>().join(",")
    }

    /// The window that begins on a day, if one does: from its first nanosecond to the first after it. Where clocks are
    /// changed, a time that isn't there is taken as the one an hour later, and of one that is there twice the first.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<(i64, i64)> {
        let weekday = date.weekday().to_monday_zero_offset();
        if self.days >> weekday & 1 == 0 {
            return None;
        }
        let end = if self.to <= self.from { date.tomorrow().ok()? } else { date };
        Some((instant(date, self.from, zone)?, instant(end, self.to, zone)?))
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}-{}", self.day_names(), time_of_day(self.from), time_of_day(self.to))
    }
}

/// The moment of a day's minute.
fn instant(date: Date, minute: u16, zone: &TimeZone) -> Option<i64> {
    let (date, minute) = if minute >= DAY { (date.tomorrow().ok()?, 0) } else { (date, minute) };
    let time = Time::new((minute / 60) as i8, (minute % 60) as i8, 0, 0).ok()?;
    nanoseconds(zone.to_ambiguous_zoned(date.to_datetime(time)).compatible().ok()?.timestamp())
}

fn nanoseconds(at: Timestamp) -> Option<i64> {
    i64::try_from(at.as_nanosecond()).ok()
}

/// The first nanosecond after a day.
pub(crate) fn end_of(date: Date, zone: &TimeZone) -> Option<i64> {
    instant(date, DAY, zone)
}

/// Whether a time is in one of the windows, in the zone of that name; none if there is no such zone.
pub(crate) fn is_within(hours: &[Hours], zone: &str, now_ns: i64) -> Option<bool> {
    if hours.is_empty() {
        return Some(true);
    }
    let zone = TimeZoneDatabase::bundled().get(zone).ok()?;
    Some(in_hours(hours, now_ns, &zone).0)
}

/// Whether a time is in one of the windows, and until when that stays so. Without windows it always is.
pub(crate) fn in_hours(hours: &[Hours], now_ns: i64, zone: &TimeZone) -> (bool, i64) {
    if hours.is_empty() {
        return (true, i64::MAX);
    }
    let Ok(now) = Timestamp::from_nanosecond(now_ns.into()) else { return (false, i64::MAX) };
    let today = now.to_zoned(zone.clone()).date();
    // Windows that began yesterday may go on; those of tomorrow are looked at tomorrow.
    let mut until = end_of(today, zone).unwrap_or(i64::MAX);
    let mut inside = false;
    for date in [today.checked_sub(Span::new().days(1)).ok(), Some(today)].into_iter().flatten() {
        for (from, to) in hours.iter().filter_map(|window| window.on(date, zone)) {
            inside |= (from..to).contains(&now_ns);
            for edge in [from, to] {
                if edge > now_ns {
                    until = until.min(edge);
                }
            }
        }
    }
    (inside, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(text: &str) -> i64 {
        nanoseconds(text.parse().unwrap()).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(name).unwrap()
    }

    #[test]
    fn days_and_times_are_read() {
        assert_eq!(days("mon-fri"), Ok(0b001_1111));
        assert_eq!(days("Sat, sun"), Ok(0b110_0000));
        assert_eq!(days("fri-mon"), Ok(0b111_0001));
        assert!(days("monday").unwrap_err().contains("is no day"));
        assert_eq!(minutes("08:30"), Ok(510));
        assert_eq!(minutes("24:00"), Ok(1440));
        for wrong in ["8:00", "24:01", "12:60", "noon", "12", "+1:00"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn windows_are_in_the_policys_time_zone() {
        let school = [Hours { days: 0b001_1111, from: 8 * 60, to: 16 * 60 }];
        let minsk = zone("Europe/Minsk");
        // A Monday; Minsk is three hours ahead.
        for (at, inside, until) in [
            ("2026-03-02T04:59:59Z", false, "2026-03-02T05:00:00Z"),
            ("2026-03-02T05:00:00Z", true, "2026-03-02T13:00:00Z"),
            ("2026-03-02T13:00:00Z", false, "2026-03-02T21:00:00Z"),
            ("2026-03-07T08:00:00Z", false, "2026-03-07T21:00:00Z"),
        ] {
            assert_eq!(in_hours(&school, ns(at), &minsk), (inside, ns(until)), "{at}");
        }
    }

    #[test]
    fn windows_go_over_midnight_and_changes_of_clocks() {
        let night = [Hours { days: 0b100_0000, from: 22 * 60, to: 6 * 60 }];
        let berlin = zone("Europe/Berlin");
        // The night from Sunday 2026-03-22 to Monday, an ordinary one.
        assert!(in_hours(&night, ns("2026-03-22T21:00:00Z"), &berlin).0);
        assert_eq!(in_hours(&night, ns("2026-03-23T04:59:59Z"), &berlin), (true, ns("2026-03-23T05:00:00Z")));
        assert!(!in_hours(&night, ns("2026-03-23T05:00:00Z"), &berlin).0);
        // Saturday's 02:30 to 03:30 in the night to 2026-03-29 begins in an hour that isn't there.
        let gap = [Hours { days: 0b100_0000, from: 150, to: 210 }];
        assert_eq!(in_hours(&gap, ns("2026-03-29T01:00:00Z"), &berlin), (false, ns("2026-03-29T01:30:00Z")));
    }

    #[test]
    fn expiry_is_the_end_of_the_day() {
        let date = "2027-06-30".parse().unwrap();
        assert_eq!(end_of(date, &TimeZone::UTC), Some(ns("2027-07-01T00:00:00Z")));
    }
}
