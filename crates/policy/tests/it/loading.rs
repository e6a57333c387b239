//! What loads, what doesn't, and what is said then.

use std::sync::Arc;

use daylight_expr::ValueRef;
use daylight_policy::audit::{Entry, Event, Timestamp};
use daylight_policy::{Action, Basis, ListKind, Match, Per, Policy, Unit};

use crate::world::{HEAD, drop, files, list, listing, parse, policy, refused, rule};

/// The entries of the public log that tell of a policy.
fn told(policy: &Policy) -> Vec<serde_json::Value> {
    let entries = policy.entries(Timestamp::parse("2026-11-23T09:40:00Z").unwrap()).unwrap();
    entries.iter().map(|entry| serde_json::from_slice(&entry.encode().unwrap()).unwrap()).collect()
}

#[test]
fn a_rule_needs_reason_authority_and_expiry() {
    let whole = drop("one", "dst_port == 23");
    assert!(parse(&format!("{HEAD}{whole}"), &[]).is_ok());
    for key in ["reason", "authority", "expires", "name", "when", "action"] {
        let lines = whole.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
        refused(&format!("{HEAD}{lines}"), "", &[&format!("a rule needs `{key}`"), "--> test.toml:3:1"]);
        let empty = whole
            .lines()
            .map(|line| if line.starts_with(key) { format!("{key} = \" \"") } else { line.to_owned() });
        let empty = format!("{HEAD}{}", empty.collect::<Vec<_>>().join("\n"));
        refused(&empty, "", &[&format!("`{key}` is empty")]);
    }
}

#[test]
fn problems_are_told_all_at_once_with_their_places() {
    let text = r#"[policy]
name = "test"
match = "frist"
timezone = "Europe/Mink"
retries = 3

[[rule]]
name = "a"
when = "dst_port == \"443\""
action = "dorp"
reason = "x"
authority = "y"
expires = 2026-13-01

[[rule]]
name = "b"
when = 'hostnme in $blocked'
acton = "drop"
reason = "x"
authority = "y"
expires = "tomorrow"
"#;
    // A date that doesn't exist is not TOML, and nothing else is said.
    refused(text, "", &["--> test.toml:13:"]);
    let text = text.replace("2026-13-01", "2030-01-01").replace("\"dorp\"", "\"drop\"");
    let parts = [
        "there is no match \"frist\"\n --> test.toml:3:9\n  |\n3 | match = \"frist\"\n  |         ^^^^^^^ did you mean \"first\"?",
        "did you mean \"Europe/Minsk\"?",
        "there is no key `retries` in [policy]\n --> test.toml:5:1",
        "9 | when = \"dst_port == \\\"443\\\"\"\n  |                     ^^^^^^^",
        "18 | acton = \"drop\"\n   | ^^^^^ did you mean `action`?",
        "\"tomorrow\" is no date",
    ];
    refused(&text, "", &parts);
}

#[test]
fn places_in_conditions_are_those_in_the_file() {
    let text = format!("{HEAD}{}", drop("one", "dst_port == 1 and hostnme"));
    let what = "in the condition of \"one\": there is no field `hostnme`";
    refused(&text, "", &["--> test.toml:5:27\n", what, "did you mean `hostname`?"]);
    let text = format!("{HEAD}{}", drop("one", "hostname in $blocked"));
    refused(&text, "", &["there is no list `$blocked`", "add a [[list]]"]);
}

#[test]
fn a_rule_says_on_what_basis_it_stands() {
    let with = |basis: &str| format!("{HEAD}{}{basis}", drop("one", "dst_port == 23"));
    for (line, basis, basis_told) in [
        ("", Basis::Operator, None),
        ("basis = \"operator\"\n", Basis::Operator, None),
        ("basis = \"external\"\n", Basis::External, Some("external")),
        ("basis = \"client\"\n", Basis::Client, Some("client")),
    ] {
        let policy = policy(&with(line), &[]);
        assert_eq!(policy.rules()[0].basis, basis);
        assert_eq!(told(&policy)[1]["basis"].as_str(), basis_told);
    }
    for (line, part) in [
        ("basis = \"court\"\n", "there is no basis \"court\"\n  --> test.toml:10:9"),
        ("basis = \"court\"\n", "`basis` is one of operator, external, client"),
        ("basis = \"extern\"\n", "did you mean \"external\"?"),
        ("basis = 16\n", "`basis` is text, in quotes"),
        ("basis = \" \"\n", "`basis` is empty"),
    ] {
        refused(&with(line), "", &[part]);
    }
}

