//! The tables, made of the record's columns so that they can't drift from it.
//!
//! After Akvorado's: labels of few values are `LowCardinality`, times are stored by their differences, numbers by the bits
//! they use; `flows_local` is on each node and `flows` spreads over all of them; roll-ups by minute, five minutes and hour,
//! which the dashboard reads, keep longer than the flows.
//!
//! What was not seen is NULL, as in the store, so that the same query counts the same; but a list that was not seen is empty,
//! for ClickHouse has no list that is NULL. Addresses are text here as there; bytes are hexadecimal text, in the store raw.

use std::collections::BTreeMap;
use std::fmt::Write;

use daylight_expr::Kind;
use daylight_inspect::{Column, ColumnId, Core, columns};

/// How the tables are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaOptions {
    /// The database; it is made.
    pub database: String,
    /// A cluster's name: then tables are replicated (the servers' macros `shard` and `replica` say how), and `flows` spreads
    /// over it. Without one, `flows` is a view of `flows_local`.
    pub cluster: Option<String>,
    /// Days that flows are kept. ClickHouse counts seconds in 32 bits here: flows of today and 80 years are too many.
    pub flows_days: u32,
    /// Days that the roll-ups by minute, five minutes and hour are kept.
    pub rollup_days: [u32; 3],
}

impl Default for SchemaOptions {
    fn default() -> Self {
        Self { database: "daylight".to_owned(), cluster: None, flows_days: 15, rollup_days: [7, 90, 365] }
    }
}

/// Columns that every record has.
const ALWAYS: &[Core] = &[
    Core::Capture,
    Core::Uid,
    Core::Start,
    Core::End,
    Core::Duration,
    Core::Transport,
    Core::IpProtocol,
    Core::SrcIp,
    Core::SrcPort,
    Core::DstIp,
    Core::DstPort,
    Core::Protocol,
    Core::Confidence,
    Core::SrcPackets,
    Core::SrcBytes,
    Core::SrcIpBytes,
    Core::SrcPayloadBytes,
    Core::DstPackets,
    Core::DstBytes,
    Core::DstIpBytes,
    Core::DstPayloadBytes,
    Core::State,
    Core::Reason,
];

/// Texts of which there are few.
const LABELS: &[&str] = &[
    "capture",
    "transport",
    "tunnel",
    "protocol",
    "application",
    "category",
    "confidence",
    "risk_severity",
    "state",
    "end_reason",
    "tls_version",
    "quic_version",
    "alpn",
];

/// Looked for without knowing the time: a filter says in which parts of a table a value can't be.
const FILTERED: &[&str] = &["uid", "src_ip", "dst_ip", "hostname"];

/// A column's type, without its codec.
fn ty(column: &Column) -> String {
    if column.id == ColumnId::Core(Core::Risks) {
        let label = "LowCardinality(String)";
        return format!("Array(Tuple(name {label}, severity {label}, side {label}, evidence String))");
    }
    let label = LABELS.contains(&column.name);
    let base = match (column.id, column.kind) {
        (ColumnId::Core(Core::SrcPort | Core::DstPort | Core::Vlan), _) => "UInt16",
        (ColumnId::Core(Core::IpProtocol), _) => "UInt8",
        (_, Kind::Bool) => "Bool",
        (_, Kind::Uint) => "UInt64",
        (_, Kind::Float) => "Float64",
        (_, Kind::Time) => "DateTime64(9, 'UTC')",
        // Bytes are hexadecimal, as in the line.
        _ => "String",
    };
    let always = matches!(column.id, ColumnId::Core(core) if ALWAYS.contains(&core));
    match (column.list, always, label) {
        (true, _, true) => format!("Array(LowCardinality({base}))"),
        (true, ..) => format!("Array({base})"),
        (_, true, true) => format!("LowCardinality({base})"),
        (_, true, false) => base.to_owned(),
        (_, false, true) => format!("LowCardinality(Nullable({base}))"),
        (_, false, false) => format!("Nullable({base})"),
    }
}

fn codec(column: &Column) -> &'static str {
    match (column.kind, column.list) {
        (Kind::Time, false) => "DoubleDelta, ZSTD(1)",
        (Kind::Uint, false) => "T64, ZSTD(1)",
        _ => "ZSTD(1)",
    }
}

/// Every column of `flows_local` with its type and codec. A protocol's fields are one tuple.
fn definitions() -> Vec<(String, String)> {
    let mut all = vec![
        ("record_id".to_owned(), "FixedString(32) CODEC(ZSTD(1))".to_owned()),
        ("sensor".to_owned(), "LowCardinality(String) CODEC(ZSTD(1))".to_owned()),
    ];
    let mut protocols: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for column in columns() {
        match column.name.split_once('.') {
            Some((protocol, field)) => {
                protocols.entry(protocol).or_default().push(format!("`{field}` {}", ty(column)));
            }
            None => all.push((column.name.to_owned(), format!("{} CODEC({})", ty(column), codec(column)))),
        }
    }
    let tuple = |(protocol, fields): (&str, Vec<String>)| {
        (protocol.to_owned(), format!("Tuple({}) CODEC(ZSTD(1))", fields.join(", ")))
    };
    all.extend(protocols.into_iter().map(tuple));
    all
}

