#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use daylight_inspect::{FlowRecord, RecordSink};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::*;
use crate::Writer;
use crate::tests::{START_NS, records};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_S: i64 = 3600;

fn options(folder: &Path) -> StoreOptions {
    StoreOptions { privacy: Privacy::KeepAddresses, ..StoreOptions::new(folder) }
}

fn record(number: u64, end_s: i64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(number);
    record.start_ns = START_NS + end_s * SECOND_NS - 5;
    record.end_ns = START_NS + end_s * SECOND_NS;
    record.ends.src_port = number as u16;
    record.into()
}

type Values = BTreeMap<String, Field>;

/// What a file holds: each row by its columns.
fn rows(path: &Path) -> Vec<Values> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let row = |row: Result<parquet::record::Row, _>| -> Values {
        row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
    };
    reader.get_row_iter(None).unwrap().map(row).collect()
}

/// What a store holds: rows without what is null, in the order of their names.
fn everything(store: &Path) -> Vec<Values> {
    let mut all = Vec::new();
    for hour in hours(store).unwrap() {
        for file in files(store, hour).unwrap() {
            for mut row in rows(&file.path) {
                row.retain(|_, field| *field != Field::Null);
                assert!(matches!(row["end"], Field::Long(_)), "{row:?}");
                all.push(row);
            }
        }
    }
    all.sort_by_key(|row| row["record_id"].to_string());
    all
}

fn names(store: &Path) -> Vec<String> {
    let found = hours(store).unwrap().into_iter().flat_map(|hour| files(store, hour).unwrap());
    found.map(|file| file.path.strip_prefix(store).unwrap().display().to_string()).collect()
}

#[test]
fn records_are_found_again_in_their_hours() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut writer = StoreWriter::new(&options(&store)).unwrap();
    records().into_iter().for_each(|record| writer.flow(record.into()));
    writer.flow(record(7, HOUR_S));
    writer.flow(record(8, -1));
    assert_eq!(writer.finish().unwrap(), 5);
    let counters = writer.counters();
    assert_eq!((counters.files, counters.rows, counters.rows_lost, counters.errors), (3, 5, 0, 0));
    let names = names(&store);
    assert_eq!(names.len(), 3);
    for (name, begin) in names.iter().zip([
        "day=2023-12-31/hour=23/20231231T2359-main-",
        "day=2024-01-01/hour=00/20240101T0000-main-",
        "day=2024-01-01/hour=01/20240101T0100-main-",
    ]) {
        assert!(name.starts_with(begin) && name.ends_with(".parquet"), "{name}");
    }
    let rows = everything(&store);
    assert_eq!(rows.len(), 5);
    let tls = rows.iter().find(|row| row.contains_key("tls.cert_subject")).unwrap();
    assert_eq!(tls["hostname"], Field::Str("example.org".into()));
    assert_eq!(tls["sensor"], Field::Str("main".into()));
    assert_eq!(tls["src_ip"], Field::Str("10.0.0.1".into()));
    assert!(matches!(&tls["risks"], Field::ListInternal(list) if list.len() == 2));
    assert!(rows.iter().all(|row| !row.contains_key("address_key")));
}

/// A file has the columns in which there is something, and those that every file has.
#[test]
fn columns_that_nothing_was_seen_in_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::new(&options(folder.path())).unwrap();
    writer.flow(record(1, 0));
    writer.finish().unwrap();
    let path = folder.path().join(&names(folder.path())[0]);
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema();
    let present: Vec<&str> = schema.get_fields().iter().map(|f| f.name()).collect();
    assert!(present.contains(&"hostname") && present.contains(&"risks") && present.contains(&"history"));
    assert!(!present.contains(&"tls.sni") && !present.contains(&"vlan"), "{present:?}");
    assert!(columns().len() > 700 && present.len() < 50, "{}", present.len());
}

#[test]
fn a_file_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::new(&options(folder.path())).unwrap();
    let wait = |writer: &StoreWriter, files: u64| {
        while writer.counters().files < files {
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    writer.flow(record(1, 0));
    writer.tick(START_NS);
    writer.flow(record(2, 30));
    writer.tick(START_NS + 59 * SECOND_NS);
    // Minutes are the clock's, whatever time the records are of.
    writer.flow(record(3, 10 * HOUR_S));
    writer.tick(START_NS + 60 * SECOND_NS);
    wait(&writer, 1);
    assert_eq!(writer.counters().rows, 2);
    // A clock that goes back doesn't hold a file for longer than another minute.
    writer.tick(START_NS - 1000 * SECOND_NS);
    writer.tick(START_NS - 940 * SECOND_NS);
    wait(&writer, 2);
    // Nothing is written where nothing came.
    writer.tick(START_NS + 900 * SECOND_NS);
    assert_eq!(writer.finish().unwrap(), 3);
    assert_eq!(writer.counters().files, 2);
}

/// Whether any are lost depends on the machine; that they are counted doesn't.
#[test]
fn what_comes_too_fast_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        StoreWriter::new(&StoreOptions { behind: Behind::Lose, ..options(folder.path()) }).unwrap();
    (0..50_000).for_each(|i| writer.flow(record(i, 0)));
    let written = writer.finish().unwrap();
    let counters = writer.counters();
    assert_eq!(counters.rows, written);
    assert_eq!(counters.rows + counters.rows_lost, 50_000);
    assert_eq!(everything(folder.path()).len() as u64, written);
}

