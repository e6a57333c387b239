//! Where in a store a file lies, and which files a reader takes.
//!
//! `DIR/day=2026-11-24/hour=03/…parquet`, UTC, by the time a flow ended. A file's name begins with the minute of its first
//! record and ends with eight random digits, so that any number of sensors can write into one folder.
//!
//! A merged file has the place of others. Beside `X.merged.parquet` lies `X.replaces`, which was there before and names
//! them, one a line. A reader who sees the merged file passes over those; who doesn't see it yet, reads them: no reader sees a
//! row twice or not at all, whenever it looks and wherever a merge was interrupted. The files themselves are removed a while
//! later, when no reader who began before is still about to open them.
//!
//! Names that begin with a dot are nobody's: files that are being written, and the lock.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::time::civil;

/// Nanoseconds in an hour.
const HOUR_NS: i64 = 3_600_000_000_000;
const EXTENSION: &str = ".parquet";
const MERGED: &str = ".merged.parquet";
const REPLACES: &str = ".replaces";

/// An hour of a store: all records of flows that ended in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    /// The hour of a time in nanoseconds since 1970.
    pub fn of(time_ns: i64) -> Self {
        Self(time_ns.div_euclid(HOUR_NS))
    }

    /// When it begins, in nanoseconds since 1970.
    pub fn start_ns(self) -> i64 {
        self.0.saturating_mul(HOUR_NS)
    }

    /// When the next begins.
    pub fn end_ns(self) -> i64 {
        self.0.saturating_add(1).saturating_mul(HOUR_NS)
    }

    /// The day in UTC: `2026-11-24`.
    pub fn day(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(24));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// The hour of the day, 0 to 23.
    pub fn hour(self) -> u8 {
        self.0.rem_euclid(24) as u8
    }

    /// Its folder within a store.
    pub fn folder(self) -> PathBuf {
        PathBuf::from(format!("day={}", self.day())).join(format!("hour={:02}", self.hour()))
    }
}

/// A file of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

impl DataFile {
    /// True if it was made of others.
    pub fn is_merged(&self) -> bool {
        self.name().ends_with(MERGED)
    }

    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// A new name for a file of a sensor whose first record ended at this time.
pub(super) fn name(sensor: &str, first_ns: i64) -> io::Result<String> {
    Ok(format!("{}-{sensor}-{}{EXTENSION}", minute(first_ns), random()?))
}

/// A new name for a merged file, and for the list of the files that it replaces.
pub(super) fn merged_names(hour: Hour) -> io::Result<(String, String)> {
    let stem = format!("{}-{}", minute(hour.start_ns()), random()?);
    Ok((format!("{stem}{MERGED}"), format!("{stem}{REPLACES}")))
}

/// The list of a merged file.
pub(super) fn list_of(merged: &Path) -> Option<PathBuf> {
    let stem = merged.file_name()?.to_str()?.strip_suffix(MERGED)?;
    Some(merged.with_file_name(format!("{stem}{REPLACES}")))
}

/// The name that a file has until it is whole.
pub(super) fn unfinished(name: &str) -> String {
    format!(".{name}.part")
}

pub(super) fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".part")
}

fn minute(time_ns: i64) -> String {
    let minutes = time_ns.div_euclid(60_000_000_000);
    let (year, month, day) = civil(minutes.div_euclid(1440));
    let (hour, minute) = (minutes.rem_euclid(1440) / 60, minutes.rem_euclid(60));
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}")
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 4];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The hours of which there is a folder, the earliest first. Other folders are passed over.
///
/// # Errors
/// If the store's folder or that of a day can't be read.
pub fn hours(store: &Path) -> io::Result<Vec<Hour>> {
    let mut hours = Vec::new();
    for day in fs::read_dir(store)? {
        let day = day?;
        let Some(days) = day.file_name().to_str().and_then(|name| days(name.strip_prefix("day=")?)) else {
            continue;
        };
        let entries = match fs::read_dir(day.path()) {
            // Removed in between, or a file.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            entries => entries?,
        };
        for hour in entries {
            let name = hour?.file_name();
            let hour = name.to_str().and_then(|name| name.strip_prefix("hour=")?.parse::<u8>().ok());
            hours.extend(hour.filter(|hour| *hour < 24).map(|hour| Hour(days * 24 + i64::from(hour))));
        }
    }
    hours.sort_unstable();
    hours.dedup();
    Ok(hours)
}

/// Days since 1970 of a date.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Howard Hinnant's `days_from_civil`.
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era.checked_mul(146_097)? + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
        + day_of_year
        - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// The files of an hour that a reader takes, in the order of their names. Files of other kinds are passed over.
