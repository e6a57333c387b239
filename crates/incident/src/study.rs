//! Everything that a report tells, put together from a folder.

use std::io::Read as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use daylight_verdict::input::open;

use crate::detect::{Detected, Parameters, detect};
use crate::error::{Error, Problem};
use crate::incident::{Incident, cluster};
use crate::packets::{self, Capture};
use crate::read::read_files;
use crate::rows::Rows;
use crate::series::outage::{self, Outage, SeriesChange};
use crate::series::{FILE_BYTES_MAX, Series};

/// No folder is read deeper.
const DEPTH_MAX: usize = 8;
/// No folder of more files is read.
const FILES_MAX: usize = 100_000;

/// What to make a study of.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The folder: verdict records, series, captures; in folders below it too.
    pub folder: PathBuf,
    /// The end of the data, in seconds since 1970; otherwise the last measurement, and for series their last point. To be
    /// given when measurements have ceased: silence at the end shows only then.
    pub until: Option<i64>,
    /// How many threads parse; otherwise as many as there are cores.
    pub threads: Option<NonZero<usize>>,
    /// What the detectors go by.
    pub parameters: Parameters,
}

/// What was read, and what was found in it.
#[derive(Debug, Default)]
pub struct Study {
    /// The verdicts.
    pub rows: Rows,
    /// What the detectors found.
    pub detected: Detected,
    /// What belongs together.
    pub incidents: Vec<Incident>,
    /// Series of others.
    pub series: Vec<Series>,
    /// What changed in them.
    pub series_changes: Vec<SeriesChange>,
    /// Their outages by IODA's rules; by the series' place.
    pub outages: Vec<Vec<Outage>>,
    /// Captures.
    pub captures: Vec<Capture>,
    /// What was passed over.
    pub problems: Vec<Problem>,
    /// How many problems there were in all.
    pub problem_count: u64,
    /// The beginning and the end of the data, in seconds since 1970.
    pub period: (i64, i64),
    /// What the detectors went by.
    pub parameters: Parameters,
}

impl Study {
    /// Reads a folder, and finds what is in it.
    ///
    /// # Errors
    /// If the folder or a file can't be read, or there is nothing in it to report on. A file that is of a known kind but
    /// damaged is a problem of the study, not an error.
    pub fn of(source: &Source) -> Result<Self, Error> {
        let files = files(&source.folder)?;
        let kind = |endings: &[&str]| -> Vec<PathBuf> {
            let is = |path: &&PathBuf| {
                let name = path.to_string_lossy().to_ascii_lowercase();
                let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
                endings.iter().any(|ending| name.ends_with(ending))
            };
            files.iter().filter(is).cloned().collect()
        };
        let read = read_files(&kind(&[".jsonl"]), source.threads)?;
        let mut problems = read.problems;
        let mut problem_count = read.problem_count;
        let mut tell = |path: &Path, line, column, what| {
            problem_count += 1;
            problems.push(Problem { file: relative(&source.folder, path), line, column, what });
        };
        let mut series = Vec::new();
        for path in kind(&[".csv", ".tsv", ".json"]) {
            let name = relative(&source.folder, &path);
            match crate::series::read(&name, &contents(&path)?) {
                Ok(read) => series.extend(read),
                Err(error) => tell(&path, error.line, error.column, error.what),
            }
        }
        let mut captures = Vec::new();
        for path in kind(&[".pcap", ".pcapng", ".cap"]) {
            match packets::read(&path, &relative(&source.folder, &path)) {
                Ok(capture) => captures.push(capture),
                Err(what) => tell(&path, 0, 0, what),
            }
        }
        if read.rows.rows.is_empty() && series.is_empty() && captures.is_empty() && problem_count == 0 {
            return Err(Error::NothingThere { path: source.folder.clone() });
        }
        let mut study = Self::new(read.rows, series, source.until, source.parameters);
        study.captures = captures;
        for problem in &mut problems {
            problem.file = relative(&source.folder, Path::new(&problem.file));
        }
        problems.sort();
        study.problems = problems;
        study.problem_count = problem_count;
        Ok(study)
    }

    /// Of verdicts and series that are in memory.
    pub fn new(rows: Rows, series: Vec<Series>, until: Option<i64>, parameters: Parameters) -> Self {
        let times = series.iter().flat_map(|one| {
            let last = one.points.last().map(|(at, _)| at + one.step_s);
            one.points.first().map(|(at, _)| *at).into_iter().chain(last)
        });
        let times: Vec<i64> = times.chain(rows.period().into_iter().flat_map(|(a, b)| [a, b])).collect();
        let last = until.or_else(|| times.iter().copied().max()).unwrap_or(0);
        let first = times.iter().copied().min().unwrap_or(last).min(last);
        // A series that goes on longer than the measurements does not make them silent.
        let measured_until = until.or_else(|| rows.period().map(|(_, last)| last)).unwrap_or(last);
        let detected = detect(&rows, measured_until, &parameters);
        let incidents = cluster(&rows, &detected.changes, measured_until);
        Self {
            series_changes: outage::changes(&series, last, &parameters),
            outages: series.iter().map(outage::ioda_outages).collect(),
            rows,
            detected,
            incidents,
            series,
            captures: Vec::new(),
            problems: Vec::new(),
            problem_count: 0,
            period: (first, last),
            parameters,
        }
    }
}

fn relative(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// A file's bytes, with gzip or zstd undone.
fn contents(path: &Path) -> Result<Vec<u8>, Error> {
    let reader = open(path).map_err(Error::io("read", path))?;
    let mut bytes = Vec::new();
    reader.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// All files of a folder, sorted. Links are not followed into folders.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut all = Vec::new();
    let mut todo = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = todo.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io("read the folder", &folder))? {
            let entry = entry.map_err(Error::io("read the folder", &folder))?;
            let kind = entry.file_type().map_err(Error::io("read", &entry.path()))?;
            if kind.is_dir() && depth < DEPTH_MAX {
                todo.push((entry.path(), depth + 1));
            } else if kind.is_file() && all.len() < FILES_MAX {
                all.push(entry.path());
            }
        }
    }
    all.sort();
    Ok(all)
}
