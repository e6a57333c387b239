//! From names and addresses to applications, and to what indicator lists say of them.

use std::sync::Arc;

use daylight_inspect::catalog::Catalog;
use daylight_inspect::indicators::Indicators;
use daylight_inspect::{Config, FlowRecord};
use daylight_protocols::common;

use crate::flows::dns;
use crate::net::{ACK, CLIENT, Capture, End, SERVER};

const RESOLVER: End = ([10, 0, 0, 53], 53);

/// A client asks for a name, connects to the address it got, and so does another client that did not ask.
fn asked_and_connected(name: &str) -> Capture {
    let mut capture = Capture::new();
    let client = (CLIENT.0, 5353);
    capture.udp(client, RESOLVER, &dns(7, name, None));
    capture.udp(RESOLVER, client, &dns(7, name, Some(SERVER.0)));
    capture.open(CLIENT, SERVER);
    capture.open(([10, 0, 0, 2], 40000), SERVER);
    capture
}

fn with_list(text: &str) -> Config {
    let mut list = Indicators::default();
    let loaded = list.load(text, "list.txt");
    assert!(loaded.is_ok_and(|report| report.problems.is_empty()), "{text}");
    Config { indicators: Some(Arc::new(list)), ..Config::default() }
}

fn risks(record: &FlowRecord) -> Vec<(&str, &str)> {
    let malicious = record.risks().iter().filter(|r| r.risk.name.starts_with("malicious"));
    malicious.map(|r| (r.risk.name, &*r.evidence)).collect()
}

#[test]
fn names_come_before_addresses() {
    let catalog = Catalog::builtin()
        .with_file("[ours]\ncategory = \"business\"\nprefixes = [\"203.0.113.0/24\"]\n", "own.toml")
        .expect("good");
    let config = Config { catalog: Arc::new(catalog), ..Config::default() };
    let (records, _) = asked_and_connected("de.wikipedia.org").run_with(config);
    let named: Vec<_> = records.iter().map(|r| (r.application, r.category)).collect();
    // The query itself, the client that asked, and the one that did not.
    assert_eq!(named[0], (Some("wikipedia"), Some("reference")));
    assert_eq!(named[1], (Some("wikipedia"), Some("reference")));
    assert_eq!(named[2], (Some("ours"), Some("business")));
}

#[test]
fn indicators_are_found_in_names_and_what_they_resolve_to() {
    let (records, _) = asked_and_connected("www.evil.example").run_with(with_list("# names\nevil.example\n"));
    assert_eq!(
        risks(&records[0]),
        [("malicious-domain", "hostname=www.evil.example, evil.example listed in list.txt:2")]
    );
    assert_eq!(
        risks(&records[1]),
        [("malicious-domain", "resolved_name=www.evil.example, evil.example listed in list.txt:2")]
    );
    assert_eq!(risks(&records[2]), []);
}

#[test]
fn indicators_are_found_in_addresses_of_both_ends() {
    let (records, _) = asked_and_connected("a.example").run_with(with_list("203.0.113.5:443\n10.0.0.2\n"));
    assert_eq!(risks(&records[0]), []);
    let server = ("malicious-address", "dst_ip=203.0.113.5, 203.0.113.5:443 listed in list.txt:1");
    assert_eq!(risks(&records[1]), [server]);
    assert_eq!(risks(&records[2]), [server]);
    let (records, _) = asked_and_connected("a.example").run_with(with_list("203.0.113.5:444\n10.0.0.2\n"));
    assert_eq!(risks(&records[1]), []);
    assert_eq!(risks(&records[2]), [("malicious-address", "src_ip=10.0.0.2, listed in list.txt:2")]);
}

#[test]
fn indicators_are_found_in_fingerprints_and_only_the_wanted_fields_are_needed() {
    // A ClientHello of TLS 1.2 with two ciphers and nothing else.
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 4, 0x13, 0x01, 0x00, 0x2f, 1, 0]);
    let mut capture = Capture::new();
    capture.open(CLIENT, SERVER);
    capture.tcp(CLIENT, SERVER, 1001, 5001, ACK, &hello);
    let ja3 = capture.run()[0].text(common::JA3).expect("a JA3").to_owned();
    let mut config = with_list(&format!("{}\n", ja3.to_uppercase()));
    config.want_columns([]);
    let (records, _) = capture.run_with(config);
    let expected = format!("ja3={ja3}, listed in list.txt:1");
    assert_eq!(risks(&records[0]), [("malicious-fingerprint", expected.as_str())]);
}
