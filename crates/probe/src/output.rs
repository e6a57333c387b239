//! The file of measurements: one line each, safe on the disk before the next is begun.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::path::Path;

use daylight_verdict::ooni;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::Value;

use crate::measure::Measured;
use crate::plan::Plan;
use crate::scrub;

/// The annotation that says which list a measurement belongs to.
pub const LIST_ANNOTATION: &str = "daylight_list_sha256";

/// A file that measurements are added to.
#[derive(Debug)]
pub struct Journal {
    file: File,
    done: HashSet<String>,
}

#[derive(Deserialize)]
struct Line {
    input: Option<String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, Value>,
}

impl Journal {
    /// Opens a file, and sees what of the list with this hash is in it already. A last line that was cut short, by a power
    /// failure or a full disk, is taken off.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub fn open(path: &Path, list: &str) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut done = HashSet::new();
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            whole += length as u64;
            if let Ok(Line { input: Some(input), annotations }) = serde_json::from_slice(&line)
                && annotations.get(LIST_ANNOTATION).and_then(Value::as_str) == Some(list)
            {
                done.insert(input);
            }
        }
        if file.metadata()?.len() > whole {
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, done })
    }

    /// Whether the target was measured before.
    #[must_use]
    pub fn has(&self, input: &str) -> bool {
        self.done.contains(input)
    }

    /// Adds a measurement, and waits until it is on the disk.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn add(&mut self, measured: &Measured, keep_own: bool) -> io::Result<()> {
        let line = line(measured, keep_own)?;
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

/// A measurement as a line, without the probe's own addresses unless they are to be kept.
///
/// # Errors
/// If it can't be written down.
pub fn line(measured: &Measured, keep_own: bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ooni::write(&measured.measurement, &mut bytes)?;
    if !keep_own && !measured.own.is_empty() {
        let mut value: Value = serde_json::from_slice(&bytes)?;
        clean(&mut value, &measured.own);
        bytes = serde_json::to_vec(&value)?;
    }
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn clean(value: &mut Value, own: &[IpAddr]) {
    match value {
        Value::String(text) => {
            let cleaned = scrub::these(text, own);
            if cleaned != *text {
                *text = cleaned;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| clean(value, own)),
        Value::Object(map) => map.values_mut().for_each(|value| clean(value, own)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Which list this is: SHA-256 of its inputs, sorted, one a line.
#[must_use]
pub fn list_hash(plan: &Plan) -> String {
    let mut inputs: Vec<_> = plan.items.iter().map(|item| item.target.input()).collect();
    inputs.sort_unstable();
    inputs.dedup();
    let mut context = Context::new(&SHA256);
    for input in inputs {
        context.update(input.as_bytes());
        context.update(b"\n");
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use daylight_verdict::ooni::Measurement;

    use super::*;

    fn measured(input: &str, list: &str) -> Measured {
        let mut measurement: Measurement = serde_json::from_str("{}").unwrap();
        measurement.input = Some(input.to_owned());
        measurement.annotations.insert(LIST_ANNOTATION.to_owned(), list.to_owned());
        measurement.probe_network_name = Some("you are 192.0.2.7".to_owned());
        Measured { measurement, own: vec!["192.0.2.7".parse().unwrap()], evidence: Vec::new() }
    }

    #[test]
    fn what_is_there_is_not_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.jsonl");
        let mut journal = Journal::open(&path, "one").unwrap();
        assert!(!journal.has("https://a.example/"));
        journal.add(&measured("https://a.example/", "one"), false).unwrap();
        journal.add(&measured("https://b.example/", "two"), false).unwrap();
        drop(journal);
        // As after a power failure.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"input\":\"https://c.exa").unwrap();
        let mut journal = Journal::open(&path, "one").unwrap();
        assert!(journal.has("https://a.example/"));
        assert!(!journal.has("https://b.example/"), "of another list");
        journal.add(&measured("https://c.example/", "one"), false).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let inputs: Vec<_> =
            text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap().input.unwrap()).collect();
        assert_eq!(inputs, ["https://a.example/", "https://b.example/", "https://c.example/"]);
        assert!(!text.contains("192.0.2.7") && text.contains("you are [scrubbed]"));
    }

    #[test]
    fn own_addresses_stay_where_they_are_wanted() {
        let kept = line(&measured("https://a.example/", "one"), true).unwrap();
        assert!(String::from_utf8(kept).unwrap().contains("192.0.2.7"));
    }
}