///
/// # Errors
/// If the hour's folder can't be read. If there is none, there are no files.
pub fn files(store: &Path, hour: Hour) -> io::Result<Vec<DataFile>> {
    Ok(listed(store, hour)?.0)
}

/// The files that a reader takes, and those that stand in no list any more but are still there.
pub(super) fn listed(store: &Path, hour: Hour) -> io::Result<(Vec<DataFile>, Vec<DataFile>)> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(store.join(hour.folder())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.ends_with(EXTENSION) && !name.starts_with('.')) {
            continue;
        }
        match entry.metadata() {
            Ok(m) if m.is_file() => files.push(DataFile {
                path: entry.path(),
                bytes: m.len(),
                modified: m.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut replaced = HashSet::new();
    for list in files.iter().filter_map(|file| list_of(&file.path)) {
        // Opened by its name: it may have come after the folder began to be listed.
        match fs::read_to_string(&list) {
            Ok(text) => replaced.extend(text.lines().map(str::to_owned)),
            // The files in it were removed, and then the list.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files.into_iter().partition(|file| !replaced.contains(file.name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_their_folders() {
        let hour = Hour::of(1_709_262_000_000_000_000);
        assert_eq!(hour.folder(), Path::new("day=2024-03-01/hour=03"));
        assert_eq!((hour.end_ns() - hour.start_ns(), Hour::of(hour.end_ns() - 1)), (HOUR_NS, hour));
        assert_eq!(Hour::of(-1).folder(), Path::new("day=1969-12-31/hour=23"));
        let store = tempfile::tempdir().unwrap();
        let times = [0, -1, i64::MAX, i64::MIN, 951_782_400_000_000_000, 1_709_262_000_000_000_000];
        let mut expected: Vec<Hour> = times.map(Hour::of).to_vec();
        for hour in &expected {
            fs::create_dir_all(store.path().join(hour.folder())).unwrap();
        }
        for other in ["day=2024-02-30/hour=01", "day=x/hour=01", "day=2024-02-01/hour=24", "lost+found"] {
            fs::create_dir_all(store.path().join(other)).unwrap();
        }
        fs::write(store.path().join("day=2024-02-02"), "").unwrap();
        expected.sort();
        assert_eq!(hours(store.path()).unwrap(), expected);
    }

    #[test]
    fn what_a_reader_takes() {
        let store = tempfile::tempdir().unwrap();
        let hour = Hour::of(0);
        let folder = store.path().join(hour.folder());
        let names = || -> Vec<String> {
            files(store.path(), hour).unwrap().iter().map(|file| file.name().to_owned()).collect()
        };
        assert!(names().is_empty());
        fs::create_dir_all(&folder).unwrap();
        for name in ["a.parquet", "b.parquet", "c.parquet", ".d.parquet.part", "notes.txt"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::create_dir(folder.join("e.parquet")).unwrap();
        assert_eq!(names(), ["a.parquet", "b.parquet", "c.parquet"]);
        // The list alone changes nothing, and goes on changing nothing if the merge never came to an end.
        fs::write(folder.join("x.replaces"), "a.parquet\nb.parquet\n").unwrap();
        assert_eq!(names(), ["a.parquet", "b.parquet", "c.parquet"]);
        fs::write(folder.join("x.merged.parquet"), "").unwrap();
        assert_eq!(names(), ["c.parquet", "x.merged.parquet"]);
        // A merged file may be merged again.
        fs::write(folder.join("y.replaces"), "c.parquet\nx.merged.parquet\n").unwrap();
        fs::write(folder.join("y.merged.parquet"), "").unwrap();
        assert_eq!(names(), ["y.merged.parquet"]);
        for name in ["a.parquet", "b.parquet", "c.parquet", "x.merged.parquet", "x.replaces", "y.replaces"] {
            fs::remove_file(folder.join(name)).unwrap();
            assert_eq!(names(), ["y.merged.parquet"]);
        }
    }

    #[test]
    fn names_of_files() {
        let (a, b) = (name("edge", 0).unwrap(), name("edge", 0).unwrap());
        assert!(a.starts_with("19700101T0000-edge-") && a.ends_with(".parquet") && a != b, "{a} {b}");
        let (merged, list) = merged_names(Hour::of(0)).unwrap();
        assert_eq!(list_of(Path::new(&merged)).unwrap(), Path::new(&list));
        assert_eq!(list_of(Path::new(&a)), None);
    }
}
