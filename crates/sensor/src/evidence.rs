//! Packets of flows that deserve a look, in capture files with a budget.
//!
//! The engine keeps the first packets of each flow until the flow is over; then a condition over its record says if they are
//! written. Every flow's first packet comes with a comment that names the flow and what was found. Files are
//! `NAME-000001.pcapng` and so on; the oldest go when the budget is used up.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use daylight_capture::PcapngWriter;
use daylight_expr::Program;
use daylight_inspect::{FlowRecord, KeptPackets};
use daylight_packet::LinkType;

/// What is of interest unless something else is asked for: flows with a risk, and those that nobody can name.
pub const INTERESTING: &str = r#"risks || protocol == "unknown" || confidence == "none""#;

/// A budget is divided among so many files.
const FILES: u64 = 8;
/// No file is smaller.
const FILE_BYTES_MIN: u64 = 64 << 10;

/// What went wrong with the files.
#[derive(Debug, thiserror::Error)]
#[error("can't write packets to {}: {cause}", path.display())]
pub struct EvidenceError {
    /// Which file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub cause: io::Error,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceCounters {
    /// Flows whose packets were written.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// Files that were deleted to stay within the budget.
    pub files_deleted: u64,
    /// Packets that could not be written.
    pub failed: u64,
}

/// Writes the packets of flows that a condition holds for.
pub struct Evidence {
    condition: Program,
    folder: PathBuf,
    stem: String,
    file_bytes_max: u64,
    files_max: usize,
    /// The names of interfaces, by their number.
    interfaces: Vec<String>,
    number: u64,
    open: Option<OpenFile>,
    counters: EvidenceCounters,
    error: Option<EvidenceError>,
}

struct OpenFile {
    path: PathBuf,
    writer: PcapngWriter<Counted>,
    /// What was declared in it, in its order.
    declared: Vec<(u8, LinkType)>,
}

/// Counts what it writes.
struct Counted {
    inner: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Evidence {
    /// Files beside `file`, named after it, of `budget_bytes` together at most. Files of earlier runs count.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub fn new(
        file: &Path,
        budget_bytes: u64,
        condition: Program,
        interfaces: Vec<String>,
    ) -> Result<Self, EvidenceError> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let stem = name.strip_suffix(".pcapng").unwrap_or(&name).to_owned();
        let file_bytes_max = (budget_bytes / FILES).max(FILE_BYTES_MIN);
        let mut this = Self {
            condition,
            folder,
            stem,
            file_bytes_max,
            files_max: usize::try_from((budget_bytes / file_bytes_max).max(1)).unwrap_or(usize::MAX),
            interfaces,
            number: 0,
            open: None,
            counters: EvidenceCounters::default(),
            error: None,
        };
        let existing = this.existing().map_err(|cause| this.failure(this.folder.clone(), cause))?;
        this.number = existing.last().map_or(0, |(number, _)| *number);
        Ok(this)
    }

    fn failure(&self, path: PathBuf, cause: io::Error) -> EvidenceError {
        EvidenceError { path, cause }
    }

    /// Its files, the oldest first.
    fn existing(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name
                .strip_prefix(&self.stem)
                .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".pcapng")?.parse().ok());
            if let Some(number) = number {
                files.push((number, path));
            }
        }
        files.sort();
        Ok(files)
    }

    /// What was written so far.
    pub fn counters(&self) -> EvidenceCounters {
        self.counters
    }

    /// The first error since the last call. Writing is tried again with the next flow.
    pub fn take_error(&mut self) -> Option<EvidenceError> {
        self.error.take()
    }

    /// A flow is over: writes its packets if they are of interest.
    pub fn flow(&mut self, record: &FlowRecord, packets: &KeptPackets) {
        if !self.condition.matches(record) {
            return;
        }
        let before = self.counters.packets;
        let written = self.write(record, packets);
        match written {
            Ok(()) => self.counters.flows += 1,
            Err((path, cause)) => {
                self.open = None;
                let total = packets.iter().count() as u64;
                self.counters.failed += total - (self.counters.packets - before).min(total);
                let error = self.failure(path, cause);
                self.error.get_or_insert(error);
            }
        }
    }

    fn write(&mut self, record: &FlowRecord, packets: &KeptPackets) -> Result<(), (PathBuf, io::Error)> {
        let mut comment = Some(comment(record));
        for frame in packets.iter() {
            if self.open.as_ref().is_none_or(|file| file.writer.get_ref().bytes >= self.file_bytes_max) {
                self.next_file()?;
            }
            let Some(file) = &mut self.open else { return Ok(()) };
            let name = self.interfaces.get(usize::from(frame.interface)).map(String::as_str);
            let of = (frame.interface, frame.link);
            let result = (|| {
                let interface = match file.declared.iter().position(|declared| *declared == of) {
                    Some(place) => place as u32,
                    None => {
                        file.declared.push(of);
                        file.writer.interface(frame.link, 0, name)?
                    }
                };
                file.writer.write(
                    interface,
                    frame.ts_ns,
                    frame.wire_len,
                    frame.bytes,
                    comment.take().as_deref(),
                )
            })();
            result.map_err(|cause| (file.path.clone(), cause))?;
            self.counters.packets += 1;
        }
        Ok(())
    }

    /// Ends the file that is open, makes room, and opens the next.
    fn next_file(&mut self) -> Result<(), (PathBuf, io::Error)> {
        if let Some(mut file) = self.open.take() {
            file.writer.flush().map_err(|cause| (file.path, cause))?;
        }
        let existing = self.existing().map_err(|cause| (self.folder.clone(), cause))?;
        let too_many = (existing.len() + 1).saturating_sub(self.files_max);
        for (_, path) in existing.into_iter().take(too_many) {
            fs::remove_file(&path).map_err(|cause| (path, cause))?;
            self.counters.files_deleted += 1;
        }
        self.number += 1;
        let path = self.folder.join(format!("{}-{:06}.pcapng", self.stem, self.number));
        let made = || {
            let file = private(&path)?;
            let counted = Counted { inner: BufWriter::new(file), bytes: 0 };
            PcapngWriter::new(counted, "daylight", Some("packets of flows that deserve a look"))
        };
        let writer = made().map_err(|cause| (path.clone(), cause))?;
        self.open = Some(OpenFile { path, writer, declared: Vec::new() });
        Ok(())
    }

    /// Hands on to the system what was written.
    pub fn flush(&mut self) {
        if let Some(file) = &mut self.open
            && let Err(cause) = file.writer.flush()
        {
            let error = EvidenceError { path: file.path.clone(), cause };
            self.error.get_or_insert(error);
        }
    }
}

/// A new file that nobody else may read: there is payload in it.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// What a flow's first packet is commented with.
fn comment(record: &FlowRecord) -> String {
    let risks: Vec<String> =
        record.risks().iter().map(|found| format!("{} ({})", found.risk.name, found.evidence)).collect();
    let risks = if risks.is_empty() { String::new() } else { format!(", risks: {}", risks.join(", ")) };
    let mut text = format!("flow {}: {}{risks}", record.ends.uid.as_str(), record.protocol.name());
    // Longer than anybody reads, and an option of pcapng has a limit.
    let mut end = text.len().min(4096);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
