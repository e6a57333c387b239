//! Logs that are not what they should be.

use std::fs;
use std::time::Duration;

use daylight_policy::audit::{Action, Entry, Signer, SplitView, Writer};

use crate::common::{Filter, ORIGIN, PATIENCE, ago, host, now, rule, totals};

fn filter() -> Filter {
    let mut filter = Filter::running(vec![rule("no-games", Action::Reject, "hostname in $games")], vec![]);
    filter.append(&[totals(ago(60), "no-games", host("games.example"), 5)]);
    filter
}

/// The one bundle of a small log.
fn bundle(filter: &Filter) -> std::path::PathBuf {
    let width = filter.writer.len();
    filter.log().join(format!("tile/entries/000.p/{width}"))
}

/// Puts another, equally long, word into a file.
fn forge(path: &std::path::Path, old: &str, new: &str) {
    let bytes = fs::read(path).unwrap();
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
    let mut forged = bytes;
    forged[at..at + new.len()].copy_from_slice(new.as_bytes());
    fs::write(path, forged).unwrap();
}

#[test]
fn an_entry_that_was_changed_before_the_start_is_found() {
    let filter = filter();
    forge(&bundle(&filter), "\"flows\":5", "\"flows\":4");
    let page = filter.page();
    let (status, log) = page.json("/status");
    assert_eq!((status, &log["state"]), (503, &"damaged".into()), "{log:#}");
    let home = page.get("/");
    assert_eq!(home.status, 503);
    assert!(home.text().contains("The public log is damaged, or was changed"));
    let (status, answer) = page.json("/is-blocked.json?host=games.example");
    assert_eq!((status, &answer["error"]), (503, &"no-log".into()));
    assert_eq!(page.get("/log/checkpoint").status, 503, "nothing that was not verified is given out");
    let folder = filter.folder.path().display().to_string();
    assert!(!home.text().contains(&folder), "where the log lies is nobody's business");
}

#[test]
fn an_entry_that_is_changed_later_is_found_and_what_was_verified_stays() {
    let mut filter = filter();
    let page = filter.page_with(|settings| settings.audit_every = Duration::from_millis(200));
    page.until("it is verified", |page| page.json("/status").1["verified"]["entries"] == 4);
    let path = bundle(&filter);
    let before = fs::read(&path).unwrap();
    forge(&path, "\"flows\":5", "\"flows\":4");
    page.until("it is found", |page| page.json("/status").1["state"] == "damaged");
    let shown = page.get("/is-blocked?host=games.example");
    assert_eq!(shown.status, 200);
    for words in [
        "The public log is damaged, or was changed",
        "What you read below was verified before",
        "Blocked here",
        "There are no proofs",
    ] {
        assert!(shown.text().contains(words), "{words}");
    }
    let (_, answer) = page.json("/is-blocked.json?host=games.example");
    assert!(answer["proofs"].as_array().unwrap().is_empty() && answer["proof_error"].is_string());
    assert_eq!(page.get("/proof/3").status, 503);
    // It is put back: all is well again, and the operator was told both.
    fs::write(&path, before).unwrap();
    page.until("it is sound again", |page| page.json("/status").0 == 200);
    let told = page.told.lock().unwrap().clone();
    assert!(
        told.iter().any(|line| line.contains("changed"))
            && told.iter().any(|line| line.contains("sound again")),
        "{told:?}"
    );
    filter.append(&[totals(now(), "no-games", host("games.example"), 1)]);
    page.until_entries(5);
}

#[test]
fn another_key_is_not_believed() {
    let filter = filter();
    let other = Signer::generate(&filter.folder.path().join("other"), ORIGIN).unwrap();
    let page = filter.page_with(|settings| settings.key = other.verifier_key().clone());
    assert_eq!(page.json("/status").1["state"], "wrong-key");
    let home = page.get("/");
    assert!(home.status == 503 && home.text().contains("signed by another key"));
    assert!(!home.text().contains("Games wait"), "nothing of it is shown");
}

