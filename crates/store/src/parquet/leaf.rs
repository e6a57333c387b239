//! A leaf column of a file: collects the values of a group of rows, writes them, and reads them back.

use std::sync::Arc;

use daylight_expr::{Kind, ValueRef};
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::{Type, TypePtr};

use crate::rfc3339;

/// The values of one column, with the rows they belong to: rows without a value cost nothing until they are written.
pub(super) struct Leaf {
    values: Values,
    rows: Vec<u32>,
    /// The definition level of a value: 1, in a list 2.
    defined: i16,
}

enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    /// All bytes one after another, and where each value ends.
    Bytes(Vec<u8>, Vec<usize>),
}

impl Leaf {
    pub(super) fn new(kind: Kind, list: bool) -> Self {
        let values = match physical(kind) {
            Physical::BOOLEAN => Values::Bool(Vec::new()),
            Physical::INT64 => Values::Int(Vec::new()),
            Physical::DOUBLE => Values::Double(Vec::new()),
            _ => Values::Bytes(Vec::new(), Vec::new()),
        };
        Self { values, rows: Vec::new(), defined: if list { 2 } else { 1 } }
    }

    /// Adds a value of a row; several of one row are a list. Returns how many bytes it takes.
    pub(super) fn push(&mut self, row: u32, value: ValueRef<'_>) -> usize {
        use std::io::Write;
        if self.defined == 1 && self.rows.last() == Some(&row) {
            return 0;
        }
        let mut bytes = 8;
        match (&mut self.values, value) {
            (Values::Bool(to), ValueRef::Bool(b)) => to.push(b),
            // The column's type says that the 64 bits are unsigned.
            (Values::Int(to), ValueRef::Uint(n)) => to.push(n as i64),
            (Values::Int(to), ValueRef::Time(ns)) => to.push(ns),
            (Values::Double(to), ValueRef::Float(n)) => to.push(n),
            (Values::Bytes(to, ends), value) => {
                let before = to.len();
                match value {
                    ValueRef::Str(text) => to.extend_from_slice(text.as_bytes()),
                    ValueRef::Bytes(raw) => to.extend_from_slice(raw),
                    ValueRef::Time(ns) => rfc3339(ns, to),
                    // Writing to a Vec can't fail.
                    ValueRef::Ip(ip) => _ = write!(to, "{ip}"),
                    _ => return 0,
                }
                ends.push(to.len());
                bytes += to.len() - before;
            }
            // A field whose values are not of its declared kind: the protocols' tests rule it out.
            _ => return 0,
        }
        self.rows.push(row);
        bytes + 4
    }

    /// True if no row has a value.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first value of each row, if it is text; `rows` is how many rows there are.
    pub(super) fn texts(&self, rows: u32) -> Vec<Option<&[u8]>> {
        let mut texts = vec![None; rows as usize];
        if let Values::Bytes(bytes, ends) = &self.values {
            for (i, row) in self.rows.iter().enumerate().rev() {
                let start = i.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
                let value = ends.get(i).and_then(|end| bytes.get(start..*end));
                if let Some(text) = texts.get_mut(*row as usize) {
                    *text = value;
                }
            }
        }
        texts
    }

