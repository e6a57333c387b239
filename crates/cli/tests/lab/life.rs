//! How a run ends, and what is left of it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{can_build, daylight, list, processes, small, text, wait};

#[test]
fn expectations_decide_the_exit_status_side_by_side() {
    if !can_build(&[]) {
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
    let page = fs::read_to_string(tmp.path().join("report/small-ok/report.html")).unwrap();
    assert!(
        page.contains("<svg") && !page.contains("http://") && !page.contains("https://"),
        "nothing from elsewhere"
    );
    assert_eq!(list(tmp.path()), "", "nothing is left");
}

#[test]
fn nothing_outlives_a_kill() {
    if !can_build(&[]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "60 s", "ok");
    let mut run = daylight(&["lab", "run", &path], tmp.path()).stderr(Stdio::null()).spawn().unwrap();
    wait("the run and its two processes", || processes(tmp.path()).len() >= 3);
    run.kill().unwrap();
    run.wait().unwrap();
    wait("all of them are gone", || processes(tmp.path()).is_empty());
    assert!(list(tmp.path()).contains("left over"), "{}", list(tmp.path()));
    assert!(daylight(&["lab", "clean"], tmp.path()).output().unwrap().status.success());
    assert_eq!(list(tmp.path()), "");
}

/// Starts a run, and gives it when its timeline has begun. What it says goes to a file.
fn begun(arguments: &[&str], tmp: &Path) -> (Child, std::path::PathBuf) {
    let said = tmp.join("said.txt");
    let mut command = daylight(arguments, tmp);
    let run = command.stderr(fs::File::create(&said).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    wait("the timeline starts", || fs::read_to_string(&said).unwrap_or_default().contains("timeline starts"));
    (run, said)
}

#[test]
fn an_interrupted_run_says_what_it_saw_and_leaves_nothing() {
    if !can_build(&["kill"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "600 s", "ok");
    let report = tmp.path().join("report");
    let (mut run, said) = begun(&["lab", "run", &path, "--report", report.to_str().unwrap()], tmp.path());
    assert!(list(tmp.path()).contains("running"), "{}", list(tmp.path()));
    wait("a client has seen something", || fs::read_to_string(&said).unwrap().contains("open: ok"));
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let record = fs::read_to_string(report.join("report.json")).unwrap();
    assert!(record.contains("\"client\": \"open\"") && record.contains("\"duration_s\": 600.0"));
    assert!(!record.contains("\"played_s\": 600.0"));
    wait("all processes are gone", || processes(tmp.path()).is_empty());
    assert_eq!(list(tmp.path()), "");
}

#[test]
fn a_kept_run_stands_until_it_is_cleaned() {
    if !can_build(&["ip", "nsenter"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "1 s", "ok");
    let output = daylight(&["lab", "run", &path, "--keep"], tmp.path()).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let listed = list(tmp.path());
    let name = listed.split_whitespace().next().unwrap().to_owned();
    assert!(listed.contains("kept") && said.contains(&format!("kept as {name}")), "{listed}{said}");
    assert_eq!(processes(tmp.path()).len(), 2, "the world and who holds it");
    // It can be looked into: at a host, and at a router.
    let shell = tmp.path().join("shell");
    fs::write(&shell, "#!/bin/sh\nip -o -4 address\n").unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    for (host, address) in [("client", "10.1.0.10/24"), ("abroad", "10.2.0.1/24")] {
        let seen =
            daylight(&["lab", "shell", &name, host], tmp.path()).env("SHELL", &shell).output().unwrap();
        assert!(seen.status.success() && text(&seen).contains(address), "{host}: {}", text(&seen));
    }
    let wrong = daylight(&["lab", "clean", "another"], tmp.path()).output().unwrap();
    assert!(
        !wrong.status.success() && text(&wrong).contains("there is no run \"another\""),
        "{}",
        text(&wrong)
    );
    assert!(!processes(tmp.path()).is_empty());
    let cleaned = daylight(&["lab", "clean", &name], tmp.path()).output().unwrap();
    assert!(cleaned.status.success() && text(&cleaned).contains(&name), "{}", text(&cleaned));
    wait("its processes are gone", || processes(tmp.path()).is_empty());
    assert_eq!(list(tmp.path()), "");
}

#[test]
fn cleaning_leaves_runs_under_way() {
    if !can_build(&[]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "600 s", "ok");
    let (mut run, _) = begun(&["lab", "run", &path], tmp.path());
    assert!(daylight(&["lab", "clean"], tmp.path()).output().unwrap().status.success());
    let listed = list(tmp.path());
    assert!(listed.contains("running"), "{listed}");
    // Unless it is named.
    let name = listed.split_whitespace().next().unwrap();
    assert!(daylight(&["lab", "clean", name], tmp.path()).output().unwrap().status.success());
    assert_eq!(run.wait().unwrap().code(), Some(1), "a run that was ended has failed");
    wait("its processes are gone", || processes(tmp.path()).is_empty());
}

#[test]
fn a_shell_is_on_its_host_and_ends_the_run() {
    if !can_build(&["ip", "nsenter"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "600 s", "ok");
    // In the place of a person's shell.
    let (shell, seen) = (tmp.path().join("shell"), tmp.path().join("seen.txt"));
    fs::write(&shell, format!("#!/bin/sh\nip -o -4 address >{} 2>&1\n", seen.display())).unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let output = daylight(&["lab", "run", &path, "--shell", "server"], tmp.path())
        .env("SHELL", &shell)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "cut short: {}", text(&output));
    let seen = fs::read_to_string(&seen).unwrap();
    assert!(seen.contains("10.2.0.10/24") && !seen.contains("10.1.0."), "{seen}");
    let wrong = daylight(&["lab", "run", &path, "--shell", "sevrer"], tmp.path()).output().unwrap();
    assert!(!wrong.status.success() && text(&wrong).contains("there is no such host"), "{}", text(&wrong));
    assert_eq!(list(tmp.path()), "");
}

#[test]
fn no_root_is_needed() {
    if !can_build(&["setpriv", "nginx", "unbound", "curl", "nft"]) {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let path = small(tmp.path(), "2 s", "ok");
    // Servers and a censor's rules in the kernel, too.
    let proxies = tmp.path().join("proxies.toml");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/proxies.toml"), &proxies).unwrap();
    // Where nobody can reach it: neither this program's folder nor the scenario's need be open to all.
    let program = tmp.path().join("daylight");
    fs::copy(env!("CARGO_BIN_EXE_daylight"), &program).unwrap();
    let folder = tmp.path().join("nobody");
    fs::create_dir(&folder).unwrap();
    let modes =
        [(tmp.path(), 0o755), (&program, 0o755), (path.as_ref(), 0o644), (&proxies, 0o644), (&folder, 0o777)];
    for (file, mode) in modes {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    let is_root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    let output = command
        .args(["lab", "run", &path, proxies.to_str().unwrap()])
        .args(["--report", folder.join("report").to_str().unwrap()])
        .env("TMPDIR", &folder)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("without root, in a user namespace"), "{said}");
    let mut record = String::new();
    fs::File::open(folder.join("report/proxies/report.json")).unwrap().read_to_string(&mut record).unwrap();
    assert!(record.contains("\"privilege\": \"user namespace\""));
    wait("its processes are gone", || processes(tmp.path()).is_empty());
}