#[test]
fn actions_and_limits_are_read() {
    let limit = "action = \"limit\"\nrate = \"20 packets/s\"\nper = \"address\"\nburst = \"50 packets\"";
    let policy = policy(&format!("{HEAD}match = \"all\"\n{}", rule("slow", "true", limit)), &[]);
    assert_eq!(policy.matching(), Match::All);
    let Action::Limit(limit) = policy.rules()[0].action else { panic!("a limit") };
    assert_eq!(
        (limit.rate.unit, limit.rate.amount, limit.burst, limit.per),
        (Unit::Packets, 20, 50, Per::Address)
    );
    for (action, part) in [
        ("action = \"limit\"", "a limit needs `rate`"),
        ("action = \"limit\"\nrate = \"2 Mbit/s\"", "a limit needs `per`"),
        ("action = \"limit\"\nrate = \"2 Mbit/s\"\nper = \"flow\"\nburst = \"1 kB\"", "write at least"),
        (
            "action = \"limit\"\nrate = \"2 Mbit/s\"\nper = \"flow\"\nburst = \"9 packets\"",
            "the rate counts bit",
        ),
        ("action = \"drop\"\nrate = \"2 Mbit/s\"", "`rate` belongs to action"),
        ("action = \"redirect\"", "there is no action \"redirect\""),
        (
            "action = \"drop\"\nhours = [{ days = \"mon\", from = \"09:00\", to = \"09:00\" }]",
            "the window is empty",
        ),
        ("action = \"drop\"\nhours = []", "never in force"),
        (
            &*format!("action = \"drop\"\nhours = [{}]", "{ days = \"mon\" },".repeat(65)),
            "there are 65 windows, and 64 is the most",
        ),
        ("action = \"drop\"\nhours = [{ day = \"mon\" }]", "did you mean `days`?"),
    ] {
        refused(&format!("{HEAD}{}", rule("one", "true", action)), "", &[part]);
    }
}

#[test]
fn lists_are_read_in_their_forms() {
    let name = |text| ValueRef::Str(text);
    for (format, text, inside, outside) in [
        (
            "plain",
            "# c\nexample.org\n*.cdn.test # x\n",
            ["a.example.org", "x.cdn.test"],
            ["cdn.test", "example.com"],
        ),
        (
            "hosts",
            "0.0.0.0 a.test b.test # c\n::1 localhost\n",
            ["a.test", "x.b.test"],
            ["localhost", "c.test"],
        ),
        (
            "adblock",
            "! t\n||a.test^\n||b.test^\n@@||c.test^\n||d.test^$third-party\n",
            ["a.test", "b.test"],
            ["c.test", "d.test"],
        ),
        (
            "rpz",
            "$ORIGIN z.test.\na.test CNAME .\n*.b.test.z.test. 60 IN CNAME .\nc.test CNAME rpz-passthru.\n",
            ["a.test", "x.b.test"],
            ["x.a.test", "c.test"],
        ),
        ("csv\"\ncolumn = \"Name", "id;name\n1;a.test\n2;\"b.test\"\n", ["a.test", "b.test"], ["1", "name"]),
        ("csv\"\ncolumn = \"2", "1,a.test\n2,b.test\n", ["a.test", "b.test"], ["1", "2"]),
    ] {
        let head =
            format!("{HEAD}{}format = \"{format}\"\n{}", list("l", "domains"), drop("r", "hostname in $l"));
        let policy = policy(&head, &[("l.txt", text)]);
        let found = policy.lists()[0].list();
        assert!(inside.iter().all(|text| found.entry(name(text)).is_some()), "{format}");
        assert!(outside.iter().all(|text| found.entry(name(text)).is_none()), "{format}");
        assert_eq!(policy.lists()[0].report().bad, 0, "{format}");
        // The same is found out where nobody says it.
        let auto =
            head.replace(&format!("format = \"{}", format.split('"').next().unwrap()), "format = \"auto");
        let policy = crate::world::policy(&auto, &[("l.txt", text)]);
        assert!(inside.iter().all(|text| policy.lists()[0].list().entry(name(text)).is_some()), "{format}");
    }
    let zone =
        "$ORIGIN z.test.\n24.0.2.0.192.rpz-ip CNAME .\n48.zz.1.db8.2001.rpz-ip CNAME .\nx.test CNAME .\n";
    let text = format!("{HEAD}{}format = \"rpz\"\n{}", list("l", "prefixes"), drop("r", "dst_ip in $l"));
    let policy = policy(&text, &[("l.txt", zone)]);
    let found = |address: &str| policy.lists()[0].list().entry(ValueRef::Ip(address.parse().unwrap()));
    assert_eq!(found("192.0.2.77").as_deref(), Some("192.0.2.0/24"));
    assert_eq!(found("2001:db8:1::9").as_deref(), Some("2001:db8:1::/48"));
    assert_eq!(found("2001:db8:2::9"), None);
}

