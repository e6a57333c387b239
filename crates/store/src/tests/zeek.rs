//! Zeek's logs.

use std::collections::BTreeMap;
use std::path::Path;

use daylight_inspect::{EventRecord, FlowRecord, column};
use daylight_protocols::names::dns;
use daylight_protocols::remote::ssh;
use daylight_protocols::web::quic;
use daylight_protocols::web::tls::fields as tls;
use daylight_protocols::{Confidence, ProtocolId, Value, common};

use super::{NASTY, event, http_events, records};
use crate::zeek::{From, TABLES};
use crate::{Destination, Format, open};

fn write(flows: Vec<FlowRecord>, events: Vec<EventRecord>) -> BTreeMap<String, String> {
    write_as(Format::Zeek, flows, events)
}

fn write_as(format: Format, flows: Vec<FlowRecord>, events: Vec<EventRecord>) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::Path(folder.path().join("logs"));
    let mut writer = open(format, Vec::new(), &to).unwrap();
    let count = flows.len() as u64;
    events.into_iter().for_each(|event| writer.event(event));
    flows.into_iter().for_each(|flow| writer.flow(flow.into()));
    assert_eq!(writer.finish().unwrap(), count);
    read(&folder.path().join("logs"))
}

fn read(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

fn list(values: &[&str]) -> Value {
    Value::List(Box::new(values.iter().map(|v| Value::from((*v).to_owned())).collect()))
}

fn events() -> Vec<EventRecord> {
    let mut events = http_events();
    let certificate = || {
        event(
            1,
            "x509",
            vec![
                (tls::CERT_SHA256, "ab".repeat(32).into()),
                (tls::CERT_VERSION, 3u64.into()),
                (tls::CERT_SERIAL, "0A1B".to_owned().into()),
                (tls::CERT_SUBJECT, "CN=a\\,b,O=\u{fc}".to_owned().into()),
                (tls::CERT_NOT_BEFORE, Value::Time(0)),
                (tls::CERT_EXPONENT, 65537u64.into()),
                (tls::CERT_NAMES, list(&["a.example", "*.example"])),
                (tls::CERT_CA, false.into()),
                (tls::CERT_HOST, true.into()),
            ],
        )
    };
    events.extend([certificate(), certificate()]);
    events.push(event(
        1,
        "ssl",
        vec![
            (tls::SNI, "Example.org".to_owned().into()),
            (tls::CERT_CHAIN_FPS, list(&["aa", "bb"])),
            (common::TLS_VERSION, "TLSv1.3".into()),
            (tls::CIPHER, "0xabcd".to_owned().into()),
            (tls::GROUP, "x25519".into()),
            (tls::RESUMED, true.into()),
            (tls::ESTABLISHED, true.into()),
        ],
    ));
    events.push(event(2, "ssl", vec![(common::TLS_VERSION, "DTLSv1.2".into())]));
    events.push(event(
        2,
        "dns",
        vec![
            (dns::ID, 4711u64.into()),
            (dns::QUERY, NASTY.to_owned().into()),
            (dns::QTYPE_CODE, 65u64.into()),
            (dns::QTYPE, "HTTPS".into()),
            (dns::QCLASS_CODE, 1u64.into()),
            (dns::QCLASS, "IN".into()),
            (dns::RCODE_CODE, 0u64.into()),
            (dns::RCODE, "NOERROR".into()),
            (dns::RD, true.into()),
            (dns::Z, 2u64.into()),
            (dns::RTT, Value::Float(0.0123456)),
            (dns::ANSWERS, list(&["1 . alpn=\"h2,h3\"", "192.0.2.1"])),
            (dns::TTLS, Value::List(Box::new(vec![300u64.into(), 60u64.into()]))),
        ],
    ));
    events.push(event(
        2,
        "dns",
        vec![(dns::QTYPE, "TYPE1234".to_owned().into()), (dns::QCLASS, "CH".into())],
    ));
    events.push(event(
        3,
        "quic",
        vec![
            (common::QUIC_VERSION, "2".into()),
            (quic::CLIENT_INITIAL_DCID, Value::bytes(&[1, 2, 3])),
            (common::ALPN, list(&["h3", "h2"])),
            (quic::HISTORY, "IiSs".to_owned().into()),
        ],
    ));
    events.push(event(
        1,
        "ssh",
        vec![(ssh::VERSION, 2u64.into()), (ssh::CLIENT, "SSH-2.0-x".to_owned().into())],
    ));
    events.push(event(1, "smtp", Vec::new()));
    events
}

#[test]
fn as_zeek_writes_them() {
    let logs = write(records(), events());
    let text: String = logs.iter().map(|(name, text)| format!("=== {name}\n{text}")).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn a_log_without_rows_is_no_file() {
    assert_eq!(write(Vec::new(), Vec::new()).len(), 0);
    assert_eq!(write(records(), Vec::new()).into_keys().collect::<Vec<_>>(), ["conn.log"]);
}

/// A reader that takes nothing but what Zeek writes: rows as name -> value, with escapes undone.
fn parse(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#separator \\x09"));
    assert_eq!(lines.next(), Some("#set_separator\t,"));
    assert_eq!(lines.next(), Some("#empty_field\t(empty)"));
    assert_eq!(lines.next(), Some("#unset_field\t-"));
    assert!(lines.next().unwrap().starts_with("#path\t"));
    assert!(lines.next().unwrap().starts_with("#open\t"));
    let mut cells = |mark| {
        let line = lines.next().unwrap().strip_prefix(mark).unwrap();
        line.split('\t').skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let (names, types) = (cells("#fields"), cells("#types"));
    assert_eq!(names.len(), types.len());
    let mut rows = Vec::new();
    let mut closed = false;
    for line in lines {
        assert!(!closed, "nothing comes after #close");
        if line.starts_with("#close\t") {
            closed = true;
            continue;
        }
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells.len(), names.len(), "{line}");
        for (cell, ty) in cells.iter().zip(&types) {
            check(cell, ty);
        }
        rows.push(names.iter().cloned().zip(cells.iter().map(|c| unescaped(c))).collect());
    }
    assert!(closed);
    rows
}

fn check(cell: &str, ty: &str) {
    assert!(!cell.is_empty() && !cell.bytes().any(|b| b < 0x20 || b == 0x7f), "{cell:?}");
    if cell == "-" {
        return;
    }
    if let Some((_, inner)) = ty.split_once('[') {
        if cell != "(empty)" {
            cell.split(',').for_each(|element| check(element, inner.trim_end_matches(']')));
        }
        return;
    }
    let good = match ty {
        "time" | "interval" => {
            cell.split_once('.').is_some_and(|(s, us)| s.parse::<i64>().is_ok() && us.len() == 6)
        }
        "count" => cell.parse::<u64>().is_ok(),
        "port" => cell.parse::<u16>().is_ok(),
        "addr" => cell.parse::<std::net::IpAddr>().is_ok(),
        "bool" => matches!(cell, "T" | "F"),
        "string" | "enum" => true,
        other => panic!("no type of Zeek's: {other}"),
    };
    assert!(good, "{cell:?} is no {ty}");
}

fn unescaped(cell: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), cell.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, rest) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', a, b, after @ ..]) => {
                let hex = [*a, *b];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = after;
            }
            (b'\\', _) => panic!("a lone backslash: {cell}"),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_read_back_is_what_was_written() {
    let logs = write(records(), events());
    let rows: BTreeMap<&str, _> = logs.iter().map(|(name, text)| (name.as_str(), parse(text))).collect();
    assert_eq!(rows["http.log"][0]["uri"], NASTY);
    assert_eq!(rows["dns.log"][0]["query"], NASTY);
    assert_eq!(rows["x509.log"][0]["certificate.subject"], "CN=a\\,b,O=\u{fc}");
    assert_eq!(rows["x509.log"].len(), 1, "the same certificate again");
    // The body has one name in both logs.
    let files: BTreeMap<_, _> =
        rows["files.log"].iter().map(|r| (r["is_orig"].as_str(), &r["fuid"])).collect();
    assert_eq!(files["T"], &rows["http.log"][0]["orig_fuids"]);
    assert_eq!(files["F"], &rows["http.log"][0]["resp_fuids"]);
    assert_ne!(files["T"], files["F"]);
    // Transactions name their flows.
    for log in ["dns.log", "ssl.log", "http.log", "files.log", "quic.log", "ssh.log"] {
        for row in &rows[log] {
            assert!(rows["conn.log"].iter().any(|flow| flow["uid"] == row["uid"]), "{log}");
        }
    }
}

