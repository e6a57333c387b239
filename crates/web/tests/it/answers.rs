//! Is it blocked here?

use daylight_policy::audit::{Action, Digest, Entry, Event, List, Otherwise, Proof, Rule, Terms};
use daylight_policy::{Hours, Match};

use crate::common::{Filter, ago, host, label, listed, now, rule, says, text, totals};

const POLICY: &str = r#"
[policy]
name = "school"
match = "first"
default = "allow"
timezone = "UTC"

[[list]]
name = "games"
kind = "domains"
file = "games.txt"

[[rule]]
name = "chess-club"
when = 'hostname == "chess.games.example" or dns.query == "chess.games.example"'
action = "allow"
reason = "The chess club meets online"
authority = "Board of Example School, decision 9"
expires = 2029-07-31

[[rule]]
name = "no-games"
when = "hostname in $games or dns.query in $games"
action = "reject"
reason = "Games wait until lessons are over"
authority = "Board of Example School, decision 8"
expires = 2029-07-31
appeal = "mailto:board@example.org"

[[rule]]
name = "no-mail-relays"
when = 'dst_port == 25 and hostname == "relay.example"'
action = "drop"
reason = "It sends spam"
authority = "Board of Example School, decision 8"
expires = 2029-07-31

[[rule]]
name = "old-protocols"
when = 'protocol == "telnet"'
action = "reject"
reason = "Passwords in the clear"
authority = "Board of Example School, decision 8"
expires = 2029-07-31
"#;

fn games() -> List {
    List { policy: label("school"), list: label("games"), digest: Digest::of(b"games"), entries: 1 }
}

#[test]
fn the_log_alone_tells_what_was_stopped_and_proves_it() {
    let mut filter = Filter::running(
        vec![
            rule("no-games", Action::Reject, "hostname in $games"),
            rule("by-name", Action::Drop, "hostname == \"bad.example\""),
        ],
        vec![games()],
    );
    filter.append(&[
        totals(ago(3600), "no-games", listed("*.games.example"), 12),
        totals(ago(60), "no-games", host("lone.example"), 1),
    ]);
    let page = filter.page();
    for name in ["www.games.example", "WWW.Games.Example.", "https://www.games.example/x?y", "lone.example"] {
        let answer = page.about(name);
        says(&answer, &[("/verdict", "blocked"), ("/basis", "log")]);
        says(
            &answer["rules"][0],
            &[
                ("/authority", "Board of Example School, decision 8"),
                ("/reason", "Games wait until lessons are over"),
                ("/appeal", "mailto:board@example.org"),
                ("/expires", "2029-08-01T00:00:00Z"),
                ("/state", "in-force"),
                ("/url", "/rule/school/no-games"),
            ],
        );
        let proofs = answer["proofs"].as_array().unwrap();
        assert_eq!(proofs.len(), 2, "the rule, and the totals");
        for proof in proofs {
            let text = proof["proof"].as_str().unwrap();
            text.parse::<Proof>().unwrap().verify(&filter.key).unwrap();
            assert_eq!(page.get(proof["url"].as_str().unwrap()).text(), text);
        }
    }
    // A condition that names it tells so by itself.
    says(&page.about("bad.example"), &[("/verdict", "blocked"), ("/rules/0/rule", "by-name")]);
    // Of lists the log has only the digest.
    let unknown = page.about("other.example");
    says(&unknown, &[("/verdict", "unknown"), ("/open_rules/0/rule", "no-games")]);
}

