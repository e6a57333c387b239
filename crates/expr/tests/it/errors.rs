//! Every error and warning as its reader sees it.

use daylight_expr::{DEPTH_MAX, Error, ErrorKind, INPUT_LEN_MAX, compile};

use crate::world::{World, lists};

fn error(text: &str) -> Error {
    match compile(text, &World, &lists()) {
        Ok(program) => panic!("{text} compiles\n{program}"),
        Err(error) => error,
    }
}

/// The reports of all of them, one after the other.
fn reports(texts: &[&str]) -> String {
    texts.iter().map(|text| error(text).report() + "\n\n").collect()
}

#[test]
fn syntax() {
    insta::assert_snapshot!(reports(&[
        "",
        "   ",
        "src_port = 443",
        "src_port == ",
        "== 443",
        "src_port == 1 dst_port == 2",
        "src_port == 1 AND dst_port == 2",
        "hostname like \"x\"",
        "protocol is \"tls\"",
        "src_port | dst_port",
        "src_port ^ dst_port",
        "protocol == 'tls'",
        "protocol == “tls”",
        "protocol == \"tls",
        "protocol == \"a\\.b\"",
        "(src_port == 1",
        "src_port == 1)",
        "(src_port == 1}",
        "src_port in 1",
        "src_port in {}",
        "src_port in {1 2}",
        "src_port in {1, 2",
        "src_port == 1..2",
        "src_port not contains 1",
        "protocol contains \"a\" contains \"b\"",
        "src_port == 1 in {2}",
        "src_port == not dst_port",
        "any src_port",
        "any all src_port == 1",
        "protocol[",
        "protocol[]",
        "protocol[a:b]",
        "protocol[0:0]",
        "protocol[5-2] == \"x\"",
        "lower(protocol == \"x\")",
        "lower(protocol",
        "ip.addr#2 == 1.2.3.4",
        "@protocol == \"x\"",
        "src_ip in $",
        "protocol == \"tls\"; dst_port",
        "protocol == `tls`",
        "é == 1",
        "protocol == \"tls\" and\n  dst_port = 443 and\n  src_port == 1",
    ]));
}

#[test]
fn names() {
    insta::assert_snapshot!(reports(&[
        "protocl == \"tls\"",
        "ip.src == 10.0.0.1",
        "tls.server_name == \"x\"",
        "sni contains \"x\"",
        "not tls.versoin",
        "temperature > 20",
        "protocol == \"x\" and lower(hostnam) == \"x\"",
        "len(protocl) > src_prt",
        "lowercase(protocol) == \"x\"",
        "lenght(protocol) == 3",
        "frobnicate(protocol) == 3",
        "hostname in $bloked",
        "hostname in $zzz",
    ]));
}

#[test]
fn kinds() {
    insta::assert_snapshot!(reports(&[
        "src_ip == \"foo\"",
        "src_ip == \"10.0.0.1\"",
        "src_ip == foo",
        "src_ip == 443",
        "src_ip == dst_port",
        "src_ip > 10.0.0.0/8",
        "src_ip contains \"10.\"",
        "src_ip[0:2] == 10:00",
        "protocol == tls",
        "protocol == 443",
        "protocol == hostnam",
        "protocol == 10.0.0.1",
        "protocol matches 10",
        "dst_port == \"443\"",
        "dst_port == \"https\"",
        "dst_port == 443-1",
        "dst_port contains \"4\"",
        "dst_port matches \"4\"",
        "dst_port == true",
        "dst_port == 1.5",
        "tls.resumed == \"true\"",
        "tls.resumed == yes",
        "tls.resumed > false",
        "start > 1714564800",
        "start > \"yesterday\"",
        "start > \"2024-02-30\"",
        "payload == \"\\x16\" and payload == hello",
        "hostname == \"\\xff\"",
        "hostname == payload",
        "hostname in {1, 2}",
        "hostname in $office",
        "src_ip in $blocked",
        "src_ip == $office",
        "$office",
        "dst_port in {src_port}",
        "protocol + 1 == 2",
        "payload + 1 == 2",
        "start * 2 > 1",
        "start + end > 1",
        "duration_s & 1",
        "start - 5",
        "-protocol == 1",
        "lower(dst_port) == \"x\"",
        "len(dst_port) == 1",
        "string(protocol) == \"x\"",
        "count(lower(protocol)) == 1",
        "abs(protocol) == 1",
        "max(protocol) == 1",
        "lower() == \"x\"",
        "lower(protocol, hostname) == \"x\"",
        "len(protocol)",
        "(protocol == \"x\") == true",
        "{protocol and hostname} > 1",
    ]));
}