    /// Puts the rows into this order: the first is to be the one whose number stands first in it.
    pub(super) fn arrange(&mut self, order: &[u32]) {
        if self.is_empty() {
            return;
        }
        // Where the values of each row begin.
        let mut starts = vec![0u32; order.len() + 1];
        for row in &self.rows {
            if let Some(count) = starts.get_mut(*row as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        starts.iter_mut().for_each(|start| {
            sum += *start;
            *start = sum;
        });
        let (mut rows, mut values) =
            (Vec::with_capacity(self.rows.len()), Vec::with_capacity(self.rows.len()));
        for (new, old) in (0u32..).zip(order) {
            let old = *old as usize;
            let (Some(from), Some(to)) = (starts.get(old), starts.get(old + 1)) else { continue };
            for value in *from..*to {
                rows.push(new);
                values.push(value as usize);
            }
        }
        self.rows = rows;
        self.values.arrange(&values);
    }

    /// Reads on: the values of `rows` rows, the first of which becomes the row `first`. Returns how many rows there
    /// were.
    pub(super) fn read(&mut self, reader: ColumnReader, first: u32, rows: u32) -> Result<u32> {
        let list = self.defined == 2;
        match (&mut self.values, reader) {
            (Values::Bool(to), ColumnReader::BoolColumnReader(from)) => {
                records(from, list, first, rows, &mut self.rows, |values| {
                    to.extend(values);
                })
            }
            (Values::Int(to), ColumnReader::Int64ColumnReader(from)) => {
                records(from, list, first, rows, &mut self.rows, |values| {
                    to.extend(values);
                })
            }
            (Values::Double(to), ColumnReader::DoubleColumnReader(from)) => {
                records(from, list, first, rows, &mut self.rows, |values| {
                    to.extend(values);
                })
            }
            (Values::Bytes(to, ends), ColumnReader::ByteArrayColumnReader(from)) => {
                records(from, list, first, rows, &mut self.rows, |values| {
                    for value in values {
                        to.extend_from_slice(value.data());
                        ends.push(to.len());
                    }
                })
            }
            _ => Err(ParquetError::General("a column has another type than its name has here".into())),
        }
    }

    /// Writes the values of `rows` rows, and is empty again.
    pub(super) fn write(&mut self, rows: u32, column: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let (definition, repetition) = self.levels(rows);
        let repetition = (self.defined == 2).then_some(&repetition[..]);
        let definition = Some(&definition[..]);
        match &mut self.values {
            Values::Bool(values) => {
                column.typed::<BoolType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Int(values) => {
                column.typed::<Int64Type>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Double(values) => {
                column.typed::<DoubleType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Bytes(bytes, ends) => {
                let all = ByteArray::from(std::mem::take(bytes));
                let mut start = 0;
                let slice = |end: usize| {
                    let value = all.slice(start, end - start);
                    start = end;
                    value
                };
                let values: Vec<ByteArray> = ends.drain(..).map(slice).collect();
                column.typed::<ByteArrayType>().write_batch(&values, definition, repetition)?;
            }
        }
        self.rows.clear();
        Ok(())
    }

    /// Definition and repetition levels: a row without values is null, a second value of a row goes on with its list.
    fn levels(&self, rows: u32) -> (Vec<i16>, Vec<i16>) {
        let mut definition = Vec::with_capacity(rows as usize);
        let mut repetition = Vec::with_capacity(rows as usize);
        let mut next = 0;
        for row in &self.rows {
            let nulls = row.saturating_sub(next) as usize;
            definition.resize(definition.len() + nulls, 0);
            repetition.resize(repetition.len() + nulls, 0);
            definition.push(self.defined);
            repetition.push(i16::from(next > *row));
            next = row + 1;
        }
        let nulls = rows.saturating_sub(next) as usize;
        definition.resize(definition.len() + nulls, 0);
        repetition.resize(repetition.len() + nulls, 0);
        (definition, repetition)
    }
}

impl Values {
    /// Only these values, in this order.
    fn arrange(&mut self, order: &[usize]) {
        fn picked<T: Copy>(from: &[T], order: &[usize]) -> Vec<T> {
            order.iter().filter_map(|i| from.get(*i).copied()).collect()
        }
        match self {
            Self::Bool(values) => *values = picked(values, order),
            Self::Int(values) => *values = picked(values, order),
            Self::Double(values) => *values = picked(values, order),
            Self::Bytes(bytes, ends) => {
                let (mut to, mut new_ends) =
                    (Vec::with_capacity(bytes.len()), Vec::with_capacity(ends.len()));
                for i in order {
                    let start =
                        i.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
                    let value = ends.get(*i).and_then(|end| bytes.get(start..*end));
                    to.extend_from_slice(value.unwrap_or_default());
                    new_ends.push(to.len());
                }
                (*bytes, *ends) = (to, new_ends);
            }
        }
    }
}

/// Rows are read in steps of so many: their levels are held beside their values.
const STEP: usize = 1 << 14;

/// Reads `rows` rows of a column; `take` gets the values.
fn records<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    list: bool,
    first: u32,
    rows: u32,
    to: &mut Vec<u32>,
    mut take: impl FnMut(Vec<T::T>),
) -> Result<u32> {
    let mut read = 0;
    // The row of the last level: lists go on over the end of a step only in files that others wrote.
    let mut next = first;
    while read < rows {
        let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
        let step = STEP.min((rows - read) as usize);
        let levels = list.then_some(&mut repetition);
        let (records, _, _) = reader.read_records(step, Some(&mut definition), levels, &mut values)?;
        if records == 0 {
            break;
        }
        let defined = if list { 2 } else { 1 };
        for (i, level) in definition.iter().enumerate() {
            if repetition.get(i).is_none_or(|level| *level == 0) {
                next += 1;
            }
            if *level == defined {
                to.push(next.saturating_sub(1));
            }
        }
        read += u32::try_from(records).unwrap_or(u32::MAX);
        take(values);
    }
    Ok(read)
}

fn physical(kind: Kind) -> Physical {
    match kind {
        Kind::Bool => Physical::BOOLEAN,
        Kind::Uint | Kind::Time => Physical::INT64,
        Kind::Float => Physical::DOUBLE,
        _ => Physical::BYTE_ARRAY,
    }
}

/// A leaf's type. Unsigned numbers, times in nanoseconds UTC and text are marked as such; raw bytes are raw.
pub(super) fn leaf_type(name: &str, kind: Kind, repetition: Repetition) -> Result<TypePtr> {
    let logical = match kind {
        Kind::Uint => Some(LogicalType::integer(64, false)),
        Kind::Time => Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
        Kind::Bool | Kind::Float | Kind::Bytes => None,
        _ => Some(LogicalType::String),
    };
    let ty = Type::primitive_type_builder(name, physical(kind))
        .with_repetition(repetition)
        .with_logical_type(logical)
        .build()?;
    Ok(Arc::new(ty))
}

/// A list of such elements, in the three levels that the format asks for.
pub(super) fn list_type(name: &str, element: TypePtr) -> Result<TypePtr> {
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![element])
        .build()?;
    let ty = Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_converted_type(ConvertedType::LIST)
        .with_fields(vec![Arc::new(list)])
        .build()?;
    Ok(Arc::new(ty))
}
