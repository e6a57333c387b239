//! The writer's thread: records into hours, hours into files.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_expr::ValueRef;
use daylight_inspect::FlowRecord;
use ring::hmac;

use super::columns::{MORE, chosen, properties};
use super::image::Image;
use super::layout::{Hour, name};
use super::{Counting, Failing, Privacy, Pseudonymity, StoreOptions, add};
use crate::parquet::{Encoder, Rows};
use crate::pseudonym::keys::Keyring;
use crate::pseudonym::{KeyError, Pseudonyms, open_key, record_id};

/// A file has at most so many rows …
const ROWS_MAX: u32 = 1 << 17;
/// … and all open ones together about so many bytes of values.
const BYTES_MAX: usize = 96 << 20;
/// So many hours are open at once: captures hold flows that ended long ago beside such as ended now.
const HOURS_MAX: usize = 8;
/// Files that could not be written are held up to so many bytes.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What becomes of addresses, ready for use.
enum Guise {
    Pseudonyms { keyring: Keyring, pseudonyms: Box<Pseudonyms>, how: Pseudonymity },
    Addresses(hmac::Key),
}

/// An hour to which records come.
struct Open {
    rows: Rows,
    /// When the flow of the first record ended.
    first_ns: i64,
    /// By the clock of ticks, since when; the first tick says it.
    since_ns: Option<i64>,
    /// When a record came last, in records.
    touched: u64,
}

pub(super) struct Work {
    folder: PathBuf,
    sensor: String,
    every_ns: i64,
    failing: Failing,
    guise: Guise,
    hours: BTreeMap<Hour, Open>,
    records: u64,
    waiting: VecDeque<Image>,
    counting: Arc<Counting>,
    /// Set when nothing can be written and the writer is to stop then.
    closed: Arc<AtomicBool>,
    /// The first thing that went wrong.
    pub(super) error: Option<io::Error>,
}

impl Work {
    pub(super) fn new(
        options: &StoreOptions,
        now_ns: i64,
        counting: Arc<Counting>,
        closed: Arc<AtomicBool>,
    ) -> Result<Self, KeyError> {
        let guise = match &options.privacy {
            Privacy::KeepAddresses => Guise::Addresses(open_key()),
            Privacy::Pseudonyms(how) => {
                let keyring = Keyring::open(&how.key_file, seconds(how.rotate_every), now_ns)?;
                let pseudonyms = pseudonyms(&keyring, how)?;
                Guise::Pseudonyms { keyring, pseudonyms, how: how.clone() }
            }
        };
        Ok(Self {
            folder: options.folder.clone(),
            sensor: options.sensor.clone(),
            every_ns: i64::try_from(options.file_every.as_nanos()).unwrap_or(i64::MAX),
            failing: options.failing,
            guise,
            hours: BTreeMap::new(),
            records: 0,
            waiting: VecDeque::new(),
            counting,
            closed,
            error: None,
        })
    }

    /// Takes a record.
    pub(super) fn flow(&mut self, mut record: Box<FlowRecord>) {
        let (id, key) = match &mut self.guise {
            Guise::Addresses(key) => (record_id(key, &self.sensor, &record), None),
            Guise::Pseudonyms { pseudonyms, .. } => {
                let id = record_id(pseudonyms.hash_key(), &self.sensor, &record);
                pseudonyms.apply(&mut record);
                (id, Some(&pseudonyms.id))
            }
        };
        self.records += 1;
        let hour = Hour::of(record.end_ns);
        let open = self.hours.entry(hour).or_insert_with(|| Open {
            rows: Rows::new(daylight_inspect::columns().iter().collect(), &MORE),
            first_ns: record.end_ns,
            since_ns: None,
            touched: 0,
        });
        open.touched = self.records;
        open.rows.push(&record);
        let first = open.rows.columns().len() - MORE.len();
        let more = [Some(&self.sensor), Some(&id), key];
        for (column, text) in (first..).zip(more) {
            if let Some(text) = text {
                open.rows.add(column, ValueRef::Str(text));
            }
        }
        if open.rows.len() >= ROWS_MAX {
            self.close(hour);
        } else if self.hours.len() > HOURS_MAX {
            let idle = self.hours.iter().min_by_key(|(_, open)| open.touched).map(|(hour, _)| *hour);
            idle.into_iter().for_each(|hour| self.close(hour));
        } else if self.records.is_multiple_of(1024)
            && self.hours.values().map(|open| open.rows.bytes()).sum::<usize>() >= BYTES_MAX
        {
            let largest = self.hours.iter().max_by_key(|(_, open)| open.rows.bytes()).map(|(hour, _)| *hour);
            largest.into_iter().for_each(|hour| self.close(hour));
        }
    }