#[test]
fn the_policy_tells_of_hosts_that_nobody_tried() {
    let (filter, path) = Filter::with_policy(POLICY, "games.example\n");
    let page = filter.page_on(&path);
    let blocked = page.about("new.games.example");
    says(
        &blocked,
        &[
            ("/verdict", "blocked"),
            ("/rules/0/rule", "no-games"),
            ("/rules/0/list_entry", "games.example"),
            ("/ways/0/fate", "blocked"),
            ("/ways/0/rule", "/rule/school/no-games"),
        ],
    );
    assert!(!blocked["proofs"].as_array().unwrap().is_empty());
    // The exception goes before.
    says(
        &page.about("chess.games.example"),
        &[
            ("/verdict", "not-blocked"),
            ("/ways/1/rule", "/rule/school/chess-club"),
            ("/rules/1/rule", "no-games"),
            ("/rules/1/relation", "overruled"),
        ],
    );
    let shown = page.get("/is-blocked?host=chess.games.example");
    assert!(shown.text().contains("another rule goes before it") && !shown.text().contains("Stopped so far"));
    says(&page.about("relay.example"), &[("/verdict", "depends")]);
    let other = page.about("other.example");
    assert!(other["rules"].as_array().unwrap().is_empty());
    // It may concern connections to any site.
    says(&other, &[("/verdict", "not-blocked"), ("/general_rules/0/rule", "old-protocols")]);
}

#[test]
fn what_was_stopped_by_other_things_than_its_name_depends() {
    let (mut filter, path) = Filter::with_policy(POLICY, "games.example\n");
    filter.append(&[totals(now(), "old-protocols", host("telnet.example"), 2)]);
    for page in [filter.page(), filter.page_on(&path)] {
        says(&page.about("telnet.example"), &[("/verdict", "depends"), ("/rules/0/relation", "depends")]);
    }
}

#[test]
fn a_policy_that_is_not_the_one_in_force_is_not_believed() {
    let (mut filter, path) = Filter::with_policy(POLICY, "games.example\n");
    let page = filter.page_on(&path);
    // The file is changed, and the filter loads it: the page follows.
    std::fs::write(&path, POLICY.replace("relay.example", "relay2.example")).unwrap();
    filter.load(&path, now());
    page.until("the new one is read", |page| {
        let answer = page.about("relay2.example");
        answer["verdict"] == "depends" && answer["basis"] == "policy"
    });
    // The filter loads one of which the page has only an older list.
    let list = path.with_file_name("games.txt");
    std::fs::write(&list, "games.example\nother.example\n").unwrap();
    let time = now();
    filter.load(&path, time);
    std::fs::write(&list, "games.example\n").unwrap();
    page.until("the policy is put away", |page| page.about("games.example")["basis"] == "log");
    page.until("the operator is told", |page| {
        page.told.lock().unwrap().iter().any(|line| line.contains("is not what the filter loaded"))
    });
}

#[test]
fn what_was_stopped_and_would_no_longer_be_is_told_apart() {
    let (mut filter, path) = Filter::with_policy(POLICY, "games.example\n");
    filter.append(&[totals(now(), "no-games", host("once.example"), 4)]);
    let page = filter.page_on(&path);
    let answer = page.about("once.example");
    says(&answer, &[("/verdict", "not-blocked"), ("/rules/0/relation", "stopped")]);
    assert_eq!(answer["rules"][0]["stopped"]["flows"], 4);
    assert!(page.get("/is-blocked?host=once.example").text().contains("would not do so now"));
}

#[test]
fn rules_that_are_over_and_filters_that_stand_still_block_nothing() {
    let mut over = rule("no-games", Action::Reject, "hostname in $games");
    over.expires = ago(10);
    let mut filter = Filter::running(vec![over], vec![games()]);
    filter.append(&[totals(ago(100), "no-games", host("games.example"), 1)]);
    let page = filter.page();
    says(&page.about("games.example"), &[("/verdict", "not-blocked"), ("/rules/0/state", "expired")]);

    let mut filter =
        Filter::running(vec![rule("no-games", Action::Reject, "hostname in $games")], vec![games()]);
    filter.append(&[totals(ago(100), "no-games", host("games.example"), 1)]);
    let page = filter.page();
    assert_eq!(page.about("games.example")["verdict"], "blocked");
    filter.append(&[Entry { time: now(), event: Event::FilterStopped { why: text("for repairs") } }]);
    page.until("it is seen", |page| page.about("games.example")["verdict"] == "filter-stopped");
    let shown = page.get("/is-blocked?host=games.example");
    assert!(shown.text().contains("the filter does not run"));
    // A policy without the rule: withdrawn, and its page stays.
    filter.append(&Entry::policy_loaded(now(), &label("school"), Digest::of(b"2"), None, vec![], vec![]));
    page.until("it is withdrawn", |page| page.about("games.example")["rules"][0]["state"] == "withdrawn");
    let kept = page.get("/rule/school/no-games");
    assert!(kept.status == 200 && kept.text().contains("Withdrawn"));
}