/// Flows that ended long ago keep no more than a few hours open.
#[test]
fn many_hours_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::new(&options(folder.path())).unwrap();
    for i in 0..600 {
        writer.flow(record(i, i as i64 % 40 * HOUR_S));
    }
    assert_eq!(writer.finish().unwrap(), 600);
    assert_eq!(everything(folder.path()).len(), 600);
    assert_eq!(hours(folder.path()).unwrap().len(), 40);
}

#[test]
fn sensors_share_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let threads: Vec<_> = ["edge", "core", "dmz"]
        .into_iter()
        .map(|sensor| {
            let options = StoreOptions { sensor: sensor.into(), ..options(folder.path()) };
            std::thread::spawn(move || {
                let mut writer = StoreWriter::new(&options).unwrap();
                let mut more: Vec<StoreHandle> = (0..3).map(|_| writer.handle()).collect();
                for i in 0..1000 {
                    let at = i as usize % 4;
                    match more.get_mut(at) {
                        Some(handle) => handle.flow(record(i, 0)),
                        None => writer.flow(record(i, 0)),
                    }
                }
                drop(more);
                writer.finish().unwrap()
            })
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 1000));
    let rows = everything(folder.path());
    assert_eq!(rows.len(), 3000);
    let mut ids: Vec<String> = rows.iter().map(|row| row["record_id"].to_string()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3000, "what is one for one sensor is another for another");
    for name in ["", "a/b", "a.b", "ü", &"x".repeat(65)] {
        let bad = StoreOptions { sensor: name.into(), ..options(folder.path()) };
        assert!(matches!(StoreWriter::new(&bad), Err(FolderError::Sensor(_))), "{name}");
    }
}

#[test]
fn pseudonyms_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let write = || {
        let mut writer = StoreWriter::new(&StoreOptions::new(&store)).unwrap();
        records().into_iter().for_each(|record| writer.flow(record.into()));
        writer.finish().unwrap();
    };
    write();
    let keys = fs::read_to_string(folder.path().join("store.key")).unwrap();
    let id = keys.lines().last().unwrap().split(' ').next().unwrap().to_owned();
    let first = everything(&store);
    for row in &first {
        assert_eq!(row["address_key"], Field::Str(id.clone()));
        assert_ne!(row["src_ip"], Field::Str("10.0.0.1".into()));
    }
    // The same capture read again gives the same names: what is double can be told.
    write();
    let ids: Vec<&Field> = first.iter().map(|row| &row["record_id"]).collect();
    let again = everything(&store);
    assert_eq!(again.len(), 6);
    assert!(again.iter().all(|row| ids.contains(&&row["record_id"])));
    // Nothing of the key is in the files, nor an address in what isn't compressed (names, minima and maxima).
    let secret = keys.lines().last().unwrap().split(' ').nth(2).unwrap();
    let raw: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&secret[2 * i..2 * i + 2], 16).unwrap()).collect();
    for name in names(&store) {
        let bytes = fs::read(store.join(name)).unwrap();
        for needle in [secret.as_bytes(), &raw, &raw[..16], b"10.0.0.1", b"2001:db8::1"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
}

/// A merged hour holds the rows of its files, each once, at every moment; and they are gone later.
#[test]
fn merging() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path();
    let mut all = 0;
    for round in 0..5 {
        let mut writer = StoreWriter::new(&options(store)).unwrap();
        for mut record in records() {
            record.ends.src_port = round;
            record.end_ns += i64::from(round);
            writer.flow(record.into());
        }
        for i in 0..u64::from(round) * 100 {
            let mut record = record(1000 * u64::from(round) + i, i as i64);
            record.found.fields =
                vec![(daylight_protocols::common::HOSTNAME, format!("h{}.example", i % 7).into())];
            writer.flow(record);
        }
        all += writer.finish().unwrap();
    }
    fs::write(store.join(&names(store)[0]).with_file_name("20240101T0000-broken.parquet"), "PAR1 no more")
        .unwrap();
    fs::write(store.join(&names(store)[0]).with_file_name(".x.parquet.part"), "PAR1").unwrap();
    let whole = |store: &Path| {
        let mut rows = Vec::new();
        for name in names(store).into_iter().filter(|name| !name.contains("broken")) {
            rows.extend(self::rows(&store.join(name)));
        }
        rows.iter_mut().for_each(|row| row.retain(|_, field| *field != Field::Null));
        rows.sort_by_key(|row| row["record_id"].to_string());
        rows
    };
    let before = whole(store);
    assert_eq!(before.len() as u64, all);
    let keeper = Keeper::new(KeeperOptions::new(store));
    let kept = keeper.compact(false).unwrap();
    assert_eq!((kept.merged, kept.made, kept.rows, kept.removed_files), (5, 1, all, 0));
    assert_eq!(kept.problems.len(), 1);
    assert!(kept.problems[0].contains("broken"), "{:?}", kept.problems);
    assert_eq!(whole(store), before);
    assert_eq!(names(store).len(), 2);
    // Within the time of grace the files are there for those who were about to open them, and then not.
    let folder = store.join("day=2024-01-01/hour=00");
    let there = || fs::read_dir(&folder).unwrap().count();
    assert_eq!(there(), 5 + 1 + 1 + 1);
    assert!(!folder.join(".x.parquet.part").exists());
    assert_eq!(keeper.compact(false).unwrap().removed_files, 0);
    assert_eq!(there(), 8);
    assert_eq!(keeper.compact(true).unwrap().removed_files, 5);
    assert_eq!(there(), 3);
    assert_eq!(whole(store), before);
    // The list goes a round later.
    keeper.compact(true).unwrap();
    assert_eq!(there(), 2);
    assert_eq!(whole(store), before);
    // Within a group rows of a name stand together.
    let merged = names(store).into_iter().find(|name| name.contains("merged")).unwrap();
    let hosts: Vec<String> =
        rows(&store.join(merged)).iter().map(|row| row["hostname"].to_string()).collect();
    let mut runs = hosts.clone();
    runs.dedup();
    assert_eq!(runs.len(), 9, "eight names and none: {runs:?}");
}

