//! Files of measurements in, lines of records out.
//!
//! Files are read in the order they are given, folders in the order of their names; records come out in that order
//! however many threads work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use crate::classify::Classifier;
use crate::explain::explain;
use crate::fingerprint::{FINGERPRINT_BYTES_MAX, Finding, Fingerprints};
use crate::input;
use crate::ooni::{Piece, Splitter, WEB_CONNECTIVITY, read};
use crate::record::{Measurement, State};
use crate::rules::{RULES_BYTES_MAX, Rules, RulesError, hex};

/// How many bytes of measurements are handed to a thread at once.
const BATCH_BYTES: usize = 1 << 20;
/// How many measurements are handed to a thread at once.
const BATCH_LEN: usize = 256;
/// How deep folders are looked into.
const FOLDER_DEPTH_MAX: usize = 16;

/// What to classify, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files, and folders of them; `-` is standard input. In a folder, files are taken that end in `.json`, `.jsonl` or
    /// one of these and `.gz` or `.zst`.
    pub inputs: Vec<PathBuf>,
    /// A rules file instead of the own rules.
    pub rules: Option<PathBuf>,
    /// Files of fingerprints besides the own ones.
    pub fingerprints: Vec<PathBuf>,
    /// Text for a person instead of records.
    pub explain: bool,
    /// Keep the addresses of routers in places.
    pub keep_addresses: bool,
    /// How many threads; 0 for as many as there are cores.
    pub threads: usize,
}

/// Why nothing could be classified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder can't be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The rules can't be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Nothing was found to read.
    #[error("{0}: there is no .json or .jsonl in this folder, nor one under .gz or .zst")]
    Empty(PathBuf),
    /// The records can't be written.
    #[error("can't write the records: {0}")]
    Write(io::Error),
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read, after decompression.
    pub bytes: u64,
    /// Records, by state, in the order of the states.
    pub states: BTreeMap<State, u64>,
    /// Records, by mechanism.
    pub mechanisms: BTreeMap<String, u64>,
    /// Measurements of other tests.
    pub other_tests: u64,
    /// What could not be read or was odd: file, line, column and why. At most [`NOTES_MAX`].
    pub notes: Vec<String>,
    /// How many notes there were.
    pub notes_total: u64,
    /// What is wrong with the fingerprints.
    pub findings: Vec<Finding>,
}

/// How many notes a summary keeps.
pub const NOTES_MAX: usize = 1000;

impl Summary {
    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.states.values().sum()
    }

    fn note(&mut self, note: String) {
        self.notes_total += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    fn add(&mut self, part: Self) {
        self.bytes += part.bytes;
        self.other_tests += part.other_tests;
        for (state, count) in part.states {
            *self.states.entry(state).or_default() += count;
        }
        for (mechanism, count) in part.mechanisms {
            *self.mechanisms.entry(mechanism).or_default() += count;
        }
        self.notes_total += part.notes_total - part.notes.len() as u64;
        for note in part.notes {
            self.note(note);
        }
    }
}

/// Classifies all inputs and writes one line for each measurement, or what `explain` has to say.
///
/// # Errors
/// If the rules or fingerprints can't be used, an input can't be opened, or the output can't be written. What is wrong
/// within a file of measurements is in the summary's notes.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let classifier = Arc::new(classifier(options, &mut summary)?);
    let files = files(&options.inputs)?;
    summary.files = files.len() as u64;
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let (batches, work) = sync_channel::<Batch>(threads * 2);
    let (done, results) = sync_channel::<(u64, Output)>(threads * 2);
    let work = Arc::new(Mutex::new(work));
    thread::scope(|scope| {
        let failed = scope.spawn(move || send_all(&files, &batches));
        for _ in 0..threads {
            let (work, done, classifier) = (Arc::clone(&work), done.clone(), Arc::clone(&classifier));
            let explain = options.explain;
            scope.spawn(move || work_off(&work, &done, &classifier, explain));
        }
        drop(done);
        // Held by the workers alone, so that the reader is stopped when they are.
        drop(work);
        let written = write_in_order(results, out, &mut summary);
        let read = failed.join().unwrap_or(Ok(()));
        written.and(read)
    })?;
    out.flush().map_err(Error::Write)?;
    Ok(summary)
}

fn classifier(options: &Options, summary: &mut Summary) -> Result<Classifier, Error> {
    let mut rules = match &options.rules {
        Some(path) => Rules::parse(&text(path, RULES_BYTES_MAX)?, &path.to_string_lossy())?,
        None => Rules::own()?,
    };
    let mut fingerprints = Fingerprints::own();
    let mut data = vec![crate::fingerprint::OWN.to_owned()];
    for path in &options.fingerprints {
        let text = text(path, FINGERPRINT_BYTES_MAX)?;
        summary.findings.extend(fingerprints.add(&text, &path.to_string_lossy()));
        data.push(text);
    }
    rules = rules.with_data(data.iter().map(String::as_bytes));
    Ok(Classifier::new(rules, fingerprints, options.keep_addresses))
}