/// A roll-up: its name, what it is by, and which flows it counts.
struct Rollup {
    name: &'static str,
    every: &'static str,
    /// Which of [`SchemaOptions::rollup_days`].
    kept: usize,
    by: &'static [(&'static str, &'static str)],
    from: &'static str,
}

const LABELLED: &[(&str, &str)] = &[
    ("sensor", "sensor"),
    ("transport", "transport"),
    ("protocol", "protocol"),
    ("application", "ifNull(application, '')"),
    ("category", "ifNull(category, '')"),
    ("risk_severity", "ifNull(risk_severity, '')"),
];

const ROLLUPS: &[Rollup] = &[
    Rollup { name: "flows_1m", every: "toStartOfMinute", kept: 0, by: LABELLED, from: "" },
    Rollup { name: "flows_5m", every: "toStartOfFiveMinutes", kept: 1, by: LABELLED, from: "" },
    Rollup { name: "flows_1h", every: "toStartOfHour", kept: 2, by: LABELLED, from: "" },
    Rollup {
        name: "hosts_1h",
        every: "toStartOfHour",
        kept: 2,
        by: &[("sensor", "sensor"), ("hostname", "coalesce(hostname, resolved_name, '')")],
        from: " WHERE coalesce(hostname, resolved_name, '') != ''",
    },
    Rollup {
        name: "talkers_1h",
        every: "toStartOfHour",
        kept: 2,
        by: &[("sensor", "sensor"), ("src_ip", "src_ip")],
        from: "",
    },
    Rollup {
        name: "risks_1h",
        every: "toStartOfHour",
        kept: 2,
        by: &[
            ("sensor", "sensor"),
            ("risk", "risk.name"),
            ("severity", "risk.severity"),
            ("side", "risk.side"),
        ],
        from: " ARRAY JOIN risks AS risk",
    },
];

const COUNTED: &[(&str, &str)] = &[
    ("flows", "count()"),
    ("src_packets", "sum(src_packets)"),
    ("src_bytes", "sum(src_bytes)"),
    ("dst_packets", "sum(dst_packets)"),
    ("dst_bytes", "sum(dst_bytes)"),
];

/// The statements that make database, tables and roll-ups, in order. Each can be run again: what is there stays.
pub fn schema(options: &SchemaOptions) -> Vec<String> {
    let SchemaOptions { database, cluster, .. } = options;
    let on = cluster.as_ref().map_or_else(String::new, |cluster| format!(" ON CLUSTER '{cluster}'"));
    let mut statements = vec![format!("CREATE DATABASE IF NOT EXISTS {database}{on}")];
    let engine = |name: &str, table: &str| match cluster {
        None => format!("{name}MergeTree"),
        Some(_) => format!(
            "Replicated{name}MergeTree('/clickhouse/tables/{{shard}}/{database}/{table}', '{{replica}}')"
        ),
    };
    // By these the server knows a batch again.
    let window = match cluster {
        None => "non_replicated_deduplication_window = 10000",
        Some(_) => "replicated_deduplication_window = 10000",
    };
    let mut definitions: Vec<String> =
        definitions().into_iter().map(|(name, ty)| format!("`{name}` {ty}")).collect();
    let index = |name: &&str| format!("INDEX {name}_filter {name} TYPE bloom_filter(0.01) GRANULARITY 4");
    definitions.extend(FILTERED.iter().map(index));
    statements.push(format!(
        "CREATE TABLE IF NOT EXISTS {database}.flows_local{on} (\n    {}\n) ENGINE = {}\nPARTITION BY toYYYYMMDD(start)\n\
         ORDER BY (toStartOfFiveMinutes(start), sensor, protocol, record_id)\n\
         TTL toDateTime(start) + INTERVAL {} DAY\nSETTINGS ttl_only_drop_parts = 1, {window}",
        definitions.join(",\n    "),
        engine("Replacing", "flows_local"),
        options.flows_days,
    ));
    for rollup in ROLLUPS {
        let days = options.rollup_days.get(rollup.kept).copied().unwrap_or(options.flows_days);
        statements.extend(rollup.statements(
            database,
            &on,
            &engine("Summing", &format!("{}_local", rollup.name)),
            days,
            window,
        ));
    }
    for name in std::iter::once("flows").chain(ROLLUPS.iter().map(|rollup| rollup.name)) {
        statements.push(match cluster {
            // A flow's records lie together.
            Some(cluster) => format!(
                "CREATE TABLE IF NOT EXISTS {database}.{name}{on} AS {database}.{name}_local\n\
                 ENGINE = Distributed('{cluster}', '{database}', '{name}_local', {})",
                if name == "flows" { "cityHash64(uid)" } else { "rand()" }
            ),
            None => format!(
                "CREATE VIEW IF NOT EXISTS {database}.{name} AS SELECT * FROM {database}.{name}_local"
            ),
        });
    }
    statements
}

