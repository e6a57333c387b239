//! Is it blocked here?

use daylight_policy::audit::{Action, Digest, Entry, Event, List, Proof};

use crate::common::{Filter, ago, host, label, listed, now, rule, text, totals};

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
        assert_eq!(answer["verdict"], "blocked", "{name}: {answer:#}");
        assert_eq!(answer["basis"], "log");
        let found = &answer["rules"][0];
        assert_eq!(found["authority"], "Board of Example School, decision 8");
        assert_eq!(found["reason"], "Games wait until lessons are over");
        assert_eq!(found["appeal"], "mailto:board@example.org");
        assert_eq!(found["expires"], "2029-08-01T00:00:00Z");
        assert_eq!((&found["state"], &found["url"]), (&"in-force".into(), &"/rule/school/no-games".into()));
        let proofs = answer["proofs"].as_array().unwrap();
        assert_eq!(proofs.len(), 2, "the rule, and the totals");
        for proof in proofs {
            let text = proof["proof"].as_str().unwrap();
            text.parse::<Proof>().unwrap().verify(&filter.key).unwrap();
            assert_eq!(page.get(proof["url"].as_str().unwrap()).text(), text);
        }
    }
    // A condition that names it tells so by itself.
    assert_eq!(page.about("bad.example")["verdict"], "blocked");
    assert_eq!(page.about("bad.example")["rules"][0]["rule"], "by-name");
    // Of lists the log has only the digest.
    let unknown = page.about("other.example");
    assert_eq!(
        (&unknown["verdict"], &unknown["open_rules"][0]["rule"]),
        (&"unknown".into(), &"no-games".into())
    );
}

#[test]
fn the_policy_tells_of_hosts_that_nobody_tried() {
    let (filter, path) = Filter::with_policy(POLICY, "games.example\n");
    let mut settings = filter.settings();
    settings.policy = Some(path);
    let page = crate::common::Running::start(settings);
    page.until("the policy is read", |page| page.about("games.example")["basis"] == "policy");
    let blocked = page.about("new.games.example");
    assert_eq!(blocked["verdict"], "blocked", "{blocked:#}");
    assert_eq!(
        (&blocked["rules"][0]["rule"], &blocked["rules"][0]["list_entry"]),
        (&"no-games".into(), &"games.example".into())
    );
    assert_eq!(blocked["ways"][0]["fate"], "blocked");
    assert_eq!(blocked["ways"][0]["rule"], "/rule/school/no-games");
    assert!(!blocked["proofs"].as_array().unwrap().is_empty());
    let allowed = page.about("chess.games.example");
    assert_eq!(allowed["verdict"], "not-blocked", "the exception goes before: {allowed:#}");
    assert_eq!(allowed["ways"][1]["rule"], "/rule/school/chess-club");
    assert_eq!(
        (&allowed["rules"][1]["rule"], &allowed["rules"][1]["relation"]),
        (&"no-games".into(), &"overruled".into())
    );
    let shown = page.get("/is-blocked?host=chess.games.example");
    assert!(shown.text().contains("another rule goes before it") && !shown.text().contains("Stopped so far"));
    let depends = page.about("relay.example");
    assert_eq!(depends["verdict"], "depends", "{depends:#}");
    assert_eq!(page.about("other.example")["verdict"], "not-blocked");
    let other = page.about("other.example");
    assert!(other["rules"].as_array().unwrap().is_empty());
    assert_eq!(other["general_rules"][0]["rule"], "old-protocols", "it may concern connections to any site");
}

#[test]
fn what_was_stopped_by_other_things_than_its_name_depends() {
    let (mut filter, path) = Filter::with_policy(POLICY, "games.example\n");
    filter.append(&[totals(now(), "old-protocols", host("telnet.example"), 2)]);
    let page = filter.page();
    let answer = page.about("telnet.example");
    assert_eq!((&answer["verdict"], &answer["rules"][0]["relation"]), (&"depends".into(), &"depends".into()));
    let mut settings = filter.settings();
    settings.policy = Some(path);
    let page = crate::common::Running::start(settings);
    page.until("the policy is read", |page| page.about("games.example")["basis"] == "policy");
    assert_eq!(page.about("telnet.example")["verdict"], "depends");
}

#[test]
fn a_policy_that_is_not_the_one_in_force_is_not_believed() {
    let (mut filter, path) = Filter::with_policy(POLICY, "games.example\n");
    let mut settings = filter.settings();
    settings.policy = Some(path.clone());
    let page = crate::common::Running::start(settings);
    page.until("the policy is read", |page| page.about("games.example")["basis"] == "policy");
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
    let mut settings = filter.settings();
    settings.policy = Some(path);
    let page = crate::common::Running::start(settings);
    page.until("the policy is read", |page| page.about("games.example")["basis"] == "policy");
    let answer = page.about("once.example");
    assert_eq!(
        (&answer["verdict"], &answer["rules"][0]["relation"]),
        (&"not-blocked".into(), &"stopped".into())
    );
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
    let answer = page.about("games.example");
    assert_eq!(
        (&answer["verdict"], &answer["rules"][0]["state"]),
        (&"not-blocked".into(), &"expired".into())
    );

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
    filter.append(&Entry::policy_loaded(now(), &label("school"), Digest::of(b"2"), vec![], vec![]));
    page.until("it is withdrawn", |page| page.about("games.example")["rules"][0]["state"] == "withdrawn");
    let kept = page.get("/rule/school/no-games");
    assert!(kept.status == 200 && kept.text().contains("Withdrawn"));
}

#[test]
fn whatever_is_asked_gets_a_clear_answer() {
    let filter =
        Filter::running(vec![rule("r", Action::Reject, "hostname == \"xn--mnchen-3ya.example\"")], vec![]);
    let page = filter.page();
    let unicode = page.about("m%C3%BCnchen.example");
    assert_eq!(
        (&unicode["verdict"], &unicode["host"]),
        (&"blocked".into(), &"xn--mnchen-3ya.example".into())
    );
    assert_eq!(unicode["unicode"], "münchen.example");
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
    let mut settings = filter.settings();
    settings.operator = Some("<script>operator</script>".into());
    settings.contact = Some("javascript:alert(2)".into());
    let page = crate::common::Running::start(settings);
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

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
