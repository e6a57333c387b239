//! What expressions mean: each against two rows, and whether each fits.

use daylight_expr::{Program, compile, parse};

use crate::world::{Flow, World, dns, lists, tls};

fn program(text: &str) -> Program {
    compile(text, &World, &lists()).unwrap_or_else(|error| panic!("{text}\n{}", error.report()))
}

/// Each expression, and whether the TLS flow and the DNS flow fit.
fn check(table: &[(&str, bool, bool)]) {
    let (tls, dns) = (tls(), dns());
    for (text, on_tls, on_dns) in table {
        let program = program(text);
        assert_eq!(program.matches(&tls), *on_tls, "on the TLS flow: {text}\n{program}");
        assert_eq!(program.matches(&dns), *on_dns, "on the DNS flow: {text}\n{program}");
        // What it is written as means the same.
        let again = compile(&parse(text).unwrap().to_string(), &World, &lists()).unwrap();
        assert_eq!(again.to_string(), program.to_string(), "{text}");
    }
}

#[test]
fn presence() {
    check(&[
        ("tls.sni", true, false),
        ("dns.answers", false, true),
        ("not tls.sni", false, true),
        ("!tls.sni", false, true),
        (".tls.sni", true, false),
        ("iec-104.type", false, false),
        ("tls.resumed", true, false),
    ]);
}

