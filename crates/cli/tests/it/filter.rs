//! Policies and the public log, from the command line.

use std::fs;
use std::process::Output;

use daylight_policy::audit::{Entry, Event, Signer, Text, Timestamp, Writer};

use crate::{daylight, root, tour};

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = daylight().current_dir(root()).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn policy(folder: &tempfile::TempDir, rules: &str) -> String {
    let path = folder.path().join("policy.toml");
    fs::write(&path, format!("[policy]\nname = \"test\"\nmatch = \"first\"\ndefault = \"allow\"\n{rules}"))
        .unwrap();
    path.to_str().unwrap().to_owned()
}

const RULE: &str = "[[rule]]\nname = \"r\"\nwhen = 'hostname == \"www.example.org\"'\naction = \"drop\"\n\
                    reason = \"A test\"\nauthority = \"The tests\"\nexpires = \"2100-01-01\"\n";

#[test]
fn every_example_loads_and_is_clean() {
    let mut examples = 0;
    for entry in fs::read_dir(root().join("data/policies")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let (code, _, errors) = run(&["filter", "check", path.to_str().unwrap()]);
            assert_eq!(code, Some(0), "{}: {errors}", path.display());
            examples += 1;
        }
    }
    assert!(examples >= 5);
}

#[test]
fn a_rule_without_a_reason_does_not_load() {
    let folder = tempfile::tempdir().unwrap();
    for key in ["reason", "authority", "expires"] {
        let without: String =
            RULE.lines().filter(|l| !l.starts_with(key)).map(|l| format!("{l}\n")).collect();
        let (code, out, errors) = run(&["filter", "check", &policy(&folder, &without)]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(errors.contains("policy.toml:5:") && errors.contains(key), "{errors}");
    }
}

#[test]
fn a_dry_run_counts_and_an_explanation_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, tour) = (policy(&folder, RULE), tour());
    let tour = tour.to_str().unwrap();
    let (code, out, _) = run(&["filter", "check", &policy, "--against", tour]);
    assert_eq!(code, Some(0));
    let row = out.lines().find(|line| line.starts_with("r ")).unwrap();
    let flows: u64 = row.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!(flows > 3 && row.contains("drop"), "{row}");
    let (_, out, _) = run(&["filter", "explain", &policy, tour, "WWW.example.org."]);
    assert!(
        out.contains("holds")
            && out.contains(
                "because: A test\nby: The tests, until 2100-01-01\nbasis: the operator's own decision"
            ),
        "{out}"
    );
    let required = self::policy(&folder, &format!("{RULE}basis = \"external\"\n"));
    let (code, out, _) = run(&["filter", "check", &required]);
    assert_eq!(code, Some(0));
    assert!(out.contains("\nr: required by somebody outside: The tests\n"), "{out}");
    let (code, _, errors) = run(&["filter", "explain", &policy, tour, "nobody"]);
    assert!(code == Some(1) && errors.contains("nobody"), "{errors}");
}

#[test]
fn a_log_is_verified_with_its_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (key_file, log) = (folder.path().join("key"), folder.path().join("log"));
    let signer = Signer::generate(&key_file, "filter.example.org").unwrap();
    let key = signer.verifier_key().to_string();
    let mut writer = Writer::create(&log, signer).unwrap();
    let time = Timestamp::from_unix_s(1_767_225_600).unwrap();
    let entry = Entry { time, event: Event::FilterStarted { software: Text::new("daylight").unwrap() } };
    writer.append(&[entry.clone(), entry]).unwrap();
    let log = log.to_str().unwrap();
    let (code, out, errors) = run(&["audit", "verify", log, "--key", &key]);
    assert!(code == Some(0) && out.starts_with("sound: 2 entries"), "{out}{errors}");
    let (_, out, _) = run(&["audit", "tail", log, "--key", &key, "--from", "1"]);
    assert!(out.starts_with("1 {") && out.lines().count() == 1, "{out}");
    let (_, proof, _) = run(&["audit", "prove", log, "--key", &key, "--entry", "1"]);
    let file = folder.path().join("proof.json");
    fs::write(&file, &proof).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(run(&["audit", "verify", file, "--key", &key]).0, Some(0));
    fs::write(file, proof.replacen("extra eyJ0", "extra eyJ1", 1)).unwrap();
    assert_eq!(run(&["audit", "verify", file, "--key", &key]).0, Some(1), "{proof}");
    let (code, _, errors) = run(&["audit", "prove", log, "--key", &key]);
    assert!(code == Some(1) && errors.contains("--entry"), "{errors}");
}
