//! What verdicts are made of: files of measurements, rules, fingerprints of block pages.

use std::sync::LazyLock;

use daylight_verdict::Classifier;
use daylight_verdict::fingerprint::Fingerprints;
use daylight_verdict::ooni::{NOTES_MAX, Splitter, read, write};
use daylight_verdict::record::{Measurement, Record, State};
use daylight_verdict::rules::Rules;

static CLASSIFIER: LazyLock<Classifier> =
    LazyLock::new(|| Classifier::new(Rules::own().expect("our rules"), Fingerprints::own(), false));

/// Files of measurements. What can be read can be written and read again, and be judged; a record survives its line.
pub(crate) fn measurements(data: &[u8]) {
    let mut splitter = Splitter::new(data);
    let mut before = 0;
    while let Ok(Some(piece)) = splitter.next_piece() {
        assert!(piece.line >= before && piece.column >= 1, "pieces are told in their order");
        before = piece.line;
        let measurement = match read(&piece.json) {
            Ok(read) => {
                assert!(read.notes.len() <= NOTES_MAX);
                read.measurement
            }
            Err(error) => {
                let lines = piece.json.iter().filter(|byte| **byte == b'\n').count() + 1;
                assert!((1..=lines).contains(&error.line.max(1)), "{error}");
                continue;
            }
        };
        let mut line = Vec::new();
        write(&measurement, &mut line).expect("memory takes it");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        // Not the same to the last bit: numbers with fractions are read to the nearest but one.
        let again = read(&line).expect("what is written can be read");
        assert!(again.notes.is_empty(), "{:?}", again.notes);
        let Some(record) = CLASSIFIER.classify(&measurement, Measurement::default()) else { continue };
        let named = matches!(record.state, State::Blocked | State::LikelyBlocked);
        assert!(!named || record.mechanism.is_some(), "blocking has a mechanism");
        assert_eq!(record.witness.is_some(), !record.fired.is_empty(), "what decided is kept");
        let line = serde_json::to_string(&record).expect("a record is JSON");
        let again: Record = serde_json::from_str(&line).expect("a record");
        assert_eq!(
            (again.state, again.mechanism, again.target),
            (record.state, record.mechanism, record.target)
        );
    }
}

/// Rules files: refused with a place, or made of rules that have names.
pub(crate) fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Rules::parse(&text, "fuzz.toml") {
        Ok(rules) => assert!(rules.rules().iter().all(|rule| !rule.id.is_empty())),
        Err(error) => assert!(error.line <= text.matches('\n').count() + 1 && error.column >= 1, "{error}"),
    }
}

/// Fingerprint files: what is left out is told with its line.
pub(crate) fn fingerprints(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut set = Fingerprints::default();
    let lines = text.matches('\n').count() + 1;
    for finding in set.add(&text, "fuzz.csv") {
        assert!((1..=lines).contains(&finding.line), "{finding}");
    }
    assert!(set.rows().iter().all(|row| (1..=lines).contains(&row.line)));
}
