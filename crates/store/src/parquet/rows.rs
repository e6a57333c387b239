//! Rows on their way into a file: for each column the values that were seen.
//!
//! A record has hundreds of columns and values in thirty of them. Only values are kept, each with its row, so a column
//! that nothing was seen in costs nothing; the encoder makes levels of it.

use std::collections::HashSet;

use daylight_expr::{Kind, ValueRef};
use daylight_inspect::{Column, ColumnId, Core, FlowRecord};
use daylight_protocols::FieldRef;
use parquet::column::reader::ColumnReader;
use parquet::errors::{ParquetError, Result};

use super::leaf::Leaf;

/// A column of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileColumn {
    /// Its name, such as `src_ip` or `tls.version`.
    pub name: &'static str,
    /// What its values are.
    pub kind: FileKind,
    /// One line about it.
    pub help: &'static str,
}

/// What a column of a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// At most one value a row. Addresses are text.
    One(Kind),
    /// A list of values.
    List(Kind),
    /// A list of structs of four texts: `name`, `severity`, `side` and `evidence`.
    Risks,
}

impl FileKind {
    pub(crate) fn leaves(self) -> usize {
        if self == Self::Risks { RISK.len() } else { 1 }
    }
}

/// The members of a risk.
pub(super) const RISK: [&str; 4] = ["name", "severity", "side", "evidence"];

impl From<&Column> for FileColumn {
    fn from(column: &Column) -> Self {
        let kind = match column.id {
            ColumnId::Core(Core::Risks) => FileKind::Risks,
            _ if column.list => FileKind::List(column.kind),
            _ => FileKind::One(column.kind),
        };
        Self { name: column.name, kind, help: column.help }
    }
}

/// Rows that are held.
pub(crate) struct Rows {
    columns: Vec<FileColumn>,
    /// The leaf where each column begins.
    starts: Vec<usize>,
    leaves: Vec<Leaf>,
    /// Core columns and fields of the record, with their leaves; the fields sorted.
    core: Vec<(Core, usize)>,
    fields: Vec<(FieldRef, usize)>,
    rows: u32,
    bytes: usize,
}

impl Rows {
    /// For these columns of the record, and after them these that are not the record's. Two columns of one name would
    /// be refused by many readers: the second is left out.
    pub(crate) fn new(mut columns: Vec<&'static Column>, more: &[FileColumn]) -> Self {
        let mut seen = HashSet::new();
        columns.retain(|c| seen.insert(c.id));
        let mut rows = Self::of(columns.iter().map(|c| FileColumn::from(*c)).chain(more.iter().copied()));
        for (column, start) in columns.iter().zip(&rows.starts) {
            match column.id {
                ColumnId::Core(id) => rows.core.push((id, *start)),
                ColumnId::Field(field) => rows.fields.push((field, *start)),
            }
        }
        rows.fields.sort();
        rows
    }

    /// For these columns, whose values come from elsewhere than records.
    pub(crate) fn of(columns: impl IntoIterator<Item = FileColumn>) -> Self {
        let columns: Vec<FileColumn> = columns.into_iter().collect();
        let (mut starts, mut leaves) = (Vec::new(), Vec::new());
        for column in &columns {
            starts.push(leaves.len());
            match column.kind {
                FileKind::Risks => leaves.extend(RISK.map(|_| Leaf::new(Kind::Str, true))),
                FileKind::One(kind) => leaves.push(Leaf::new(kind, false)),
                FileKind::List(kind) => leaves.push(Leaf::new(kind, true)),
            }
        }
        Self { columns, starts, leaves, core: Vec::new(), fields: Vec::new(), rows: 0, bytes: 0 }
    }

    pub(crate) fn columns(&self) -> &[FileColumn] {
        &self.columns
    }

