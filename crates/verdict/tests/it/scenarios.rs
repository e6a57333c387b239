//! OONI's scenarios with their expected outcomes, where they lie beside the checkout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use daylight_verdict::record::Record;
use daylight_verdict::{Options, run};
use serde_json::Value;

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/ooni");
    folder.join("expected.json").is_file().then_some(folder)
}

#[test]
fn the_scenarios_come_out_as_expected() {
    let Some(folder) = folder() else {
        println!("skipped: there are no scenarios beside the checkout");
        return;
    };
    let expected: BTreeMap<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("expected.json")).unwrap()).unwrap();
    let inputs = expected.keys().map(|name| folder.join(format!("{name}.json"))).collect();
    let mut out = Vec::new();
    let summary = run(&Options { inputs, ..Options::default() }, &mut out).unwrap();
    assert!(summary.notes.is_empty(), "{:?}", summary.notes);
    let records: Vec<Record> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), expected.len());
    let mut wrong = Vec::new();
    for ((name, expected), record) in expected.iter().zip(&records) {
        let classic = serde_json::to_value(record.classic).unwrap();
        for key in ["blocking", "accessible", "dns_consistency"] {
            if classic[key] != expected["classic"][key] {
                wrong.push(format!("{name}: {key} {} not {}", classic[key], expected["classic"][key]));
            }
        }
        let has = |list: &Value, fits: &dyn Fn(&str) -> bool| {
            list.as_array().unwrap().iter().any(|word| fits(word.as_str().unwrap()))
        };
        let mechanism = record.mechanism.as_ref();
        let right_state = has(&expected["state"], &|word| word == record.state.as_str());
        let right_mechanism = if expected["mechanism"].as_array().unwrap().is_empty() {
            mechanism.is_none()
        } else {
            has(&expected["mechanism"], &|word| mechanism.is_some_and(|term| term.is_within(word)))
        };
        if !right_state || !right_mechanism {
            let rule = record.fired.first().map(|fired| &fired.rule);
            wrong.push(format!(
                "{name}: {} {mechanism:?} by {rule:?}, not {} {}",
                record.state, expected["state"], expected["mechanism"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
