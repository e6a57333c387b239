//! The side of a store's writer that takes records.

// Records come in boxes, and go on in them.
#![allow(clippy::vec_box)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use daylight_inspect::{FlowRecord, RecordSink};

use super::image::clean;
use super::layout::hours;
use super::work::Work;
use super::{Behind, Counting, FolderError, StoreCounters, StoreOptions, add, now_ns};
use crate::{StoreError, Writer};

/// Records go to the thread in batches of so many …
const BATCH: usize = 256;
/// … of which so many may wait.
const BATCHES_MAX: usize = 64;

enum Message {
    Flows(Vec<Box<FlowRecord>>),
    Tick(i64),
    End,
}

struct Shared {
    messages: SyncSender<Message>,
    behind: Behind,
    counting: Arc<Counting>,
    closed: Arc<AtomicBool>,
}

impl Shared {
    fn flows(&self, flows: Vec<Box<FlowRecord>>) {
        let count = flows.len() as u64;
        let sent = match self.behind {
            Behind::Wait => self.messages.send(Message::Flows(flows)).is_ok(),
            Behind::Lose => self.messages.try_send(Message::Flows(flows)).is_ok(),
        };
        if !sent {
            add(&self.counting.rows_lost, count);
        }
    }
}

/// Brings records to a store. Each thread that makes records can have one of its own.
pub struct StoreHandle {
    shared: Arc<Shared>,
    batch: Vec<Box<FlowRecord>>,
}

impl StoreHandle {
    /// Hands on what is held for the sake of speed: a live engine calls it when it has nothing to do.
    pub fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.shared.flows(std::mem::take(&mut self.batch));
        }
    }
}

impl Clone for StoreHandle {
    /// Another handle to the same store, holding nothing.
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), batch: Vec::new() }
    }
}

impl RecordSink for StoreHandle {
    fn flow(&mut self, record: Box<FlowRecord>) {
        if self.batch.is_empty() {
            self.batch.reserve_exact(BATCH);
        }
        self.batch.push(record);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes records into a store. See the [module](super).
pub struct StoreWriter {
    handle: StoreHandle,
    folder: String,
    thread: Option<JoinHandle<Option<io::Error>>>,
    /// The error of the thread, once it has ended, to be given by `finish`.
    error: Option<io::Error>,
    /// The first error, while the thread is at work.
    seen: Arc<Mutex<Option<String>>>,
}

impl StoreWriter {
    /// Opens the store, makes it if need be, and removes what writers that were killed have left unfinished.
    ///
    /// # Errors
    /// If the folder can't be made or written in, the sensor's name is none, or the keys can't be used.
    pub fn new(options: &StoreOptions) -> Result<Self, FolderError> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=64).contains(&options.sensor.len()) || !options.sensor.chars().all(good) {
            return Err(FolderError::Sensor(options.sensor.clone()));
        }
        let folder = &options.folder;
        std::fs::create_dir_all(folder).map_err(FolderError::folder(folder))?;
        // What can't be written in is told of now, and not after the first minute.
        tempfile::Builder::new().prefix(".probe").tempfile_in(folder).map_err(FolderError::folder(folder))?;
        for hour in hours(folder).map_err(FolderError::folder(folder))? {
            let within = folder.join(hour.folder());
            clean(&within).map_err(FolderError::folder(&within))?;
        }
        let (counting, closed) = (Arc::<Counting>::default(), Arc::<AtomicBool>::default());
        let mut work = Work::new(options, now_ns(), Arc::clone(&counting), Arc::clone(&closed))?;
        let (messages, inbox) = sync_channel(BATCHES_MAX);
        let seen = Arc::<Mutex<Option<String>>>::default();
        let seen_there = Arc::clone(&seen);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                run(&inbox, &mut work, &seen_there);
                work.error.take()
            })
            .map_err(FolderError::folder(folder))?;
        let shared = Shared { messages, behind: options.behind, counting, closed };
        Ok(Self {
            handle: StoreHandle { shared: Arc::new(shared), batch: Vec::new() },
            folder: folder.display().to_string(),
            thread: Some(thread),
            error: None,
            seen,
        })
    }

    /// Another end to bring records to.
    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// It is now so late, in nanoseconds since 1970: to be called every second or so while a link is watched. Returns at once;
    /// files that are old enough are written by the thread. Without ticks, a file is written when it has 131,072 rows,
    /// and at the end.
    pub fn tick(&mut self, now_ns: i64) {
        self.handle.flush();
        match self.handle.shared.messages.try_send(Message::Tick(now_ns)) {
            // The next will do.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> StoreCounters {
        self.handle.shared.counting.look()
    }

    /// The first thing that went wrong, if something did.
    pub fn first_error(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.flush();
            // The thread reads until this comes, or has ended by a panic, which is told of below.
            let _ = self.handle.shared.messages.send(Message::End);
            self.error = match thread.join() {
                Ok(error) => error,
                Err(_) => Some(io::Error::other("the writer's thread has failed")),
            };
        }
    }
}

fn run(inbox: &Receiver<Message>, work: &mut Work, seen: &Mutex<Option<String>>) {
    for message in inbox {
        match message {
            Message::Flows(flows) => flows.into_iter().for_each(|flow| work.flow(flow)),
            Message::Tick(now_ns) => work.tick(now_ns),
            Message::End => break,
        }
        if let Some(error) = &work.error {
            seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
        }
    }
    work.finish();
}

impl RecordSink for StoreWriter {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.handle.flow(record);
    }

    fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }
}

impl Writer for StoreWriter {
    /// Writes what is held, and says how many records were written.
    fn finish(&mut self) -> Result<u64, StoreError> {
        self.end();
        let counters = self.counters();
        match self.error.take() {
            Some(cause) if counters.rows_lost > 0 || counters.rows == 0 => {
                Err(StoreError::Write { to: self.folder.clone(), flows: counters.rows, cause })
            }
            // It went well in the end.
            _ => Ok(counters.rows),
        }
    }
}

/// Whoever forgets to finish loses the errors, but not the records.
impl Drop for StoreWriter {
    fn drop(&mut self) {
        self.end();
    }
}
