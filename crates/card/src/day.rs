//! Days: cards are dated to the day, which is as fine as paper needs and tells the least about who made one when.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

/// Seconds in a day.
const DAY_S: u64 = 86_400;

/// A day of UTC, counted from 1970-01-01. Written and read as `2026-11-23`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// 9999-12-31, the last day there is here.
    pub const MAX: Self = Self(2_932_896);

    /// The day with this number, if it is not after [`Day::MAX`].
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self).filter(|day| *day <= Self::MAX)
    }

    /// The day of this second since 1970.
    #[must_use]
    pub fn of_unix_s(seconds: u64) -> Self {
        Self::new(seconds / DAY_S).unwrap_or(Self::MAX)
    }

    /// How many days after 1970-01-01.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// So many days later, but not after [`Day::MAX`].
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days)).min(Self::MAX)
    }

    /// Year, month and day of the month.
    #[must_use]
    pub fn civil(self) -> (i16, i8, i8) {
        let date = Date::constant(1970, 1, 1).saturating_add(jiff::Span::new().days(self.0));
        (date.year(), date.month(), date.day())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a day from 1970 on; write it as 2026-11-23");
        let date: Date = text.parse().map_err(|_| wrong())?;
        let days = date.since(Date::constant(1970, 1, 1)).map_err(|_| wrong())?.get_days();
        u64::try_from(days).ok().and_then(Self::new).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_have_dates() {
        assert_eq!(Day::of_unix_s(0).to_string(), "1970-01-01");
        assert_eq!(Day::of_unix_s(1_795_392_000).to_string(), "2026-11-23");
        assert_eq!(Day::of_unix_s(1_795_392_000 - 1).to_string(), "2026-11-22");
        assert_eq!(Day::MAX.to_string(), "9999-12-31");
        assert_eq!(Day::of_unix_s(u64::MAX), Day::MAX);
        assert!("1969-12-31".parse::<Day>().is_err() && "2026-02-30".parse::<Day>().is_err());
    }

    proptest! {
        #[test]
        fn written_and_read(number in 0..=Day::MAX.0) {
            prop_assert_eq!(Day(number).to_string().parse(), Ok(Day(number)));
        }
    }
}