#[test]
fn bad_lines_are_counted_and_a_list_of_only_those_is_refused() {
    let text = listing("domains", "hostname in $l");
    let lines = "example.org\nco.uk\nexample.org\n192.0.2.1\nhttp://x.test/\n";
    let policy = policy(&text, &[("l.txt", lines)]);
    let report = policy.lists()[0].report();
    assert_eq!((report.entries, report.duplicates, report.bad), (2, 1, 3));
    assert!(report.problems[0].starts_with("l.txt:2: \"co.uk\" is a public suffix"), "{:?}", report.problems);
    assert!(report.problems[1].contains("kind \"prefixes\""));
    for (text, list, part) in [
        (&text, "com\n", "none of its 1 lines can be read; the first: l.txt:1:"),
        (&text, "a\0b", "it is not a text file"),
        (&text.replace("domains", "ja4"), "xyz\n", "is not a JA4"),
        (&text.replace("domains", "sha256"), "xyz\n", "is not a SHA-256"),
        (&text.replace("l.txt", "m.txt"), "", "there is no such file; it is sought beside the policy"),
        (&text.replace("domains", "domain"), "", "did you mean \"domains\"?"),
    ] {
        refused(text, list, &[part]);
    }
}

#[test]
fn a_reload_shares_lists_that_did_not_change() {
    let text = format!(
        "{HEAD}{}{}{}",
        list("a", "domains"),
        list("b", "domains"),
        drop("r", "hostname in {$a, $b}")
    );
    let first = Policy::parse(&text, "t", &files(&[("a.txt", "a.test"), ("b.txt", "b.test")]), None).unwrap();
    let changed = files(&[("a.txt", "a.test"), ("b.txt", "c.test")]);
    let second = Policy::parse(&text, "t", &changed, Some(&first)).unwrap();
    let shared: Vec<bool> =
        first.lists().iter().zip(second.lists()).map(|(a, b)| Arc::ptr_eq(a.list(), b.list())).collect();
    assert_eq!(shared, [true, false]);
    assert_eq!(first.lists()[0].kind(), ListKind::Domains);
    // Read as something else, it is another list.
    let other = text.replacen("domains", "text", 1);
    let third = Policy::parse(&other, "t", &changed, Some(&second)).unwrap();
    assert!(!Arc::ptr_eq(second.lists()[0].list(), third.lists()[0].list()));
}

