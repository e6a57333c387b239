//! What is written is read again, by a reader made after RFC 7011 alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use daylight_inspect::{FlowRecord, column, columns};
use daylight_protocols::web::tls::fields as tls;
use daylight_protocols::{Confidence, ProtocolId, RiskFound, Value, common, risk};
use proptest::prelude::*;

use super::elements::{self, ntp};
use super::encode::SHAPES_MAX;
use super::*;
use crate::record::{self, Entry};

/// Two lines can't have one number, and numbers are for ever.
#[test]
fn every_column_has_a_number() {
    let entries: Vec<_> = elements::entries().collect();
    let numbers: BTreeSet<u16> = entries.iter().map(|(_, number)| *number).collect();
    let names: BTreeSet<&str> = entries.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        (numbers.len(), names.len()),
        (entries.len(), entries.len()),
        "a number or a name is there twice"
    );
    assert!(numbers.iter().all(|number| (2..0x8000).contains(number)), "1 is the record's name");
    let next = numbers.last().map_or(2, |last| last + 1);
    let missing: Vec<_> = columns().iter().filter(|column| !names.contains(column.name)).collect();
    let lines: String =
        missing.iter().zip(next..).map(|(column, n)| format!("{n} {}\n", column.name)).collect();
    assert!(missing.is_empty(), "add to the end of elements.txt:\n{lines}");
}

/// A collector: number and enterprise, and the bytes of each field.
#[derive(Default)]
struct Collector {
    templates: HashMap<u16, Vec<(u16, u32, u16)>>,
    records: Vec<BTreeMap<(u32, u16), Vec<u8>>>,
    /// Name and type of elements, as RFC 5610 tells of them.
    types: BTreeMap<(u32, u16), (String, u8)>,
    sequence: u32,
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Collector {
    fn message(&mut self, message: &[u8]) {
        assert_eq!((word(message, 0), usize::from(word(message, 2))), (10, message.len()));
        assert_eq!(long(message, 8), self.sequence, "data records of the messages before");
        let mut rest = &message[16..];
        while !rest.is_empty() {
            let (id, len) = (word(rest, 0), usize::from(word(rest, 2)));
            assert!(len > 4, "an empty set");
            let (set, next) = rest.split_at(len);
            match id {
                2 | 3 => self.templates(&set[4..], id == 3),
                _ => self.data(id, &set[4..]),
            }
            rest = next;
        }
    }

    fn templates(&mut self, mut set: &[u8], has_scope: bool) {
        while !set.is_empty() {
            let (id, count) = (word(set, 0), word(set, 2));
            assert!(id >= 256);
            let mut at = if has_scope { 6 } else { 4 };
            let mut fields = Vec::new();
            for _ in 0..count {
                let (number, len) = (word(set, at), word(set, at + 2));
                let enterprise = if number & 0x8000 != 0 { long(set, at + 4) } else { 0 };
                at += if number & 0x8000 != 0 { 8 } else { 4 };
                fields.push((number & 0x7fff, enterprise, len));
            }
            if let Some(before) = self.templates.insert(id, fields) {
                assert_eq!(before, self.templates[&id], "a number has another meaning");
            }
            set = &set[at..];
        }
    }

    fn data(&mut self, id: u16, mut set: &[u8]) {
        let fields = self.templates.get(&id).unwrap_or_else(|| panic!("no template {id}")).clone();
        while !set.is_empty() {
            let mut record = BTreeMap::new();
            for (number, enterprise, len) in &fields {
                let mut len = usize::from(*len);
                if len == 65_535 {
                    (len, set) = match set[0] {
                        255 => (usize::from(word(set, 1)), &set[3..]),
                        short => (usize::from(short), &set[1..]),
                    };
                }
                let (value, next) = set.split_at(len);
                assert_eq!(record.insert((*enterprise, *number), value.to_vec()), None, "an element twice");
                set = next;
            }
            self.sequence += 1;
            match record.get(&(0, 341)) {
                Some(name) => {
                    let of = |number| &record[&(0, number)];
                    let name = String::from_utf8(name.clone()).unwrap();
                    self.types.insert((long(of(346), 0), word(of(303), 0)), (name, of(339)[0]));
                }
                None => self.records.push(record),
            }
        }
    }
}

fn entries(records: &[FlowRecord]) -> Vec<Entry> {
    let mut encoder = record::Encoder::new("north");
    records.iter().map(|record| encoder.entry(record)).collect()
}

fn full() -> FlowRecord {
    let mut record = FlowRecord::blank(7);
    (record.start_ns, record.end_ns) = (1_704_067_200_123_456_789, 1_704_067_260_000_000_001);
    record.vlan = 7 << 12 | 42;
    record.protocol = ProtocolId::Tls;
    record.confidence = Confidence::Handshake;
    record.first_payload_entropy = Some(7.25);
    record.src.bytes = u64::MAX;
    (record.dst.ip_bytes, record.dst.packets) = (5, 6);
    let list = ["h2", "a;b\\c"].map(|text| Value::from(text.to_owned()));
    record.found.fields = vec![
        (tls::ALPN_OFFERED, Value::List(Box::new(list.into()))),
        (tls::CERT_NOT_BEFORE, Value::Time(-1)),
        (tls::RESUMED, false.into()),
        (tls::CERT_SUBJECT, "ü".repeat(2000).into()),
        (daylight_protocols::web::quic::CLIENT_SCID, Value::bytes(&[0, 0xff, 0x10])),
        (common::HOSTNAME, "a\u{1b}\n.example".to_owned().into()),
    ];
    record.found.risks = vec![RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "x=y".into() }];
    record
}

