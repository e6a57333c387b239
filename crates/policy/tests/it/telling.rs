//! What the public log is told of what rules stopped: a host or an entry of a list, never a client.

use std::net::IpAddr;

use daylight_expr::{Kind, Schema};
use daylight_inspect::{ColumnId, FlowRecord, RecordSchema, column};
use daylight_policy::Policy;
use daylight_protocols::{ProtocolId, Value};

use crate::world::{HEAD, drop, list, listing, policy, record};

/// A flow over UDP from 10.0.0.1, port 40000, to 203.0.113.5, port 443, in which fields have these texts.
fn flow(fields: &[(&str, &str)]) -> FlowRecord {
    let mut flow = record();
    flow.ends.ip_protocol = 17;
    for (name, text) in fields {
        set(&mut flow, name, text);
    }
    flow
}

fn set(flow: &mut FlowRecord, name: &str, text: &str) {
    let field = column(name).unwrap();
    let address = || text.parse::<IpAddr>().unwrap();
    match field.id {
        ColumnId::Field(id) => {
            let value = if field.kind == Kind::Ip { address().into() } else { Value::text(text.as_bytes()) };
            let value = if field.list { Value::List(Box::new(vec![value])) } else { value };
            flow.found.fields.push((id, value));
        }
        _ if name == "src_ip" => flow.ends.src_ip = address(),
        _ if name == "dst_ip" => flow.ends.dst_ip = address(),
        _ if name == "resolved_name" => flow.resolved_name = Some(text.into()),
        _ => {}
    }
}

/// What is told of a flow that the first rule stopped, as in the log; a list's digest is left out.
fn told(policy: &Policy, flow: &FlowRecord, asked: Option<&str>) -> String {
    let target = serde_json::to_string(&policy.target(&policy.rules()[0], flow, asked)).unwrap();
    policy
        .lists()
        .iter()
        .fold(target, |text, list| text.replace(&format!(",\"digest\":\"{}\"", list.digest()), ""))
}

fn line(list: &str, line: u32) -> String {
    format!("{{\"list-line\":{{\"list\":\"{list}\",\"line\":{line}}}}}")
}

const RULE: &str = "\"rule\"";
const ADDRESSES: &str = "# bad ones\n203.0.113.0/24\n10.0.0.0/8\n203.0.113.5\n203.0.113.5\n";

