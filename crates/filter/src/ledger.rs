//! The joint of the filter and its public log: nothing is in force that was not told before, and no count is lost.
//!
//! Counts of the hour that is not over are kept in a file beside the log, some seconds old at most. What a killed filter
//! had counted is found there by the next one. That file says how long the log was: what was appended since is
//! not counted again. It is written every minute also if nothing was counted: whoever shows the log sees by it that the filter
//! runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daylight_policy::audit::{
    AuditError, Counts, Digest, Entry, Event, Label, Log, Signer, Tally, Text, Timestamp, VerifierKey, Writer,
};
use daylight_policy::{LoadError, Policy};
use serde::{Deserialize, Serialize};

/// How old the kept counts may be.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// … and the file.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(60);
/// After how long an append that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// As long as a text of the log may be, with room for a mark that says that it was cut.
const WHY_BYTES_MAX: usize = 4000;

/// Why something could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The log.
    #[error("the public log: {0}")]
    Log(AuditError),
    /// The file with the counts of the hour that is not over.
    #[error("{}: {why}", .path.display())]
    Kept {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
}

impl From<AuditError> for LedgerError {
    fn from(error: AuditError) -> Self {
        Self::Log(error)
    }
}

/// Tells the public log what the filter does.
pub struct Ledger {
    writer: Writer,
    tally: Tally,
    kept: PathBuf,
    /// When counts were kept last, or that was tried.
    kept_at: Option<Instant>,
    /// They are not what is kept.
    changed: bool,
    /// What each rule has stopped since the filter began.
    stopped: BTreeMap<(Label, Label), Counts>,
    /// What went wrong at the last attempt, and when.
    trouble: Option<(LedgerError, Instant)>,
}

/// The file of counts.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// How many entries the log had.
    log_len: u64,
    /// What was counted, as it would be told.
    totals: Vec<Entry>,
}

impl Ledger {
    /// Opens the log in `folder`, or begins it if there is none, and takes up what a killed filter has counted.
    ///
    /// # Errors
    /// If the log or the kept counts can't be read, or another process writes the log.
    pub fn open(folder: &Path, signer: Signer) -> Result<Self, LedgerError> {
        let key = signer.verifier_key().clone();
        let is_new = !folder.join("checkpoint").exists();
        let writer = if is_new { Writer::create(folder, signer) } else { Writer::open(folder, signer) }?;
        let mut name = folder.as_os_str().to_owned();
        name.push(".counts");
        let kept = PathBuf::from(name);
        let tally = taken_up(&kept, folder, &key)?;
        let changed = !tally.is_empty();
        Ok(Self { writer, tally, kept, kept_at: None, changed, stopped: BTreeMap::new(), trouble: None })
    }

    /// How many entries the log has.
    pub fn len(&self) -> u64 {
        self.writer.len()
    }

    /// True if nothing was told yet.
    pub fn is_empty(&self) -> bool {
        self.writer.is_empty()
    }

    /// With which the log can be verified.
    pub fn key(&self) -> &VerifierKey {
        self.writer.verifier_key()
    }

    /// What keeps counts from being told now; they are not lost.
    pub fn trouble(&self) -> Option<&LedgerError> {
        self.trouble.as_ref().map(|(error, _)| error)
    }

    /// What each rule, known by its policy and its name, has stopped since the filter began.
    pub fn stopped(&self) -> impl Iterator<Item = (&(Label, Label), &Counts)> {
        self.stopped.iter()
    }

    /// Tells that the filter begins, and with which policy. It must not begin if this fails.
    ///
    /// # Errors
    /// If it can't be told.
    pub fn begun(&mut self, policy: &Policy) -> Result<(), LedgerError> {
        let time = self.now()?;
        let software = Text::new(concat!("daylight ", env!("CARGO_PKG_VERSION")))?;
        let mut entries = vec![Entry { time, event: Event::FilterStarted { software } }];
        // First what an earlier one had counted: its rules are those told last.
        entries.splice(0..0, self.tally.all(time));
        entries.extend(policy.entries(time)?);
        self.append(&entries)
    }

    /// Tells that another policy comes into force. It must not if this fails.
    ///
    /// # Errors
    /// If it can't be told.
    pub fn loaded(&mut self, policy: &Policy) -> Result<(), LedgerError> {
        let entries = policy.entries(self.now()?)?;
        self.append(&entries)
    }

