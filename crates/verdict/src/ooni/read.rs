//! One measurement from its bytes, and back.

use std::io::{self, Write};

use serde_json::Value;

use super::Measurement;
use super::lax::take_odd;
use super::shape;

/// How many notes are given for one measurement.
pub const NOTES_MAX: usize = 16;

/// A measurement, and what was odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The measurement.
    pub measurement: Measurement,
    /// What could not be used, with its path: `test_keys.queries[3].answers: a text where a list should be`. At most
    /// [`NOTES_MAX`].
    pub notes: Vec<String>,
}

/// Why a measurement can't be read. Line and column are from 1, within the measurement's bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ReadError {
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        // serde_json repeats the place at the end of its message.
        let mut message = error.to_string();
        if let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        Self { line: error.line(), column: error.column(), message }
    }
}

/// Reads one JSON object.
///
/// # Errors
/// If it isn't JSON, no object, or has a key twice. Values that are missing or of a wrong kind are no error.
pub fn read(json: &[u8]) -> Result<Read, ReadError> {
    take_odd();
    // A structure can be made from a list too, for serde.
    if json.trim_ascii_start().first() == Some(&b'[') {
        let message = "a list where an object should be".to_owned();
        return Err(ReadError { line: 1, column: 1, message });
    }
    let measurement = serde_json::from_slice(json)?;
    let notes = if take_odd() == 0 { Vec::new() } else { notes(json) };
    Ok(Read { measurement, notes })
}

fn notes(json: &[u8]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(json) {
        shape::check(&value, &mut notes);
    }
    take_odd();
    notes.truncate(NOTES_MAX);
    notes
}

/// Writes a measurement as one line, with its end.
///
/// # Errors
/// If writing fails.
pub fn write(measurement: &Measurement, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, measurement)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ooni::Failure;

    #[test]
    fn an_empty_object_is_a_measurement() {
        let read = read(b"{}").unwrap();
        assert!(read.notes.is_empty() && read.measurement.test_keys.queries.is_empty());
    }

    #[test]
    fn odd_values_count_as_missing_and_are_told_with_their_place() {
        let json = br#"{"input": 7, "probe_cc": null, "test_keys": {"queries": [
            {"failure": "dns_nxdomain_error", "answers": "none", "tags": ["depth=0", 3]}, 5],
            "control": [], "accessible": "yes", "tcp_connect": [{"port": 99999}], "x_daylight": {"dns": [{}]}}}"#;
        let read = read(json).unwrap();
        let keys = &read.measurement.test_keys;
        assert_eq!(keys.queries.len(), 2, "an odd element keeps its place");
        assert_eq!(keys.queries[0].failure, Some(Failure::DnsNxdomain));
        assert_eq!((keys.accessible, &keys.x_daylight), (None, &None));
        let notes = read.notes.join("\n");
        for place in [
            "input: a number where a text should be",
            "test_keys.queries[0].answers: a text where a list should be",
            "test_keys.queries[0].tags[1]: a number where a text should be",
            "test_keys.queries[1]: a number where an object should be",
            "test_keys.control: a list where an object should be",
            "test_keys.accessible: a text where true or false should be",
            "test_keys.tcp_connect[0].port: a number that is out of range",
            "test_keys.x_daylight: missing field `hostname`",
        ] {
            assert!(notes.contains(place), "{place}\n--\n{notes}");
        }
        assert_eq!(read.notes.len(), 8, "{notes}");
    }

    #[test]
    fn what_is_no_json_has_a_place() {
        let error = read(b"{\n  \"input\": nul }").unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (2, "expected ident"));
        assert!(read(b"[]").is_err() && read(b"").is_err() && read(b"{} {}").is_err());
    }

    #[test]
    fn the_required_keys_are_always_written() {
        let mut line = Vec::new();
        write(&Measurement::default(), &mut line).unwrap();
        let value: Value = serde_json::from_slice(&line).unwrap();
        for key in [
            "input",
            "report_id",
            "measurement_start_time",
            "test_start_time",
            "probe_asn",
            "probe_cc",
            "test_name",
            "test_version",
            "test_runtime",
            "software_name",
            "software_version",
            "test_keys",
            "data_format_version",
        ] {
            assert!(value.get(key).is_some(), "{key}");
        }
        assert_eq!(line.last(), Some(&b'\n'));
    }
}