#[test]
fn whatever_is_asked_gets_a_clear_answer() {
    let filter =
        Filter::running(vec![rule("r", Action::Reject, "hostname == \"xn--mnchen-3ya.example\"")], vec![]);
    let page = filter.page();
    says(
        &page.about("m%C3%BCnchen.example"),
        &[("/verdict", "blocked"), ("/host", "xn--mnchen-3ya.example"), ("/unicode", "münchen.example")],
    );
    assert!(page.get("/is-blocked?host=M%C3%9CNCHEN.example").text().contains("münchen.example"));
    for (asked, error, words) in [
        ("192.0.2.1", "address", "holds no addresses"),
        ("http%3A%2F%2F%5B2001%3Adb8%3A%3A1%5D%2F", "address", "holds no addresses"),
        ("", "empty", "Which site?"),
        ("a+b", "unclear", "not the name of a site"),
        ("..", "unclear", "not the name of a site"),
        ("%FF%FE", "unclear", "not the name of a site"),
    ] {
        let (status, data) = page.json(&format!("/is-blocked.json?host={asked}"));
        assert_eq!((status, &data["error"]), (400, &error.into()), "{asked}");
        let shown = page.get(&format!("/is-blocked?host={asked}"));
        assert!(shown.status == 200 && shown.text().contains(words), "{asked}: {}", shown.text());
    }
    assert_eq!(page.json("/is-blocked.json").1["error"], "empty");
}

#[test]
fn nothing_that_is_asked_gets_into_the_page_as_anything_but_text() {
    let attacks = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onfocus=alert(1) x='",
        "</title><script>",
        "<svg/onload=alert(1)>.example",
    ];
    // The operator's own words are not trusted either.
    let mut hostile = rule("<b>\"'&", Action::Reject, "hostname == \"<script>\"");
    hostile.reason = text("<script>alert(1)</script>");
    hostile.authority = text("\"><img src=x onerror=alert(1)>");
    hostile.appeal = Some(text("javascript:alert(1)"));
    let mut filter = Filter::running(vec![hostile], vec![]);
    filter.append(&[Entry {
        time: now(),
        event: Event::PolicyRefused {
            policy: label("<i>"),
            version: Digest::of(b"x"),
            why: text("<script>"),
        },
    }]);
    let page = filter.page_with(|settings| {
        settings.operator = Some("<script>operator</script>".into());
        settings.contact = Some("javascript:alert(2)".into());
    });
    let mut paths: Vec<String> =
        ["/", "/rules", "/log", "/rule/school/%3Cb%3E%22%27%26", "/nothing/%3Cscript%3E"]
            .map(String::from)
            .into();
    for attack in attacks {
        let encoded: String = url_encoded(attack);
        paths.extend([
            format!("/is-blocked?host={encoded}"),
            format!("/is-blocked?host={encoded}.example"),
            format!("/{encoded}"),
            format!("/rule/{encoded}/x"),
        ]);
    }
    for path in paths {
        let shown = page.get(&path);
        let html = shown.text();
        assert!(shown.content_type.starts_with("text/html"), "{path}");
        for bad in ["<script", "<img", "<svg/", "onerror=alert(1)>", "<b>\"", "<i>", "href=\"javascript"] {
            assert!(!html.contains(bad), "{path} holds {bad}: {html}");
        }
        assert!(shown.policy.starts_with("default-src 'none'") && !shown.policy.contains("unsafe"), "{path}");
    }
    assert_eq!(page.get("/rule/school/%3Cb%3E%22%27%26").status, 200);
}

