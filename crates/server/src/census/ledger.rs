//! The counts of the day, the week and the month that are running, and the file that keeps them over a restart.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use daylight_tunnel::census::Firsts;
use jiff::civil::{Date, ISOWeekDate};
use serde::{Deserialize, Serialize};

use super::CensusError;
use super::region::Region;
use super::table::{Published, Table};

const FILE: &str = "ledger.json";

/// Nothing in it is finer than a day.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    /// The day that is counted, in UTC.
    day: Date,
    /// Users of that day, of its week so far, and of its month so far.
    today: Table,
    week: Table,
    month: Table,
    /// What is over, and not yet published.
    #[serde(default)]
    over: Vec<Over>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Over {
    period: Period,
    /// Any day of it.
    day: Date,
    table: Table,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Period {
    Day,
    Week,
    Month,
}

impl Period {
    /// Its first day and its last, and its name as ISO 8601 writes it.
    fn bounds(self, day: Date) -> (Date, Date, String) {
        match self {
            Self::Day => (day, day, day.to_string()),
            Self::Week => {
                let week = day.iso_week_date();
                let name = format!("{:04}-W{:02}", week.year(), week.week());
                // A week at the end of time has no last day.
                let of = |week: Result<ISOWeekDate, _>| week.map_or(day, Date::from);
                (of(week.first_of_week()), of(week.last_of_week()), name)
            }
            Self::Month => {
                let name = format!("{:04}-{:02}", day.year(), day.month());
                (day.first_of_month(), day.last_of_month(), name)
            }
        }
    }
}

/// A file of what is published.
#[derive(Serialize)]
struct Publication {
    period: Period,
    first: Date,
    last: Date,
    granularity: u64,
    #[serde(flatten)]
    table: Published,
}

impl Ledger {
    fn new(day: Date) -> Self {
        let empty = Table::default;
        Self { day, today: empty(), week: empty(), month: empty(), over: Vec::new() }
    }

    /// The one in a folder, or a new one.
    pub(super) fn open(folder: &Path, today: Date) -> Result<Self, CensusError> {
        let path = folder.join(FILE);
        let mut ledger = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|cause| CensusError::Damaged { path: path.clone(), cause })?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
                made.map_err(CensusError::file(folder))?;
                Self::new(today)
            }
            Err(cause) => return Err(CensusError::file(&path)(cause)),
        };
        ledger.turn(today);
        Ok(ledger)
    }

    pub(super) fn count(&mut self, today: Date, region: Region, transport: &str, firsts: Firsts) {
        self.turn(today);
        let region = region.to_string();
        self.today.add(&region, transport);
        if firsts.week {
            self.week.add(&region, transport);
        }
        if firsts.month {
            self.month.add(&region, transport);
        }
    }

    /// Begins another day. A clock that is set back begins an earlier one: what comes then belongs to a day that may have
    /// been published, and is lost.
    pub(super) fn turn(&mut self, today: Date) {
        let before = self.day;
        if today == before {
            return;
        }
        let mut end = |period: Period, table: &mut Table| {
            if period.bounds(before).0 != period.bounds(today).0 {
                self.over.push(Over { period, day: before, table: std::mem::take(table) });
            }
        };
        end(Period::Day, &mut self.today);
        end(Period::Week, &mut self.week);
        end(Period::Month, &mut self.month);
        self.day = today;
    }

    /// Writes what is over to files of its own, for everybody to read, and forgets it; how much it was.
    pub(super) fn publish(&mut self, folder: &Path, granularity: u64) -> Result<usize, CensusError> {
        for Over { period, day, table } in &self.over {
            let (first, last, name) = period.bounds(*day);
            let path = folder.join(format!("users-{name}.json"));
            // What was published stays as it is, so that two versions of it can't be compared.
            if !path.exists() {
                let table = table.publish(granularity);
                write(&path, &Publication { period: *period, first, last, granularity, table }, 0o644)?;
            }
        }
        let published = self.over.len();
        self.forget(published);
        Ok(published)
    }

    /// Forgets so much of what is over, the earliest first.
    pub(super) fn forget(&mut self, published: usize) {
        self.over.drain(..published.min(self.over.len()));
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), CensusError> {
        write(&folder.join(FILE), self, 0o600)
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &impl Serialize, mode: u32) -> Result<(), CensusError> {
    let new = path.with_extension("new");
    let write = || {
        let mut text = serde_json::to_string_pretty(content)?;
        text.push('\n');
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(CensusError::file(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use jiff::civil::date;
    use serde_json::{Value, json};

    use super::*;

    const NEW: Firsts = Firsts { week: true, month: true };
    const KNOWN: Firsts = Firsts { week: false, month: false };

    fn users(folder: &Path, name: &str) -> Value {
        let text = fs::read_to_string(folder.join(format!("users-{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn days_weeks_and_months_are_published_when_they_are_over() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("census");
        // A Sunday, the last but one of November.
        let sunday = date(2026, 11, 29);
        let mut ledger = Ledger::open(&folder, sunday).unwrap();
        (0..12).for_each(|_| ledger.count(sunday, Region::UNKNOWN, "web", NEW));
        let monday = date(2026, 11, 30);
        (0..25).for_each(|_| ledger.count(monday, Region::UNKNOWN, "web", KNOWN));
        (0..10).for_each(|_| ledger.count(monday, Region::UNKNOWN, "h3", NEW));
        ledger.turn(date(2026, 12, 1));
        ledger.publish(&folder, 10).unwrap();
        ledger.save(&folder).unwrap();
        let expected = json!({
            "period": "day", "first": "2026-11-30", "last": "2026-11-30", "granularity": 10, "users": 30,
            "regions": { "unknown": { "users": 30, "transports": { "h3": 10, "web": 20 } } },
            "transports": { "h3": 10, "web": 20 },
        });
        assert_eq!(users(&folder, "2026-11-30"), expected);
        assert_eq!(users(&folder, "2026-11-29")["users"], 10);
        let week = users(&folder, "2026-W48");
        assert_eq!((&week["first"], &week["last"]), (&json!("2026-11-23"), &json!("2026-11-29")));
        let month = users(&folder, "2026-11");
        assert_eq!((&month["users"], &month["last"]), (&json!(20), &json!("2026-11-30")));
        assert!(!folder.join("users-2026-W49.json").exists(), "it is not over");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        // The week goes on, over a restart.
        let mut ledger = Ledger::open(&folder, date(2026, 12, 7)).unwrap();
        ledger.publish(&folder, 10).unwrap();
        assert_eq!(users(&folder, "2026-W49")["transports"], json!({ "h3": 10 }));
    }

    #[test]
    fn what_was_published_stays() {
        let folder = tempfile::tempdir().unwrap();
        let today = date(2026, 11, 29);
        let mut ledger = Ledger::open(folder.path(), today).unwrap();
        let save = |ledger: &mut Ledger| {
            ledger.turn(date(2026, 11, 30));
            ledger.publish(folder.path(), 10).unwrap();
            users(folder.path(), "2026-11-29")["users"].clone()
        };
        (0..10).for_each(|_| ledger.count(today, Region::UNKNOWN, "web", NEW));
        assert_eq!(save(&mut ledger), 10);
        // The clock was set back.
        (0..50).for_each(|_| ledger.count(today, Region::UNKNOWN, "web", NEW));
        assert_eq!(save(&mut ledger), 10);
    }

    #[test]
    fn a_ledger_that_is_none_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{\"x\":1}").unwrap();
        let error = Ledger::open(folder.path(), date(2026, 11, 29)).unwrap_err().to_string();
        assert!(error.contains("ledger.json: unknown field `x`") && error.contains("line 1"), "{error}");
    }
}