#[test]
fn what_is_old_or_too_much_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path();
    let write = || {
        let mut writer = StoreWriter::new(&options(store)).unwrap();
        (0..10).for_each(|hour| writer.flow(record(1, hour * HOUR_S)));
        writer.finish().unwrap();
    };
    write();
    let now_ns = START_NS + 10 * HOUR_S * SECOND_NS;
    let keep = |hours: u64| KeeperOptions {
        keep_for: Some(Duration::from_secs(hours * 3600)),
        ..KeeperOptions::new(store)
    };
    let mut keeper = Keeper::new(keep(7));
    assert_eq!(keeper.tick(now_ns).unwrap().removed_hours, 3);
    assert_eq!(hours(store).unwrap().len(), 7);
    // A clock that leaps by a year takes nothing with it: not at once, and not if it is set back before the day is over.
    let year_ns = 365 * 24 * HOUR_S * SECOND_NS;
    for minute in 0..5 {
        assert_eq!(keeper.tick(now_ns + year_ns + minute * 61 * SECOND_NS).unwrap().removed_hours, 0);
    }
    assert_eq!(keeper.tick(now_ns).unwrap().removed_hours, 0);
    assert_eq!(hours(store).unwrap().len(), 7);
    // If it stays, that is the time. Ticks come every few minutes.
    let mut late = Keeper::new(keep(7));
    late.tick(now_ns).unwrap();
    let removed: u64 =
        (0..300).map(|i| late.tick(now_ns + year_ns + i * 300 * SECOND_NS).unwrap().removed_hours).sum();
    assert_eq!(removed, 7);
    assert!(hours(store).unwrap().is_empty());
    // By size: the oldest go, and the newest never does.
    write();
    let size: u64 =
        hours(store).unwrap().iter().flat_map(|hour| files(store, *hour).unwrap()).map(|f| f.bytes).sum();
    let limit = |bytes| Keeper::new(KeeperOptions { keep_bytes: Some(bytes), ..KeeperOptions::new(store) });
    assert_eq!(limit(size).prune().unwrap(), Kept::default());
    assert_eq!(limit(size - 1).prune().unwrap().removed_hours, 1);
    assert_eq!(limit(size / 2).prune().unwrap().removed_hours, 4);
    assert_eq!(limit(0).prune().unwrap().removed_hours, 4);
    assert_eq!(hours(store).unwrap(), [Hour::of(START_NS + 9 * HOUR_S * SECOND_NS)]);
}

#[test]
fn one_housekeeper_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let lock = lock::Lock::take(folder.path()).unwrap();
    let keeper = Keeper::new(KeeperOptions::new(folder.path()));
    assert!(matches!(keeper.compact(true), Err(FolderError::Busy { .. })));
    assert_eq!(Keeper::new(KeeperOptions::new(folder.path())).tick(0).unwrap(), Kept::default());
    drop(lock);
    keeper.compact(true).unwrap();
}
