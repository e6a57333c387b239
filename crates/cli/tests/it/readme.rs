//! Every command that the README and the guide show does what it says there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::root;

/// The lines after `$ ` in a page's console blocks.
pub(crate) fn commands(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        }
    }
    commands
}

#[test]
fn every_command_of_the_readme_and_the_guide_works() {
    let root = root();
    let page = |name: &str| fs::read_to_string(root.join(name)).expect("a page");
    let mut commands = commands(&page("README.md"));
    assert!(commands.len() >= 15, "{commands:#?}");
    for guide in ["policies", "store", "query"] {
        commands.extend(self::commands(&page(&format!("docs/guide/{guide}.md"))));
    }
    // A folder of its own, with the captures where the README says they are.
    let folder = tempfile::tempdir().expect("a folder");
    for data in ["testdata", "data"] {
        std::os::unix::fs::symlink(root.join(data), folder.path().join(data)).expect("a link");
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_daylight")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    for command in commands {
        let command = match command.as_str() {
            // This very run; that it is what CI runs is seen below.
            "cargo xtask test" => continue,
            build => build.replace("cargo xtask run", "daylight"),
        };
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .expect("sh");
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        let elsewhere = ["--output", "--store flows", "man ", " > "].iter().any(|way| command.contains(way));
        if command.starts_with("daylight") && !elsewhere {
            assert!(!output.stdout.is_empty(), "{command} says nothing");
        }
    }
    for made in ["flows.key", "risks.csv", "flows.jsonl", "flows.parquet", "logs/conn.log", "daylight.1"] {
        let size = fs::metadata(folder.path().join(made)).map(|m| m.len()).unwrap_or(0);
        assert!(size > 0, "{made} was not made");
    }
}

#[test]
fn ci_runs_the_readme_s_test_command() {
    let script = fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    assert!(script.lines().any(|line| line.trim_start_matches("exec ") == "cargo xtask test"));
}

#[test]
fn the_readme_s_summary_is_the_program_s() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let output = crate::daylight().args(["inspect", "-q"]).arg(crate::tour()).output().expect("daylight");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = readme.split("```text\n").nth(1).and_then(|t| t.split("```").next()).expect("the summary");
    for line in shown.lines().filter(|line| line.trim() != "…") {
        assert!(
            printed.contains(line.trim_end()),
            "the README shows {line:?}, the program prints\n{printed}"
        );
    }
}