#[test]
fn hosts_are_told_by_the_lists_entry_or_by_name() {
    let lists = [list("bad", "domains"), list("ok", "domains")].concat();
    let files = [("bad.txt", "evil.example\n*.wild.example\n"), ("ok.txt", "fine.evil.example\n")];
    let when = "hostname in $bad and not dns.query in $ok or hostname not in $ok";
    let policy = policy(&format!("{HEAD}{lists}{}", drop("r", when)), &files);
    for (name, expected) in [
        ("www.Evil.example.", r#"{"list-name":{"list":"bad","name":"evil.example"}}"#),
        ("a.wild.example", r#"{"list-name":{"list":"bad","name":"*.wild.example"}}"#),
        ("other.example", r#"{"host":"other.example"}"#),
        ("10.0.0.1", RULE),
        ("1.0.0.10.in-addr.arpa", RULE),
    ] {
        assert_eq!(told(&policy, &flow(&[("hostname", name)]), None), expected);
        assert_eq!(
            told(&policy, &flow(&[("hostname", "front.example")]), Some(name)),
            expected,
            "as it was asked"
        );
    }
    assert_eq!(told(&policy, &flow(&[]), None), RULE);
}

#[test]
fn a_guessed_name_is_told_only_by_a_rule_that_asks_for_it() {
    let guessed = flow(&[("resolved_name", "maybe.example")]);
    for (when, expected) in
        [("dst_port == 443", RULE), ("resolved_name == \"maybe.example\"", r#"{"host":"maybe.example"}"#)]
    {
        assert_eq!(told(&policy(&format!("{HEAD}{}", drop("r", when)), &[]), &guessed, None), expected);
    }
}

#[test]
fn entries_that_are_no_names_are_told_by_their_lines() {
    let ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
    let print = "ab".repeat(32);
    let colons = vec!["AB"; 32].join(":");
    for (kind, text, when, found, expected) in [
        ("prefixes", ADDRESSES, "dst_ip in $l", flow(&[]), line("l", 4)),
        ("prefixes", ADDRESSES, "dst_ip in $l", flow(&[("dst_ip", "203.0.113.6")]), line("l", 2)),
        ("prefixes", ADDRESSES, "dst_ip in {$l, 192.0.2.1}", flow(&[]), line("l", 4)),
        ("prefixes", "2001:db8::/32\n", "dst_ip in $l", flow(&[("dst_ip", "2001:db8::5")]), line("l", 1)),
        ("ja4", &format!("\n{ja4}\n"), "ja4 in $l", flow(&[("ja4", ja4)]), line("l", 2)),
        ("sha256", &colons, "tls.cert_sha256 in $l", flow(&[("tls.cert_sha256", &print)]), line("l", 1)),
        ("text", "h3\nh2\n", "not alpn not in $l", flow(&[("alpn", "h2")]), line("l", 2)),
        // It is the reason, whatever was asked for; and its line says less of anybody than a name.
        ("prefixes", ADDRESSES, "dst_ip in $l", flow(&[("hostname", "a.example")]), line("l", 4)),
    ] {
        let policy = policy(&listing(kind, when), &[("l.txt", text)]);
        assert_eq!(told(&policy, &found, None), expected, "{when}");
    }
}

#[test]
fn what_an_entry_is_not_the_reason_for_is_not_told_by_it() {
    for when in ["dst_ip not in $l", "not dst_ip in $l", "dst_ip in $l xor dst_port == 1"] {
        let policy = policy(&listing("prefixes", when), &[("l.txt", ADDRESSES)]);
        assert_eq!(told(&policy, &flow(&[]), None), RULE, "{when}");
    }
}

/// Every field of addresses or texts, in a list that has its value: all but those of the server or of a kind of program
/// are kept from the log.
#[test]
fn no_field_of_a_client_can_be_told() {
    let mut telling = Vec::new();
    for name in Schema::names(&RecordSchema) {
        let field = RecordSchema.field(name).unwrap();
        let (kind, value) = match field.kind {
            Kind::Ip => ("prefixes", "198.51.100.77"),
            Kind::Str => ("text", "kevin"),
            _ => continue,
        };
        let when = format!("{name} in $l or any {name} in {{$l}} or not {name} not in $l");
        let policy = policy(&listing(kind, &when), &[("l.txt", value)]);
        let told = told(&policy, &flow(&[(name, value)]), None);
        assert!(!told.contains("198.51.100"), "{name}: {told}");
        if told.contains("list-line") {
            telling.push(name);
        }
    }
    telling.sort_unstable();
    // Others of those that may be told (`protocol`, `application` …) are no texts that a flow can be given here.
    let expected = [
        "alpn",
        "dst_ip",
        "ja3",
        "ja3s",
        "ja4",
        "ssh.hassh",
        "ssh.hassh_server",
        "tls.cert_sha1",
        "tls.cert_sha256",
    ];
    assert_eq!(telling, expected);
}

#[test]
fn a_client_on_the_list_is_not_told_even_beside_a_server_on_it() {
    let when = "src_ip in $l or dst_ip in $l";
    let policy = policy(&listing("prefixes", when), &[("l.txt", ADDRESSES)]);
    // The client is on line 3.
    assert_eq!(told(&policy, &flow(&[]), None), line("l", 4));
    assert_eq!(told(&policy, &flow(&[("dst_ip", "192.0.2.1")]), None), RULE);
}

#[test]
fn where_the_server_is_a_guess_nothing_of_it_is_told() {
    let print = "ab".repeat(32);
    for (kind, text, field) in [("prefixes", ADDRESSES, "dst_ip"), ("sha256", &print, "tls.cert_sha256")] {
        let policy = policy(&listing(kind, &format!("{field} in $l")), &[("l.txt", text)]);
        let mut flow = flow(&[("tls.cert_sha256", &print)]);
        assert!(told(&policy, &flow, None).contains("list-line"));
        for (protocol, ports) in
            [(17, [40000, 40001]), (17, [123, 123]), (17, [53, 40000]), (6, [40000, 443]), (1, [8, 0])]
        {
            flow.ends.ip_protocol = protocol;
            [flow.ends.src_port, flow.ends.dst_port] = ports;
            assert_eq!(told(&policy, &flow, None), RULE, "{field} {protocol} {ports:?}");
        }
    }
}

/// In some protocols the host name is what a computer calls itself, and often the name of its owner.
#[test]
fn what_a_client_calls_itself_is_not_told() {
    let policy = policy(&format!("{HEAD}{}", drop("r", "dst_port == 443")), &[]);
    let mut flow = flow(&[("hostname", "kevins-laptop")]);
    for protocol in ["dhcp", "dhcpv6", "llmnr", "mdns", "netbios-dgm", "netbios-ns"] {
        flow.protocol = ProtocolId::from_name(protocol).unwrap();
        assert_eq!(told(&policy, &flow, None), RULE, "{protocol}");
    }
    flow.protocol = ProtocolId::Tls;
    assert_eq!(told(&policy, &flow, None), r#"{"host":"kevins-laptop"}"#);
}
