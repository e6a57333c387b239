//! Many small files of an hour into one.
//!
//! A column at a time: the rows' order is worked out from a few columns, then each column is read from all files, put into
//! that order, and written. One column of one group is all that is in memory, whatever the files hold.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::FolderError;
use super::columns::{ALWAYS, columns, properties};
use super::image::sync;
use super::layout::{DataFile, Hour, merged_names, unfinished};
use crate::parquet::{Encoder, FileColumn, Rows, column_type};

/// A merged file's groups have at most so many rows.
const GROUP_ROWS_MAX: u32 = 1 << 20;

/// The columns by whose values rows are put together within a group: then a name's rows lie in a few pages, and values that
/// go with it (application, fingerprints) compress to nearly nothing.
const SORTED_BY: [&str; 3] = ["hostname", "application", "src_ip"];

/// The order in which rows are written.
pub(super) fn sorted(rows: &Rows) -> Vec<u32> {
    let at = |name: &&str| rows.columns().iter().position(|column| column.name == *name);
    rows.order(&SORTED_BY.iter().filter_map(at).collect::<Vec<_>>())
}

/// A file that is to be merged.
struct Input {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    /// Where each column's leaves begin.
    leaves: HashMap<&'static str, usize>,
}

impl Input {
    fn open(file: &DataFile) -> Result<Self, FolderError> {
        let failed = |cause: io::Error| FolderError::Merge { path: file.path.clone(), cause };
        let reader = SerializedFileReader::new(File::open(&file.path).map_err(failed)?)
            .map_err(|error| failed(io::Error::other(error)))?;
        let mut leaves = HashMap::new();
        let mut at = 0;
        let ours: HashMap<&str, &'static FileColumn> = columns().iter().map(|c| (c.name, c)).collect();
        for field in reader.metadata().file_metadata().schema().get_fields() {
            // Whoever doesn't know a column would lose it.
            let column =
                ours.get(field.name()).filter(|column| column_type(column).is_ok_and(|ty| ty == *field));
            let Some(column) = column else {
                return Err(failed(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("its column {:?} is not one of this version's", field.name()),
                )));
            };
            leaves.insert(column.name, at);
            at += column.kind.leaves();
        }
        Ok(Self { path: file.path.clone(), reader, leaves })
    }

    fn failed(&self, error: ParquetError) -> FolderError {
        FolderError::Merge { path: self.path.clone(), cause: io::Error::other(error) }
    }
}

/// A group of an input.
#[derive(Clone, Copy)]
struct Part {
    input: usize,
    group: usize,
    rows: u32,
}

/// Merges these files of an hour. `stale` are files that others have replaced already and that are still there. Returns how
/// many rows there are. The files stay; the merged one counts in their place from the moment it has its name.
pub(super) fn merge(
    store: &Path,
    hour: Hour,
    files: &[DataFile],
    stale: &[DataFile],
) -> Result<u64, FolderError> {
    let inputs: Vec<Input> = files.iter().map(Input::open).collect::<Result<_, _>>()?;
    let folder = store.join(hour.folder());
    let failed = FolderError::folder(&folder);
    let (merged, list) = match merged_names(hour) {
        Ok(names) => names,
        Err(error) => return Err(failed(error)),
    };
    let part = folder.join(unfinished(&merged));
    let names: String = files.iter().chain(stale).map(|file| format!("{}\n", file.name())).collect();
    let outcome = write_list(&folder, &list, &names).map_err(failed).and_then(|()| {
        let (rows, _lock) = write_merged(&part, &inputs)?;
        let named = fs::rename(&part, folder.join(&merged)).and_then(|()| sync(&folder));
        named.map_err(FolderError::folder(&folder))?;
        Ok(rows)
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&part);
        // Unless it has its name by now.
        if !folder.join(&merged).exists() {
            let _ = fs::remove_file(folder.join(&list));
        }
    }
    outcome
}

