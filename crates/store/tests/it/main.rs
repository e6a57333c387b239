//! What becomes of a store when its writer is killed, and when there is no room.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod killed;
mod room;

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use daylight_inspect::FlowRecord;
use daylight_store::folder::{Privacy, StoreOptions, files, hours};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

/// 2026-03-01T10:00:00Z
const START_NS: i64 = 1_772_359_200_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

fn record(number: u64, end_s: i64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(number);
    record.end_ns = START_NS + end_s * SECOND_NS;
    // The number is what tells one from another.
    record.start_ns = record.end_ns - number as i64;
    record.into()
}

fn options(folder: &Path) -> StoreOptions {
    StoreOptions { privacy: Privacy::KeepAddresses, ..StoreOptions::new(folder) }
}

/// Reads all files as a reader takes them: how many rows there are, and how many of them are different.
fn rows(store: &Path) -> (usize, usize) {
    let (mut rows, mut ids) = (0, HashSet::new());
    for hour in hours(store).unwrap() {
        for file in files(store, hour).unwrap() {
            let reader = SerializedFileReader::new(File::open(&file.path).unwrap());
            let reader = reader.unwrap_or_else(|error| panic!("{}: {error}", file.path.display()));
            for row in reader.get_row_iter(None).unwrap() {
                let row = row.unwrap_or_else(|error| panic!("{}: {error}", file.path.display()));
                rows += 1;
                let id =
                    row.get_column_iter().find(|(name, _)| *name == "record_id").map(|(_, id)| id.clone());
                let Some(Field::Str(id)) = id else { panic!("{row}") };
                ids.insert(id);
            }
        }
    }
    (rows, ids.len())
}
