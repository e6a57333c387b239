//! The probe in worlds with censors: scored, and in Belarus of August 2020.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::{can_build, daylight, list, scenario, text};

#[test]
fn the_probe_names_what_censors_do_and_spares_what_looks_like_it() {
    if !can_build(&["ip", "nginx", "unbound"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let measurements = tmp.path().join("measurements");
    let mechanisms = [
        ("dns-nxdomain-resolver", "dns.nxdomain"),
        ("tls-reset-in-path", "tls.reset.sni"),
        ("http-page-iran", "http.blockpage.fingerprint"),
    ];
    let look_alikes = ["certificate-expired", "captcha"];
    let mut command =
        daylight(&["lab", "score", "probe", "--runs", "1", "--loss", "0", "--json"], tmp.path());
    command.arg("--jobs").arg("5").arg("--output").arg(&measurements);
    for name in mechanisms.iter().map(|(name, _)| *name).chain(look_alikes) {
        command.args(["--only", name]);
    }
    let output = command.output().unwrap();
    let said = text(&output);
    let score: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let case = |name: &str| {
        let all = score["cases"].as_array().unwrap();
        all.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("{name}: {said}")).clone()
    };
    for (name, mechanism) in mechanisms {
        let run = &case(name)["runs"][0];
        assert_eq!(
            (&run["said"]["mechanism"], &run["mechanism_right"]),
            (&mechanism.into(), &true.into()),
            "{run}"
        );
    }
    let run = &case("tls-reset-in-path")["runs"][0];
    let hop = if run["at"] == "uplink" { 2 } else { 3 };
    assert_eq!((&run["said"]["place"]["hop"], &run["place_right"]), (&hop.into(), &true.into()), "{run}");
    for name in look_alikes {
        let run = &case(name)["runs"][0];
        assert!(run["mechanism_right"] == true && run["said"]["state"].is_string(), "{run}");
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    // Every run left its measurement, and nothing of its world.
    assert!(measurements.join("captcha-0.jsonl").exists());
    assert_eq!(list(tmp.path()), "");
}

#[test]
fn a_case_that_is_not_there_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    let output = daylight(&["lab", "score", "probe", "--only", "unknown"], tmp.path()).output().unwrap();
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains("tls-reset-in-path"), "{said}");
}

/// Four networks, four mechanisms: the report tells them apart by network.
#[test]
fn belarus_is_four_networks() {
    if !can_build(&["ip", "nginx", "unbound"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = |name: &str| tmp.path().join(name).display().to_string();
    let (played, study, report) = (path("played"), path("study"), path("report"));
    let file = scenario("belarus-2020-probe.toml").display().to_string();
    let run = |arguments: &[&str]| {
        let output = daylight(arguments, tmp.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        output.stdout
    };
    run(&["lab", "run", "--quiet", &file, "--report", &played]);
    fs::create_dir(&study).unwrap();
    let verdicts = run(&["probe", "classify", &format!("{played}/files")]);
    fs::write(format!("{study}/verdicts.jsonl"), verdicts).unwrap();
    run(&["probe", "report", &study, "--output", &report]);
    let table = fs::read_to_string(format!("{report}/mechanisms.csv")).unwrap();
    let found: BTreeSet<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            vec![cells[0], cells[3], cells[5]]
        })
        .collect();
    let expected = [
        ["12406", "news.example", "tls.reset.sni"],
        ["12406", "news.example", "http.blockpage.fingerprint"],
        ["6697", "news.example", "http.blockpage.fingerprint"],
        ["42772", "news.example", "tls.mitm"],
        ["25106", "news.example", "dns.hijack"],
    ];
    assert_eq!(found, expected.iter().map(|row| row.to_vec()).collect(), "{table}");
}
