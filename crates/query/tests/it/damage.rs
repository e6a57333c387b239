//! Files that are no files of flows, or no longer.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daylight_query::EmbeddedOptions;
use daylight_query::arrow::array::{Int64Array, RecordBatch, StringArray};
use daylight_query::output::{Form, Output};
use daylight_store::folder::{files, hours};

use crate::{Asker, asked_of, filled, flow, store};

fn paths(store: &Path) -> Vec<PathBuf> {
    let hours = hours(store).unwrap();
    hours.into_iter().flat_map(|hour| files(store, hour).unwrap()).map(|file| file.path).collect()
}

fn ask(store: &Path, sql: &str) -> (Vec<String>, Vec<String>) {
    asked_of(EmbeddedOptions::new(store), sql).unwrap()
}

#[test]
fn what_is_no_file_of_flows_is_named_and_left_out() {
    let store = store();
    let there = paths(store.path())[0].parent().unwrap().to_owned();
    fs::write(there.join("empty.parquet"), "").unwrap();
    fs::write(there.join("text.parquet"), "this is no Parquet file, and long enough to have a footer")
        .unwrap();
    let whole = fs::read(&paths(store.path())[0]).unwrap();
    fs::write(there.join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    let mut footer = whole.clone();
    let len = footer.len();
    footer[len - 300..len - 8].fill(0xff);
    fs::write(there.join("footer.parquet"), &footer).unwrap();
    let mut huge = whole.clone();
    huge[len - 8..len - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(there.join("huge.parquet"), &huge).unwrap();
    let foreign = |name: &str, batch: RecordBatch| {
        let file = fs::File::create(there.join(name)).unwrap();
        let mut output = Output::new(Form::Parquet, &batch.schema(), Box::new(file)).unwrap();
        output.write(&batch).unwrap();
        output.finish().unwrap();
    };
    let text = || Arc::new(StringArray::from(vec!["x"])) as Arc<dyn daylight_query::arrow::array::Array>;
    foreign("foreign.parquet", RecordBatch::try_from_iter([("name", text())]).unwrap());
    let number = Arc::new(Int64Array::from(vec![1])) as Arc<dyn daylight_query::arrow::array::Array>;
    let columns = [("record_id", text()), ("end", number.clone()), ("src_ip", text()), ("hostname", number)];
    foreign("types.parquet", RecordBatch::try_from_iter(columns).unwrap());
    let (rows, warnings) = ask(store.path(), "SELECT count(*) FROM flows");
    assert_eq!(rows, ["10"]);
    for name in ["empty", "text", "cut", "footer", "huge", "foreign", "types"] {
        let told = warnings.iter().any(|warning| warning.contains(&format!("/{name}.parquet is left out: ")));
        assert!(told, "{name}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 7, "{warnings:#?}");
}

/// The footer is whole, and what it points at is not: known only when it is read.
#[test]
fn a_damaged_page_doesn_t_spoil_the_answer() {
    let store = store();
    let path = paths(store.path())[0].clone();
    let hour = path.parent().unwrap();
    let rows_there = 7;
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..2000].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&path, &bytes).unwrap();
    filled(store.path(), [flow(77, 1)]);
    assert!(hour.ends_with("hour=10"));
    let sql = "SELECT count(capture), count(hostname), count(record_id), max(src_port) FROM flows";
    let (rows, warnings) = ask(store.path(), sql);
    let left = 10 - rows_there + 1;
    assert_eq!(rows, [format!("{left},3,{left},40000")]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(&*path.file_name().unwrap().to_string_lossy()), "{warnings:?}");
}

/// Whatever byte of a file is another: an answer or an error, and never a panic.
#[test]
fn any_damage() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), [flow(1, 0), flow(2, 0)]);
    let path = paths(folder.path())[0].clone();
    let whole = fs::read(&path).unwrap();
    let asker = Asker::new(folder.path());
    for i in 0..40 {
        let mut bytes = whole.clone();
        let at = (i * 7919 + i * i * 31) % bytes.len();
        bytes[at] ^= 1 << (i % 8);
        fs::write(&path, &bytes).unwrap();
        let _ = asker.try_ask("SELECT * FROM flows");
    }
}
