//! `kill -9`, at any moment: what was closed is there, whole and once.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use daylight_inspect::RecordSink;
use daylight_store::Writer;
use daylight_store::folder::{Keeper, KeeperOptions, StoreWriter};

use crate::{SECOND_NS, START_NS, options, record, rows};

const WRITES: &str = "DAYLIGHT_TEST_WRITES_INTO";
/// Records of a "minute", and minutes that are waited for before the kill.
const A_MINUTE: u64 = 200;

/// In a child process: writes for as long as it lives, and says after each minute how many records are in files. Meanwhile
/// small files are merged.
fn write(store: &Path) -> ! {
    let mut writer = StoreWriter::new(&options(store)).unwrap();
    let keeper = Keeper::new(KeeperOptions {
        settle: Duration::ZERO,
        grace: Duration::ZERO,
        ..KeeperOptions::new(store)
    });
    std::thread::spawn(move || {
        loop {
            keeper.compact(true).unwrap();
        }
    });
    let process = u64::from(std::process::id());
    for minute in 0u64.. {
        let now_s = minute as i64 * 60;
        for i in 0..A_MINUTE {
            writer.flow(record((process << 24) | (minute * A_MINUTE + i), now_s));
        }
        writer.tick(START_NS + now_s * SECOND_NS);
        let mut out = std::io::stdout();
        writeln!(out, "{}", writer.counters().rows).unwrap();
        out.flush().unwrap();
        // Never many minutes ahead of the writer's thread.
        while (minute + 1) * A_MINUTE > writer.counters().rows + 3 * A_MINUTE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    unreachable!("there are always more minutes")
}

#[test]
fn a_kill_loses_the_open_minute_and_nothing_else() {
    if let Some(store) = std::env::var_os(WRITES) {
        write(&PathBuf::from(store));
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path();
    let mut closed = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_kill_loses_the_open_minute_and_nothing_else", "--nocapture"])
            .env(WRITES, store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        let mut minutes = 0;
        while minutes < 6 + round {
            let line = lines.next().expect("it writes").unwrap();
            // The harness's own words come first.
            let Ok(rows) = line.trim().parse::<u64>() else { continue };
            last = rows;
            minutes += 1;
        }
        // Anywhere in the next minute.
        std::thread::sleep(Duration::from_micros(round * 1700 % 9000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            last = line.ok().and_then(|line| line.trim().parse().ok()).unwrap_or(last);
        }
        let (all, different) = rows(store);
        assert_eq!(all, different, "no row is there twice");
        assert!(all as u64 >= closed + last, "of {} that were in files, {all} are there", closed + last);
        closed = all as u64;
    }
    // Who comes next clears up, and goes on.
    let mut writer = StoreWriter::new(&options(store)).unwrap();
    writer.flow(record(1, 0));
    assert_eq!(writer.finish().unwrap(), 1);
    assert_eq!(rows(store), (closed as usize + 1, closed as usize + 1));
    assert_eq!(unfinished(store), Vec::<PathBuf>::new());
}

fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(unfinished(&path));
        } else if path.extension().is_some_and(|extension| extension == "part") {
            found.push(path);
        }
    }
    found
}
