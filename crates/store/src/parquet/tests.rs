#![allow(clippy::unwrap_used)]

use daylight_inspect::{FlowRecord, RecordSink};
use parquet::basic::LogicalType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use super::Parquet;
use crate::tests::{Disk, NASTY, START_NS, all, named, records};
use crate::{StoreError, Writer};

fn reader(disk: &Disk) -> SerializedFileReader<std::fs::File> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &disk.content()).unwrap();
    SerializedFileReader::new(file).unwrap()
}

fn rows(disk: &Disk) -> Vec<Row> {
    reader(disk).get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn field<'a>(row: &'a Row, name: &str) -> &'a Field {
    row.get_column_iter().find(|(n, _)| *n == name).map(|(_, f)| f).unwrap()
}

fn list(field: &Field) -> Vec<&Field> {
    let Field::ListInternal(list) = field else { panic!("{field:?}") };
    list.elements().iter().collect()
}

#[test]
fn everything_can_be_read_back() {
    let disk = Disk::new(usize::MAX);
    let mut writer = Parquet::with_target(all(), Box::new(disk.clone()), "x".into()).unwrap();
    records().into_iter().for_each(|record| writer.flow(record.into()));
    assert_eq!(writer.finish().unwrap(), 3);
    let rows = rows(&disk);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].len(), all().len());
    let first = &rows[0];
    let text = |s: &str| Field::Str(s.to_owned());
    assert_eq!(*field(first, "tls.cert_subject"), text(NASTY));
    assert_eq!(*field(first, "dst_bytes"), Field::ULong(u64::MAX));
    assert_eq!(*field(first, "duration_s"), Field::Double(1.5));
    assert_eq!(*field(first, "src_ip"), text("10.0.0.1"));
    assert_eq!(*field(first, "tls.resumed"), Field::Bool(false));
    assert_eq!(*field(first, "tls.sni"), text(""));
    assert_eq!(*field(first, "start"), Field::Long(START_NS + 123_456_789));
    assert_eq!(*field(first, "tls.cert_not_before"), Field::Long(-1));
    assert_eq!(list(field(first, "vlan")), [&Field::ULong(7), &Field::ULong(42)]);
    assert_eq!(list(field(first, "tls.alpn_offered")), [&text("h2"), &text(NASTY), &text("")]);
    assert_eq!(list(field(first, "tls.cert_addresses")), [&text("192.0.2.1")]);
    assert_eq!(*field(first, "quic.client_scid"), Field::Bytes(vec![0, 0xff, 0x10].into()));
    let risks = list(field(first, "risks"));
    assert_eq!(risks.len(), 2);
    let Field::Group(risk) = risks[1] else { panic!("{risks:?}") };
    let members: Vec<String> =
        risk.get_column_iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(members[0], "name=\"clear-text-credentials\"");
    assert_eq!(members[3], "evidence=\"http.form=pass\"");
    // What was not seen is null, in lists too.
    for name in ["tls.sni", "tls.alpn_offered", "risks", "vlan", "history", "dns.query"] {
        assert_eq!(*field(&rows[1], name), Field::Null, "{name}");
    }
    assert_eq!(*field(&rows[2], "src_ip"), text("2001:db8::1"));
}

#[test]
fn the_schema_is_that_of_the_columns() {
    let disk = Disk::new(usize::MAX);
    let columns = named(&["start", "tls.sni", "dst_port", "tls.sni", "dns.ttls"]);
    let mut writer = Parquet::with_target(columns, Box::new(disk.clone()), "x".into()).unwrap();
    assert_eq!(writer.finish().unwrap(), 0);
    let reader = reader(&disk);
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<&str> = schema.get_fields().iter().map(|f| f.name()).collect();
    assert_eq!(names, ["start", "tls.sni", "dst_port", "dns.ttls"]);
    let logical = |i: usize| schema.get_fields()[i].get_basic_info().logical_type_ref().cloned();
    assert_eq!(logical(0), Some(LogicalType::timestamp(true, parquet::basic::TimeUnit::NANOS)));
    assert_eq!(logical(1), Some(LogicalType::String));
    assert_eq!(logical(2), Some(LogicalType::integer(64, false)));
    assert_eq!(logical(3), Some(LogicalType::List));
}

/// Values in some rows of some groups only.
#[test]
fn groups_of_rows() {
    let disk = Disk::new(usize::MAX);
    let columns = named(&["src_port", "vlan", "tunnel"]);
    let mut writer = Parquet::with_target(columns, Box::new(disk.clone()), "x".into()).unwrap();
    writer.rows_max = 7;
    for i in 0..100u32 {
        let mut record = FlowRecord::blank(i.into());
        record.ends.src_port = i as u16;
        record.vlan = if i % 3 == 0 { i << 12 | 1 } else { 0 };
        record.tunnel = (i > 90).then(|| format!("t{i}").into());
        writer.flow(record.into());
    }
    assert_eq!(writer.finish().unwrap(), 100);
    assert_eq!(reader(&disk).num_row_groups(), 15);
    for (i, row) in (0u32..).zip(rows(&disk)) {
        assert_eq!(*field(&row, "src_port"), Field::ULong(i.into()));
        let vlans = match i {
            0 => vec![1],
            i if i % 3 == 0 => vec![u64::from(i), 1],
            _ => vec![],
        };
        match field(&row, "vlan") {
            Field::Null => assert!(vlans.is_empty(), "{i}"),
            found => assert_eq!(
                list(found),
                vlans.into_iter().map(Field::ULong).collect::<Vec<_>>().iter().collect::<Vec<_>>()
            ),
        }
        let tunnel = if i > 90 { Field::Str(format!("t{i}")) } else { Field::Null };
        assert_eq!(*field(&row, "tunnel"), tunnel);
    }
}

/// However much room there is: what is there can be read, and is what the error says.
#[test]
fn a_full_disk() {
    let columns = || named(&["uid", "src_port", "start"]);
    let write = |disk: &Disk| {
        let mut writer =
            Parquet::with_target(columns(), Box::new(disk.clone()), "flows.parquet".into()).unwrap();
        writer.rows_max = 10;
        for i in 0..60u64 {
            if writer.is_closed() {
                break;
            }
            writer.flow(FlowRecord::blank(i).into());
        }
        writer.finish()
    };
    let whole = Disk::new(usize::MAX);
    assert_eq!(write(&whole).unwrap(), 60);
    let size = whole.content().len();
    let mut kept = Vec::new();
    for room in (0..size).step_by(7) {
        let disk = Disk::new(room);
        let error = write(&disk).unwrap_err();
        let StoreError::Write { flows, .. } = error else { panic!("{error}") };
        kept.push(flows);
        if flows == 0 {
            assert_eq!(disk.content().len(), 0);
            continue;
        }
        let rows = rows(&disk);
        assert_eq!(rows.len() as u64, flows);
        assert_eq!(flows % 10, 0);
    }
    assert!(kept.is_sorted());
    assert_eq!((kept[0], *kept.last().unwrap()), (0, 50), "the last group is given up for the footer's sake");
}

/// Seven hundred columns that nothing was seen in must cost next to nothing.
#[test]
fn columns_without_values_are_cheap() {
    let disk = Disk::new(usize::MAX);
    let mut writer = Parquet::with_target(all(), Box::new(disk.clone()), "x".into()).unwrap();
    for i in 0..1000 {
        writer.flow(FlowRecord::blank(i).into());
    }
    writer.finish().unwrap();
    let bytes = disk.content().len();
    assert!(bytes < 400 * all().len(), "{bytes} bytes for {} columns", all().len());
}
