//! The columns of a store, and how they are written.

use std::sync::LazyLock;

use daylight_expr::Kind;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::parquet::{FileColumn, FileKind, Rows};

/// The columns that a store has beside those of a record.
pub(crate) const MORE: [FileColumn; 3] = [
    FileColumn { name: "sensor", kind: FileKind::One(Kind::Str), help: "Which sensor saw the flow" },
    FileColumn {
        name: "record_id",
        kind: FileKind::One(Kind::Str),
        help: "Name of the record, unlike all others: what has come twice is known by it",
    },
    FileColumn {
        name: "address_key",
        kind: FileKind::One(Kind::Str),
        help: "Name of the key that clients' addresses were replaced under; null if they are as they were",
    },
];

/// All columns of a store: those of a record, then those that it has beside. A file lacks those that nothing was seen in.
pub fn columns() -> &'static [FileColumn] {
    static COLUMNS: LazyLock<Vec<FileColumn>> =
        LazyLock::new(|| daylight_inspect::columns().iter().map(FileColumn::from).chain(MORE).collect());
    &COLUMNS
}

/// Every file has them, so that other readers which take the first file's columns for those of all find these.
pub(crate) const ALWAYS: [&str; 25] = [
    "address_key",
    "application",
    "category",
    "confidence",
    "dst_bytes",
    "dst_ip",
    "dst_packets",
    "dst_port",
    "duration_s",
    "end",
    "end_reason",
    "hostname",
    "ip_protocol",
    "protocol",
    "record_id",
    "risks",
    "sensor",
    "src_bytes",
    "src_ip",
    "src_packets",
    "src_port",
    "start",
    "state",
    "transport",
    "uid",
];

/// Asked for by one value, and with so many values that a minimum and a maximum tell nothing.
const BLOOM: [&str; 10] = [
    "community_id",
    "dst_ip",
    "hostname",
    "ja3",
    "ja4",
    "record_id",
    "resolved_name",
    "src_ip",
    "tls.cert_subject",
    "uid",
];

/// Asked for by value or range, and sorted or near to it within a group: pages are skipped by them.
const PAGES: [&str; 7] = ["application", "dst_ip", "end", "hostname", "protocol", "src_ip", "start"];

/// Hardly a value comes twice.
const UNIQUE: [&str; 3] = ["community_id", "record_id", "uid"];

/// Numbers that hardly come twice and are added up again and again: packed, they are read several times faster than
/// compressed, and take no more room.
const PACKED: [&str; 8] = [
    "dst_bytes",
    "dst_ip_bytes",
    "dst_payload_bytes",
    "end",
    "src_bytes",
    "src_ip_bytes",
    "src_payload_bytes",
    "start",
];

/// Which columns a file of these rows has.
pub(crate) fn chosen(rows: &Rows) -> Vec<usize> {
    let seen = rows.seen();
    let wanted = |(i, column): (usize, &FileColumn)| {
        (seen.get(i).copied().unwrap_or_default() || ALWAYS.contains(&column.name)).then_some(i)
    };
    rows.columns().iter().enumerate().filter_map(wanted).collect()
}

/// How a file is written whose groups have up to so many rows.
pub(crate) fn properties(rows: u32) -> WriterProperties {
    let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("daylight version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(rows.max(1) as usize));
    for name in PAGES {
        properties = properties.set_column_statistics_enabled(path(name), EnabledStatistics::Page);
    }
    for name in BLOOM {
        // Made for as many values as there are rows, it is folded to what there is.
        properties = properties
            .set_column_bloom_filter_max_ndv(path(name), rows.max(1).into())
            .set_column_bloom_filter_fpp(path(name), 0.02);
    }
    for name in UNIQUE {
        properties = properties.set_column_dictionary_enabled(path(name), false);
    }
    for name in PACKED {
        properties = properties
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_columns() {
        for name in ALWAYS.iter().chain(&BLOOM).chain(&PAGES).chain(&UNIQUE).chain(&PACKED) {
            assert!(columns().iter().any(|column| column.name == *name), "{name}");
        }
        let mut names: Vec<_> = columns().iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), columns().len());
    }
}