#[test]
fn files_are_sought_beside_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    assert!(Policy::load(&path, None).unwrap_err().to_string().contains("p.toml: "));
    std::fs::write(&path, listing("prefixes", "src_ip in $l")).unwrap();
    std::fs::write(folder.path().join("l.txt"), "192.0.2.0/24\n").unwrap();
    assert_eq!(Policy::load(&path, None).unwrap().lists()[0].list().len(), 1);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Policy::load(&path, None).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn what_loads_can_be_told_and_what_blocks_is_a_rule() {
    let blocking = format!("{HEAD}default = \"drop\"\n{}", drop("one", "dst_port == 1"));
    refused(&blocking, "", &["a default can't block", "--> test.toml:3:11"]);
    for (name, part) in [("192.0.2.1", "must not be an address"), (&*"n".repeat(200), "1 to 128 bytes")] {
        refused(&format!("{HEAD}{}", drop(name, "dst_port == 1")), "", &[part, "--> test.toml:4:8"]);
    }
    let long = vec!["dst_port == 1"; 400].join(" or ");
    refused(&format!("{HEAD}{}", drop("one", &long)), "", &["1 to 4,096 bytes"]);

    let text = [list("bad", "domains"), drop("listed", "hostname in $bad\t"), drop("rest", "true")].concat();
    let policy = policy(&format!("{HEAD}{text}"), &[("bad.txt", "evil.example\n*.wild.example\n")]);
    let now = Timestamp::parse("2026-11-23T09:40:00Z").unwrap();
    let entries = policy.entries(now).unwrap();
    // Each is encoded, and read again, as the log does.
    let entries: Vec<Entry> =
        entries.iter().map(|entry| Entry::decode(&entry.encode().unwrap()).unwrap()).collect();
    let [loaded, listed, rest, bad] = &entries[..] else { panic!("{entries:?}") };
    assert!(
        matches!(&loaded.event, Event::PolicyLoaded { rules: 2, lists: 1, version, .. } if *version == policy.digest())
    );
    let Event::Rule(listed) = &listed.event else { panic!("{listed:?}") };
    assert_eq!(
        (listed.condition.as_str(), listed.expires.to_string()),
        ("hostname in $bad", "2100-01-01T00:00:00Z".into())
    );
    assert!(matches!(&rest.event, Event::Rule(rule) if rule.condition.as_str() == "true"));
    assert!(
        matches!(&bad.event, Event::List(list) if list.entries == 2 && list.digest == policy.lists()[0].digest())
    );
}

#[test]
fn the_log_tells_when_rules_apply_and_which_has_the_say() {
    let hours = "action = \"drop\"\nhours = [{ days = \"mon-thu\", from = \"08:00\", to = \"16:00\" }, { to = \"06:30\" }]";
    let rules = [rule("lessons", "dst_port == 1", hours), drop("always", "dst_port == 2")].concat();
    for (head, matching, zone) in
        [("", "first", "UTC"), ("match = \"all\"\ntimezone = \"Europe/Minsk\"\n", "all", "Europe/Minsk")]
    {
        let policy = policy(&format!("{HEAD}{head}{rules}"), &[]);
        let [loaded, lessons, always] = &told(&policy)[..] else { panic!("three entries") };
        assert_eq!(
            (&loaded["match"], &loaded["default"], &loaded["timezone"]),
            (&matching.into(), &"allow".into(), &zone.into())
        );
        let day = "mon,tue,wed,thu,fri,sat,sun";
        assert_eq!(
            lessons["hours"],
            serde_json::json!([
                { "days": "mon,tue,wed,thu", "from": "08:00", "to": "16:00" },
                { "days": day, "from": "00:00", "to": "06:30" },
            ])
        );
        assert!(always["hours"].is_null());
    }
}

/// The most that a rule can say fits into an entry.
#[test]
fn whatever_loads_fits_into_the_log() {
    let quotes = "'".to_owned() + &"\"".repeat(4096) + "'";
    let long = format!("dst_port in {{{}1}}", "1,".repeat(2000));
    let whole = format!(
        "{HEAD}timezone = \"America/Argentina/ComodRivadavia\"\n[[rule]]\nname = '{}'\nwhen = '{long}'\naction = \"drop\"\n\
         basis = \"external\"\nreason = {quotes}\nauthority = {quotes}\nappeal = {quotes}\nexpires = 2099-12-31\nhours = [{}]\n",
        "\"".repeat(128),
        "{ from = \"00:01\", to = \"23:59\" },".repeat(64),
    );
    assert_eq!(told(&policy(&whole, &[])).len(), 2);
}
