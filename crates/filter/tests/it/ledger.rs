//! What was counted reaches the log once, whatever happens meanwhile.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use daylight_filter::ledger::Ledger;
use daylight_policy::Policy;
use daylight_policy::audit::{Counts, Event, Log, Signer, Tally, Target, Timestamp, verify};

use crate::filtering::ledger as begin;

const POLICY: &str = "[policy]\nname = \"test\"\n[[rule]]\nname = \"one\"\nwhen = \"true\"\naction = \"drop\"\n\
                      reason = \"A test\"\nauthority = \"The tests\"\nexpires = 2099-12-31\n";

fn policy() -> Policy {
    let files: HashMap<PathBuf, Vec<u8>> = HashMap::new();
    Policy::parse(POLICY, "test.toml", &files, None).unwrap_or_else(|error| panic!("{error}"))
}

/// So many flows, an hour before `at` or in its hour.
fn tally(flows: u64, at: i64) -> Tally {
    let policy = policy();
    let mut tally = Tally::default();
    let at = Timestamp::from_unix_s(at).unwrap();
    let counts = Counts { flows, packets: flows, bytes: 60 * flows };
    tally.add(at, policy.name(), &policy.rules()[0].name, Target::Rule, counts);
    tally
}

/// The flows that the log tells of.
fn told(folder: &Path, ledger: &Ledger) -> u64 {
    verify(&folder.join("log"), ledger.key()).unwrap();
    let entries = Log::open(&folder.join("log"), ledger.key()).unwrap().tail(0).unwrap().poll().unwrap();
    let flows = entries.iter().map(|(_, entry)| match &entry.event {
        Event::Totals(totals) => totals.counts.flows,
        _ => 0,
    });
    flows.sum()
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn hours_are_told_when_they_are_over_and_the_rest_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = begin(folder.path());
    ledger.begun(&policy()).unwrap();
    ledger.count(tally(3, now() - 3600));
    assert_eq!(told(folder.path(), &ledger), 3);
    // Were the hour to end between these lines, more would be told, and nothing twice.
    let at = now();
    ledger.count(tally(4, at));
    let same_hour = now() / 3600 == at / 3600;
    assert!(told(folder.path(), &ledger) == 3 || !same_hour);
    ledger.ended("a test").unwrap();
    assert_eq!(told(folder.path(), &ledger), 7);
    assert_eq!(ledger.stopped().map(|(_, counts)| counts.flows).sum::<u64>(), 7);
}

#[test]
fn what_a_killed_filter_counted_is_told_by_the_next_one_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = begin(folder.path());
    ledger.begun(&policy()).unwrap();
    ledger.count(tally(5, now()));
    drop(ledger);
    // Killed between the append and the next keeping: the counts are in both places.
    let kept = folder.path().join("log.counts");
    let before = std::fs::read(&kept).unwrap();
    let mut ledger = begin(folder.path());
    ledger.begun(&policy()).unwrap();
    assert_eq!(told(folder.path(), &ledger), 5);
    drop(ledger);
    std::fs::write(&kept, before).unwrap();
    let mut ledger = begin(folder.path());
    ledger.begun(&policy()).unwrap();
    ledger.ended("a test").unwrap();
    assert_eq!(told(folder.path(), &ledger), 5);
    drop(ledger);
    std::fs::write(&kept, "{").unwrap();
    let key = Signer::open(&folder.path().join("key")).unwrap();
    let error = Ledger::open(&folder.path().join("log"), key).err().unwrap().to_string();
    assert!(error.contains("log.counts") && error.contains("move it away"), "{error}");
}

#[test]
fn without_room_counts_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = begin(folder.path());
    ledger.begun(&policy()).unwrap();
    // Where the tiles should be is a file now: nothing can be appended.
    let tiles = folder.path().join("log/tile");
    std::fs::rename(&tiles, folder.path().join("aside")).unwrap();
    std::fs::write(&tiles, "").unwrap();
    ledger.count(tally(6, now() - 3600));
    assert!(ledger.trouble().is_some());
    assert!(ledger.loaded(&policy()).is_err(), "what can't be told is not put into force");
    std::fs::remove_file(&tiles).unwrap();
    std::fs::rename(folder.path().join("aside"), &tiles).unwrap();
    ledger.ended("a test").unwrap();
    assert_eq!(told(folder.path(), &ledger), 6);
}
