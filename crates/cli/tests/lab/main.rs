//! `daylight lab` as a person uses it. Tests that build a world need namespaces and programs; where these are missing they say
//! so and pass, but for CI, where they fail.
#![allow(
    clippy::unwrap_used,
    reason = "what a test has not got, it fails for; the helpers here are tests too"
)]

mod life;
mod played;
mod probe;
mod score;

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

/// Whether namespaces can be made, and these programs are there.
fn can_build(programs: &[&str]) -> bool {
    let made = Command::new("unshare").args(["-Urnmp", "--fork", "true"]).status().is_ok_and(|s| s.success());
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let is_there = |program: &str| folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let missing = programs.iter().find(|program| !is_there(program));
    let why = match (made, missing) {
        (true, None) => return true,
        (true, Some(program)) => format!("{program} is not installed"),
        (false, _) => "this kernel lets us make no namespaces".to_owned(),
    };
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("not run: {why}");
    false
}

/// Waits for something to come true: patiently, as others use the machine too.
fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every process of the runs of a test: they have its folder in their environment.
fn processes(tmp: &Path) -> Vec<i32> {
    let wanted = tmp.to_str().unwrap().as_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(wanted.len()).any(|w| w == wanted)
        })
        .collect()
}

/// What `daylight lab list` says.
fn list(tmp: &Path) -> String {
    text(&daylight(&["lab", "list"], tmp).output().unwrap())
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
    for name in ["hello.toml", "belarus-2020.toml", "belarus-2020-probe.toml", "filter.toml", "spam-run.toml"]
    {
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
        ("connect = \"server:7\"", "quic = \"server\"", "21:8:", "needs a port"),
        (
            "connect = \"server:7\"",
            "fetch = \"http://10.2.0.10/\"\nhttp = \"3\"",
            "22:8:",
            "never without TLS",
        ),
        ("kind = \"tcp-echo\"", "kind = \"tcp-echo\"\nhttp3 = true", "16:8:", "goes with kind = \"web\""),
        (
            "[service",
            "[[link.adversary]]\nname = \"x\"\nkind = \"throttel\"\n[service",
            "17:9:",
            "\"throttle\"",
        ),
        (
            "[service",
            "[[link.adversary]]\nname = \"x\"\nkind = \"quic-drop\"\nsin = []\n[service",
            "18:1:",
            "did you mean \"sni\"?",
        ),
        (
            "[service",
            "[[link.adversary]]\nname = \"x\"\nkind = \"http-proxy\"\n[service",
            "15:1:",
            "write it under [[network.NAME.adversary]]",
        ),
        (
            "[host.client]",
            "[[network.abroad.adversary]]\nname = \"x\"\nkind = \"quic-drop\"\nversions = [1]\n[host.client]",
            "8:1:",
            "write it under the [[link]]",
        ),
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
