//! Verdicts, early and late.

use std::sync::Arc;

use daylight_inspect::Counters;
use daylight_policy::{Counter, Decision, Early, FieldSet, FlowState, Judge, Policy, Stage, Verdict};

use crate::world::{HEAD, NOW, allow, drop, id, policy, record, rule};

fn reject(name: &str, when: &str) -> String {
    rule(name, when, "action = \"reject\"")
}

/// The verdict and the rule's name on a record that is complete.
fn verdict(policy: &Arc<Policy>, now_ns: i64) -> (&'static str, String) {
    let (verdict, rule) = Judge::new(Arc::clone(policy)).judge(&record(), now_ns);
    let name = rule.map(|at| policy.rules()[at as usize].name.clone());
    (verdict.name(), name.map_or_else(String::new, String::from))
}

#[test]
fn the_first_or_the_strictest_rule_has_the_say() {
    let rules = [
        allow("a", "dst_port == 443"),
        reject("r", "dst_port == 443"),
        drop("d1", "dst_port == 443"),
        drop("d2", "dst_port == 443"),
        drop("no", "dst_port == 80"),
    ]
    .concat();
    let first = policy(&format!("{HEAD}{rules}"), &[]);
    assert_eq!(verdict(&first, NOW), ("allow", "a".to_owned()));
    let all = policy(&format!("{HEAD}match = \"all\"\n{rules}"), &[]);
    assert_eq!(verdict(&all, NOW), ("drop", "d1".to_owned()));
    let none = policy(&format!("{HEAD}{}", drop("no", "dst_port == 80")), &[]);
    assert_eq!(verdict(&none, NOW), ("allow", String::new()));
    let rest = [allow("a", "dst_port == 80"), reject("rest", "true")].concat();
    let rest = policy(&format!("{HEAD}{rest}"), &[]);
    assert_eq!(verdict(&rest, NOW), ("reject", "rest".to_owned()));
}

#[test]
fn a_later_rule_waits_for_an_earlier_one() {
    let text = [drop("name", "hostname == \"x.test\""), allow("port", "dst_port == 443")].concat();
    let policy = policy(&format!("{HEAD}{text}"), &[]);
    let mut judge = Judge::new(Arc::clone(&policy));
    let (record, mut state) = (record(), FlowState::default());
    let mut at = |stage, changed, state: &mut FlowState| {
        judge.decide(&Early::new(policy.fields(), &record, stage), NOW, changed, state)
    };
    let waiting = Decision::Undecided { waiting_for: 0 };
    assert_eq!(at(Stage::Begun, FieldSet::ALL, &mut state), waiting);
    assert_eq!(at(Stage::Identified, FieldSet::ALL, &mut state), waiting);
    // Nothing that the rule reads has changed: it isn't asked, whatever is known.
    let port = policy.fields().set(&[id("dst_port")]);
    assert_eq!(at(Stage::Read, port, &mut state), waiting);
    let name = policy.fields().set_of(|field| &*field.name == "hostname");
    assert!(name != port && name.meets(FieldSet::ALL) && !name.meets(port));
    let decided = Decision::Decided { verdict: Verdict::Allow, rule: Some(1) };
    assert_eq!(at(Stage::Read, name, &mut state), decided);
    // What was kept can be thrown away.
    assert_eq!(at(Stage::Read, FieldSet::NONE, &mut FlowState::default()), decided);
}

#[test]
fn with_all_match_only_rules_that_would_win_are_waited_for() {
    let late = "hostname == \"x.test\"";
    let text =
        [allow("a", late), reject("r1", late), drop("d", "dst_port == 443"), drop("d2", late)].concat();
    let policy = policy(&format!("{HEAD}match = \"all\"\n{text}"), &[]);
    let mut judge = Judge::new(Arc::clone(&policy));
    let record = record();
    let row = Early::new(policy.fields(), &record, Stage::Begun);
    let decision = judge.decide(&row, NOW, FieldSet::ALL, &mut FlowState::default());
    assert_eq!(decision, Decision::Decided { verdict: Verdict::Drop, rule: Some(2) });
}

#[test]
fn bytes_that_grow_decide_as_soon_as_they_can() {
    let limit = "action = \"limit\"\nrate = \"1 Mbit/s\"\nper = \"flow\"";
    let policy = policy(&format!("{HEAD}{}", rule("long", "src_bytes + dst_bytes > 1000", limit)), &[]);
    let mut judge = Judge::new(Arc::clone(&policy));
    let mut state = FlowState::default();
    for (bytes, decided) in [(10, false), (900, false), (1001, true)] {
        let mut record = record();
        record.dst = Counters { bytes, ..Counters::default() };
        let row = Early::new(policy.fields(), &record, Stage::Begun);
        let decision = judge.decide(&row, NOW, FieldSet::ALL, &mut state);
        assert_eq!(matches!(decision, Decision::Decided { .. }), decided, "{bytes}");
    }
}

