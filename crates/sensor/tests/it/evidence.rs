//! Packets of flows that deserve a look.

use std::path::Path;
use std::sync::{Arc, Mutex};

use daylight_inspect::{
    Config, Fleet, FleetOptions, FlowRecord, KeepLimits, KeptPackets, RecordSink, compile, inspect,
};
use daylight_sensor::evidence::{Evidence, EvidenceCounters, INTERESTING};

const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tour.pcap");

const ALL: &str = "src_packets >= 0";

#[derive(Clone)]
struct Sink(Arc<Mutex<Evidence>>);

impl RecordSink for Sink {
    fn flow(&mut self, _: Box<FlowRecord>) {}

    fn packets(&mut self, record: &FlowRecord, packets: KeptPackets) {
        self.0.lock().unwrap().flow(record, &packets);
    }
}

/// Runs the tour through an engine, so many times.
fn tour(evidence: Evidence, times: usize) -> (EvidenceCounters, Option<String>) {
    let sink = Sink(Arc::new(Mutex::new(evidence)));
    for _ in 0..times {
        let options = FleetOptions {
            interfaces: vec!["eth7".into()],
            keep: Some(KeepLimits::default()),
            ..FleetOptions::default()
        };
        let (_, workers) = Fleet::new(Arc::new(Config::default()), &options, Box::new(sink.clone()));
        let mut source = daylight_capture::open(TOUR.as_ref()).unwrap();
        for mut worker in workers {
            while let Some(batch) = source.next_batch(100).unwrap() {
                worker.packets(0, batch);
            }
            worker.finish();
        }
    }
    let mut evidence = sink.0.lock().unwrap();
    evidence.flush();
    (evidence.counters(), evidence.take_error().map(|error| error.to_string()))
}

fn evidence(file: &Path, budget: u64, condition: &str) -> Evidence {
    Evidence::new(file, budget, compile(condition).unwrap(), vec!["eth7".into()]).unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flows(file: &Path) -> Vec<FlowRecord> {
    let mut source = daylight_capture::open(file).unwrap();
    let mut records = Vec::new();
    let config = Arc::new(Config::default());
    inspect(source.as_mut(), "x", &config, &daylight_inspect::Control::default(), &mut records).unwrap();
    records
}

#[test]
fn only_flows_of_interest_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("interesting.pcapng");
    let (counters, error) = tour(evidence(&file, 1 << 20, INTERESTING), 1);
    assert_eq!(error, None);
    let written = folder.path().join("interesting-000001.pcapng");
    assert_eq!(files(folder.path()), std::slice::from_ref(&written));
    let records = flows(&written);
    let all = flows(TOUR.as_ref());
    let wanted = all.iter().filter(|record| compile(INTERESTING).unwrap().matches(*record));
    assert_eq!(records.len(), wanted.count());
    assert!(records.len() > 2 && records.len() < all.len());
    assert!(records.iter().any(|record| !record.risks().is_empty()), "they are found again");
    assert_eq!(counters.flows, records.len() as u64);
    let packets: u64 = records.iter().map(|record| record.src.packets + record.dst.packets).sum();
    assert_eq!(counters.packets, packets);
    let bytes = std::fs::read(&written).unwrap();
    for text in ["eth7", "clear-text-credentials", "packets of flows that deserve a look"] {
        assert!(bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&written).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_oldest_go_when_the_budget_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all");
    let budget = 4 * (64 << 10);
    let (counters, _) = tour(evidence(&file, budget, ALL), 30);
    let left = files(folder.path());
    assert_eq!(left.len(), 4);
    assert!(counters.files_deleted > 3, "{counters:?}");
    let bytes: u64 = left.iter().map(|path| path.metadata().unwrap().len()).sum();
    // The last packet of a file may take it over its share.
    assert!(bytes < budget + 4 * 66_000, "{bytes}");
    assert!(left.iter().all(|path| !flows(path).is_empty()));
    // The next run goes on where this one ended.
    let last = left.last().unwrap().clone();
    tour(evidence(&file, budget, ALL), 1);
    let now = files(folder.path());
    assert_eq!(now.len(), 4);
    assert!(now.last().unwrap() > &last);
}

#[test]
fn what_can_not_be_written_is_counted_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("gone");
    std::fs::create_dir(&place).unwrap();
    let evidence = evidence(&place.join("x.pcapng"), 1 << 20, ALL);
    std::fs::remove_dir(&place).unwrap();
    let (counters, error) = tour(evidence, 1);
    assert_eq!((counters.flows, counters.packets), (0, 0));
    assert!(counters.failed > 100, "{counters:?}");
    assert!(error.is_some_and(|error| error.contains("gone: No such file")));
    let missing = place.join("x");
    let condition = compile(ALL).unwrap();
    assert!(Evidence::new(&missing, 1, condition, Vec::new()).is_err());
}
