//! What the check finds, and what it leaves alone.

use daylight_policy::{Kind, check};

use crate::world::{HEAD, NOW, allow, drop, list, policy, rule};

fn found(rules: &str, files: &[(&str, &str)]) -> Vec<(Kind, String)> {
    let report = check(&policy(&format!("{HEAD}{rules}"), files), NOW);
    report.findings.into_iter().map(|finding| (finding.kind, finding.subject)).collect()
}

fn kinds(rules: &[String]) -> Vec<Kind> {
    found(&rules.concat(), &[]).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn shadowed_rules() {
    let shadowed = vec![Kind::Shadowed];
    for (first, second, expected) in [
        ("true", "dst_port == 80", &shadowed),
        ("dst_port == 80", "dst_port == 80 and hostname", &shadowed),
        ("dst_port in {80, 443}", "dst_port == 443", &shadowed),
        ("dst_port == 443", "dst_port in {80, 443}", &vec![]),
        ("src_ip == 10.0.0.0/8", "src_ip == 10.1.0.0/16", &shadowed),
        ("hostname", "hostname == \"a.test\"", &shadowed),
        ("hostname == \"a.test\"", "protocol == \"tls\"", &vec![]),
    ] {
        assert_eq!(kinds(&[drop("a", first), drop("b", second)]), *expected, "{first} / {second}");
    }
    // By two rules together.
    let rules =
        [drop("a", "dst_port < 100"), drop("b", "dst_port >= 100"), drop("c", "dst_port in {5, 500}")];
    assert_eq!(kinds(&rules), shadowed);
    // Not by a rule that only logs, nor by one that is in force at other times or for less long.
    assert_eq!(kinds(&[rule("a", "true", "action = \"log\""), drop("b", "dst_port == 80")]), []);
    let hours = "action = \"drop\"\nhours = [{ from = \"08:00\", to = \"09:00\" }]";
    assert_eq!(kinds(&[rule("a", "true", hours), drop("b", "dst_port == 80")]), []);
    assert_eq!(kinds(&[rule("a", "dst_port", hours), rule("b", "dst_port == 80", hours)]), shadowed);
    let sooner = drop("a", "true").replace("2099", "2098");
    assert_eq!(kinds(&[sooner, drop("b", "dst_port == 80")]), []);
}

#[test]
fn with_all_match_stricter_rules_shadow_wherever_they_stand() {
    let text =
        [rule("a", "dst_port == 80", "action = \"reject\""), drop("b", "dst_port in {80, 443}")].concat();
    let report = check(&policy(&format!("{HEAD}match = \"all\"\n{text}"), &[]), NOW);
    assert_eq!(report.findings.len(), 1, "{report}");
    let said = report.to_string();
    assert!(
        said.starts_with(
            "warning: line 4, \"a\": it never has the say: whenever it holds, so does \"b\" (line 11)"
        ),
        "{said}"
    );
}

#[test]
fn conditions_that_cannot_be_right() {
    assert_eq!(kinds(&[drop("a", "dst_port == 80 and dst_port == 443")]), [Kind::Impossible]);
    assert_eq!(kinds(&[drop("a", "dst_port == 80 or not dst_port == 80")]), [Kind::Doubtful]);
}

#[test]
fn rules_that_are_over_or_change_nothing() {
    let until = |date: &str| drop("a", "dst_port == 80").replace("2099-12-31", date);
    assert_eq!(kinds(&[until("2026-05-01")]), [Kind::Expired]);
    assert_eq!(kinds(&[until("2026-06-20")]), [Kind::ExpiresSoon]);
    assert_eq!(kinds(&[until("2026-07-20")]), []);
    assert_eq!(kinds(&[allow("a", "dst_port == 80")]), [Kind::NoEffect]);
    assert_eq!(kinds(&[allow("a", "dst_port == 80"), drop("b", "protocol == \"http\"")]), []);
    assert_eq!(kinds(&[drop("b", "protocol == \"http\""), allow("a", "dst_port == 80")]), [Kind::NoEffect]);
}

#[test]
fn lists() {
    let domains = |name| list(name, "domains");
    let text =
        [domains("unused"), domains("empty"), domains("twice"), drop("r", "hostname in {$empty, $twice}")];
    let files =
        [("unused.txt", "a.test"), ("empty.txt", "# no\n"), ("twice.txt", "a.test\nA.TEST\nb.test\ncom\n")];
    let mut found = found(&text.concat(), &files);
    found.sort_by_key(|(_, name)| name.clone());
    let expected = [
        (Kind::EmptyList, "empty"),
        (Kind::DuplicateEntries, "twice"),
        (Kind::BadEntries, "twice"),
        (Kind::UnusedList, "unused"),
    ];
    assert_eq!(found, expected.map(|(kind, name)| (kind, name.to_owned())));
}

#[test]
fn lists_that_overlap_with_opposite_actions() {
    let text = |second: &str| {
        [list("good", "domains"), list("bad", "domains"), allow("a", "hostname in $good"), second.to_owned()]
            .concat()
    };
    let files = [("good.txt", "www.shop.test\n"), ("bad.txt", "shop.test\n")];
    let report = check(&policy(&format!("{HEAD}{}", text(&drop("b", "hostname in $bad"))), &files), NOW);
    assert_eq!(report.findings.len(), 1, "{report}");
    assert!(report.is_clean() && report.to_string().contains("www.shop.test is in $good as well as in $bad"));
    let apart = [("good.txt", "www.shop.test\n"), ("bad.txt", "mail.shop.test\n")];
    assert_eq!(found(&text(&drop("b", "hostname in $bad")), &apart), []);
    // A list that is wholly within the other is shadowed.
    let turned = [
        list("good", "domains"),
        list("bad", "domains"),
        drop("b", "hostname in $bad"),
        allow("a", "hostname in $good"),
    ];
    let found = found(&turned.concat(), &files);
    assert!(found.contains(&(Kind::Shadowed, "a".to_owned())), "{found:?}");
}
