//! When rules apply, and which has the say: what the log tells of it, and logs that don't.

use super::*;
use crate::{Hours, Match};

const LOADED: &str = r#"{"time":"2026-11-23T00:00:00Z","kind":"policy-loaded","policy":"school","version":"VERSION","rules":1,"lists":0,"match":"first","default":"allow","timezone":"Europe/Berlin"}"#;
const RULE: &str = r#"{"time":"2026-11-23T00:00:00Z","kind":"rule","policy":"school","rule":"games","action":"reject","condition":"hostname in $malware","reason":"It spreads malware","authority":"Head of the school","expires":"2028-10-17T10:40:00Z","hours":[{"days":"mon,tue,wed,thu","from":"08:00","to":"16:00"},{"days":"fri","from":"22:00","to":"24:00"}]}"#;

fn terms(matching: Match, timezone: &str) -> Terms {
    Terms { matching, default: Otherwise::Allow, timezone: label(timezone) }
}

/// Monday to Thursday, 08:00 to 16:00, and Friday from 22:00.
fn school() -> Rule {
    let lessons = Hours { days: 0b1111, from: 480, to: 960 };
    let friday = Hours { days: 0b1_0000, from: 1320, to: 1440 };
    Rule { hours: vec![lessons, friday], ..rule("games") }
}

fn loaded(rule: Rule, terms: Option<Terms>) -> Vec<Entry> {
    Entry::policy_loaded(time(0), &label("school"), Digest::of(b"policy"), terms, vec![rule], vec![])
}

#[test]
fn terms_have_one_encoding() {
    let entries = loaded(school(), Some(terms(Match::First, "Europe/Berlin")));
    let [of_load, of_rule] = [0, 1].map(|at| String::from_utf8(entries[at].encode().unwrap()).unwrap());
    assert_eq!(of_load, LOADED.replace("VERSION", &Digest::of(b"policy").to_string()));
    assert_eq!(of_rule, RULE);
    for (entry, text) in entries.iter().zip([&of_load, &of_rule]) {
        assert_eq!(Entry::decode(text.as_bytes()).unwrap(), *entry);
    }
    for (from, to) in [
        ("\"first\"", "\"last\""),
        ("\"allow\"", "\"drop\""),
        ("\"Europe/Berlin\"", "\"192.0.2.1\""),
        (",\"default\":\"allow\"", ""),
        (",\"timezone\":\"Europe/Berlin\"", ""),
        ("\"match\":\"first\",\"default\":\"allow\"", "\"default\":\"allow\",\"match\":\"first\""),
        ("mon,tue,wed,thu", "mon-thu"),
        ("mon,tue,wed,thu", "tue,mon,wed,thu"),
        ("mon,tue,wed,thu", "Mon,tue,wed,thu"),
        ("mon,tue,wed,thu", ""),
        ("\"08:00\"", "\"8:00\""),
        ("\"08:00\"", "\"16:00\""),
        ("\"08:00\"", "480"),
        ("\"24:00\"", "\"00:00\""),
        ("{\"days\":\"fri\",", "{\"day\":\"fri\",\"days\":\"fri\","),
    ] {
        let whole = if of_load.contains(from) { &of_load } else { &of_rule };
        let changed = whole.replacen(from, to, 1);
        assert_ne!(*whole, changed);
        assert!(Entry::decode(changed.as_bytes()).is_err(), "{changed}");
    }
    let none = format!("{},\"hours\":[]}}", RULE.split(",\"hours\"").next().unwrap());
    assert!(Entry::decode(none.as_bytes()).is_err(), "no hours are left out");
}

/// A log as it was written before: it verifies, and says nothing of hours.
#[test]
fn logs_without_terms_verify_and_read_as_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), signer()).unwrap();
    let entries = loaded(rule("games"), None);
    let text = String::from_utf8(entries[0].encode().unwrap()).unwrap();
    assert!(text.ends_with("\"rules\":1,\"lists\":0}"), "{text}");
    writer.append(&entries).unwrap();
    assert_eq!(verify(folder.path(), &key()).unwrap().kinds["rule"], 1);
    let mut history = History::default();
    entries.iter().zip(0..).for_each(|(entry, index)| history.add(index, entry));
    let found = history.rule(&label("school"), &label("games"), time(1)).unwrap();
    assert_eq!((found.terms, found.in_hours), (None, true));
    // Hours of which nobody knows the zone say nothing.
    let folder = tempfile::tempdir().unwrap();
    Writer::create(folder.path(), signer()).unwrap().append(&loaded(school(), None)).unwrap();
    let result = verify(folder.path(), &key());
    assert!(matches!(result, Err(AuditError::Content { index: 1, .. })), "{result:?}");
}

#[test]
fn the_log_alone_tells_whether_a_rule_applies_now() {
    let ask = |timezone: &str, at: &str| {
        let mut history = History::default();
        let entries = loaded(school(), Some(terms(Match::All, timezone)));
        entries.iter().zip(0..).for_each(|(entry, index)| history.add(index, entry));
        let id = [(label("school"), label("games"))];
        let answer = history.answer(&host("x.example"), Timestamp::parse(at).unwrap(), &id);
        assert_eq!(answer.findings[0].terms, Some(terms(Match::All, timezone)));
        assert_eq!(answer.findings[0].standing, Standing::InForce);
        assert_eq!(answer.blocked, answer.findings[0].in_hours);
        answer.blocked
    };
    // A Monday in winter: one hour ahead of UTC, or three.
    for (timezone, at, blocked) in [
        ("Europe/Berlin", "2026-11-23T06:59:59Z", false),
        ("Europe/Berlin", "2026-11-23T07:00:00Z", true),
        ("Europe/Minsk", "2026-11-23T06:00:00Z", true),
        ("Europe/Minsk", "2026-11-23T13:00:00Z", false),
        ("UTC", "2026-11-27T21:59:59Z", false),
        ("UTC", "2026-11-27T22:00:00Z", true),
        ("UTC", "2026-11-28T00:00:00Z", false),
        // Where this program doesn't know the zone, it does not say that the rule rests.
        ("Mars/Olympus", "2026-11-28T00:00:00Z", true),
    ] {
        assert_eq!(ask(timezone, at), blocked, "{timezone} {at}");
    }
}