#[test]
fn hours_and_expiry_put_rules_out_of_force() {
    const DAY: i64 = 86_400_000_000_000;
    // 2026-05-28 20:26:40 UTC, a Thursday.
    let text = rule(
        "one",
        "true",
        "action = \"drop\"\nhours = [{ days = \"thu\", from = \"20:00\", to = \"21:00\" }]",
    );
    let policy = policy(&format!("{HEAD}{}", text.replace("2099-12-31", "2026-06-10")), &[]);
    let name = |now| verdict(&policy, now).1;
    assert_eq!(name(NOW), "one");
    assert_eq!(name(NOW + DAY), "");
    assert_eq!(name(NOW + 7 * DAY), "one");
    // The tenth is a Wednesday; after it the rule is over.
    assert_eq!(name(NOW + 14 * DAY), "");
    let said = policy.explain(&record(), NOW + 14 * DAY).to_string();
    assert!(said.contains("not in force: it expired (2026-06-10)"), "{said}");
    assert!(
        policy.explain(&record(), NOW + DAY).to_string().contains("outside its hours (thu 20:00-21:00, UTC)")
    );
    // One judge and one flow over the border.
    let mut judge = Judge::new(Arc::clone(&policy));
    let mut state = FlowState::default();
    let until = judge.until_ns(NOW);
    assert_eq!(until - NOW, 2_000 * 1_000_000_000);
    let mut at = |now| judge.decide(&record(), now, FieldSet::NONE, &mut state);
    assert!(matches!(at(until - 1), Decision::Decided { verdict: Verdict::Drop, .. }));
    assert!(matches!(at(until), Decision::Decided { verdict: Verdict::Allow, rule: None }));
    assert!(matches!(at(until - 1), Decision::Decided { verdict: Verdict::Drop, .. }));
}

#[test]
fn rules_that_log_neither_decide_nor_hold_up() {
    let log = |name: &str, when: &str| rule(name, when, "action = \"log\"");
    let text = [
        log("l1", "dst_port == 443"),
        log("l2", "hostname"),
        drop("d", "dst_port == 443"),
        log("l3", "true"),
    ];
    for (head, logged) in [("", vec![0]), ("match = \"all\"\n", vec![0, 3])] {
        let policy = policy(&format!("{HEAD}{head}{}", text.concat()), &[]);
        let mut judge = Judge::new(Arc::clone(&policy));
        let record = record();
        let row = Early::new(policy.fields(), &record, Stage::Begun);
        let decision = judge.decide(&row, NOW, FieldSet::ALL, &mut FlowState::default());
        assert_eq!(decision, Decision::Decided { verdict: Verdict::Drop, rule: Some(2) });
        assert_eq!(judge.logging(&record, Some(2), NOW), logged);
    }
}

#[test]
fn a_dry_run_counts_flows_and_bytes() {
    let log = rule("log", "src_ip == 10.0.0.0/8", "action = \"log\"");
    let policy = policy(&format!("{HEAD}{log}{}", drop("d", "dst_port == 443")), &[]);
    let mut counter = Counter::new(policy);
    for port in [443, 443, 80] {
        let mut record = record();
        record.ends.dst_port = port;
        (record.src.bytes, record.dst.bytes) = (100, 50);
        counter.add(&record);
    }
    assert_eq!([counter.rule(0).flows, counter.rule(1).flows, counter.others().flows], [3, 2, 1]);
    assert_eq!([counter.rule(0).bytes, counter.rule(1).bytes, counter.others().bytes], [450, 300, 150]);
}

#[test]
fn an_explanation_names_fields_values_and_entries() {
    let text = format!(
        "{HEAD}[[list]]\nname = \"l\"\nkind = \"prefixes\"\nfile = \"l\"\n{}{}",
        drop("one", "dst_port == 443 and dst_ip in $l"),
        allow("two", "hostname == \"x\" or dst_port == 80")
    );
    let policy = policy(&text, &[("l", "203.0.113.0/28\n")]);
    let said = policy.explain(&record(), NOW).to_string();
    let expected = "one (line 7, drop): holds\n    dst_port == 443: yes (dst_port = 443)\n    dst_ip in $l: yes (dst_ip = 203.0.113.5), by the entry 203.0.113.0/28\ntwo (line 14, allow): does not hold\n    hostname == \"x\": no (hostname is absent)\n    dst_port == 80: no (dst_port = 443)\ndrop: by one (the first rule that holds has the say)\n";
    assert_eq!(said, expected);
    let record = record();
    let early = Early::new(policy.fields(), &record, Stage::Begun);
    let two = &policy.explain(&early, NOW).rules[1];
    assert_eq!((two.holds, two.why[0].holds), (None, None));
}
