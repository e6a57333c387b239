//! Scenarios played, of these tests and of ours: each holds what it expects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{can_build, daylight, processes, scenario, text};

/// Plays a scenario of this folder; every expectation must hold. Gives its report.
fn play(name: &str, more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    play_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name), more)
}

fn play_file(path: &Path, more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let tmp = tempfile::tempdir().unwrap();
    let report = tmp.path().join("report");
    let arguments = ["lab", "run", path.to_str().unwrap(), "--report", report.to_str().unwrap()];
    let output = daylight(&[&arguments[..], more].concat(), tmp.path()).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("warning:"), "{said}");
    assert_eq!(processes(tmp.path()), <[i32; 0]>::default());
    (tmp, report)
}

#[test]
fn every_service_and_every_action() {
    if !can_build(&["nginx", "unbound", "curl", "sshd", "ssh-keyscan", "iperf3", "ping"]) {
        return;
    }
    let (_tmp, report) = play("services.toml", &[]);
    // The sink notes a message, and not its text.
    let mail = fs::read_to_string(report.join("logs/mail.txt")).unwrap();
    assert!(mail.contains("MAIL FROM:<a@site.example>") && mail.contains("recipients=1 "), "{mail}");
    assert!(!mail.contains("localhost"), "{mail}");
}

#[test]
fn everything_that_a_timeline_can_do() {
    if !can_build(&["ip"]) {
        return;
    }
    let (_tmp, report) = play("timeline.toml", &[]);
    let record = fs::read_to_string(report.join("report.json")).unwrap();
    assert!(!record.contains("\"problem\""), "{record}");
    for title in ["The censor begins", "start late; stop echo; change cable", "run ip route add"] {
        assert!(record.contains(title), "{title}");
    }
}

#[test]
fn censors_that_end_connections() {
    if !can_build(&["nginx", "unbound", "curl", "nft"]) {
        return;
    }
    let (_tmp, report) = play("proxies.toml", &[]);
    let record = fs::read_to_string(report.join("report.json")).unwrap();
    for adversary in ["interception", "proxy"] {
        assert!(record.contains(&format!("\"name\": \"{adversary}\"")), "{adversary}");
    }
    assert!(!record.contains("\"enacted\": false"));
}

#[test]
fn a_program_of_ones_own_in_a_link() {
    if !can_build(&["nft"]) {
        return;
    }
    let (_tmp, report) = play("middlebox.toml", &[]);
    assert_eq!(fs::read_to_string(report.join("logs/link-cable.txt")).unwrap(), "ready\n");
}

#[test]
fn every_link_is_captured_at_both_ends() {
    if !can_build(&["tcpdump", "nft"]) {
        return;
    }
    let (tmp, report) = play("middlebox.toml", &["--capture"]);
    let mut files: Vec<String> = fs::read_dir(&report)
        .unwrap()
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".pcapng"))
        .collect();
    files.sort();
    assert_eq!(files, ["cable.pcapng", "client--home.pcapng", "server--abroad.pcapng"]);
    // What the middlebox drops is there before it, and not behind it.
    let cable = report.join("cable.pcapng");
    let bytes = fs::read(&cable).unwrap();
    for interface in ["home up0", "abroad up0"] {
        assert!(bytes.windows(interface.len()).any(|w| w == interface.as_bytes()), "{interface}");
    }
    let mut source = daylight_capture::open(&cable).unwrap();
    let mut opened: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    let mut last = 0;
    while let Some(batch) = source.next_batch(1024).unwrap() {
        for frame in &batch.frames {
            // Two processors may stamp packets a little out of their order.
            assert!(frame.ts_ns + 1_000_000 >= last, "in the order of time: {} after {last}", frame.ts_ns);
            last = last.max(frame.ts_ns);
            // Ethernet, IPv4 without options, a TCP SYN.
            let bytes = batch.frame_bytes(frame);
            if bytes.len() > 47 && bytes[12..15] == [8, 0, 0x45] && (bytes[23], bytes[47]) == (6, 2) {
                let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
                opened.entry(port(36)).or_default().push(port(34));
            }
        }
    }
    for (port, times) in [(7, 2), (8, 1)] {
        let all = opened.get(&port).unwrap();
        let distinct: BTreeSet<u16> = all.iter().copied().collect();
        assert_eq!(all.len(), times * distinct.len(), "port {port}: {all:?}");
    }
    drop(tmp);
}

/// What a run's filter left: its public log, verified, and its entries.
fn public_log(report: &Path, network: &str) -> String {
    let folder = report.join(format!("filter-{network}"));
    let (log, key) = (folder.join("log"), folder.join("verifier.txt"));
    let mut said = String::new();
    for what in ["verify", "tail"] {
        let arguments = ["audit", what, log.to_str().unwrap(), "--key", key.to_str().unwrap()];
        let output = daylight(&arguments, report).output().unwrap();
        said.push_str(&text(&output));
        assert!(output.status.success(), "{said}");
    }
    said
}

#[test]
fn an_honest_filter_tells_and_spares_the_neighbour() {
    if !can_build(&["nginx", "unbound", "curl", "tcpdump", "iptables-restore"]) {
        return;
    }
    let (_tmp, report) = play_file(&scenario("filter.toml"), &[]);
    let log = public_log(&report, "provider");
    for told in ["court-order", "District court of Exampletown", "botnet.example"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    // Whom it stopped is nobody's business.
    assert!(!log.contains("10.1.0."), "{log}");
    let record = fs::read_to_string(report.join("report.json")).unwrap();
    assert!(record.contains("rel=\\\"blocked-by\\\"") && record.contains("extended error 15"), "{record}");
}

#[test]
fn a_spam_run_is_stopped_and_mail_flows() {
    if !can_build(&["unbound", "curl", "tcpdump", "iptables-restore"]) {
        return;
    }
    let (_tmp, report) = play_file(&scenario("spam-run.toml"), &[]);
    let mail = fs::read_to_string(report.join("logs/mailbox.txt")).unwrap();
    let from = |address: &str| mail.lines().filter(|line| line.starts_with(&format!("{address}:"))).count();
    // Twenty at once, and five in the half minute that is left; some that nobody counted before.
    let (spam, good) = (from("203.0.113.66"), from("203.0.113.25"));
    assert!((1..=30).contains(&spam) && good > spam, "{spam} {good}");
    let log = public_log(&report, "office");
    for told in ["known-spam-relays", "no-floods-of-mail", "relay.spam.test"] {
        assert!(log.contains(told), "{told}: {log}");
    }
}