impl Rollup {
    fn statements(&self, database: &str, on: &str, engine: &str, days: u32, window: &str) -> [String; 2] {
        let Self { name, every, by, from, .. } = self;
        let mut table = format!(
            "CREATE TABLE IF NOT EXISTS {database}.{name}_local{on} (\n    time DateTime('UTC') CODEC(DoubleDelta, ZSTD(1))"
        );
        for (column, _) in *by {
            let ty =
                if matches!(*column, "hostname" | "src_ip") { "String" } else { "LowCardinality(String)" };
            // Writing to a String can't fail, here and below.
            let _ = write!(table, ",\n    {column} {ty} CODEC(ZSTD(1))");
        }
        for (column, _) in COUNTED {
            let _ = write!(table, ",\n    {column} UInt64 CODEC(T64, ZSTD(1))");
        }
        let names: Vec<&str> = by.iter().map(|(column, _)| *column).collect();
        let _ = write!(
            table,
            "\n) ENGINE = {engine}\nPARTITION BY toYYYYMM(time)\nORDER BY (time, {})\nTTL time + INTERVAL {days} DAY\nSETTINGS {window}",
            names.join(", ")
        );
        let mut chosen = vec![format!("{every}(start) AS time")];
        // Aliases would hide the columns that they are made of.
        chosen.extend(by.iter().map(|(column, of)| {
            if column == of { (*column).to_owned() } else { format!("{of} AS {column}") }
        }));
        chosen.extend(COUNTED.iter().map(|(column, of)| format!("{of} AS {column}")));
        let grouped: Vec<String> = std::iter::once(format!("{every}(start)"))
            .chain(by.iter().map(|(_, of)| (*of).to_owned()))
            .collect();
        let view = format!(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name}_view{on} TO {database}.{name}_local AS\nSELECT {}\n\
             FROM {database}.flows_local{from}\nGROUP BY {}\nSETTINGS prefer_column_name_to_alias = 1",
            chosen.join(", "),
            grouped.join(", ")
        );
        [table, view]
    }
}

/// The statements that give tables of an earlier version the columns that were added since. New fields of a protocol are added to
/// its tuple.
pub fn extend(options: &SchemaOptions) -> Vec<String> {
    let on = options.cluster.as_ref().map_or_else(String::new, |cluster| format!(" ON CLUSTER '{cluster}'"));
    let mut tables = vec!["flows_local"];
    if options.cluster.is_some() {
        tables.push("flows");
    }
    let mut statements = Vec::new();
    for table in tables {
        let (mut add, mut modify) = (Vec::new(), Vec::new());
        for (name, ty) in definitions() {
            add.push(format!("ADD COLUMN IF NOT EXISTS `{name}` {ty}"));
            if ty.starts_with("Tuple(") {
                modify.push(format!("MODIFY COLUMN `{name}` {ty}"));
            }
        }
        for changes in [add, modify] {
            statements.push(format!(
                "ALTER TABLE {}.{table}{on}\n    {}",
                options.database,
                changes.join(",\n    ")
            ));
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_there_once() {
        let names: Vec<String> = definitions().into_iter().map(|(name, _)| name).collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "a protocol has the name of a column");
        let table = &schema(&SchemaOptions::default())[1];
        for column in columns() {
            let (outer, inner) = column.name.split_once('.').unwrap_or((column.name, column.name));
            assert!(names.iter().any(|name| name == outer), "{}", column.name);
            assert!(table.contains(&format!("`{inner}` ")), "{}", column.name);
        }
    }

    #[test]
    fn the_tables() {
        let text = schema(&SchemaOptions::default()).join(";\n\n");
        // The columns are the record's, and change with it; the rest is looked at when it changes.
        let (before, rest) = text.split_once("`record_id`").unwrap();
        let (_, after) = rest.split_once("    INDEX uid_filter").unwrap();
        insta::assert_snapshot!(format!("{before}…\n    INDEX uid_filter{after}"));
    }

    #[test]
    fn the_tables_of_a_cluster() {
        let options = SchemaOptions { cluster: Some("north".to_owned()), ..SchemaOptions::default() };
        let statements = schema(&options);
        assert!(statements.iter().all(|s| s.contains(" ON CLUSTER 'north'")));
        let flows = statements.iter().find(|s| s.contains(".flows ON CLUSTER")).unwrap();
        assert!(
            flows.ends_with("Distributed('north', 'daylight', 'flows_local', cityHash64(uid))"),
            "{flows}"
        );
        let local = statements.iter().find(|s| s.contains(".flows_1h_local ON")).unwrap();
        assert!(local.contains(
            "ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/daylight/flows_1h_local', '{replica}')"
        ));
    }
}