#[test]
fn services() {
    let service = |ip_protocol, label, confidence, fields: &[daylight_protocols::FieldRef]| {
        let mut flow = FlowRecord::blank(1);
        flow.ends.ip_protocol = ip_protocol;
        flow.protocol = label;
        flow.confidence = confidence;
        flow.found.fields = fields.iter().map(|field| (*field, Value::from("x"))).collect();
        parse(&write(vec![flow], Vec::new())["conn.log"])[0]["service"].clone()
    };
    use Confidence::{Correlation, Payload, Port};
    use ProtocolId as P;
    assert_eq!(service(6, P::Tls, Payload, &[common::HOSTNAME, tls::SNI]), "ssl");
    assert_eq!(service(6, P::Tls, Port, &[]), "-");
    assert_eq!(service(17, P::Quic, Payload, &[quic::DECRYPTED, tls::SNI]), "quic,ssl");
    assert_eq!(service(17, P::Dtls, Payload, &[tls::SNI]), "dtls");
    assert_eq!(service(6, P::Smtp, Payload, &[common::HOSTNAME, tls::SNI, tls::CIPHER]), "smtp,ssl");
    assert_eq!(service(6, P::FtpData, Correlation, &[]), "ftp-data");
    assert_eq!(service(17, P::Mdns, Payload, &[dns::QUERY]), "dns");
    assert_eq!(service(1, P::Icmp, Payload, &[]), "-");
    assert_eq!(service(17, P::Kerberos, Payload, &[]), "krb");
    assert_eq!(service(6, P::Unknown, Confidence::None, &[]), "-");
}