    /// How many rows are held.
    pub(crate) fn len(&self) -> u32 {
        self.rows
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns in which there is a value.
    pub(crate) fn seen(&self) -> Vec<bool> {
        let seen = |start: &usize| self.leaves.get(*start).is_some_and(|leaf| !leaf.is_empty());
        self.starts.iter().map(seen).collect()
    }

    /// Adds a row of a record's values.
    pub(crate) fn push(&mut self, record: &FlowRecord) {
        for i in 0..self.core.len() {
            let Some((core, leaf)) = self.core.get(i).copied() else { break };
            if core == Core::Risks {
                for found in record.risks() {
                    let members = [
                        found.risk.name,
                        found.risk.severity.name(),
                        found.risk.side.name(),
                        &*found.evidence,
                    ];
                    for (i, member) in members.into_iter().enumerate() {
                        self.value(leaf + i, ValueRef::Str(member));
                    }
                }
                continue;
            }
            for value in record.values(ColumnId::Core(core)) {
                self.value(leaf, value);
            }
        }
        for (field, value) in &record.found.fields {
            let Ok(i) = self.fields.binary_search_by_key(field, |(f, _)| *f) else { continue };
            let Some((_, leaf)) = self.fields.get(i).copied() else { continue };
            for value in value.iter().filter_map(daylight_inspect::value_ref) {
                self.value(leaf, value);
            }
        }
        self.rows += 1;
    }

    /// Gives the last row a value in a column that is not the record's.
    pub(crate) fn add(&mut self, column: usize, value: ValueRef<'_>) {
        let (Some(leaf), Some(row)) = (self.starts.get(column), self.rows.checked_sub(1)) else { return };
        if let Some(leaf) = self.leaves.get_mut(*leaf) {
            self.bytes += leaf.push(row, value);
        }
    }

    fn value(&mut self, leaf: usize, value: ValueRef<'_>) {
        if let Some(leaf) = self.leaves.get_mut(leaf) {
            self.bytes += leaf.push(self.rows, value);
        }
    }

    /// The leaves of a column.
    pub(super) fn leaves(&mut self, column: usize) -> &mut [Leaf] {
        let (Some(start), Some(kind)) = (self.starts.get(column), self.columns.get(column)) else {
            return &mut [];
        };
        self.leaves.get_mut(*start..*start + kind.kind.leaves()).unwrap_or_default()
    }

    /// The order in which rows of one value in these columns stand together, sorted by it; those without come last.
    pub(crate) fn order(&self, columns: &[usize]) -> Vec<u32> {
        let keys: Vec<Vec<Option<&[u8]>>> = columns
            .iter()
            .filter_map(|column| self.leaves.get(*self.starts.get(*column)?))
            .map(|leaf| leaf.texts(self.rows))
            .collect();
        let mut order: Vec<u32> = (0..self.rows).collect();
        order.sort_by(|a, b| {
            let compared = keys.iter().map(|key| {
                let of = |row: &u32| key.get(*row as usize).copied().flatten();
                let (a, b) = (of(a), of(b));
                a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b))
            });
            compared.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        order
    }

    /// Reads `rows` rows of a column of which `reader` gives the leaves; the first becomes the row `first`.
    pub(crate) fn read(
        &mut self,
        column: usize,
        first: u32,
        rows: u32,
        reader: impl Fn(usize) -> Result<ColumnReader>,
    ) -> Result<()> {
        for (i, leaf) in self.leaves(column).iter_mut().enumerate() {
            let read = leaf.read(reader(i)?, first, rows)?;
            if read != rows {
                return Err(ParquetError::General(format!("a column ends after {read} of {rows} rows")));
            }
        }
        Ok(())
    }

    /// Says how many rows were read.
    pub(crate) fn set_len(&mut self, rows: u32) {
        self.rows = rows;
    }

    /// Puts the rows into an order.
    pub(crate) fn arrange(&mut self, order: &[u32]) {
        self.leaves.iter_mut().for_each(|leaf| leaf.arrange(order));
    }

    /// The rows were written.
    pub(super) fn clear(&mut self) {
        (self.rows, self.bytes) = (0, 0);
    }
}
