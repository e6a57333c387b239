//! The other pages, and how they are given out.

use daylight_policy::audit::{Action, Digest, Entry, Event, List, Rule, Target};
use daylight_policy::{Basis, rule_path};

use crate::common::{Filter, ago, host, label, listed, now, rule, text, totals};

fn filter() -> Filter {
    let list =
        List { policy: label("school"), list: label("games"), digest: Digest::of(b"games"), entries: 7 };
    let rules = vec![
        rule("no-games", Action::Reject, "hostname in $games"),
        rule("slow / 100%.json", Action::Limit, "true"),
    ];
    Filter::running(rules, vec![list])
}

#[test]
fn the_first_page_tells_what_is_in_force_and_what_it_stopped() {
    let mut filter = filter();
    let times = [ago(7000), ago(60)];
    filter.append(&[
        totals(times[0], "no-games", listed("games.example"), 1200),
        totals(times[1], "no-games", host("x.example"), 34),
    ]);
    let page = filter.page_with(|settings| {
        settings.operator = Some("Example School".into());
        settings.contact = Some("mailto:it@school.example".into());
    });
    let home = page.get("/");
    assert_eq!((home.status, home.content_type.as_str()), (200, "text/html; charset=utf-8"));
    for words in [
        "Example School",
        "mailto:it@school.example",
        "Games wait until lessons are over",
        "Board of Example School, decision 8",
        "1 August 2029, 00:00\u{a0}UTC",
        "mailto:board@example.org",
        "1,234",
        "The filter has been running since",
        "action=\"/is-blocked\"",
    ] {
        assert!(home.text().contains(words), "{words}");
    }
    let (status, data) = page.json("/index.json");
    assert_eq!(
        (status, &data["rules"][0]["rule"], &data["rules"][0]["last_day"]["flows"]),
        (200, &"no-games".into(), &1234.into())
    );
    let hours = data["rules"][0]["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    assert_eq!(hours.iter().map(|hour| hour["flows"].as_u64().unwrap()).sum::<u64>(), 1234);
    assert_eq!((&data["filter"]["state"], &data["log"]["state"]), (&"running".into(), &"sound".into()));
    assert_eq!(data["policy"]["lists"][0]["entries"], 7);
}

#[test]
fn a_rule_tells_on_what_basis_it_stands() {
    let on = |basis, name| Rule { basis, ..rule(name, Action::Reject, "hostname == \"bad.example\"") };
    let rules = vec![on(Basis::Operator, "own"), on(Basis::External, "court"), on(Basis::Client, "parents")];
    let filter = Filter::running(rules, vec![]);
    let page = filter.page();
    for (rule, basis, words) in [
        ("own", "operator", "The operator's own decision"),
        ("court", "external", "Required by somebody outside"),
        ("parents", "client", "Asked for by the clients, or by who answers for them"),
    ] {
        let path = format!("/rule/school/{rule}");
        assert_eq!(page.json(&format!("{path}.json")).1["basis"], basis);
        for path in [&*path, "/", "/is-blocked?host=bad.example"] {
            assert!(page.get(path).text().contains(words), "{path}: {words}");
        }
        // Among many it is said where it is not what most are.
        assert_eq!(page.get("/rules").text().contains(&words[1..]), basis != "operator", "{words}");
        let answer = page.about("bad.example");
        let found = answer["rules"].as_array().unwrap().iter().find(|found| found["rule"] == rule).unwrap();
        assert_eq!(found["basis"], basis);
    }
}

#[test]
fn entries_that_have_no_names_are_told_by_their_lines() {
    let mut filter = filter();
    let at = |file: &[u8], line| Target::ListLine { list: label("games"), digest: Digest::of(file), line };
    filter.append(&[
        totals(ago(7000), "no-games", at(b"games", 17), 1200),
        totals(ago(60), "no-games", at(b"games", 17), 34),
        totals(ago(60), "no-games", at(b"as it was", 17), 5),
    ]);
    let page = filter.page();
    let (_, data) = page.json("/rule/school/no-games.json");
    let lines = data["lines"].as_array().unwrap();
    let told = lines.iter().map(|line| (&line["line"], &line["flows"], &line["in_force"], &line["index"]));
    let expected = [(17, 1234, true, 6), (17, 5, false, 7)];
    for (told, (line, flows, in_force, index)) in told.zip(expected) {
        assert_eq!(told, (&line.into(), &flows.into(), &in_force.into(), &index.into()));
    }
    assert_eq!((lines.len(), &lines[0]["digest"]), (2, &Digest::of(b"games").to_string().into()));
    let shown = page.get("/rule/school/no-games");
    for words in
        ["Line 17 of the list “games”", "Line 17 of the list “games”, as it was before", "1,234", "/proof/6"]
    {
        assert!(shown.text().contains(words), "{words}");
    }
    assert!(page.get("/log").text().contains("at line 17 of the list “games”"));
    assert!(page.json("/rule/school/slow%20%2F%20100%25.json.json").1["lines"].is_null());
}

#[test]
fn every_page_is_there_in_both_forms() {
    let filter = filter();
    let page = filter.page();
    let odd = rule_path(&label("school"), &label("slow / 100%.json"));
    for path in ["/rules", "/log", "/is-blocked?host=a.example", "/rule/school/no-games", &odd, "/"] {
        let shown = page.asking(path, Some("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert_eq!((shown.status, shown.content_type.as_str()), (200, "text/html; charset=utf-8"), "{path}");
        let data = page.asking(path, Some("application/json"));
        assert_eq!((data.status, data.content_type.as_str()), (200, "application/json"), "{path}");
        let value: serde_json::Value = serde_json::from_slice(&data.body).unwrap();
        assert!(value.is_object());
    }
    for path in [
        "/rules.json",
        "/log.json",
        "/is-blocked.json?host=a.example",
        "/rule/school/no-games.json",
        "/proof/0.json",
        "/status.json",
    ] {
        assert_eq!(page.json(path).0, 200, "{path}");
    }
    assert_eq!(page.get("/style.css").content_type, "text/css; charset=utf-8");
    assert_eq!(page.get("/icon.svg").content_type, "image/svg+xml");
    assert!(page.get("/robots.txt").text().contains("Disallow: /is-blocked"));
}

#[test]
fn what_is_not_there_is_not_found() {
    let filter = filter();
    let page = filter.page();
    for path in [
        "/nothing",
        "/rule/school/none",
        "/rule/school",
        "/rule/a/b/c",
        "/proof/999",
        "/proof/-1",
        "/proof/01",
        "/proof/x",
        "/split-view",
        "/log/tile/0/000",
        "/log/tile/0/000.p/99",
        "/log/tile/entries/../../../key",
        "/log/tile/entries/%2e%2e/key",
        "/log/lock",
        "/log/tile/0/..%2f..%2f..%2fkey",
        "/../key",
        "//",
        "/rules/",
        "/%2e%2e/key",
    ] {
        let answer = page.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("PRIVATE"), "{path}");
    }
    assert_eq!(page.get("/%FF").status, 400);
    assert_eq!(page.json("/nothing.json").1["error"], "not-found");
}

#[test]
fn answers_are_kept_by_those_who_may() {
    let filter = filter();
    let page = filter.page();
    for (path, cache) in [
        ("/is-blocked?host=a.example", "no-store"),
        ("/is-blocked.json?host=192.0.2.1", "no-store"),
        ("/", "public, max-age=2"),
        ("/log/checkpoint", "public, max-age=2"),
        ("/log/tile/0/000.p/5", "public, max-age=31536000, immutable"),
        ("/log/tile/0/009", "no-store"),
        ("/status", "no-store"),
    ] {
        assert_eq!(page.get(path).cache, cache, "{path}");
    }
    let shown = page.get("/");
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("vary", "accept"),
    ] {
        assert!(
            shown.headers.contains(&format!("\"{header}\": \"{value}\"")),
            "{header} in {}",
            shown.headers
        );
    }
    assert!(!shown.headers.contains("set-cookie") && !shown.headers.contains("access-control"));
    assert!(page.get("/rules.json").headers.contains("\"access-control-allow-origin\": \"*\""));
    // Everything that a page loads is of the page's own.
    for path in ["/", "/rules", "/log", "/is-blocked?host=a.example"] {
        let html = page.get(path).text().to_owned();
        assert!(!html.contains("<script") && !html.contains(" style=") && !html.contains("src="), "{path}");
        for link in html.split("<link ").skip(1) {
            assert!(link.contains("href=\"/"), "{path}: {link}");
        }
    }
}

#[test]
fn entries_come_in_as_the_filter_writes_them() {
    let mut filter = filter();
    let page = filter.page();
    assert_eq!(page.json("/status").1["entries"], 5);
    for round in 1..=3_u64 {
        filter.append(&[totals(now(), "no-games", host(&format!("h{round}.example")), round)]);
        page.until_entries(5 + round);
        assert_eq!(page.about(&format!("h{round}.example"))["verdict"], "blocked");
    }
    filter.append(&[Entry {
        time: now(),
        event: Event::PolicyRefused {
            policy: label("new"),
            version: Digest::of(b"n"),
            why: text("line 3: no reason"),
        },
    }]);
    page.until_entries(9);
    assert!(page.get("/").text().contains("line 3: no reason"));
    let log = page.get("/log");
    assert!(log.text().contains("was refused: line 3: no reason") && log.text().contains("h3.example"));
    assert_eq!(page.json("/log.json").1["latest"][0]["index"], 8);
}

#[test]
fn a_log_that_is_not_written_for_long_is_noted() {
    let filter = filter();
    let page = filter.page_with(|settings| settings.stale_after = std::time::Duration::from_secs(600));
    assert!(page.get("/rules").text().contains("Nothing was written into the log for long"));
    assert_eq!(page.json("/status").1["stale"], true);
    let page = filter.page();
    assert!(!page.get("/rules").text().contains("for long"));
}

/// A filter that was killed writes no more, not even that it ended. Beside a copy of a log there is nothing to tell that by.
#[test]
fn a_filter_that_was_killed_is_noted() {
    let filter = filter();
    let page = filter.page();
    let is_silent = |page: &crate::common::Running| !page.json("/status").1["silent_since"].is_null();
    assert!(!is_silent(&page));
    let settings = filter.settings();
    let mut counts = settings.log.into_os_string();
    counts.push(".counts");
    let counts = std::fs::File::create(counts).unwrap();
    let last = std::time::SystemTime::now() - std::time::Duration::from_secs(300);
    counts.set_modified(last).unwrap();
    page.until("it is missed", is_silent);
    let home = page.get("/");
    assert!(home.text().contains("It has not been running since about"), "{}", home.text());
    assert!(!home.text().contains("The filter has been running since"));
    counts.set_modified(std::time::SystemTime::now()).unwrap();
    page.until("it is back", |page| !is_silent(page));
    assert!(page.get("/").text().contains("The filter has been running since"));
}