fn write_list(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let part = folder.join(unfinished(name));
    let mut file = File::create(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, folder.join(name))?;
    sync(folder)
}

/// Writes the merged file under the name it has until it is whole. It is locked as long as what is given is held.
fn write_merged(to: &Path, inputs: &[Input]) -> Result<(u64, File), FolderError> {
    let failed = |cause: io::Error| FolderError::Folder { path: to.to_owned(), cause };
    let encoding = |error: ParquetError| failed(io::Error::other(error));
    let mut file = OpenOptions::new().write(true).create_new(true).open(to).map_err(failed)?;
    file.try_lock().map_err(|error| failed(error.into()))?;
    let present: HashSet<&str> = inputs.iter().flat_map(|input| input.leaves.keys().copied()).collect();
    let chosen: Vec<FileColumn> =
        columns().iter().filter(|c| present.contains(c.name) || ALWAYS.contains(&c.name)).copied().collect();
    let groups = groups(inputs);
    let most = groups.iter().map(|parts| parts.iter().map(|part| part.rows).sum()).max().unwrap_or(0);
    let mut encoder =
        Encoder::new(&chosen, (0..chosen.len()).collect(), properties(most)).map_err(encoding)?;
    let mut total = 0;
    for parts in &groups {
        let keys = chosen.iter().filter(|column| SORTED_BY.contains(&column.name));
        let mut keyed = Rows::of(keys.copied());
        for column in 0..keyed.columns().len() {
            read(&mut keyed, column, parts, inputs)?;
        }
        let order = sorted(&keyed);
        drop(keyed);
        let rows: u32 = parts.iter().map(|part| part.rows).sum();
        let mut reading = None;
        let bytes = encoder.columns(rows, |column| {
            let mut one = Rows::of([*column]);
            match read(&mut one, 0, parts, inputs) {
                Ok(()) => one.arrange(&order),
                Err(error) => {
                    reading = Some(error);
                    return Err(ParquetError::General(String::new()));
                }
            }
            Ok(one)
        });
        let bytes = bytes.map_err(|error| reading.take().unwrap_or_else(|| encoding(error)))?;
        file.write_all(&bytes).map_err(failed)?;
        total += u64::from(rows);
    }
    let (footer, _) = encoder.finish().map_err(encoding)?;
    file.write_all(&footer).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok((total, file))
}

/// The inputs' groups, put together to groups of the merged file.
fn groups(inputs: &[Input]) -> Vec<Vec<Part>> {
    let mut groups: Vec<Vec<Part>> = Vec::new();
    let mut rows = u32::MAX;
    for (i, input) in inputs.iter().enumerate() {
        for (group, metadata) in input.reader.metadata().row_groups().iter().enumerate() {
            let len = u32::try_from(metadata.num_rows()).unwrap_or_default();
            if len == 0 {
                continue;
            }
            if rows.checked_add(len).is_none_or(|rows| rows > GROUP_ROWS_MAX) {
                groups.push(Vec::new());
                rows = 0;
            }
            rows += len;
            if let Some(last) = groups.last_mut() {
                last.push(Part { input: i, group, rows: len });
            }
        }
    }
    groups
}

/// Reads a column of these groups, one after another.
fn read(rows: &mut Rows, column: usize, parts: &[Part], inputs: &[Input]) -> Result<(), FolderError> {
    let Some(name) = rows.columns().get(column).map(|column| column.name) else { return Ok(()) };
    let mut first = 0;
    for part in parts {
        let Some(input) = inputs.get(part.input) else { continue };
        if let Some(leaf) = input.leaves.get(name) {
            let read = input
                .reader
                .get_row_group(part.group)
                .and_then(|group| rows.read(column, first, part.rows, |i| group.get_column_reader(leaf + i)));
            read.map_err(|error| input.failed(error))?;
        }
        first += part.rows;
    }
    rows.set_len(first);
    Ok(())
}
