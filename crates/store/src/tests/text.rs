//! JSON lines and CSV.

use daylight_inspect::RecordSink;

use super::{Disk, NASTY, all, named, records};
use crate::out::Out;
use crate::{Writer, csv, jsonl};

fn jsonl(columns: Vec<&'static daylight_inspect::Column>) -> String {
    let disk = Disk::new(usize::MAX);
    let mut writer = jsonl::Jsonl::new(columns, Out::new(Box::new(disk.clone()), "test".into()));
    records().into_iter().for_each(|record| writer.flow(record.into()));
    assert_eq!(writer.finish().unwrap(), 3);
    String::from_utf8(disk.content()).unwrap()
}

fn csv(columns: Vec<&'static daylight_inspect::Column>) -> String {
    let disk = Disk::new(usize::MAX);
    let mut writer = csv::Csv::new(columns, Out::new(Box::new(disk.clone()), "test".into()));
    records().into_iter().for_each(|record| writer.flow(record.into()));
    assert_eq!(writer.finish().unwrap(), 3);
    String::from_utf8(disk.content()).unwrap()
}

#[test]
fn jsonl_as_documented() {
    insta::assert_snapshot!(jsonl(all()));
    insta::assert_snapshot!(jsonl(named(&["tls.alpn_offered", "protocol", "tls.sni"])));
}

#[test]
fn jsonl_can_be_parsed_back() {
    let text = jsonl(all());
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["tls"]["cert_subject"], NASTY);
    assert_eq!(first["tls"]["alpn_offered"][1], NASTY);
    assert_eq!(first["risks"][0]["evidence"], NASTY);
    assert_eq!(first["dst_bytes"], u64::MAX);
    assert_eq!(first["start"], "2024-01-01T00:00:00.123456789Z");
    assert_eq!(first["quic"]["client_scid"], "00ff10");
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn csv_as_documented() {
    let columns = [
        "uid",
        "start",
        "duration_s",
        "src_ip",
        "vlan",
        "risks",
        "tls.alpn_offered",
        "tls.cert_not_before",
        "tls.resumed",
        "tls.cert_subject",
        "tls.sni",
        "quic.client_scid",
        "first_payload_entropy",
    ];
    let text = csv(named(&columns));
    insta::assert_snapshot!(text.escape_debug().to_string().replace("\\r\\n", "\\r\\n\n"));
}

/// A reader by the book: RFC 4180, section 2.
fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if cell.is_empty() => loop {
                match chars.next().expect("closing quote") {
                    '"' if chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
                    '"' => {
                        assert!(matches!(chars.peek(), Some(',' | '\r')), "text after a closing quote");
                        break;
                    }
                    c => cell.push(c),
                }
            },
            ',' => row.push(std::mem::take(&mut cell)),
            '\r' => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            '"' | '\n' => panic!("{c:?} outside of quotes"),
            c => cell.push(c),
        }
    }
    assert!(row.is_empty() && cell.is_empty(), "the last line is ended");
    rows
}

#[test]
fn csv_can_be_parsed_back() {
    let columns = all();
    let rows = parse(&csv(columns.clone()));
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.len() == columns.len()));
    assert_eq!(rows[0], columns.iter().map(|c| c.name).collect::<Vec<_>>());
    let at = |name| columns.iter().position(|c| c.name == name).unwrap();
    assert_eq!(rows[1][at("tls.cert_subject")], NASTY);
    let escaped = NASTY.replace('\\', "\\\\").replace(';', "\\;");
    assert_eq!(rows[1][at("tls.alpn_offered")], format!("h2;{escaped};"));
    assert_eq!(rows[1][at("risks")], "malformed-packet;clear-text-credentials");
    assert_eq!(rows[2][at("tls.sni")], "");
}
