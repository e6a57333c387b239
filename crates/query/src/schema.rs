//! The table's columns in Arrow's types.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use daylight_expr::Kind;
use daylight_store::FileKind;
use daylight_store::folder::columns;

/// The columns that are in files: all of a store. Those that a file lacks are null in its rows.
pub fn flows_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields: Vec<Field> =
            columns().iter().map(|c| Field::new(c.name, data_type(c.kind), true)).collect();
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// The columns that the names of folders say: `day`, a date, and `hour`, 0 to 23, of the flow's end in UTC.
pub fn partition_columns() -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new("day", DataType::Date32, false)),
        Arc::new(Field::new("hour", DataType::Int32, false)),
    ]
}

fn data_type(kind: FileKind) -> DataType {
    match kind {
        FileKind::One(kind) => match kind {
            Kind::Bytes => DataType::BinaryView,
            kind => element(kind).unwrap_or(DataType::Utf8View),
        },
        FileKind::List(kind) => {
            let element = match kind {
                Kind::Bytes => DataType::Binary,
                kind => element(kind).unwrap_or(DataType::Utf8),
            };
            DataType::List(Arc::new(Field::new("element", element, false)))
        }
        FileKind::Risks => {
            let member = |name| Field::new(name, DataType::Utf8, false);
            let members: Fields = ["name", "severity", "side", "evidence"].map(member).to_vec().into();
            DataType::List(Arc::new(Field::new("element", DataType::Struct(members), false)))
        }
    }
}

/// What isn't text nor bytes.
fn element(kind: Kind) -> Option<DataType> {
    Some(match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Uint => DataType::UInt64,
        Kind::Float => DataType::Float64,
        Kind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        _ => return None,
    })
}
