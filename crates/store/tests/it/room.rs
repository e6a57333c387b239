//! A disk that is full, and one that can't be written on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use daylight_inspect::RecordSink;
use daylight_store::folder::{Behind, Failing, StoreOptions, StoreWriter};
use daylight_store::{StoreError, Writer};

use crate::{SECOND_NS, START_NS, options, record, rows};

const INSIDE: &str = "DAYLIGHT_TEST_DISK";

/// A small disk that is this test's own, in a process of its own; `None` outside, where that process was run, or if there
/// can be none.
fn disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(INSIDE) {
        return Some(disk.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let possible =
        Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs"]).arg(folder.path()).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("{test}: skipped: it needs root, and the packages mount and util-linux");
        return None;
    }
    let script = "mount -t tmpfs -o size=1m tmpfs \"$0\" && exec \"$@\"";
    let this = std::env::current_exe().unwrap();
    let mut inside = Command::new("unshare");
    inside.args(["-m", "sh", "-c", script]).arg(folder.path()).arg(this).args([
        "--exact",
        test,
        "--nocapture",
    ]);
    assert!(inside.env(INSIDE, folder.path()).status().unwrap().success(), "{test} failed on its disk");
    None
}

/// Takes all the room there is.
fn fill(disk: &Path) -> PathBuf {
    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    ballast
}

fn until(what: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !what() {
        assert!(begun.elapsed().as_secs() < 60, "waited for too long");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn a_full_disk_is_told_of_and_waited_for() {
    let Some(disk) = disk("room::a_full_disk_is_told_of_and_waited_for") else { return };
    let store = disk.join("store");
    let live = StoreOptions { failing: Failing::GoOn, behind: Behind::Wait, ..options(&store) };
    let mut writer = StoreWriter::new(&live).unwrap();
    let minute = |writer: &mut StoreWriter, minute: u64| {
        (0..100).for_each(|i| writer.flow(record(minute * 100 + i, minute as i64 * 60)));
        writer.tick(START_NS + minute as i64 * 60 * SECOND_NS);
    };
    minute(&mut writer, 0);
    minute(&mut writer, 1);
    until(|| writer.counters().files == 1);
    let before = rows(&store);
    let ballast = fill(&disk);
    (2..5).for_each(|i| minute(&mut writer, i));
    until(|| writer.counters().errors >= 3);
    assert!(!writer.is_closed(), "it goes on");
    assert!(writer.first_error().unwrap().contains("No space left"), "{:?}", writer.first_error());
    assert_eq!(rows(&store), before, "what was closed is there, and nothing by half");
    // Room is made: what was held is written, and what comes.
    fs::remove_file(ballast).unwrap();
    minute(&mut writer, 5);
    assert_eq!(writer.finish().unwrap(), 600);
    let counters = writer.counters();
    assert_eq!((counters.rows, counters.rows_lost), (600, 0));
    assert_eq!(rows(&store), (600, 600));
}

#[test]
fn a_full_disk_ends_the_reading_of_captures() {
    let Some(disk) = disk("room::a_full_disk_ends_the_reading_of_captures") else { return };
    let store = disk.join("store");
    let mut first = StoreWriter::new(&options(&store)).unwrap();
    first.flow(record(0, 0));
    first.finish().unwrap();
    let mut writer = StoreWriter::new(&options(&store)).unwrap();
    fill(&disk);
    writer.flow(record(1, 0));
    writer.tick(START_NS);
    writer.tick(START_NS + 60 * SECOND_NS);
    until(|| writer.is_closed());
    let error = writer.finish().unwrap_err();
    assert!(error.to_string().contains("after 0 flows: No space left"), "{error}");
    assert!(matches!(error, StoreError::Write { flows: 0, .. }));
    assert_eq!((writer.counters().rows_lost, rows(&store)), (1, (1, 1)));
    let Err(error) = StoreWriter::new(&options(&disk.join("another"))).map(|_| ()) else { return };
    assert!(error.to_string().starts_with("can't use"), "{error}");
}

#[test]
fn a_disk_that_can_t_be_written_on() {
    let Some(disk) = disk("room::a_disk_that_can_t_be_written_on") else { return };
    let store = disk.join("store");
    let live = StoreOptions { failing: Failing::GoOn, ..options(&store) };
    let mut writer = StoreWriter::new(&live).unwrap();
    writer.flow(record(0, 0));
    let remount = |how: &str| {
        assert!(Command::new("mount").args(["-o", how]).arg(&disk).status().unwrap().success());
    };
    remount("remount,ro");
    let Err(error) = StoreWriter::new(&options(&store)) else { panic!("it can't be opened") };
    assert!(error.to_string().contains("store as a store: Read-only file system"), "{error}");
    // One that is at work holds what it has until it can write again.
    writer.tick(START_NS);
    writer.tick(START_NS + 60 * SECOND_NS);
    until(|| writer.counters().errors > 0);
    remount("remount,rw");
    assert_eq!(writer.finish().unwrap(), 1);
    assert_eq!(rows(&store), (1, 1));
}