#[test]
fn a_changed_key_is_followed() {
    let mut filter = filter();
    let page = filter.page();
    let new = Signer::generate(&filter.folder.path().join("new"), ORIGIN).unwrap();
    let new_key = new.verifier_key().to_string();
    filter.writer.rotate(now(), new).unwrap();
    filter.append(&[totals(now(), "no-games", host("late.example"), 1)]);
    page.until_entries(6);
    let (status, log) = page.json("/status");
    assert_eq!((status, log["key"].as_str()), (200, Some(new_key.as_str())));
    let answer = page.about("late.example");
    assert!(answer["verdict"] == "blocked" && !answer["proofs"].as_array().unwrap().is_empty());
}

#[test]
fn a_history_that_was_written_anew_is_a_split_view_with_evidence() {
    let mut filter = filter();
    let page = filter.page();
    // The operator's own key signs another history of the same length and more.
    let kept = filter.folder.path().join("key-copy");
    fs::copy(filter.folder.path().join("key"), &kept).unwrap();
    let other = filter.folder.path().join("other-log");
    let mut writer = Writer::create(&other, Signer::open(&kept).unwrap()).unwrap();
    let rules = vec![rule("nothing", Action::Log, "true")];
    let started =
        daylight_policy::audit::Event::FilterStarted { software: crate::common::text("daylight 0.1.0") };
    writer.append(&[Entry { time: ago(7200), event: started }]).unwrap();
    let (name, version) = (crate::common::label("school"), daylight_policy::audit::Digest::of(b"other"));
    writer.append(&Entry::policy_loaded(ago(7199), &name, version, None, rules, vec![])).unwrap();
    for _ in 0..3 {
        writer.append(&[totals(ago(50), "nothing", host("games.example"), 5)]).unwrap();
    }
    drop(writer);
    fs::rename(filter.log(), filter.folder.path().join("old-log")).unwrap();
    fs::rename(&other, filter.log()).unwrap();
    page.until("it is found", |page| page.json("/status").1["state"] == "split");
    let home = page.get("/");
    assert!(home.text().contains("contradicts itself") && home.text().contains("/split-view"));
    let evidence: SplitView = page.get("/split-view").text().parse().unwrap();
    evidence.verify(&filter.key).unwrap();
    assert_eq!(page.about("games.example")["verdict"], "blocked", "what was verified first is what is shown");
    // The first history is put back. That the second was signed stays true.
    fs::rename(filter.log(), &other).unwrap();
    fs::rename(filter.folder.path().join("old-log"), filter.log()).unwrap();
    filter.append(&[totals(now(), "no-games", host("late.example"), 1)]);
    page.until_entries(5);
    assert_eq!(
        (page.json("/status").1["state"].as_str(), page.get("/split-view").status),
        (Some("split"), 200)
    );
}

#[test]
fn a_log_that_comes_later_is_read_then() {
    let filter = Filter::new();
    let later = filter.folder.path().join("later");
    let page = filter.page_with(|settings| settings.log = later.clone());
    assert_eq!(page.json("/status").1["state"], "unreadable");
    assert!(page.get("/").text().contains("can’t be read"));
    fs::rename(filter.log(), &later).unwrap();
    page.until("it is read", |page| page.json("/status").0 == 200);
    assert!(PATIENCE > Duration::ZERO && page.get("/").text().contains("No rule is in force"));
}

#[test]
fn a_log_that_grows_while_it_is_verified_is_sound_all_the_time() {
    let mut filter = filter();
    let page = filter.page_with(|settings| settings.audit_every = Duration::ZERO);
    // Over the edge of a full tile, where partial ones go away.
    for round in 0..40_u64 {
        let entries: Vec<Entry> = (0..1 + round % 17)
            .map(|_| totals(now(), "no-games", host(&format!("h{round}.example")), 1))
            .collect();
        filter.append(&entries);
        assert_eq!(page.json("/status").0, 200);
    }
    assert!(filter.writer.len() > 300);
    page.until_entries(filter.writer.len());
    page.until("all of it is verified", |page| {
        page.json("/status").1["verified"]["entries"] == filter.writer.len()
    });
    assert_eq!(*page.told.lock().unwrap(), Vec::<String>::new());
}
