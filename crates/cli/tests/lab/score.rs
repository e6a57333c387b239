//! `daylight lab score`: detectors that work find what is known to be found.

use serde_json::Value;

use crate::{can_build, daylight, list, text};

#[test]
fn shadowsocks_is_found_and_the_plain_transport_is_not() {
    if !can_build(&["ip", "nginx", "curl", "tcpdump", "ss-server", "ss-local"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let arguments = "lab score tunnel --connections 8 --visitor curl --only ss --only ss-plain --json";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = daylight(&arguments, tmp.path()).output().unwrap();
    let said = text(&output);
    let score: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let [shadowsocks, plain] = &score["subjects"].as_array().unwrap()[..] else { panic!("{said}") };
    let rule = |subject: &Value| subject["findings"]["fully-encrypted"].clone();
    for (key, of_shadowsocks, of_plain) in [("hits", 8, 0), ("total", 8, 8), ("control_hits", 0, 0)] {
        assert_eq!(
            (&rule(shadowsocks)[key], &rule(plain)[key]),
            (&of_shadowsocks.into(), &of_plain.into()),
            "{said}"
        );
    }
    // Each visit of the eight makes one connection.
    assert_eq!((&score["connections"], &plain["connections"]), (&8.into(), &8.into()));
    assert!(plain["probes"]["sent"].as_u64().unwrap() > 40);
    assert_eq!(plain["probes"]["told_apart"], Value::Array(Vec::new()), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(list(tmp.path()), "", "nothing is left");
}

#[test]
fn says_what_can_be_scored() {
    let tmp = tempfile::tempdir().unwrap();
    let output = daylight(&["lab", "score", "tunnel", "--only", "unknown"], tmp.path()).output().unwrap();
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains("plain"), "{said}");
}
