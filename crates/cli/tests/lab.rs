//! `daylight lab` as a person uses it. Tests that build a world need namespaces, iproute2, unbound, nginx and curl; they say so
//! and pass where namespaces can't be made.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn daylight(arguments: &[&str], tmp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daylight"));
    command.args(arguments).env("TMPDIR", tmp).stdin(Stdio::null());
    command
}

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/scenarios").join(name)
}

fn has_namespaces() -> bool {
    let there =
        Command::new("unshare").args(["-Urnmp", "--fork", "true"]).status().is_ok_and(|s| s.success());
    if !there {
        eprintln!("not run: this kernel lets us make no namespaces");
    }
    there
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const SMALL: &str = r#"
title = "Small"
duration = "DURATION"
[network.home]
ipv4 = "10.1.0.0/24"
[network.abroad]
ipv4 = "10.2.0.0/24"
[host.client]
network = "home"
[host.server]
network = "abroad"
[[link]]
name = "cable"
between = ["home", "abroad"]
[service.echo]
kind = "tcp-echo"
host = "server"
[[client]]
name = "open"
host = "client"
connect = "server:7"
every = "200 ms"
[[client.expect]]
outcome = "OUTCOME"
"#;

fn small(folder: &Path, duration: &str, outcome: &str) -> String {
    let path = folder.join(format!("small-{outcome}.toml"));
    std::fs::write(&path, SMALL.replace("DURATION", duration).replace("OUTCOME", outcome)).unwrap();
    path.display().to_string()
}

#[test]
fn every_scenario_of_ours_is_drawn_within_80_columns() {
    let tmp = tempfile::tempdir().unwrap();
    for name in ["hello.toml", "belarus-2020.toml"] {
        let path = scenario(name).display().to_string();
        let output = daylight(&["lab", "run", "--dry-run", &path], tmp.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("wrong.toml");
    for (from, to, place, what) in [
        ("network = \"home\"", "netwrok = \"home\"", "9:1:", "did you mean \"network\"?"),
        ("network = \"home\"", "network = \"hme\"", "9:11:", "did you mean \"home\"?"),
        ("10.2.0.0/24", "10.1.0.0/16", "7:8:", "overlaps"),
        ("\"DURATION\"", "\"3 weeks\"", "3:12:", "use ms, s, min or h"),
        ("connect = \"server:7\"", "connect = \"server\"", "21:11:", "needs a port"),
        ("network = \"abroad\"", "network = \"abroad\"\nipv4 = \"10.3.0.1\"", "12:8:", "outside 10.2.0.0/24"),
    ] {
        std::fs::write(&path, SMALL.replace(from, to).replace("DURATION", "1 s").replace("OUTCOME", "ok"))
            .unwrap();
        let output = daylight(&["lab", "run", path.to_str().unwrap()], tmp.path()).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(what) && said.contains(&format!("wrong.toml:{place}")) && said.contains('^'),
            "{said}"
        );
    }
}

#[test]
fn expectations_decide_the_exit_status_side_by_side() {
    if !has_namespaces() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let (good, bad) = (small(tmp.path(), "2 s", "ok"), small(tmp.path(), "2 s", "reset"));
    let report = tmp.path().join("report");
    let report = report.to_str().unwrap();
    // The same addresses and names in both, at once.
    let output = daylight(&["lab", "run", &good, &bad, "--report", report], tmp.path()).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("1 of 1 expectations held") && said.contains("0 of 1 expectations held"), "{said}");
    let page = std::fs::read_to_string(tmp.path().join("report/small-ok/report.html")).unwrap();
    assert!(
        page.contains("<svg") && !page.contains("http://") && !page.contains("https://"),
        "nothing from elsewhere"
    );
    let list = daylight(&["lab", "list"], tmp.path()).output().unwrap();
    assert_eq!(text(&list), "", "nothing is left");
}

#[test]
fn nothing_outlives_a_kill() {
    if !has_namespaces() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "60 s", "ok");
    let mut run = daylight(&["lab", "run", &path], tmp.path()).stderr(Stdio::null()).spawn().unwrap();
    let ours = || -> Vec<i32> {
        // Every process of the run has the folder of this test in its environment.
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let wanted = tmp.path().to_str().unwrap().as_bytes();
                environment.windows(wanted.len()).any(|w| w == wanted)
            })
            .collect()
    };
    let wait = |what: &str, is: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(30);
        while !is() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("the run and its two processes", &|| ours().len() >= 3);
    run.kill().unwrap();
    run.wait().unwrap();
    wait("all of them are gone", &|| ours().is_empty());
    let list = daylight(&["lab", "list"], tmp.path()).output().unwrap();
    assert!(text(&list).contains("left over"), "{}", text(&list));
    assert!(daylight(&["lab", "clean"], tmp.path()).status().unwrap().success());
    let list = daylight(&["lab", "list"], tmp.path()).output().unwrap();
    assert_eq!(text(&list), "");
}
