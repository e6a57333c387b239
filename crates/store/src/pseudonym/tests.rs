#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::net::IpAddr;

use daylight_expr::Kind;
use daylight_inspect::{ColumnId, FlowRecord, columns};
use daylight_protocols::{FieldRef, RiskFound, Value, risk};

use super::keys::Key;
use super::*;
use crate::tests::named;

fn key(seed: u8) -> Key {
    let mut secret = [seed; 32];
    secret[31] ^= 0xff;
    Key { id: format!("key{seed}"), since_s: 0, secret }
}

fn pseudonyms(seed: u8) -> Pseudonyms {
    Pseudonyms::new(&key(seed), Networks::default())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Every form of an address that was thought of, written down once more: not by the code that is tested.
fn forms(address: &str) -> Vec<String> {
    match address {
        "203.0.113.77" => [
            "203.0.113.77",
            "203-0-113-77",
            "203_0_113_77",
            "77.113.0.203",
            "77-113-0-203",
            "cb00714d",
            "CB00714D",
            "cb:00:71:4d",
            "cb-00-71-4d",
            "4d7100cb",
            "3405803853",
            "1299251403",
            "0xcb00714d",
            "0xcb.0x0.0x71.0x4d",
            "203.000.113.077",
            "203-000-113-077",
            "0313.0.0161.0115",
            "ywBxTQ",
            "%cb%00%71%4d",
            "203%2E0%2E113%2E77",
            "::ffff:203.0.113.77",
            "::ffff:cb00:714d",
            "77.113.0.203.in-addr.arpa",
            "203,0,113,77",
        ]
        .map(String::from)
        .to_vec(),
        "2001:db8:5::77" => [
            "2001:db8:5::77",
            "2001:DB8:5::77",
            "2001:0db8:0005:0000:0000:0000:0000:0077",
            "2001:db8:5:0:0:0:0:77",
            "20010db8000500000000000000000077",
            "2001-db8-5--77",
            "2001-db8-5-0-0-0-0-77",
            "2001%3adb8%3a5%3a%3a77",
            "7.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.0.0.0.8.b.d.0.1.0.0.2",
            "IAENuAAFAAAAAAAAAAAAdw",
            "20:01:0d:b8:00:05:00:00:00:00:00:00:00:00:00:77",
            "42540766411288637486002058097527357559",
        ]
        .map(String::from)
        .to_vec(),
        // Another client, in a private network: found where it is written as an address.
        other => vec![other.to_owned(), format!("http://{other}/"), format!("({other})")],
    }
}

/// A record that has something to tell of these addresses in every column that can hold it.
fn telling(src: &str, others: &[&str]) -> FlowRecord {
    let mut record = FlowRecord::blank(1);
    record.ends.src_ip = ip(src);
    record.ends.dst_ip = ip(others[0]);
    record.ends.capture = format!("from-{src}.pcap").into();
    record.tunnel = Some(format!("gre/{src}").into());
    record.resolved_name = Some(format!("{}.example", src.replace(['.', ':'], "-")).into());
    record.community_id =
        Some(daylight_flow::community_id_of(6, (ip(src), 40000), (ip(others[0]), 443)).into());
    let texts: Vec<String> = std::iter::once(&src).chain(others).flat_map(|ip| forms(ip)).collect();
    let said = texts.join(" | ");
    record.found.risks = vec![RiskFound { risk: &risk::MALFORMED_PACKET, evidence: said.clone().into() }];
    let addresses: Vec<IpAddr> = std::iter::once(&src).chain(others).map(|text| ip(text)).collect();
    for column in columns() {
        let ColumnId::Field(field) = column.id else { continue };
        let values: Vec<Value> = match column.kind {
            Kind::Str => texts.iter().map(|text| Value::Str(format!("x{text}y {text}").into())).collect(),
            Kind::Ip => addresses.iter().map(|ip| Value::Ip(*ip)).collect(),
            Kind::Bytes => {
                let raw = [&[1, 2][..], &octets(addresses[0]), &[3]].concat();
                let mut backwards = octets(addresses[0]);
                backwards.reverse();
                let raws = [raw, backwards].map(|raw| Value::bytes(&raw));
                raws.into_iter().chain(texts.iter().map(|text| Value::bytes(text.as_bytes()))).collect()
            }
            Kind::Uint => match addresses[0] {
                IpAddr::V4(ip) => {
                    [u32::from(ip), u32::from(ip).swap_bytes()].map(|n| Value::Uint(n.into())).to_vec()
                }
                IpAddr::V6(_) => continue,
            },
            _ => continue,
        };
        let value = if column.list { Value::List(Box::new(values)) } else { joined(values) };
        record.found.fields.push((field, value));
    }
    record
}

/// One value that says as much as several.
fn joined(values: Vec<Value>) -> Value {
    let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
    match texts {
        Some(texts) => Value::Str(texts.join(" ").into()),
        None => values.into_iter().next().unwrap(),
    }
}

/// All that a record says, as text; bytes as they are and in hexadecimal.
fn said(record: &FlowRecord) -> Vec<(&'static str, String)> {
    let mut said = Vec::new();
    for column in columns() {
        for value in record.values(column.id) {
            said.push((
                column.name,
                match value {
                    daylight_expr::ValueRef::Str(text) => text.to_owned(),
                    daylight_expr::ValueRef::Ip(ip) => ip.to_string(),
                    daylight_expr::ValueRef::Uint(number) => number.to_string(),
                    daylight_expr::ValueRef::Bytes(bytes) => {
                        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                        format!("{hex} {}", String::from_utf8_lossy(bytes))
                    }
                    _ => continue,
                },
            ));
        }
    }
    said.extend(record.risks().iter().map(|found| ("risks", found.evidence.to_string())));
    said
}

#[test]
fn no_address_of_a_client_is_left() {
    for src in ["203.0.113.77", "2001:db8:5::77"] {
        let others = ["192.168.7.9", "fd00:1::9"];
        let mut record = telling(src, &others);
        // It would be found if it were there.
        let needles: Vec<String> =
            std::iter::once(src).chain(others).flat_map(forms).map(|form| form.to_lowercase()).collect();
        let before = said(&record);
        for needle in &needles {
            assert!(before.iter().any(|(_, text)| text.to_lowercase().contains(needle)), "{needle}");
        }
        let community = record.community_id.clone();
        let uid = record.ends.uid;
        pseudonyms(1).apply(&mut record);
        for (column, text) in said(&record) {
            let text = text.to_lowercase();
            for needle in &needles {
                assert!(!text.contains(needle), "{needle} is in {column}: {text}");
            }
        }
        assert_ne!(record.community_id, community);
        assert_ne!(record.ends.uid, uid);
        // What can be computed from the record without the key is from the pseudonyms.
        let e = &record.ends;
        let public = daylight_flow::community_id_of(6, (e.src_ip, e.src_port), (e.dst_ip, e.dst_port));
        assert_eq!(record.community_id.as_deref(), Some(&*public));
    }
}

#[test]
fn what_is_no_client_s_stays() {
    let mut record = FlowRecord::blank(1);
    record.found.fields = vec![
        (daylight_protocols::common::HOSTNAME, "www.example.org".to_owned().into()),
        (daylight_protocols::common::USER_AGENT, "curl/8.5.0 1.2.3.4".to_owned().into()),
    ];
    let before = record.clone();
    pseudonyms(1).apply(&mut record);
    assert_eq!(record.found, before.found);
    assert_eq!(record.ends.dst_ip, before.ends.dst_ip);
    assert_ne!(record.ends.src_ip, before.ends.src_ip);
    // Who has no address yet keeps none.
    let mut nobody = FlowRecord::blank(1);
    nobody.ends.src_ip = ip("0.0.0.0");
    pseudonyms(1).apply(&mut nobody);
    assert_eq!(nobody.ends.src_ip, ip("0.0.0.0"));
}

#[test]
fn one_client_has_one_pseudonym_under_a_key_and_prefixes_are_kept() {
    let seen = |seed: u8, src: &str| {
        let mut record = FlowRecord::blank(1);
        record.ends.src_ip = ip(src);
        record.ends.dst_ip = ip("10.9.9.9");
        pseudonyms(seed).apply(&mut record);
        (record.ends.src_ip, record.ends.dst_ip, record.ends.uid)
    };
    assert_eq!(seen(1, "10.1.2.3"), seen(1, "10.1.2.3"));
    let (a, b) = (seen(1, "10.1.2.3"), seen(2, "10.1.2.3"));
    assert!(a.0 != b.0 && a.1 != b.1 && a.2 != b.2);
    let IpAddr::V4(first) = a.0 else { panic!() };
    for (other, shared) in [("10.1.2.2", 31), ("10.1.3.3", 23), ("10.2.2.3", 14), ("138.1.2.3", 0)] {
        let IpAddr::V4(second) = seen(1, other).0 else { panic!() };
        assert_eq!((u32::from(first) ^ u32::from(second)).leading_zeros(), shared, "{other}");
    }
    // A client that is written as IPv6 is the same client.
    assert_eq!(seen(1, "::ffff:10.1.2.3").0, a.0);
}

#[test]
fn hardware_is_told_apart_and_no_more() {
    let mac = named(&["dhcp.mac", "dhcp.client_id"]);
    let fields: Vec<FieldRef> = mac
        .iter()
        .map(|column| match column.id {
            ColumnId::Field(field) => field,
            ColumnId::Core(_) => panic!(),
        })
        .collect();
    let name = |mac: &str, id: &[u8]| {
        let mut record = FlowRecord::blank(1);
        record.found.fields = vec![(fields[0], mac.to_owned().into()), (fields[1], Value::bytes(id))];
        pseudonyms(1).apply(&mut record);
        record.found.fields.into_iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>()
    };
    let one = name("00:11:22:33:44:55", &[1, 0, 0x11, 0x22, 0x33, 0x44, 0x55]);
    assert_eq!(one, name("00:11:22:33:44:55", &[1, 0, 0x11, 0x22, 0x33, 0x44, 0x55]));
    assert_ne!(one, name("00:11:22:33:44:56", &[1, 0, 0x11, 0x22, 0x33, 0x44, 0x56]));
    assert!(one[0].starts_with("02:") && one[0].len() == 17 && !one[0].contains("22:33"), "{one:?}");
}

#[test]
fn the_fields_that_are_named_are_fields() {
    assert_eq!(CLIENT_FIELDS.len(), CLIENTS.len());
    assert_eq!(CLIENT_TEXT_FIELDS.len(), CLIENT_TEXTS.len());
    assert_eq!(HARDWARE_FIELDS.len(), HARDWARE.len());
    // A new field that by its name holds a hardware address is to be thought about.
    for column in columns().iter().filter(|c| c.name.ends_with(".mac") || c.name.contains("link_address")) {
        assert!(HARDWARE.contains(&column.name), "{}", column.name);
    }
}

#[test]
fn names_of_records() {
    let key = open_key();
    let record = FlowRecord::blank(1);
    let id = record_id(&key, "edge", &record);
    assert_eq!((id.len(), &id), (16, &record_id(&key, "edge", &record)));
    let mut ids = HashSet::from([id, record_id(&key, "core", &record)]);
    ids.insert(record_id(pseudonyms(1).hash_key(), "edge", &record));
    for change in [
        |r: &mut FlowRecord| r.end_ns += 1,
        |r: &mut FlowRecord| r.start_ns += 1,
        |r: &mut FlowRecord| r.src.packets += 1,
        |r: &mut FlowRecord| r.ends.capture = "other".into(),
        |r: &mut FlowRecord| r.ends.uid = FlowRecord::blank(2).ends.uid,
    ] {
        let mut other = record.clone();
        change(&mut other);
        ids.insert(record_id(&key, "edge", &other));
    }
    assert_eq!(ids.len(), 8);
}