/// Hours, order and time zone are in the log: who has nothing else can tell when a rule applies.
#[test]
fn the_log_alone_tells_when_rules_apply_and_in_which_order() {
    let always = Hours { days: 0x7f, from: 0, to: 1440 };
    let today = 1 << (now().unix_s() / 86_400 + 3).rem_euclid(7);
    // Neither today nor on the days around it, wherever the clock stands when this runs.
    let other_days = 0x7f & !(today | today << 1 | today >> 1 | today >> 6 | (today & 1) << 6);
    let at = |hours: Vec<Hours>, rule: Rule| Rule { hours, ..rule };
    let rules = vec![
        at(vec![always], rule("chess-club", Action::Allow, "hostname == \"chess.example\"")),
        rule("no-chess", Action::Reject, "hostname == \"chess.example\""),
        at(vec![always], rule("now", Action::Reject, "hostname == \"now.example\"")),
        at(
            vec![Hours { days: other_days, ..always }],
            rule("later", Action::Reject, "hostname in {\"later.example\"}"),
        ),
        at(vec![Hours { days: other_days, ..always }], rule("listed", Action::Reject, "hostname in $games")),
    ];
    for matching in [Match::First, Match::All] {
        let terms = Terms { matching, default: Otherwise::Allow, timezone: label("UTC") };
        let mut filter = Filter::running_on(Some(terms), rules.clone(), vec![games()]);
        filter.append(&[totals(ago(7000), "listed", listed("*.games.example"), 12)]);
        let page = filter.page();
        let told = |host: &str| {
            let answer = page.about(host);
            assert_eq!(answer["basis"], "log");
            let rules = answer["rules"].as_array().unwrap().iter();
            let relations: Vec<String> = rules
                .map(|rule| {
                    format!("{} {}", rule["rule"].as_str().unwrap(), rule["relation"].as_str().unwrap())
                })
                .collect();
            (answer["verdict"].as_str().unwrap().to_owned(), relations.join(", "))
        };
        let chess = match matching {
            Match::First => ("not-blocked", "chess-club covers, no-chess overruled"),
            Match::All => ("blocked", "no-chess covers, chess-club covers"),
        };
        for (host, (verdict, relations)) in [
            ("chess.example", chess),
            ("now.example", ("blocked", "now covers")),
            ("later.example", ("not-blocked", "later at-other-hours")),
            // It was stopped by a list, at another hour.
            ("www.games.example", ("not-blocked", "listed at-other-hours")),
            ("other.example", ("not-blocked", "")),
        ] {
            assert_eq!(told(host), (verdict.to_owned(), relations.to_owned()), "{host}");
        }
        let (_, later) = page.json("/rule/school/later.json");
        assert_eq!((&later["in_hours"], &later["state"]), (&false.into(), &"in-force".into()));
        assert!(later["schedule"].as_str().unwrap().ends_with("00:00–24:00 (UTC)"), "{later:#}");
        assert!(page.get("/rule/school/later").text().contains("(UTC): not now"));
        assert!(page.get("/is-blocked?host=later.example").text().contains("At other hours a rule stops it"));
        let name = if matching == Match::First { "first" } else { "all" };
        let policy = &page.json("/rules.json").1["policy"];
        says(policy, &[("/match", name), ("/default", "allow"), ("/timezone", "UTC")]);
        let words = if matching == Match::First {
            "the first of them has the say"
        } else {
            "the strictest has the say"
        };
        assert!(page.get("/rules").text().contains(words));
    }
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
