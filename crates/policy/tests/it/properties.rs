//! What holds for every policy.

use std::sync::Arc;

use daylight_inspect::Counters;
use daylight_policy::{Decision, Early, FieldSet, FlowState, Judge, Stage, check};
use proptest::prelude::*;

use crate::world::{HEAD, NOW, files, parse, policy, record, rule};

/// Pieces of policies in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[policy]\n",
        "name = \"a\"\n",
        "match = \"all\"\n",
        "[[list]]\n",
        "[[rule]]\n",
        "when = 'dst_port == 80'\n",
        "when = \"x\\u0041 == \\\"\"\n",
        "action = \"limit\"\n",
        "rate = \"1 bit/s\"\n",
        "per = \"flow\"\n",
        "reason = \"r\"\n",
        "authority = \"a\"\n",
        "expires = 2030-01-01\n",
        "expires = \"x\"\n",
        "hours = [{}]\n",
        "kind = \"domains\"\n",
        "file = \"l\"\n",
        "format = \"rpz\"\n",
        "column = 3\n",
        "rule = 1\n",
        "[rule]\n",
        "=",
        "\"",
        "'''",
        "é",
        "\u{0}",
        "timezone = \"Asia/Tokyo\"\n",
        "when = '''\n\n hostname in $l'''\n",
        "appeal = \"\"\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "dst_port == 443",
        "dst_port in {80, 8080}",
        "src_bytes > 500",
        "dst_bytes <= 900",
        "hostname",
        "protocol == \"tls\"",
        "src_ip == 10.0.0.0/8",
        "risks == \"x\"",
        "tls",
        "duration_s > 2",
    ]);
    (leaf.clone(), prop::sample::select(vec![" and ", " or ", " xor "]), leaf, any::<bool>())
        .prop_map(|(a, op, b, not)| format!("{}({a}{op}{b})", if not { "not " } else { "" }))
}

fn rules() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec!["allow", "drop", "reject", "log"]);
    prop::collection::vec((condition(), action), 1..8).prop_map(|rules| {
        let rules = rules.iter().enumerate();
        rules
            .map(|(at, (when, action))| rule(&format!("r{at}"), when, &format!("action = \"{action}\"")))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_loads_or_is_refused_with_a_place(text in prop_oneof![soup(), "\\PC{0,80}"]) {
        if let Err(error) = parse(&text, &[("l", "a.test\n")]) {
            prop_assert!(!error.problems().is_empty());
            prop_assert!(error.to_string().contains(" --> test.toml:"));
        }
    }

    #[test]
    fn any_list_is_read_or_refused(text in "[ -~\n\t;,|^$é]{0,200}", kind in 0..5_usize, format in 0..6_usize) {
        let kind = ["domains", "prefixes", "ja4", "sha256", "text"][kind];
        let format = ["plain", "hosts", "adblock", "rpz", "csv", "auto"][format];
        let policy = format!("{HEAD}[[list]]\nname = \"l\"\nkind = \"{kind}\"\nformat = \"{format}\"\nfile = \"l\"\n");
        let _ = daylight_policy::Policy::parse(&policy, "t", &files(&[("l", &text)]), None);
    }

    /// An early verdict is that of the complete record, by the same rule, and stays.
    #[test]
    fn early_verdicts_are_the_final_ones(rules in rules(), all in any::<bool>(), port in prop::sample::select(vec![80, 443, 22]), bytes in (0..1000_u64, 0..1000_u64)) {
        let matching = if all { "match = \"all\"\n" } else { "" };
        let policy = policy(&format!("{HEAD}{matching}{rules}"), &[]);
        let mut judge = Judge::new(Arc::clone(&policy));
        let mut end = record();
        end.ends.dst_port = port;
        end.src = Counters { bytes: bytes.0, ..Counters::default() };
        end.dst = Counters { bytes: bytes.1, ..Counters::default() };
        end.end_ns += 3_000_000_000;
        let last = judge.judge(&end, NOW);
        let mut state = FlowState::default();
        let mut before = None;
        for (stage, share) in [(Stage::Begun, 0), (Stage::Identified, 1), (Stage::Read, 2), (Stage::Ended, 4)] {
            let mut now = end.clone();
            now.src.bytes = end.src.bytes * share / 4;
            now.dst.bytes = end.dst.bytes * share / 4;
            now.end_ns = end.start_ns + (end.end_ns - end.start_ns) * share as i64 / 4;
            let row = Early::new(policy.fields(), &now, stage);
            let decision = judge.decide(&row, NOW, FieldSet::ALL, &mut state);
            let explained = policy.explain(&row, NOW).decided;
            match decision {
                Decision::Undecided { .. } => prop_assert!(before.is_none() && explained.is_none()),
                Decision::Decided { verdict, rule } => {
                    prop_assert_eq!((verdict, rule), last);
                    prop_assert_eq!(explained, Some(last));
                    before = Some(last);
                }
            }
        }
        prop_assert_eq!(before, Some(last));
    }

    /// What is said to be shadowed never has the say.
    #[test]
    fn shadowed_rules_never_decide(rules in rules(), all in any::<bool>(), ports in prop::collection::vec(prop::sample::select(vec![80, 443, 8080, 22]), 8), bytes in prop::collection::vec((0..1500_u64, 0..1500_u64), 8)) {
        let matching = if all { "match = \"all\"\n" } else { "" };
        let policy = policy(&format!("{HEAD}{matching}{rules}"), &[]);
        let report = check(&policy, NOW);
        let mut judge = Judge::new(Arc::clone(&policy));
        for (port, bytes) in ports.into_iter().zip(bytes) {
            let mut record = record();
            record.ends.dst_port = port;
            (record.src.bytes, record.dst.bytes) = bytes;
            if let (_, Some(at)) = judge.judge(&record, NOW) {
                let rule = &policy.rules()[at as usize];
                let wrong = report.findings.iter().find(|finding| {
                    finding.line == rule.line
                        && matches!(finding.kind, daylight_policy::Kind::Shadowed | daylight_policy::Kind::Impossible)
                });
                prop_assert!(wrong.is_none(), "{:?} of {}", wrong, rule.condition.source());
            }
        }
    }
}