    /// It is now so late: files that are old enough are written, and those again that could not be before.
    pub(super) fn tick(&mut self, now_ns: i64) {
        let mut due = Vec::new();
        for (hour, open) in &mut self.hours {
            let since_ns = *open.since_ns.get_or_insert(now_ns);
            match now_ns.checked_sub(since_ns) {
                // The clock went back: a minute from now on.
                Some(..0) => open.since_ns = Some(now_ns),
                Some(age) if age < self.every_ns => {}
                _ => due.push(*hour),
            }
        }
        due.into_iter().for_each(|hour| self.close(hour));
        self.write_waiting();
        if let Guise::Pseudonyms { keyring, pseudonyms, how } = &mut self.guise
            && keyring.is_old(now_ns)
        {
            // If that fails, the old key is used on: records under it are as safe as those before.
            match keyring.renew(now_ns).and_then(|()| self::pseudonyms(keyring, how)) {
                Ok(new) => *pseudonyms = new,
                Err(error) => self.failed(io::Error::other(error)),
            }
        }
    }

    /// Writes all that is held.
    pub(super) fn finish(&mut self) {
        while let Some(hour) = self.hours.keys().next().copied() {
            self.close(hour);
        }
        self.write_waiting();
        for image in std::mem::take(&mut self.waiting) {
            add(&self.counting.rows_lost, image.rows);
        }
    }

    fn close(&mut self, hour: Hour) {
        let Some(mut open) = self.hours.remove(&hour) else { return };
        let rows = u64::from(open.rows.len());
        let order = super::merge::sorted(&open.rows);
        open.rows.arrange(&order);
        let encoded = name(&self.sensor, open.first_ns).and_then(|name| Ok((name, encode(&mut open.rows)?)));
        match encoded {
            Ok((name, bytes)) => {
                self.waiting.push_back(Image { folder: self.folder.join(hour.folder()), name, bytes, rows });
                self.write_waiting();
            }
            Err(error) => {
                add(&self.counting.rows_lost, rows);
                self.failed(error);
            }
        }
    }

    fn write_waiting(&mut self) {
        while let Some(image) = self.waiting.front() {
            if let Err(error) = image.write(&self.folder) {
                self.failed(error);
                break;
            }
            add(&self.counting.files, 1);
            add(&self.counting.rows, image.rows);
            add(&self.counting.bytes, image.bytes.len() as u64);
            self.waiting.pop_front();
        }
        // The oldest go first: what is asked about is mostly what is new.
        while self.waiting.iter().map(|image| image.bytes.len()).sum::<usize>() > WAITING_BYTES_MAX {
            let Some(image) = self.waiting.pop_front() else { break };
            add(&self.counting.rows_lost, image.rows);
        }
    }

    fn failed(&mut self, error: io::Error) {
        add(&self.counting.errors, 1);
        self.error.get_or_insert(error);
        if self.failing == Failing::Stop {
            self.closed.store(true, Ordering::Relaxed);
        }
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn pseudonyms(keyring: &Keyring, how: &Pseudonymity) -> Result<Box<Pseudonyms>, KeyError> {
    let missing =
        || KeyError::File { path: how.key_file.clone(), cause: io::Error::other("there is no key in it") };
    let key = keyring.keys().last().ok_or_else(missing)?;
    Ok(Box::new(Pseudonyms::new(key, how.networks.clone())))
}

/// A whole file of these rows.
fn encode(rows: &mut Rows) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(rows.columns(), chosen(rows), properties(rows.len()))?;
    let mut bytes = encoder.group(rows)?;
    bytes.extend(encoder.finish()?.0);
    Ok(bytes)
}