#[test]
fn comparisons() {
    check(&[
        (r#"protocol == "tls""#, true, false),
        (r#"protocol eq "tls""#, true, false),
        (r#""tls" == protocol"#, true, false),
        (r#"protocol != "tls""#, false, true),
        (r#"tls.version != "x""#, true, false),
        (r#"not tls.version == "x""#, true, true),
        (r#"protocol < "e""#, false, true),
        ("dst_port == 443", true, false),
        ("dst_port == 0x1bb", true, false),
        ("dst_port == 0b110111011", true, false),
        ("dst_port == 0673", true, false),
        ("src_bytes >= 1.5e3", true, false),
        ("dst_port == '5'", false, true),
        ("dst_port > 442", true, false),
        ("dst_port >= 443", true, false),
        ("dst_port > 443", false, false),
        ("dst_port lt 54", false, true),
        ("dst_port le 53", false, true),
        ("53 < dst_port", true, false),
        ("dst_port gt 53 and dst_port ge 443", true, false),
        ("src_port == dst_port", false, true),
        ("duration_s > 2", true, false),
        ("duration_s == 2.5", true, false),
        ("src_bytes > duration_s", true, false),
        ("tls.resumed == false", true, false),
        ("tls.resumed == FALSE", true, false),
        ("tls.resumed == 0", true, false),
        ("tls.resumed != true", true, false),
        ("hostname == tls.sni", false, false),
        ("50 < dst_port < 60", false, true),
        ("400 < dst_port <= 443 < src_port", true, false),
    ]);
}

#[test]
fn fields_with_several_values() {
    check(&[
        ("dns.ttls == 60", false, true),
        ("dns.ttls != 60", false, false),
        ("dns.ttls !== 60", false, true),
        ("dns.ttls ~= 60", false, true),
        ("dns.ttls any_ne 60", false, true),
        ("dns.ttls === 60", false, false),
        ("dns.ttls all_eq 60", false, false),
        ("dns.ttls != 61", false, true),
        ("dns.ttls > 100", false, true),
        ("all dns.ttls > 100", false, false),
        ("all dns.ttls >= 60", false, true),
        ("all(dns.ttls >= 60)", false, true),
        ("any (dns.ttls != 60)", false, true),
        ("any dns.ttls != 60", false, true),
        ("all dns.ttls == 60", false, false),
        ("not all dns.ttls > 100", true, true),
        ("all dns.ttls in {60, 300}", false, true),
        ("all dns.ttls in {60}", false, false),
        ("dns.ttls not in {60}", true, false),
        ("any dns.ttls not in {60}", false, true),
        ("all dns.ttls not in {1..59}", false, true),
        ("dns.answers == 192.0.2.0/24", false, true),
        ("all dns.answers == 192.0.2.0/24", false, false),
        (r#"risks contains "tls""#, true, false),
        (r#"all risks contains "tls""#, false, false),
        (r#"all risks matches "tls|cert""#, true, false),
        ("count(dns.answers) == 3", false, true),
        ("dns.ttls + dns.ttls == 360", false, true),
        ("dns.ttls == dns.ttls", false, true),
        ("all dns.ttls == dns.ttls", false, false),
        ("max(dns.ttls) == 300 and min(dns.ttls) == 60", false, true),
        ("max(dns.ttls, 1000) == 1000", false, true),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("src_ip == 10.1.2.3", true, false),
        ("src_ip == 10.0.0.0/8", true, false),
        ("src_ip == 10.9.9.9/8", true, false),
        ("src_ip == 10.1.2.2/31", true, false),
        ("src_ip != 10.0.0.0/8", false, true),
        ("src_ip == 2001:db8::/32", false, true),
        ("dst_ip == 2001:db8::5", true, false),
        ("src_ip == ::/0", false, true),
        ("src_ip == 0.0.0.0/0", true, false),
        ("src_ip > 10.1.2.2", true, false),
        ("src_ip > 10.1.2.3", false, false),
        ("src_ip >= 10.1.2.3", true, false),
        ("src_ip < 255.255.255.255", true, false),
        ("src_ip > 255.255.255.255", false, false),
        ("src_ip < 0.0.0.0", false, false),
        ("src_ip > ::", false, true),
        ("src_ip in {10.1.2.0 .. 10.1.2.9, 192.0.2.0/24}", true, false),
        ("src_ip in {fe80::/10, 2001:db8::99}", false, true),
        (r#"string(src_ip) matches "^10\\.1\\.""#, true, false),
        (r#"string(src_ip) == "2001:db8::99""#, false, true),
    ]);
}

#[test]
fn text() {
    check(&[
        (r#"hostname contains "Example""#, true, false),
        (r#"hostname contains "example""#, false, true),
        (r#"lower(hostname) contains "example""#, true, true),
        (r#"lower(hostname) == "www.example.com""#, true, false),
        (r#"lower(hostname) == "www.Example.com""#, false, false),
        (r#"lower(hostname) != "www.Example.com""#, true, true),
        (r#"lower(hostname) != "www.example.com""#, false, true),
        (r#"upper(tls.sni) == "WWW.EXAMPLE.COM""#, true, false),
        (r#"all lower(risks) == "obsolete-tls""#, false, false),
        (r#"lower(hostname) == tls.sni"#, true, false),
        (r#"upper(protocol) == "TLS""#, true, false),
        (r#"hostname matches "EXAMPLE\\.com$""#, true, false),
        (r#"hostname ~ r"example\.COM$""#, true, false),
        (r#"hostname matches "(?-i)example\\.com$""#, false, false),
        (r#"hostname in {"www.Example.com", "x"}"#, true, false),
        (r#"hostname in {"a".."x"}"#, true, true),
        (r#"protocol in {"t".."u"}"#, true, false),
        ("len(protocol) == 3", true, true),
        ("len(hostname) == 15", true, true),
        (r#"protocol == "\x74ls""#, true, false),
        (r#"hostname == "touch\u00e9.example""#, false, true),
        (r#"risks == "obsolete-tls""#, true, false),
        (r#"string(dst_port) matches "[13]$""#, true, true),
        (r#"string(duration_s) == "2.5""#, true, false),
        (r#"string(tls.resumed) == "false""#, true, false),
        (r#"string(start) contains "2024-05-01T12""#, true, false),
        (r#"string(payload) == "160301020001""#, true, false),
        (r#"hostname contains dns.query"#, false, true),
        (r#"hostname contains protocol"#, false, false),
    ]);
}

#[test]
fn slices() {
    check(&[
        (r#"protocol[0] == "t""#, true, false),
        (r#"protocol[0:2] == "tl""#, true, false),
        (r#"protocol[1-2] == "ls""#, true, false),
        (r#"protocol[:2] == "dn""#, false, true),
        (r#"protocol[-2:] == "ns""#, false, true),
        (r#"protocol[-2:2] == "ns""#, false, true),
        (r#"protocol[-3--2] == "dn""#, false, true),
        (r#"protocol[0,2] == "ts""#, true, false),
        (r#"protocol[2,0-1,1:] == "stlls""#, true, false),
        (r#"protocol[0:4] == "tls.""#, false, false),
        (r#"protocol[3:] == """#, true, true),
        ("protocol[3:]", false, false),
        ("protocol[2:]", true, true),
        ("protocol[4:]", false, false),
        (r#"hostname[5] == "é""#, false, true),
        (r#"hostname[5:3] == "é.e""#, false, true),
        (r#"hostname[-3:] == "ple""#, false, true),
        ("payload[0:3] == 16:03:01", true, false),
        ("payload[0:3] == 16-03-01", true, false),
        ("payload[0:3] == 160301", true, false),
        ("payload[0] == 0x16", true, false),
        ("payload[1] == 3", true, false),
        (r#"payload[1] == '\x03'"#, true, false),
        (r#"payload[0:2] == "\x16\x03""#, true, false),
        ("payload[1:] contains 01:02", true, false),
        (r#"payload contains "\x01\x02""#, true, false),
        (r#"payload matches "^\\x16\\x03[\\x00-\\x04]""#, true, false),
        ("payload[0] & 0x0f == 6", true, false),
        ("payload[0:2] & f0:01", true, false),
        ("payload[4] & ff", false, false),
        ("payload > 16:03", true, false),
        (r#"lower(hostname)[4:7] == "example""#, true, false),
    ]);
}

#[test]
fn arithmetic() {
    check(&[
        ("src_bytes + dst_bytes == 31500", true, false),
        ("src_bytes + dst_bytes == 31499 + 1", true, false),
        ("dst_bytes / src_bytes == 20", true, false),
        ("dst_bytes % 7 == 5", true, false),
        ("src_bytes - dst_bytes < 0", true, false),
        ("src_bytes - dst_bytes == -28500", true, false),
        ("abs(src_bytes - dst_bytes) > 28000", true, false),
        ("-src_bytes < -1499", true, false),
        ("src_bytes / duration_s == 600", true, false),
        ("src_bytes * 1.5 > 2249.5", true, false),
        ("2 * {src_bytes + 1} == 3002", true, false),
        ("2 * (src_bytes + 1) == 3002", true, false),
        ("src_bytes + 1 * 2 == 1502", true, false),
        ("src_port & 1 + 1 == 2", false, false),
        ("{dst_port & 1} + 1 == 2", true, true),
        ("dst_port & 0x100", true, false),
        ("dst_port bitand 0x100", true, false),
        ("dst_port - 53", true, false),
        ("src_bytes / {dst_port - 443} > 0", false, false),
        ("end - start == 2.5", true, false),
        ("end - start > 3", false, false),
        ("start + 2.5 == end", true, false),
        ("end - 2.5 == start", true, false),
        ("end > start + 2", true, false),
    ]);
}

#[test]
fn times() {
    check(&[
        (r#"start == "2024-05-01 12:00:00""#, true, false),
        (r#"start >= "2024-05-01T14:00:00+02:00""#, true, false),
        (r#"start < "2024-05-01 12:00:00.000000001""#, true, false),
        (r#"start > "May 1, 2024 11:59:59""#, true, false),
        ("start > 2024-05-01", true, false),
        ("start in {2024-05-01T00:00:00Z .. 2024-05-02}", true, false),
        (r#"start - "2024-05-01 11:59:50" == 10"#, true, false),
    ]);
}

#[test]
fn sets_and_lists() {
    check(&[
        ("dst_port in {443}", true, false),
        ("dst_port in {80, 440..450, 8080}", true, false),
        ("dst_port in {80 , 440 .. 442}", false, false),
        ("dst_port not in {443}", false, true),
        ("dst_port !in {443}", false, true),
        ("tls.sni not in {\"x\"}", true, true),
        ("duration_s in {2 .. 2.5}", true, false),
        ("dst_port - 53 in {-1 .. 1}", false, true),
        ("tls.resumed in {true, false}", true, false),
        ("payload[0:2] in {16:03, 17:03}", true, false),
        ("hostname in $blocked", true, true),
        ("hostname not in $blocked", false, false),
        ("protocol in $blocked", false, false),
        ("src_ip in $office", true, true),
        ("dst_ip in {$office, 8.8.8.8}", true, true),
        ("dst_ip in {8.8.8.8, 1.1.1.1}", false, true),
        ("dst_port in $web-ports", true, false),
        ("protocol in $names", true, false),
        (r#"protocol in {$names, "dns"}"#, true, true),
    ]);
}

#[test]
fn logic() {
    let (yes, no) = ("protocol", "iec-104.type");
    for bits in 0..8_u8 {
        let word = |bit: u8| if bits >> bit & 1 == 1 { yes } else { no };
        let (a, b, c) = (word(0), word(1), word(2));
        let (x, y, z) = (bits & 1 == 1, bits & 2 != 0, bits & 4 != 0);
        let table: [(String, bool); 16] = [
            (format!("{a} and {b} or {c}"), x && y || z),
            (format!("{a} or {b} and {c}"), x || y && z),
            (format!("{a} && {b} || {c}"), x && y || z),
            (format!("{a} or {b} xor {c}"), x || (y ^ z)),
            (format!("{a} xor {b} and {c}"), x ^ (y && z)),
            (format!("{a} and {b} xor {c}"), (x && y) ^ z),
            (format!("{a} ^^ {b} ^^ {c}"), x ^ y ^ z),
            (format!("{a} xor ({b} xor {c})"), x ^ y ^ z),
            (format!("({a} xor {b}) xor ({c} xor {a})"), x ^ y ^ z ^ x),
            (format!("not ({a} xor ({b} or {c})) and {b}"), !(x ^ (y || z)) && y),
            (format!("not {a} and {b}"), !x && y),
            (format!("not ({a} and {b})"), !(x && y)),
            (format!("!{a} or !{b} and not not {c}"), !x || (!y && z)),
            (format!("({a} or {b}) and ({b} or {c})"), (x || y) && (y || z)),
            (format!("({a} xor {b}) and not ({b} xor {c})"), (x ^ y) && !(y ^ z)),
            (format!("(({a} and {b}) xor ({b} or ({c} xor {a}))) xor {c}"), ((x && y) ^ (y || (z ^ x))) ^ z),
        ];
        for (text, expected) in table {
            assert_eq!(program(&text).matches(&tls()), expected, "{text}\n{}", program(&text));
        }
    }
}

#[test]
fn precedence_is_wiresharks() {
    for (text, grouped) in [
        ("protocol and hostname or not dns.query or src_ip and not dst_ip or start", None),
        ("not src_port == 1 and dst_port == 2", Some("(not src_port == 1) and dst_port == 2")),
        ("src_port & 1 + 2 * 3 == 1", Some("{src_port & {1 + {2 * 3}}} == 1")),
        ("src_port - 1 - 2 > 3", Some("{{src_port - 1} - 2} > 3")),
        ("src_port / 2 / 3 % 4 > 3", Some("{{{src_port / 2} / 3} % 4} > 3")),
        ("-src_port + 1 > 3", Some("{{-src_port} + 1} > 3")),
        (
            "src_port == 1 or src_port == 2 and dst_port == 3",
            Some("src_port == 1 or (src_port == 2 and dst_port == 3)"),
        ),
        ("src_port xor dst_port and start or end", Some("(src_port xor (dst_port and start)) or end")),
    ] {
        let tree = parse(text).unwrap();
        assert_eq!(tree.to_string(), text, "what needs no brackets gets none");
        if let Some(grouped) = grouped {
            assert_eq!(parse(grouped).unwrap(), tree, "{text}");
        }
    }
}

#[test]
fn a_program_says_what_it_needs_and_does() {
    let program = program(r#"protocol == "tls" and (dst_port != 443 or not hostname in $blocked) xor risks"#);
    let names = ["protocol", "hostname", "dst_port", "risks"];
    let mut wanted: Vec<u32> =
        names.map(|name| daylight_expr::Schema::field(&World, name).unwrap().id).into();
    wanted.sort_unstable();
    assert_eq!(program.fields(), wanted);
    insta::assert_snapshot!(program, @r#"
    0  protocol == "tls"     yes: 1       no: 4
    1  dst_port != 443       yes: 3       no: 2
    2  hostname in $blocked  yes: 4       no: 3
    3  odd#0 := yes          then 5
    4  odd#0 := no           then 5
    5  risks                 yes: 6       no: 7
    6  odd#0                 yes: reject  no: accept
    7  odd#0                 yes: accept  no: reject
    "#);
}

#[test]
fn an_absent_field_fits_no_comparison() {
    let empty = Flow::default();
    for text in [
        "src_port == 1",
        "src_port != 1",
        "src_port < 1",
        "src_port === 1",
        "src_port !== 1",
        "all src_port > 0",
        "src_port in {1}",
        "src_port + 1 > 0",
        "src_port == dst_port",
        "count(src_port) >= 1",
        "src_port & 1",
        "max(src_port, 1) < 0",
        "protocol[0:1] == \"t\"",
        "len(protocol) > 0",
        "protocol contains \"t\"",
        "string(src_ip) matches \".\"",
        "end - start > 0",
    ] {
        assert!(!program(text).matches(&empty), "{text}");
        assert!(program(&format!("not ({text})")).matches(&empty), "{text}");
    }
}

#[test]
fn long_chains_compile_and_run() {
    let many: Vec<String> = (0..3000).map(|port| format!("dst_port == {port}")).collect();
    let program = program(&many.join(" or "));
    assert!(program.matches(&tls()));
    let every: Vec<String> = (0..2000).map(|port| format!("dst_port != {}", port + 1000)).collect();
    assert!(self::program(&every.join(" and ")).matches(&tls()));
    let odd = vec!["protocol"; 5001].join(" xor ");
    assert!(self::program(&odd).matches(&tls()));
    let numbers: Vec<String> = (0..9000).map(|port| (port * 2 + 1).to_string()).collect();
    assert!(self::program(&format!("dst_port in {{{}}}", numbers.join(","))).matches(&tls()));
}
