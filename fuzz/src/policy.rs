//! Policies and their lists. Input: the policy, a zero byte, and the text of every list that it names.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use daylight_inspect::FlowRecord;
use daylight_policy::audit::{Counts, Entry, Event, Timestamp, Totals};
use daylight_policy::{Decision, Early, FieldSet, Files, FlowState, Judge, Kind, Policy, Stage, check};

use crate::engine;

const NAME: &str = "fuzz.toml";
const NOW: i64 = 1_780_000_000_000_000_000;

/// Records of some flows, for policies to be asked about.
static RECORDS: LazyLock<Vec<FlowRecord>> = LazyLock::new(|| engine::records(engine::SAMPLE));

/// The same text, whatever file is asked for.
struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn read(&self, _: &Path, _: u64) -> std::io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let files = One(parts.next().unwrap_or_default());
    let policy = match Policy::parse(&text, NAME, &files, None) {
        Ok(policy) => Arc::new(policy),
        Err(error) => {
            assert!(!error.problems().is_empty());
            for problem in error.problems() {
                assert!(problem.report().contains(" --> fuzz.toml:"), "{}", problem.report());
                assert!(problem.line <= text.matches('\n').count() + 1);
            }
            return;
        }
    };
    let now = Timestamp::from_unix_s(NOW / 1_000_000_000).expect("a time");
    for entry in policy.entries(now).expect("what loads can be told") {
        entry.encode().expect("an entry");
    }
    for rule in policy.rules() {
        let said = [rule.name.as_str(), rule.reason.as_str(), rule.authority.as_str(), &rule.expires];
        assert!(said.iter().all(|text| !text.trim().is_empty()), "no anonymous rule loads");
    }
    let again = Policy::parse(&text, NAME, &files, Some(&policy)).expect("it loaded before");
    for (a, b) in policy.lists().iter().zip(again.lists()) {
        assert!(Arc::ptr_eq(a.list(), b.list()), "a list that did not change is shared");
    }
    let findings = check(&policy, NOW).findings;
    let mut judge = Judge::new(Arc::clone(&policy));
    for record in RECORDS.iter() {
        let last = judge.judge(record, NOW);
        assert_eq!(policy.explain(record, NOW).decided, Some(last));
        if let Some(rule) = last.1.and_then(|at| policy.rules().get(at as usize)) {
            let never = |kind: Kind| matches!(kind, Kind::Shadowed | Kind::Impossible | Kind::Expired);
            // Two rules can stand in one line, if they are in an array.
            let found =
                findings.iter().find(|finding| finding.subject == rule.name.as_str() && never(finding.kind));
            assert!(found.is_none(), "{found:?} had the say");
            let (name, rule_name) = (policy.name().clone(), rule.name.clone());
            let target = policy.target(rule, record, None);
            let (hour, counts) = (now.hour(), Counts::default());
            let totals = Totals { hour, policy: name, rule: rule_name, target, counts };
            let entry = Entry { time: now, event: Event::Totals(totals) };
            let encoded = entry.encode().expect("whatever is stopped can be told");
            assert_eq!(Entry::decode(&encoded).expect("an entry"), entry);
        }
        let mut state = FlowState::default();
        let mut before = None;
        for stage in [Stage::Begun, Stage::Identified, Stage::Read, Stage::Ended] {
            let row = Early::new(policy.fields(), record, stage);
            match judge.decide(&row, NOW, FieldSet::ALL, &mut state) {
                Decision::Undecided { .. } => assert!(before.is_none(), "a decision was taken back"),
                Decision::Decided { verdict, rule } => {
                    assert_eq!((verdict, rule), last, "an early decision is the last one");
                    before = Some(last);
                }
            }
        }
        assert!(before.is_some(), "at its end a flow is decided");
    }
}
