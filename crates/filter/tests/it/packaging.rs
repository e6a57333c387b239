//! The unit as systemd reads it.

use std::path::Path;
use std::process::Command;

use crate::net::have;

const UNIT: &str = include_str!("../../../../packaging/daylight-filter@.service");
/// In tenths: how much systemd thinks a fault of the service could do. What is left is what a filter needs: the network, its two
/// capabilities, netlink.
const EXPOSURE_MAX: &str = "20";

/// Runs systemd-analyze on the unit in a folder, with a program in the place of Daylight that is there. What it printed, and
/// whether it is content.
fn analyze(folder: &Path, args: &[&str]) -> (String, bool) {
    let unit = folder.join("daylight-filter@.service");
    std::fs::write(&unit, UNIT.replace("/usr/bin/daylight", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").args(args).arg(unit).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.success())
}

#[test]
fn the_unit_is_sound_and_may_do_little() {
    if !have(&["systemd-analyze"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (help, _) = analyze(folder.path(), &["--help"]);
    if !help.contains("--offline") {
        eprintln!("skipped: systemd-analyze is older than 250");
        return;
    }
    assert_eq!(analyze(folder.path(), &["verify", "--man=no"]), (String::new(), true));
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let (said, content) = analyze(folder.path(), &["security", "--offline=true", "--no-pager", &threshold]);
    assert!(content, "{said}");
    let allowed: Vec<_> =
        said.lines().filter(|line| line.contains('✗') && line.contains("CapabilityBoundingSet")).collect();
    assert_eq!(allowed.len(), 2, "{allowed:#?}");
    assert!(allowed.iter().all(|line| line.contains("CAP_NET_")), "{allowed:#?}");
}
