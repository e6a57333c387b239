//! A real process, killed while it appends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "DAYLIGHT_TEST_AUDIT_FOLDER";

/// The process that is killed: appends for ever, and tells each size once append has returned.
#[test]
#[ignore = "runs as the child of killed_while_appending"]
fn appends_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut writer = Writer::open(Path::new(&folder), signer()).unwrap();
    loop {
        let from = writer.len();
        let told = writer.append(&totals(from, from + 1 + from % 40)).unwrap();
        writeln!(std::io::stderr(), "told {}", told.end).unwrap();
    }
}

#[test]
fn killed_while_appending() {
    let folder = tempfile::tempdir().unwrap();
    drop(log_of(folder.path(), 2));
    let mut kept = Log::open(folder.path(), &key()).unwrap().checkpoint().clone();
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "audit::tests::kill::appends_until_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = 0;
        for line in lines.by_ref().take(3 + round % 4) {
            told = line.unwrap().strip_prefix("told ").unwrap().parse::<u64>().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_micros(700 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            // The last line may have been cut.
            if let Some(size) = line.unwrap().strip_prefix("told ").and_then(|size| size.parse().ok()) {
                told = told.max(size);
            }
        }
        let writer = Writer::open(folder.path(), signer()).unwrap();
        assert!(writer.len() >= told, "round {round}: {} of {told}", writer.len());
        assert_eq!(verify(folder.path(), &key()).unwrap().pending, 0);
        let log = Log::open(folder.path(), &key()).unwrap();
        assert_eq!(compare_with_log(&kept, &log).unwrap(), Comparison::Consistent);
        kept = log.checkpoint().clone();
    }
}