#[test]
fn a_record_comes_out_as_it_went_in() {
    let mut collector = Collector::default();
    let entries = entries(&[full()]);
    Encoder::new(PEN_EXAMPLE, 3, 65_535).encode(&entries, 5).iter().for_each(|m| {
        assert_eq!((long(m, 4), long(m, 12)), (5, 3));
        collector.message(m);
    });
    let record = collector.records.pop().unwrap();
    let iana = |number| record[&(0, number)].clone();
    assert_eq!(iana(8), [10, 0, 0, 1]);
    assert_eq!(iana(11), 443u16.to_be_bytes());
    assert_eq!(iana(4), [6]);
    assert_eq!(iana(136), [4]);
    assert_eq!(iana(352), u64::MAX.to_be_bytes());
    assert_eq!(iana(152), 1_704_067_200_123u64.to_be_bytes());
    assert_eq!(record[&(29305, 1)], 5u64.to_be_bytes());
    assert_eq!(record[&(29305, 2)], 6u64.to_be_bytes());
    assert_eq!(iana(96), b"tls");
    assert_eq!(iana(300), b"north");
    let own = |name: &str| {
        let number = elements::entries().find(|(n, _)| *n == name).unwrap().1;
        let (described, ty) = &collector.types[&(PEN_EXAMPLE, number)];
        assert_eq!(described, name);
        (record[&(PEN_EXAMPLE, number)].clone(), *ty)
    };
    assert_eq!(record[&(PEN_EXAMPLE, 1)], entries[0].id.0);
    assert_eq!(own("vlan"), (b"7;42".to_vec(), 13));
    assert_eq!(own("tls.alpn_offered"), (b"h2;a\\;b\\\\c".to_vec(), 13));
    assert_eq!(own("tls.cert_not_before"), (ntp(-1).to_be_bytes().to_vec(), 17));
    assert_eq!(own("tls.resumed"), (vec![2], 11));
    assert_eq!(own("tls.cert_subject").0.len(), 1024, "cut between two characters");
    assert_eq!(own("quic.client_scid"), (vec![0, 0xff, 0x10], 0));
    assert_eq!(own("first_payload_entropy"), (7.25f64.to_be_bytes().to_vec(), 10));
    assert_eq!(own("risks"), (b"malformed-packet".to_vec(), 13));
    assert_eq!(own("hostname").0, b"a\x1b\n.example");
}

/// Every column that a record can have, of every protocol, has an element of its type.
#[test]
fn every_kind_of_value_is_written() {
    for column in columns() {
        let value: serde_json::Value = match (column.list, column.kind) {
            (true, _) => serde_json::json!(["x"]),
            (_, daylight_expr::Kind::Bool) => true.into(),
            (_, daylight_expr::Kind::Uint) => 1.into(),
            (_, daylight_expr::Kind::Float) => 1.5.into(),
            (_, daylight_expr::Kind::Ip) => "192.0.2.1".into(),
            (_, daylight_expr::Kind::Time) => "2024-01-01T00:00:00.000000000Z".into(),
            (_, daylight_expr::Kind::Bytes) => "00ff".into(),
            _ => "x".into(),
        };
        let element = elements::element(column, &value).unwrap_or_else(|| panic!("{}", column.name));
        let mut bytes = Vec::new();
        elements::write(element, column, &value, &mut bytes).unwrap_or_else(|| panic!("{}", column.name));
        assert_eq!(
            bytes.len(),
            element.ty.len().map_or(bytes[0] as usize + 1, usize::from),
            "{}",
            column.name
        );
    }
}

