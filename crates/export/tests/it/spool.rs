//! A process that is killed while it hands records over, and what is found in its spool.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use daylight_export::spool::{Limits, Spool};
use daylight_export::{RecordId, Sink};
use daylight_inspect::RecordSink;

use crate::peers::record;

const CHILD: &str = "DAYLIGHT_EXPORT_CHILD";

/// Not a test: what the killed process does. It prints each record once it has handed it over.
#[test]
fn child_that_hands_records_over() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let spool = Spool::open(folder.as_ref(), 1 << 30, &["a"]).unwrap();
    let mut sink = Sink::new(spool, "north");
    for n in 0.. {
        sink.flow(record(n));
        println!("\nhanded {n}");
    }
}

#[test]
fn what_was_handed_over_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = BTreeSet::new();
    for round in 1..4u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool::child_that_hands_records_over", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut handed = None;
        for line in lines.map_while(Result::ok) {
            let Some(n) = line.strip_prefix("handed ").and_then(|n| n.parse::<u64>().ok()) else { continue };
            handed = Some(n);
            if n == 500 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let handed = handed.unwrap();
        all.extend((0..=handed).map(|n| RecordId::of("north", &record(n))));
        let spool = Spool::open(folder.path(), 1 << 30, &["a"]).unwrap();
        let mut reader = spool.reader("a").unwrap();
        let mut found = Vec::new();
        while let Some(batch) = reader.next(&Limits::default(), Duration::ZERO).unwrap() {
            found.extend(batch.entries.iter().map(|entry| entry.id));
            reader.acknowledge(&batch);
        }
        // The last one may have been written and not have been told of.
        assert!(found.len() as u64 > handed, "{} of {}", found.len(), handed + 1);
        assert!(found.len() as u64 <= handed + 2);
        assert!(found.iter().zip(0..).all(|(id, n)| *id == RecordId::of("north", &record(n))), "in order");
        assert_eq!(spool.reader_counters("a").unwrap().spoilt, 0);
    }
    assert!(!all.is_empty());
}

/// A file system with room for very little: `mount -t tmpfs -o size=256k`. Needs root.
#[test]
fn a_full_disk_costs_what_does_not_fit_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mount =
        |args: &[&str]| Command::new(args[0]).args(&args[1..]).output().is_ok_and(|o| o.status.success());
    let path = folder.path().to_str().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "daylight-test", path]) {
        eprintln!("needs root to mount a small file system");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let spool = Spool::open(folder.path(), 1 << 30, &["a"]).unwrap();
        let mut sink = Sink::new(std::sync::Arc::clone(&spool), "north");
        (0..1000).for_each(|n| sink.flow(record(n)));
        let counters = spool.counters();
        assert_eq!(counters.spooled + counters.unwritten, 1000);
        assert!(counters.spooled > 100 && counters.unwritten > 100, "{counters:?}");
        assert!(spool.error().unwrap().contains("No space left"), "{:?}", spool.error());
        // What is kept can be read and acknowledged on the full disk, which makes room again.
        let mut reader = spool.reader("a").unwrap();
        let mut read = 0;
        while let Some(batch) = reader.next(&Limits::default(), Duration::ZERO).unwrap() {
            read += batch.entries.len() as u64;
            reader.acknowledge(&batch);
        }
        assert_eq!(read, counters.spooled);
        assert_eq!(spool.reader_counters("a").unwrap().spoilt, 0);
        // That made room.
        (0..50).for_each(|n| sink.flow(record(n)));
        assert_eq!(spool.counters().spooled, counters.spooled + 50, "{:?}", spool.error());
        let batch = reader.next(&Limits::default(), Duration::ZERO).unwrap().unwrap();
        assert_eq!(batch.entries.len(), 50);
        reader.acknowledge(&batch);
        drop((reader, sink, spool));
        let spool = Spool::open(folder.path(), 1 << 30, &["a"]).unwrap();
        let mut reader = spool.reader("a").unwrap();
        assert_eq!(
            reader.next(&Limits::default(), Duration::ZERO).unwrap(),
            None,
            "positions were written too"
        );
    });
    mount(&["umount", "-l", path]);
    outcome.unwrap();
}