#[test]
fn ranges_constants_patterns() {
    insta::assert_snapshot!(reports(&[
        "dst_port > -1",
        "dst_port == 18446744073709551616",
        "dst_port == 99999999999999999999999999999999999999999999",
        "dst_port == 08",
        "dst_port == 0xfg",
        "dst_port in {20..10}",
        "src_ip in {10.0.0.9..10.0.0.1}",
        "src_ip in {10.0.0.1..::1}",
        "src_ip == 10.0.0.0/33",
        "src_ip == ::/129",
        "src_bytes / 0 > 1",
        "src_bytes > 1 / 0",
        "1 == 2",
        "1",
        "\"tls\"",
        "true",
        "1 + 2",
        "\"tls\" contains \"t\"",
        "max(1, 2) == 2",
        "443 in {443}",
        "hostname matches \"(a\"",
        "hostname matches \"a(?=b)\"",
        "hostname matches \"(a{1000}){1000}\"",
        "hostname matches \"\\xff\"",
        "dns.ttls + dns.ttls == dns.ttls",
        "dns.ttls + dns.ttls + dns.ttls == 3",
    ]));
}

#[test]
fn warnings() {
    let texts = [
        "dst_port < 0",
        "dst_port >= 0",
        "dst_port > 18446744073709551615",
        "dst_port == 010",
        "count(risks) == 0",
        "tls.resumed",
        "lower(hostname) == \"Example.com\"",
        "lower(hostname) contains \"Example\"",
        "upper(hostname) != \"Example.com\"",
        "hostname[0:3] == \"www.\"",
        "payload[0,1] == 16:03:01",
        "hostname contains \"\"",
        "protocol == \"tls\" and dst_port == 443 and protocol == \"http\"",
        "dst_port == 80 and dst_port > 1000",
        "src_ip == 10.0.0.0/8 and src_ip == 192.168.0.0/16",
        "dst_port != 80 or dst_port != 443",
    ];
    let mut out = String::new();
    for text in texts {
        let program = compile(text, &World, &lists()).unwrap();
        assert!(!program.warnings().is_empty(), "{text}");
        for warning in program.warnings() {
            out += &(warning.report(program.source()) + "\n\n");
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn nothing_to_warn_of() {
    for text in [
        "dst_port == 0",
        "dst_port > 0",
        "risks == \"a\" and risks == \"b\"",
        "dst_port == 80 or dst_port == 443",
        "dst_port != 80 and dst_port != 443",
        "dst_port > 80 and dst_port < 443",
        "protocol == \"a\" and hostname == \"b\"",
        "hostname[0:4] == \"www.\"",
        "hostname[-4:] == \".com\"",
        "lower(hostname) == \"example.com\"",
        "src_bytes - dst_bytes < 0",
    ] {
        assert_eq!(compile(text, &World, &lists()).unwrap().warnings(), [], "{text}");
    }
}

#[test]
fn limits() {
    let deep = |open: &str, close: &str, n: usize| format!("{}protocol{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("(", ")"), ("not ", ""), ("!", "")] {
        assert!(compile(&deep(open, close, DEPTH_MAX - 1), &World, &lists()).is_ok());
        for n in [DEPTH_MAX, 20_000] {
            let text = deep(open, close, n.min(INPUT_LEN_MAX / 6));
            assert!(matches!(error(&text).kind(), ErrorKind::Limit(_)), "{open} {n}");
        }
    }
    for text in [
        format!("src_port{} == 1", " + 1".repeat(10_000)),
        format!("{}src_port == 1", "-".repeat(10_000)),
        format!("protocol{} == \"x\"", "[0:]".repeat(10_000)),
        format!("{}protocol{} == \"x\"", "lower(".repeat(5_000), ")".repeat(5_000)),
        vec!["hostname matches \"x\""; 65].join(" or "),
        format!("protocol == \"{}\"", "x".repeat(INPUT_LEN_MAX)),
    ] {
        let error = error(&text);
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
        assert!(error.report().len() < 1000, "{}", error.report());
    }
}

#[test]
fn a_report_shows_a_part_of_a_long_line_and_hides_control_characters() {
    let text = format!(
        "{} and protocl == \"x\" and {}",
        vec!["src_port == 1"; 50].join(" and "),
        "hostname".repeat(50)
    );
    insta::assert_snapshot!(error(&text).report());
    let report = error("protocol ==\t\"\u{1b}[31m\" and hostname == \u{1b}").report();
    assert!(!report.contains('\u{1b}'), "{report}");
    assert!(error("src_ip == \"\u{202e}x\"").report().chars().all(|c| c != '\u{202e}'));
}

#[test]
fn an_error_can_be_handled_by_program() {
    let error = error("protocl == \"tls\"");
    assert_eq!(
        *error.kind(),
        ErrorKind::UnknownField { name: "protocl".into(), nearest: Some("protocol".into()) }
    );
    assert_eq!((error.span().start, error.span().end), (0, 7));
    assert_eq!(error.to_string(), "there is no field `protocl`");
    assert!(self::error("protocol == tls").advice().is_some_and(|advice| advice.contains("\"tls\"")));
}
