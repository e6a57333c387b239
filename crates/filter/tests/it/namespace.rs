//! Runs tests in network namespaces that nothing else sees.

use std::process::Command;

const INSIDE: &str = "DAYLIGHT_TEST_NAMESPACE";

/// True within a namespace of this test's own. Outside it starts the test again inside one, fails if that fails, and gives
/// false: the caller returns.
pub(crate) fn entered(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        run("ip link set lo up");
        return true;
    }
    let possible = Command::new("unshare").args(["-n", "iptables-save"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("{test}: skipped: it needs root, and the packages iptables and util-linux");
        return false;
    }
    let status = Command::new("unshare")
        .arg("-n")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
    false
}

/// Runs a command, which must succeed, and gives what it printed.
#[track_caller]
pub(crate) fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