    /// Tells that a policy was refused, of which this is the file; `in_force` stays so.
    ///
    /// # Errors
    /// If it can't be told.
    pub fn refused(&mut self, in_force: &Label, file: &[u8], error: &LoadError) -> Result<(), LedgerError> {
        let why = text(&error.to_string())?;
        let event = Event::PolicyRefused { policy: in_force.clone(), version: Digest::of(file), why };
        let entry = Entry { time: self.now()?, event };
        self.append(&[entry])
    }

    /// Takes in what was counted, and tells about the hours that are over. What goes wrong is [`Ledger::trouble`]; it is tried
    /// again.
    pub fn count(&mut self, tally: Tally) {
        self.changed |= !tally.is_empty();
        for (policy, rule, counts) in tally.iter() {
            self.stopped.entry((policy.clone(), rule.clone())).or_default().add(counts);
        }
        self.tally.merge(tally);
        let resting = self.trouble.as_ref().is_some_and(|(_, since)| since.elapsed() < RETRY_AFTER);
        if !resting {
            let told = self.now().and_then(|now| {
                let due = self.tally.due(now);
                if due.is_empty() { Ok(()) } else { self.append(&due) }
            });
            self.note(told);
        }
        let old = |age: Duration| self.kept_at.is_none_or(|at| at.elapsed() >= age);
        if self.changed && old(KEEP_EVERY) || old(SIGN_OF_LIFE_EVERY) {
            self.kept_at = Some(Instant::now());
            let kept = self.keep();
            self.note(kept);
        }
    }

    /// Tells everything that was counted, and that the filter ends.
    ///
    /// # Errors
    /// If it can't be told: the counts are kept for the next one, if they can be.
    pub fn ended(&mut self, why: &str) -> Result<(), LedgerError> {
        let time = self.now()?;
        let mut entries = self.tally.all(time);
        entries.push(Entry { time, event: Event::FilterStopped { why: text(why)? } });
        self.append(&entries).inspect_err(|_| _ = self.keep())
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        let before = self.writer.len();
        let appended = self.writer.append(entries);
        // A last sync that fails leaves them in the log.
        if self.writer.len() > before {
            self.tally.written(entries);
            self.keep()?;
        }
        appended.map(drop).map_err(LedgerError::from)
    }

    fn note(&mut self, result: Result<(), LedgerError>) {
        self.trouble = match (result, self.trouble.take()) {
            (Err(error), _) => Some((error, Instant::now())),
            (Ok(()), Some((error, since))) if since.elapsed() < RETRY_AFTER => Some((error, since)),
            (Ok(()), _) => None,
        };
    }

    /// Puts the counts into the file.
    fn keep(&mut self) -> Result<(), LedgerError> {
        let kept = Kept { log_len: self.writer.len(), totals: self.tally.all(self.now()?) };
        let error = |error: io::Error| {
            let why = format!("can't be written: {error}; until it can, a crash would lose counts");
            LedgerError::Kept { path: self.kept.clone(), why }
        };
        let new = self.kept.with_extension("counts.new");
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec(&kept)?)?;
            file.sync_data()?;
            fs::rename(&new, &self.kept)
        };
        write().map_err(error)?;
        self.changed = false;
        Ok(())
    }

    /// The time, which never goes back in a log.
    fn now(&self) -> Result<Timestamp, LedgerError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_unix_s(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))?;
        Ok(self.writer.no_earlier(now))
    }
}

/// Reads the kept counts, less what the log has been told since.
fn taken_up(kept: &Path, log: &Path, key: &VerifierKey) -> Result<Tally, LedgerError> {
    let mut tally = Tally::default();
    let bytes = match fs::read(kept) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tally),
        Err(error) => {
            return Err(LedgerError::Kept { path: kept.to_owned(), why: format!("can't be read: {error}") });
        }
    };
    let found: Kept = serde_json::from_slice(&bytes).map_err(|error| LedgerError::Kept {
        path: kept.to_owned(),
        why: format!("is damaged ({error}); move it away to begin without the counts in it"),
    })?;
    tally.recount(&found.totals);
    let mut since = Log::open(log, key)?.tail(found.log_len)?;
    let told: Vec<Entry> = since.poll()?.into_iter().map(|(_, entry)| entry).collect();
    tally.written(&told);
    Ok(tally)
}

/// As much of a text as an entry holds.
fn text(whole: &str) -> Result<Text, AuditError> {
    let clean = whole.trim().replace(|c: char| c.is_control() && c != '\n', " ");
    match clean.char_indices().find(|(at, _)| *at >= WHY_BYTES_MAX) {
        Some((at, _)) => Text::new(&format!("{}…", clean.get(..at).unwrap_or_default())),
        None => Text::new(&clean),
    }
}
