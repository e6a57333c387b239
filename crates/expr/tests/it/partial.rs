//! Rows that are filled in bit by bit, and what is told without a row.

use std::sync::Arc;

use daylight_expr::{Answers, Knowledge, Partial, Program, Programs, Schema, compile};
use proptest::prelude::*;

use crate::world::{Flow, Value, World, dns, ip, lists, tls};

fn program(text: &str) -> Program {
    compile(text, &World, &lists()).unwrap_or_else(|error| panic!("{}", error.report()))
}

fn id(name: &str) -> u32 {
    World.field(name).unwrap().id
}

/// Decides with some fields not known.
fn without(text: &str, flow: &Flow, unknown: &[&str]) -> Option<bool> {
    let unknown: Vec<u32> = unknown.iter().map(|name| id(name)).collect();
    let knowledge = |id: u32| if unknown.contains(&id) { Knowledge::Nothing } else { Knowledge::Final };
    program(text).decide(&Partial(flow, knowledge))
}

#[test]
fn what_is_known_short_circuits() {
    for (text, expected) in [
        (r#"dst_port == 443 and hostname == "x""#, None),
        (r#"dst_port == 80 and hostname == "x""#, Some(false)),
        (r#"hostname == "x" and dst_port == 80"#, Some(false)),
        (r#"hostname == "x" or dst_port == 443"#, Some(true)),
        (r#"hostname == "x" or dst_port == 80"#, None),
        (r#"not (hostname == "x" and dst_port == 80)"#, Some(true)),
        (r#"(hostname and dst_port == 443) or dst_port == 443"#, Some(true)),
        (r#"hostname xor dst_port == 443"#, None),
        (r#"dst_port == 80 and (hostname xor src_port == 1)"#, Some(false)),
        (r#"(hostname xor src_port == 1) and (dst_port == 80 xor src_port == 1)"#, Some(false)),
        (r#"hostname"#, None),
        (r#"lower(hostname) == "x""#, None),
        (r#"lower(hostname) contains "x" and dst_port == 80"#, Some(false)),
    ] {
        assert_eq!(without(text, &tls(), &["hostname"]), expected, "{text}");
    }
}

#[test]
fn what_only_grows_is_settled_as_soon_as_it_can_be() {
    let flow = tls();
    let rising = |text: &str| {
        let (bytes, risks) = ([id("src_bytes"), id("dst_bytes"), id("duration_s")], id("risks"));
        let knowledge = move |id: u32| match id {
            id if bytes.contains(&id) => Knowledge::Rising,
            id if id == risks => Knowledge::Adding,
            _ => Knowledge::Final,
        };
        program(text).decide(&Partial(&flow, knowledge))
    };
    for (text, expected) in [
        ("src_bytes > 1000", Some(true)),
        ("src_bytes > 1500", None),
        ("src_bytes >= 1500", Some(true)),
        ("src_bytes < 1000", Some(false)),
        ("src_bytes < 2000", None),
        ("src_bytes == 1000", Some(false)),
        ("src_bytes == 1500", None),
        ("src_bytes != 1000", Some(true)),
        ("src_bytes in {1000..2000}", None),
        ("src_bytes in {1..2, 5..10}", Some(false)),
        ("src_bytes", Some(true)),
        ("duration_s > 2", Some(true)),
        ("duration_s < 2", Some(false)),
        ("duration_s > 3", None),
        ("src_bytes + dst_bytes > 31000", Some(true)),
        ("src_bytes + dst_bytes > 32000", None),
        ("src_bytes > dst_bytes", None),
        ("src_bytes - dst_bytes > 0", None),
        (r#"risks == "obsolete-tls""#, Some(true)),
        (r#"risks == "weak-cipher""#, None),
        (r#"risks != "obsolete-tls""#, Some(false)),
        (r#"risks != "weak-cipher""#, None),
        ("count(risks) == 2", None),
        ("risks", Some(true)),
    ] {
        assert_eq!(rising(text), expected, "{text}");
    }
}

#[test]
fn explanations_name_what_decided() {
    let program = program(r#"dst_port == 443 and hostname in $blocked and src_bytes > 9"#);
    let why = program.explain(&tls());
    assert_eq!(why.outcome, Some(true));
    let texts: Vec<_> = why.asked.iter().map(|asked| asked.text.as_str()).collect();
    assert_eq!(texts, ["dst_port == 443", "hostname in $blocked", "src_bytes > 9"]);
    assert_eq!(why.asked[1].entry.as_deref(), Some("example.com"));
    assert_eq!(why.asked[1].fields, [id("hostname")]);
    let why = program.explain(&dns());
    assert_eq!((why.outcome, why.asked.len()), (Some(false), 1));
}

#[test]
fn implications_are_proven() {
    for (text, other, proven) in [
        (r#"protocol == "tls""#, r#"protocol == "tls""#, true),
        (r#"protocol == "tls" and dst_port == 443"#, r#"protocol == "tls""#, true),
        (r#"protocol == "tls""#, r#"protocol == "tls" and dst_port == 443"#, false),
        (r#"protocol == "tls""#, r#"protocol in {"tls", "quic"}"#, true),
        (r#"protocol in {"tls", "quic"}"#, r#"protocol in $names"#, true),
        (r#"protocol in $names"#, r#"protocol in {"tls", "quic"}"#, true),
        ("dst_port == 443", "dst_port in {80, 400..500}", true),
        ("dst_port > 100", "dst_port >= 101", true),
        ("dst_port > 100", "not dst_port <= 100", true),
        ("not dst_port <= 100", "dst_port > 100", false),
        ("src_ip == 10.1.0.0/16", "src_ip == 10.0.0.0/8", true),
        ("src_ip == 10.1.0.0/16", "src_ip in $office", true),
        ("src_ip in $office", "src_ip == 10.0.0.0/8", false),
        ("dst_port in {80, 443}", "dst_port in $web-ports", true),
        (r#"hostname == "www.example.com""#, "hostname in $blocked", true),
        (r#"hostname == "www.example.com""#, r#"hostname contains "example""#, true),
        (r#"hostname == "www.example.com""#, r#"hostname matches "^www""#, true),
        (r#"hostname contains "example.com""#, r#"hostname contains "example""#, true),
        (r#"hostname contains "example""#, r#"hostname contains "example.com""#, false),
        ("hostname in $blocked", "hostname", true),
        ("hostname != \"a\"", "hostname", true),
        ("not hostname == \"a\"", "hostname", false),
        ("duration_s > 2", "duration_s > 1.5", true),
        (r#"risks == "a""#, r#"risks in {"a", "b"}"#, true),
        (r#"risks in {"a", "b"}"#, r#"risks == "a""#, false),
        (r#"dst_port == 1 and not hostname"#, "not hostname", true),
        ("dst_port == 1 xor hostname", "dst_port == 1 or hostname", true),
        ("dst_port == 1 or hostname", "dst_port == 1 xor hostname", false),
        ("lower(hostname) contains \"x\" and dst_port == 1", "lower(hostname) contains \"x\"", true),
    ] {
        assert_eq!(program(text).implies(&program(other)), proven, "{text} -> {other}");
    }
    let several = [program("dst_port < 100"), program("dst_port == 5"), program("dst_port >= 400")];
    let others: Vec<&Program> = several.iter().collect();
    assert_eq!(program("dst_port == 80 or dst_port == 443").implies_any(&others), Some(vec![0, 2]));
    assert_eq!(program("dst_port in {80, 443}").implies_any(&others), Some(vec![0, 2]));
    assert_eq!(program("dst_port in {80, 243}").implies_any(&others), None);
    assert_eq!(program("dst_port == 80 or dst_port == 243").implies_any(&others), None);
}

#[test]
fn contradictions_are_proven() {
    for (text, impossible) in [
        ("dst_port == 80 and dst_port == 443", true),
        ("dst_port == 80 and dst_port != 443", false),
        ("dst_port > 80 and dst_port < 81", true),
        (r#"protocol == "tls" and protocol == "http""#, true),
        (r#"protocol == "tls" and not protocol"#, true),
        (r#"protocol == "tls" and not protocol == "tls""#, true),
        ("src_ip == 10.0.0.0/8 and src_ip == 2001:db8::/32", true),
        (r#"hostname in $blocked and hostname == "other.test""#, true),
        ("hostname in $blocked and not hostname in $blocked", true),
        (r#"risks == "a" and risks == "b""#, false),
        (r#"risks == "a" and not risks"#, true),
        ("dst_port == 80 or dst_port == 443", false),
        ("duration_s > 2 and duration_s <= 2", true),
    ] {
        assert_eq!(program(text).is_impossible(), impossible, "{text}");
    }
    assert!(program("dst_port == 80 or not dst_port == 80").is_always());
    assert!(!program("dst_port == 80 or dst_port != 80").is_always());
}

/// Pieces that go together to an expression of fields with values that the rows below have.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "dst_port == 443",
        "dst_port in {80, 400..500}",
        "dst_port != 80",
        "dst_port > 100",
        "src_bytes > 1000",
        "src_bytes <= 1000",
        "src_bytes in {5..1000, 2000..3000}",
        "src_bytes + dst_bytes > 1500",
        "protocol == \"tls\"",
        "protocol in $names",
        "protocol",
        "hostname in $blocked",
        "hostname contains \"example\"",
        "hostname matches \"^www\"",
        "lower(hostname) == \"www.example.com\"",
        "len(hostname) > 8",
        "hostname == \"www.example.com\"",
        "not hostname",
        "risks == \"a\"",
        "risks != \"a\"",
        "all risks in {\"a\", \"b\"}",
        "count(risks) == 1",
        "src_ip in $office",
        "src_ip == 10.1.0.0/16",
        "src_ip != 10.1.0.0/16",
        "src_ip in {10.0.0.0/8, 192.0.2.1}",
        "dst_port not in {80, 9000}",
        "all dst_port < 450",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        (
            prop::sample::select(vec![" and ", " or ", " xor "]),
            prop::collection::vec(inner, 2..4),
            any::<bool>(),
        )
            .prop_map(|(op, terms, not)| format!("{}({})", if not { "not " } else { "" }, terms.join(op)))
    })
}

fn flow() -> impl Strategy<Value = Flow> {
    let port = prop::sample::select(vec![0_u64, 80, 443, 450, 9000]);
    let bytes = || prop::sample::select(vec![0_u64, 7, 999, 1000, 1001, 2500, 9999]);
    let protocol = prop::sample::select(vec!["tls", "quic", "dns"]);
    let host = prop::sample::select(vec!["www.example.com", "WWW.EXAMPLE.COM", "other.test", "example"]);
    let risks = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3);
    let address = prop::sample::select(vec!["10.1.2.3", "10.9.9.9", "192.0.2.1", "2001:db8::1"]);
    (
        prop::option::of(port),
        prop::option::of(bytes()),
        prop::option::of(bytes()),
        prop::option::of(protocol),
        prop::option::of(host),
        risks,
        prop::option::of(address),
    )
        .prop_map(|(port, src, dst, protocol, host, risks, address)| {
            let mut flow = Flow::default();
            for (name, value) in [
                ("dst_port", port.map(Value::Uint)),
                ("src_bytes", src.map(Value::Uint)),
                ("dst_bytes", dst.map(Value::Uint)),
                ("protocol", protocol.map(Value::Str)),
                ("hostname", host.map(Value::Str)),
                ("src_ip", address.map(ip)),
            ] {
                if let Some(value) = value {
                    flow = flow.with(name, value);
                }
            }
            risks.into_iter().fold(flow, |flow, risk| flow.with("risks", Value::Str(risk)))
        })
}

const FIELDS: [&str; 7] = ["dst_port", "src_bytes", "dst_bytes", "protocol", "hostname", "risks", "src_ip"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn decisions_agree_with_the_end_and_stay(text in expression(), flow in flow(), order in Just(FIELDS.to_vec()).prop_shuffle()) {
        let program = program(&text);
        let end = program.matches(&flow);
        prop_assert_eq!(program.decide(&flow), Some(end));
        let mut before = None;
        for known in 0..=order.len() {
            let ids: Vec<u32> = order[..known].iter().map(|name| id(name)).collect();
            let knowledge = |id: u32| if ids.contains(&id) { Knowledge::Final } else { Knowledge::Nothing };
            let row = Partial(&flow, knowledge);
            let now = program.decide(&row);
            prop_assert!(now.is_none_or(|now| now == end), "{} is {:?} with {:?}", text, now, &order[..known]);
            prop_assert!(before.is_none() || before == now, "{} was {:?} and is {:?}", text, before, now);
            prop_assert_eq!(program.explain(&row).outcome, now);
            before = now;
        }
        prop_assert_eq!(before, Some(end));
    }

    #[test]
    fn what_grows_never_changes_a_decision(text in expression(), early in flow(), more in (0..5000_u64, 0..5000_u64), risk in any::<bool>()) {
        let rising = [id("src_bytes"), id("dst_bytes")];
        let risks = id("risks");
        let knowledge = |id: u32| match id {
            id if rising.contains(&id) => Knowledge::Rising,
            id if id == risks => Knowledge::Adding,
            _ => Knowledge::Final,
        };
        let program = program(&text);
        let now = program.decide(&Partial(&early, knowledge));
        let late = early.clone().plus("src_bytes", more.0).plus("dst_bytes", more.1);
        let late = if risk { late.with("risks", Value::Str("c")) } else { late };
        let end = program.matches(&late);
        prop_assert!(now.is_none_or(|now| now == end), "{} was {:?} and is {}", text, now, end);
    }

    #[test]
    fn what_is_proven_holds(first in expression(), second in expression(), third in expression(), flows in prop::collection::vec(flow(), 12)) {
        let (first, second, third) = (program(&first), program(&second), program(&third));
        let (impossible, always) = (first.is_impossible(), first.is_always());
        let implied = first.implies(&second);
        let covered = first.implies_any(&[&second, &third]).is_some();
        for flow in &flows {
            let (a, b, c) = (first.matches(flow), second.matches(flow), third.matches(flow));
            prop_assert!(!(a && impossible), "{} is possible", first.source());
            prop_assert!(a || !always, "{} is not always so", first.source());
            prop_assert!(!a || b || !implied, "{} -> {}", first.source(), second.source());
            prop_assert!(!a || b || c || !covered, "{} -> {} or {}", first.source(), second.source(), third.source());
        }
    }

    #[test]
    fn together_programs_say_what_each_says_alone(
        texts in prop::collection::vec(expression(), 1..8),
        rows in prop::collection::vec((flow(), prop::collection::vec(0..4_usize, FIELDS.len())), 1..4),
    ) {
        const ALL: [Knowledge; 4] = [Knowledge::Nothing, Knowledge::Adding, Knowledge::Rising, Knowledge::Final];
        let programs: Vec<Arc<Program>> = texts.iter().map(|text| Arc::new(program(text))).collect();
        let together = Programs::new(programs.iter().cloned());
        let mut answers = Answers::default();
        for (flow, known) in &rows {
            let knowledge = |field: u32| {
                let at = FIELDS.iter().position(|name| id(name) == field);
                at.map_or(Knowledge::Final, |at| ALL[known[at]])
            };
            let row = Partial(flow, knowledge);
            together.begin(&mut answers);
            for (program, at) in programs.iter().zip(0..) {
                let now = together.decide(at, &row, &mut answers);
                prop_assert_eq!(now, program.decide(&row), "{} with {:?}", program.source(), known);
            }
        }
        prop_assert_eq!(together.decide(99, &Flow::default(), &mut answers), Some(false));
    }
}
