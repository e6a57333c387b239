//! Series that others publish, to be laid beside incidents: visible BGP prefixes, networks that answer probes, traffic at a
//! telescope, users of circumvention tools, OONI's own counts.
//!
//! [`read`] finds out which of these a file has. `json` reads what IODA's and OONI's interfaces answer, `csv` tables with
//! a header. [`outage`] finds what changed: by IODA's own rules where it is one of IODA's signals, and in any case by this
//! crate's baseline and cumulative sum.

mod csv;
mod json;
pub mod outage;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::detect::baseline::median;
use crate::when::DAY_S;

/// No series has more points.
pub const POINTS_MAX: usize = 2_000_000;
/// No file has more series.
pub const SERIES_MAX: usize = 2_000;
/// No file of series is longer.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Prefixes, of /24 or their parts, that are seen in BGP.
    Bgp,
    /// Networks of /24 that answer active probing.
    ActiveProbing,
    /// Sources whose unsolicited traffic reaches a telescope.
    Telescope,
    /// Users, or connections, of a tool in a day.
    Users,
    /// A share in [0, 1], such as that of measurements that succeed.
    Share,
    /// A count of measurements.
    Measurements,
    /// Anything else.
    Other,
}

impl Signal {
    /// All signals, with the words that comments in tables declare them by.
    pub const ALL: [(&'static str, Self); 7] = [
        ("bgp", Self::Bgp),
        ("active-probing", Self::ActiveProbing),
        ("telescope", Self::Telescope),
        ("users", Self::Users),
        ("share", Self::Share),
        ("measurements", Self::Measurements),
        ("other", Self::Other),
    ];

    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bgp => "BGP",
            Self::ActiveProbing => "active probing",
            Self::Telescope => "telescope",
            Self::Users => "users",
            Self::Share => "share",
            Self::Measurements => "measurements",
            Self::Other => "other",
        }
    }

    /// What a name of a column, of a data source or of a file says.
    fn guess(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let words: [(&[&str], Self); 6] = [
            (&["bgp", "prefix"], Self::Bgp),
            (&["slash24", "active-probing", "active_probing", "active probing"], Self::ActiveProbing),
            (&["telescope", "ucsd-nt", "merit-nt", "darknet"], Self::Telescope),
            (&["users", "clients", "connections"], Self::Users),
            (&["ratio", "share", "success", "fraction"], Self::Share),
            (&["measurement"], Self::Measurements),
        ];
        let found = words.iter().find(|(words, _)| words.iter().any(|word| name.contains(word)));
        found.map(|(_, signal)| *signal)
    }
}

/// A series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// What it is called: the column, and what tells it from others in the file.
    pub name: String,
    /// What it counts.
    pub signal: Signal,
    /// What it is of, if that is told: a country's code in upper case, or `AS` and a number.
    pub entity: Option<String>,
    /// The file.
    pub file: String,
    /// Seconds from one point to the next.
    pub step_s: i64,
    /// Times (seconds since 1970, the beginning of the step) and values, in order; missing ones are not there.
    pub points: Vec<(i64, f64)>,
}

impl Series {
    /// Of points with different times, in any order. Finds the step by itself.
    fn new(name: String, signal: Signal, entity: Option<String>, mut points: Vec<(i64, f64)>) -> Self {
        points.sort_by_key(|(at, _)| *at);
        let gaps = points.iter().zip(points.iter().skip(1)).map(|((a, _), (b, _))| (b - a) as f64).collect();
        let step_s = median(gaps).map_or(DAY_S, |gap| (gap as i64).max(1));
        Self { name, signal, entity, file: String::new(), step_s, points }
    }
}

/// Why a file of series can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct SeriesError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong, and how to mend it.
    pub what: String,
}

/// Something wrong at a place, before the file's name is known.
struct Wrong {
    line: usize,
    column: usize,
    what: String,
}

fn wrong(line: usize, column: usize, what: impl Into<String>) -> Wrong {
    Wrong { line, column, what: what.into() }
}

/// Reads the series in a file's bytes. `file` is what errors call it; its name may tell what a series counts.
///
/// # Errors
/// If it is neither JSON nor a table that is known, with the place.
pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<Series>, SeriesError> {
    let error = |wrong: Wrong| SeriesError {
        file: file.to_owned(),
        line: wrong.line as u64,
        column: wrong.column as u64,
        what: wrong.what,
    };
    let text = std::str::from_utf8(bytes).map_err(|bad| {
        let before = bytes.get(..bad.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        error(wrong(line, column, "not UTF-8; save the table as UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let stem = file.rsplit('/').next().unwrap_or(file);
    let read = match text.trim_start().as_bytes().first() {
        Some(b'{' | b'[') => json::read(text),
        _ => csv::read(text, stem),
    };
    let mut all = read.map_err(error)?;
    for series in &mut all {
        series.file = stem.to_owned();
    }
    all.sort_by(|a, b| (&a.entity, a.signal, &a.name).cmp(&(&b.entity, b.signal, &b.name)));
    Ok(all)
}

/// By day: anomalies, and good measurements.
type Days = BTreeMap<i64, (f64, f64)>;

/// OONI's counts, added up: which series, when, anomalies and good measurements.
#[derive(Default)]
struct Counts {
    days: BTreeMap<(Option<String>, String), Days>,
}

impl Counts {
    fn add(&mut self, entity: Option<String>, label: String, at: i64, odd: f64, good: f64) {
        let day = self.days.entry((entity, label)).or_default().entry(at).or_default();
        *day = (day.0 + odd.max(0.0), day.1 + good.max(0.0));
    }

    /// Two series of each: the share of anomalies, and how many were measured. Failures of measuring are in neither.
    fn into_series(self) -> Vec<Series> {
        let mut all = Vec::new();
        for ((entity, label), days) in self.days {
            let named = |own: &str| if label.is_empty() { own.to_owned() } else { format!("{label}: {own}") };
            let shares: Vec<(i64, f64)> = days
                .iter()
                .filter(|(_, (odd, good))| odd + good > 0.0)
                .map(|(at, (odd, good))| (*at, odd / (odd + good)))
                .collect();
            let counts: Vec<(i64, f64)> = days.iter().map(|(at, (odd, good))| (*at, odd + good)).collect();
            all.push(Series::new(named("share of anomalies"), Signal::Share, entity.clone(), shares));
            all.push(Series::new(named("measurements"), Signal::Measurements, entity, counts));
        }
        all.retain(|series| !series.points.is_empty());
        all
    }
}

/// A country's code, or an autonomous system's number, as all series write them.
fn entity(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    match text.as_str() {
        "" | "??" | "ZZ" => None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(format!("AS{digits}")),
        _ => Some(text),
    }
}