fn text(path: &Path, max: u64) -> Result<String, Error> {
    let unreadable = |error| Error::Unreadable { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        let message = format!("the file has more than {max} bytes");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let before = files.len();
            folder(input, FOLDER_DEPTH_MAX, &mut files)?;
            if files.len() == before {
                return Err(Error::Empty(input.clone()));
            }
        } else {
            files.push(input.clone());
        }
    }
    Ok(files)
}

fn folder(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let unreadable = |error| Error::Unreadable { path: path.to_owned(), error };
    let entries: io::Result<Vec<_>> = std::fs::read_dir(path).map_err(unreadable)?.collect();
    let mut entries = entries.map_err(unreadable)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let plain = input::COMPRESSED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        // Links are not followed: a loop of them would have no end.
        if kind.is_dir() && depth > 0 {
            folder(&entry.path(), depth - 1, files)?;
        } else if kind.is_file() && (plain.ends_with(".json") || plain.ends_with(".jsonl")) {
            files.push(entry.path());
        }
    }
    Ok(())
}

struct Batch {
    sequence: u64,
    file: Arc<str>,
    pieces: Vec<Piece>,
    /// What ended the file before its end.
    broken: Option<String>,
}

/// Reads all files and hands out their pieces.
fn send_all(files: &[PathBuf], batches: &SyncSender<Batch>) -> Result<(), Error> {
    let mut sequence = 0;
    for path in files {
        let unreadable = |error| Error::Unreadable { path: path.clone(), error };
        let input = input::open(path).map_err(unreadable)?;
        let file: Arc<str> = path.to_string_lossy().into();
        let mut splitter = Splitter::new(input);
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        loop {
            let next = splitter.next_piece();
            let is_end = matches!(next, Ok(None));
            let broken = match next {
                Ok(Some(piece)) => {
                    bytes += piece.json.len();
                    pieces.push(piece);
                    None
                }
                Ok(None) => None,
                Err(error) => Some(format!("{file}: {error}")),
            };
            if is_end || broken.is_some() || bytes >= BATCH_BYTES || pieces.len() >= BATCH_LEN {
                let batch =
                    Batch { sequence, file: Arc::clone(&file), pieces: std::mem::take(&mut pieces), broken };
                (sequence, bytes) = (sequence + 1, 0);
                if batches.send(batch).is_err() {
                    return Ok(());
                }
            }
            if is_end {
                break;
            }
        }
    }
    Ok(())
}

/// What a batch came to.
struct Output {
    text: Vec<u8>,
    summary: Summary,
}

fn work_off(
    work: &Mutex<Receiver<Batch>>,
    done: &SyncSender<(u64, Output)>,
    classifier: &Classifier,
    explain: bool,
) {
    loop {
        let batch = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        let mut output = Output { text: Vec::new(), summary: Summary::default() };
        for piece in &batch.pieces {
            one(&batch.file, piece, classifier, explain, &mut output);
        }
        if let Some(broken) = batch.broken {
            output.summary.note(broken);
        }
        if done.send((batch.sequence, output)).is_err() {
            return;
        }
    }
}

fn one(file: &str, piece: &Piece, classifier: &Classifier, with_explanation: bool, output: &mut Output) {
    let summary = &mut output.summary;
    summary.bytes += piece.json.len() as u64;
    let read = match read(&piece.json) {
        Ok(read) => read,
        Err(error) => {
            let line = piece.line + error.line as u64 - 1;
            let column = error.column as u64 + if error.line <= 1 { piece.column - 1 } else { 0 };
            return summary.note(format!("{file}:{line}:{column}: {}", error.message));
        }
    };
    for note in read.notes {
        summary.note(format!("{file}:{}: {note}", piece.line));
    }
    let measurement = read.measurement;
    if measurement.test_name != WEB_CONNECTIVITY {
        summary.other_tests += 1;
        return;
    }
    let place = Measurement {
        report_id: measurement.report_id.clone(),
        uid: measurement.measurement_uid.clone(),
        software: format!("{} {}", measurement.software_name, measurement.software_version).trim().to_owned(),
        file: file.to_owned(),
        line: piece.line,
        sha256: hex(&Sha256::digest(&piece.json)),
    };
    let observed = classifier.observe(&measurement);
    let Some(record) = classifier.record(&measurement, place, &observed) else {
        let told = &measurement.measurement_start_time;
        let note = format!(
            "{file}:{}: measurement_start_time is `{told}`: write it as 2020-08-09 20:00:00",
            piece.line
        );
        return summary.note(note);
    };
    *summary.states.entry(record.state).or_default() += 1;
    if let Some(mechanism) = &record.mechanism {
        *summary.mechanisms.entry(mechanism.to_string()).or_default() += 1;
    }
    if with_explanation {
        output.text.extend_from_slice(explain(&record, &observed, &classifier.rules).as_bytes());
    } else if serde_json::to_writer(&mut output.text, &record).is_ok() {
        output.text.push(b'\n');
    }
}

fn write_in_order(
    results: Receiver<(u64, Output)>,
    out: &mut dyn Write,
    summary: &mut Summary,
) -> Result<(), Error> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (sequence, output) in results {
        waiting.insert(sequence, output);
        while let Some(output) = waiting.remove(&next) {
            out.write_all(&output.text).map_err(Error::Write)?;
            summary.add(output.summary);
            next += 1;
        }
    }
    Ok(())
}
