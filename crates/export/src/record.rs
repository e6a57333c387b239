//! A record on its way: one line of JSON, and the few things a destination must know of it without reading the line.

use std::fmt;

use daylight_inspect::{FlowRecord, columns};
use daylight_store::JsonLine;
use ring::digest::{Context, SHA256};

/// The name of a record, unlike all others: two records with one name are the same record, sent twice.
///
/// It is the beginning of a SHA-256 over the sensor's name, the capture, the flow's `uid`, its times and its counters. The
/// same capture gives the same names on every run, so that a run that is repeated doubles nothing either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl RecordId {
    /// The name of this sensor's record.
    pub fn of(sensor: &str, record: &FlowRecord) -> Self {
        let mut hash = Context::new(&SHA256);
        for text in [sensor, &record.ends.capture, record.ends.uid.as_str()] {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let counters = [&record.src, &record.dst].map(|side| [side.packets, side.bytes]);
        for number in
            [record.start_ns as u64, record.end_ns as u64].into_iter().chain(counters.into_iter().flatten())
        {
            hash.update(&number.to_be_bytes());
        }
        let mut id = [0; 16];
        id.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

/// A record that was written down.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the spool: one more than that of the record before.
    pub sequence: u64,
    /// Its name.
    pub id: RecordId,
    /// The flow's `uid`, the same for all records of a flow.
    pub uid: [u8; 19],
    /// True if risks were found.
    pub has_risks: bool,
    /// The record as one JSON object, without a line feed: `record_id` and `sensor`, then what `--format jsonl` writes.
    pub line: Box<[u8]>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sequence, String::from_utf8_lossy(&self.line))
    }
}

impl Entry {
    /// The flow's `uid` as text.
    pub fn uid(&self) -> &str {
        std::str::from_utf8(&self.uid).unwrap_or_default()
    }

    /// The line as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.line).unwrap_or_default()
    }
}

/// Makes lines of records.
pub(crate) struct Encoder {
    sensor: Box<str>,
    form: JsonLine,
    line: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(sensor: &str) -> Self {
        Self { sensor: sensor.into(), form: JsonLine::new(columns().iter().collect()), line: Vec::new() }
    }

    /// The record's name and line.
    pub(crate) fn encode(&mut self, record: &FlowRecord) -> (RecordId, &[u8]) {
        let id = RecordId::of(&self.sensor, record);
        self.line.clear();
        self.form.write(record, &[("record_id", &id.to_string()), ("sensor", &self.sensor)], &mut self.line);
        (id, self.line.trim_ascii_end())
    }

    /// The record as a spool would hand it out.
    pub(crate) fn entry(&mut self, record: &FlowRecord) -> Entry {
        let (id, line) = self.encode(record);
        let line = line.into();
        let mut uid = [0; 19];
        uid.iter_mut().zip(record.ends.uid.as_str().bytes()).for_each(|(to, from)| *to = from);
        Entry { sequence: 0, id, uid, has_risks: !record.risks().is_empty(), line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_records_apart() {
        let record = FlowRecord::blank(1);
        let id = RecordId::of("a", &record);
        assert_eq!(id, RecordId::of("a", &record.clone()), "the same record");
        assert_eq!(id.to_string().len(), 32);
        let mut later = record.clone();
        later.end_ns += 1;
        let mut more = record.clone();
        more.dst.packets += 1;
        for other in [
            RecordId::of("b", &record),
            RecordId::of("a", &FlowRecord::blank(2)),
            RecordId::of("a", &later),
            RecordId::of("a", &more),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_line_is_the_record_and_two_members_more() {
        let record = FlowRecord::blank(7);
        let mut plain = Vec::new();
        JsonLine::new(columns().iter().collect()).write(&record, &[], &mut plain);
        let mut encoder = Encoder::new("north \"1\"\n");
        let (id, line) = encoder.encode(&record);
        let line = std::str::from_utf8(line).unwrap();
        let begin = format!(r#"{{"record_id":"{id}","sensor":"north \"1\"\n","#);
        let rest = line.strip_prefix(&begin).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(format!("{{{rest}\n").as_bytes(), plain);
    }
}
