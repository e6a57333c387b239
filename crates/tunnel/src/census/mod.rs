//! Counts users without knowing them: a client says whether it is its first time this week and this month, once a day, to
//! one of its servers, and neither side keeps anything by which it could be known again.
//!
//! The exchange has two phases on one stream, so that whatever breaks in the middle, nobody is counted twice:
//!
//! ```text
//! client: 1, firsts     I could be counted
//! server: 1             then I would count you (0: I don't count)
//!                       the client writes down, durably, that it was counted today
//! client: 1             count me
//! server: 1             done
//! ```
//!
//! The stream goes to [`destination`], which is no real place. The wire and what is kept are in docs/reference/census.md.

mod client;
mod server;
mod state;

use daylight_session::Destination;
use jiff::civil::Date;

pub use client::{Outcome, ReportError, delay, report, report_on};
pub use server::serve;
pub use state::{State, StateError};

/// The stream's destination: no name ends so (RFC 6761 §6.4).
const NAME: &str = "census.daylight.invalid";
const PORT: u16 = 1;

/// Of both directions.
const VERSION: u8 = 1;
const YES: u8 = 1;
const NO: u8 = 0;

/// Where a client reports to.
#[must_use]
#[allow(clippy::missing_panics_doc, clippy::expect_used)] // A constant, which a test parses.
pub fn destination() -> Destination {
    Destination::Name(NAME.parse().expect("a host name"), PORT)
}

/// Whether a stream is a report.
#[must_use]
pub fn is_report(destination: &Destination) -> bool {
    matches!(destination, Destination::Name(name, PORT) if name.as_str() == NAME)
}

/// Today in UTC, by the machine's clock.
#[must_use]
pub fn today() -> Date {
    jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date()
}

/// What a client says of itself. It is its first time today, or it would say nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Firsts {
    /// The first time this week, which begins on Monday.
    pub week: bool,
    /// The first time this month.
    pub month: bool,
}

impl Firsts {
    /// On a day, of somebody who was counted `before`; `None` if it is not the first time that day. A day that is yet to
    /// come is one on which the clock was wrong.
    #[must_use]
    pub fn on(today: Date, before: Option<Date>) -> Option<Self> {
        let Some(before) = before else { return Some(Self { week: true, month: true }) };
        let week = |day: Date| (day.iso_week_date().year(), day.iso_week_date().week());
        let month = |day: Date| (day.year(), day.month());
        let firsts = Self { week: week(before) != week(today), month: month(before) != month(today) };
        (before != today).then_some(firsts)
    }

    const DAY_BIT: u8 = 1;
    const WEEK_BIT: u8 = 2;
    const MONTH_BIT: u8 = 4;

    fn to_byte(self) -> u8 {
        let bit = |is: bool, bit| if is { bit } else { 0 };
        Self::DAY_BIT | bit(self.week, Self::WEEK_BIT) | bit(self.month, Self::MONTH_BIT)
    }

    fn of_byte(byte: u8) -> Option<Self> {
        let known = Self::DAY_BIT | Self::WEEK_BIT | Self::MONTH_BIT;
        let firsts = Self { week: byte & Self::WEEK_BIT != 0, month: byte & Self::MONTH_BIT != 0 };
        (byte & !known == 0 && byte & Self::DAY_BIT != 0).then_some(firsts)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_destination_is_itself_alone() {
        assert_eq!(destination().to_string(), "census.daylight.invalid:1");
        assert!(is_report(&destination()));
        assert!(!is_report(&Destination::Name(NAME.parse().expect("a name"), 443)));
        assert!(!is_report(&Destination::Name("example.org".parse().expect("a name"), PORT)));
    }

    #[test]
    fn weeks_begin_on_monday_and_months_in_their_middle() {
        let firsts = |week, month| Some(Firsts { week, month });
        // 2026-11-29 is a Sunday.
        let sunday = date(2026, 11, 29);
        assert_eq!(Firsts::on(sunday, None), firsts(true, true));
        assert_eq!(Firsts::on(sunday, Some(sunday)), None);
        assert_eq!(Firsts::on(sunday, Some(date(2026, 11, 23))), firsts(false, false));
        assert_eq!(Firsts::on(date(2026, 11, 30), Some(sunday)), firsts(true, false));
        assert_eq!(Firsts::on(date(2026, 12, 1), Some(date(2026, 11, 30))), firsts(false, true));
        // One week lies in two years.
        assert_eq!(Firsts::on(date(2027, 1, 1), Some(date(2026, 12, 31))), firsts(false, true));
        assert_eq!(Firsts::on(sunday, Some(date(2025, 11, 29))), firsts(true, true));
        // The clock was a month ahead.
        assert_eq!(Firsts::on(sunday, Some(date(2026, 12, 29))), firsts(true, true));
    }

    proptest! {
        /// Whenever somebody comes, each day, week and month has one first time.
        #[test]
        fn each_period_is_counted_once(steps in prop::collection::vec(0..20_i32, 1..60)) {
            let (mut today, mut before) = (date(2026, 11, 20), None);
            let mut counted = [0; 3];
            let mut periods = [Vec::new(), Vec::new(), Vec::new()];
            for step in steps {
                today = today.saturating_add(jiff::Span::new().days(step));
                if let Some(firsts) = Firsts::on(today, before) {
                    before = Some(today);
                    counted[0] += 1;
                    counted[1] += usize::from(firsts.week);
                    counted[2] += usize::from(firsts.month);
                }
                // Days since a Monday.
                let days = date(2026, 11, 2).until(today).expect("a span").get_days();
                periods[0].push(days);
                periods[1].push(days / 7);
                periods[2].push(i32::from(today.year()) * 12 + i32::from(today.month()));
            }
            for (counted, mut periods) in counted.into_iter().zip(periods) {
                periods.dedup();
                prop_assert_eq!(counted, periods.len());
            }
        }

        #[test]
        fn bytes_and_back(byte: u8) {
            if let Some(firsts) = Firsts::of_byte(byte) {
                prop_assert_eq!(firsts.to_byte(), byte);
            }
        }
    }

    #[test]
    fn the_first_time_today_must_be_said() {
        assert_eq!(Firsts::of_byte(0b101), Some(Firsts { week: false, month: true }));
        for wrong in [0, 0b010, 0b110, 0b1001, 0xff] {
            assert_eq!(Firsts::of_byte(wrong), None);
        }
    }
}