#[test]
fn templates_come_once_and_again_when_asked_for() {
    let mut encoder = Encoder::new(PEN_EXAMPLE, 0, 1400);
    let records: Vec<_> = (0..100).map(FlowRecord::blank).collect();
    let first = encoder.encode(&entries(&records), 0);
    let second = encoder.encode(&entries(&records), 0);
    assert!(second.iter().map(Vec::len).sum::<usize>() < first.iter().map(Vec::len).sum());
    let again = encoder.templates(0);
    let mut collector = Collector { sequence: long(&again[0], 8), ..Collector::default() };
    again.iter().for_each(|message| collector.message(message));
    assert_eq!((collector.templates.len(), collector.records.len()), (2, 0));
    encoder.encode(&entries(&records), 0).iter().for_each(|message| collector.message(message));
    assert_eq!(collector.records.len(), 100, "who came late can read too");
    encoder.restart();
    let mut collector = Collector::default();
    encoder.encode(&entries(&records), 0).iter().for_each(|message| collector.message(message));
    assert_eq!(collector.records.len(), 100);
}

#[test]
fn more_shapes_than_templates() {
    let mut encoder = Encoder::new(PEN_EXAMPLE, 0, 1400);
    let mut collector = Collector::default();
    let fields: Vec<_> = ProtocolId::Tls
        .get()
        .fields
        .iter()
        .enumerate()
        .filter(|(_, field)| field.kind == daylight_protocols::Kind::Str && !field.list)
        .map(|(index, _)| daylight_protocols::FieldRef { protocol: ProtocolId::Tls, index: index as u8 })
        .take(10)
        .collect();
    for n in 0..1 << fields.len() {
        let mut record = FlowRecord::blank(n);
        let chosen = fields.iter().enumerate().filter(|(i, _)| n >> i & 1 == 1);
        record.found.fields = chosen.map(|(_, field)| (*field, "x".to_owned().into())).collect();
        encoder.encode(&entries(&[record]), 0).iter().for_each(|message| collector.message(message));
    }
    assert_eq!(collector.records.len(), 1 << fields.len());
    assert!(collector.templates.len() <= SHAPES_MAX + 10);
    assert!(encoder.reduced() > 400, "{}", encoder.reduced());
}

#[test]
fn a_record_that_does_not_fit_is_cut_to_what_everybody_reads() {
    let mut encoder = Encoder::new(PEN_EXAMPLE, 0, 512);
    let messages = encoder.encode(&entries(&[full(), FlowRecord::blank(1)]), 0);
    assert!(messages.iter().all(|message| message.len() <= 512));
    let mut collector = Collector::default();
    messages.iter().for_each(|message| collector.message(message));
    assert_eq!(collector.records.len(), 2);
    assert_eq!(collector.records[0][&(29305, 2)], 6u64.to_be_bytes());
    assert!(encoder.reduced() >= 1);
}

proptest! {
    #[test]
    fn nanoseconds_survive(ns in -2_000_000_000_000_000_000i64..2_000_000_000_000_000_000) {
        let time = ntp(ns);
        let nanoseconds = (u128::from(time & 0xffff_ffff) * 1_000_000_000) >> 32;
        let seconds = (time >> 32) as i64 - 2_208_988_800;
        prop_assert_eq!(seconds * 1_000_000_000 + nanoseconds as i64, ns);
    }

    /// Any records in messages of any length: all of them come out, in order, with what they had.
    #[test]
    fn what_is_written_is_read(
        bytes_max in 512usize..3000,
        records in prop::collection::vec((any::<u32>(), ".{0,200}", prop::option::of("[a-z.]{0,300}"), any::<bool>()), 1..40),
    ) {
        let records: Vec<FlowRecord> = records
            .into_iter()
            .enumerate()
            .map(|(n, (packets, subject, name, v6))| {
                let mut record = FlowRecord::blank(n as u64);
                record.src.packets = packets.into();
                record.found.fields.push((tls::CERT_SUBJECT, subject.into()));
                record.found.fields.extend(name.map(|name| (common::HOSTNAME, name.into())));
                if v6 {
                    record.ends.dst_ip = "2001:db8::1".parse().unwrap();
                }
                record
            })
            .collect();
        let mut encoder = Encoder::new(PEN_EXAMPLE, 0, bytes_max);
        let mut collector = Collector::default();
        for part in entries(&records).chunks(7) {
            for message in encoder.encode(part, 0) {
                prop_assert!(message.len() <= bytes_max);
                collector.message(&message);
            }
        }
        prop_assert_eq!(collector.records.len(), records.len());
        let hostname = elements::entries().find(|(name, _)| *name == "hostname").unwrap().1;
        for (read, record) in collector.records.iter().zip(&records) {
            prop_assert_eq!(&read[&(0, 2)], &record.src.packets.to_be_bytes().to_vec());
            prop_assert_eq!(read.contains_key(&(0, 28)), record.ends.dst_ip.is_ipv6());
            if let Some(name) = read.get(&(PEN_EXAMPLE, hostname)) {
                prop_assert_eq!(name, record.text(common::HOSTNAME).unwrap().as_bytes());
            } else {
                prop_assert!(encoder.reduced() > 0 || record.text(common::HOSTNAME).is_none());
            }
        }
        prop_assert!(column("hostname").is_some());
    }
}