/// A field that is renamed must be renamed in the tables too.
#[test]
fn every_field_in_the_tables_is_there() {
    for (kind, columns) in TABLES {
        for col in *columns {
            let (From::Field(names, _) | From::Text(names, _)) = col.from else { continue };
            for name in names {
                assert!(column(name).is_some(), "{kind}.log: {} is from {name}", col.name);
            }
        }
    }
}

/// Each row of the one form is a row of the other: as many columns as are set, and the same names.
#[test]
fn json_has_what_the_tables_have() {
    let (tabs, json) = (write(records(), events()), write_as(Format::ZeekJson, records(), events()));
    assert_eq!(tabs.keys().collect::<Vec<_>>(), json.keys().collect::<Vec<_>>());
    for (name, text) in &tabs {
        let fields = text.lines().find_map(|line| line.strip_prefix("#fields\t")).unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(rows.len(), json[name].lines().count(), "{name}");
        for (row, object) in rows.iter().zip(json[name].lines()) {
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap();
            let set = fields.split('\t').zip(row.split('\t')).filter(|(_, cell)| *cell != "-");
            let mut names: Vec<&str> = set.map(|(field, _)| field).collect();
            names.sort_unstable();
            assert_eq!(object.keys().collect::<Vec<_>>(), names, "{name}");
            assert!(object.values().all(|value| !value.is_null()));
        }
    }
    let http = json["http.log"].lines().next().unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(http).unwrap()["ts"].is_number());
}
