//! Verdict records from files: JSON lines, plain or under gzip or zstd, parsed on all cores.

use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};

use daylight_verdict::input::open;
use daylight_verdict::record::{Record, SCHEMA};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Problem};
use crate::rows::{Builder, Rows};

/// No line is longer: a record has some two thousand bytes.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// So much is parsed at once.
const CHUNK_BYTES: usize = 1 << 20;
/// So many problems are kept; all are counted.
pub const PROBLEMS_MAX: usize = 200;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// The verdicts.
    pub rows: Rows,
    /// Lines that were passed over: the first of them.
    pub problems: Vec<Problem>,
    /// How many were passed over.
    pub problem_count: u64,
    /// How many lines were measurements, which lie beside their verdicts; they are no problems.
    pub measurements: u64,
}

/// Whole lines of a file.
struct Chunk {
    file: usize,
    first_line: u64,
    bytes: Vec<u8>,
}

/// Reads all records of files. What is no record is passed over and told; the order of files and lines makes no difference
/// to the rows.
///
/// # Errors
/// If a file can't be opened.
pub fn read_files(paths: &[PathBuf], threads: Option<NonZero<usize>>) -> Result<Verdicts, Error> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let (send, receive) = mpsc::sync_channel::<Chunk>(2 * threads);
    let receive = Mutex::new(receive);
    let mut problems = Vec::new();
    let (parts, failed) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&receive, paths))).collect();
        let mut failed = None;
        for (file, path) in paths.iter().enumerate() {
            match open(path) {
                Ok(reader) => {
                    if let Err((line, what)) = cut(reader, file, &send) {
                        problems.push(problem(path, line, 0, what));
                    }
                }
                Err(error) => {
                    failed = Some(Error::io("read", path)(error));
                    break;
                }
            }
        }
        drop(send);
        // A worker only panics if we are wrong; then so should this.
        let parts: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().ok()).collect();
        (parts, failed)
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut builders = Vec::new();
    let mut problem_count = problems.len() as u64;
    let mut measurements = 0;
    for part in parts {
        builders.push(part.builder);
        problems.extend(part.problems);
        problem_count += part.problem_count;
        measurements += part.measurements;
    }
    problems.sort();
    problems.truncate(PROBLEMS_MAX);
    Ok(Verdicts { rows: Builder::finish(builders), problems, problem_count, measurements })
}

/// Cuts a file into chunks of whole lines. On failure, gives the line and the reason.
fn cut(mut reader: impl Read, file: usize, send: &mpsc::SyncSender<Chunk>) -> Result<(), (u64, String)> {
    let mut rest: Vec<u8> = Vec::new();
    let mut line = 1;
    loop {
        let mut bytes = std::mem::take(&mut rest);
        bytes.reserve(CHUNK_BYTES);
        let read = reader.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut bytes);
        let count = read.map_err(|error| (line, format!("can't be read on: {error}")))?;
        if count > 0 {
            match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => rest = bytes.split_off(end + 1),
                None if bytes.len() > LINE_BYTES_MAX => {
                    return Err((
                        line,
                        format!(
                            "a line of more than {} MiB; the rest of the file is not read",
                            LINE_BYTES_MAX >> 20
                        ),
                    ));
                }
                None => {
                    rest = bytes;
                    continue;
                }
            }
        }
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        // Sending fails only when all workers are gone.
        if !bytes.is_empty() && send.send(Chunk { file, first_line: line, bytes }).is_err() {
            return Ok(());
        }
        line += lines;
        if count == 0 {
            return Ok(());
        }
    }
}

/// What one thread made.
#[derive(Default)]
struct Part {
    builder: Builder,
    problems: Vec<Problem>,
    problem_count: u64,
    measurements: u64,
}

/// Parses chunks until there are no more.
fn work(receive: &Mutex<mpsc::Receiver<Chunk>>, paths: &[PathBuf]) -> Part {
    let mut part = Part::default();
    loop {
        let next = receive.lock().map(|receive| receive.recv());
        let Ok(Ok(chunk)) = next else { return part };
        let Some(path) = paths.get(chunk.file) else { continue };
        for (i, line) in chunk.bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let Err((column, what)) = parse(line, &mut part.builder) else { continue };
            if is_measurement(line) {
                part.measurements += 1;
                continue;
            }
            part.problem_count += 1;
            if part.problems.len() < PROBLEMS_MAX {
                part.problems.push(problem(path, chunk.first_line + i as u64, column, what));
            }
        }
    }
}

/// Whether a line is a measurement rather than a verdict.
fn is_measurement(line: &[u8]) -> bool {
    const KEY: &[u8] = b"\"test_keys\"";
    line.windows(KEY.len()).any(|window| window == KEY)
}

fn parse(line: &[u8], builder: &mut Builder) -> Result<(), (u64, String)> {
    let record: Record = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        (
            error.column() as u64,
            format!("not a verdict record: {what}; `daylight probe classify` makes records of measurements"),
        )
    })?;
    if record.schema != SCHEMA {
        return Err((0, format!("a record of layout {}; this version reads {SCHEMA}", record.schema)));
    }
    builder.add(&record, || Sha256::digest(line).into()).map_err(|what| (0, what))
}

fn problem(path: &Path, line: u64, column: u64, what: String) -> Problem {
    Problem { file: path.display().to_string(), line, column, what }
}
