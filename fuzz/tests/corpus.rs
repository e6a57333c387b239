//! Every seed and every input that once failed, through its target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use daylight_fuzz::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

fn names(folder: &Path) -> BTreeSet<String> {
    files(folder)
        .iter()
        .filter_map(|path| path.file_stem())
        .map(|stem| stem.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_target_is_a_program_and_has_seeds() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder("fuzz_targets")), targets);
    assert_eq!(names(&folder("seeds")), targets);
    assert!(names(&folder("regressions")).is_subset(&targets));
}

/// All inputs of a folder; tells which ones failed. What failed there is on standard error.
fn run_all(kind: &str) -> usize {
    let (mut count, mut failed) = (0, Vec::new());
    for (target, check) in TARGETS {
        for path in files(&folder(kind).join(target)) {
            let input = fs::read(&path).expect("a readable file");
            if std::panic::catch_unwind(|| check(&input)).is_err() {
                failed.push(format!("{kind}/{target}/{}", path.file_name().unwrap_or_default().display()));
            }
            count += 1;
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    count
}

#[test]
fn seeds() {
    assert!(run_all("seeds") > 0);
}

#[test]
fn inputs_that_once_failed() {
    run_all("regressions");
}
