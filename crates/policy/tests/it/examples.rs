//! Every example loads, and there is nothing to say against it.

use std::path::{Path, PathBuf};

use daylight_policy::{Policy, check};

use crate::world::NOW;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/policies");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

#[test]
fn load_and_pass_the_check() {
    let examples = examples();
    assert_eq!(examples.len(), 5);
    for path in examples {
        let policy = Policy::load(&path, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            path.file_stem().unwrap().to_str().unwrap().split('-').next(),
            policy.name().as_str().split('-').next()
        );
        let report = check(&policy, NOW);
        assert!(report.findings.is_empty(), "{}:\n{report}", path.display());
        assert!(policy.lists().iter().all(|list| !list.list().is_empty()));
    }
}

#[test]
fn the_guides_policies_load() {
    let guide = include_str!("../../../../docs/guide/policies.md");
    let blocks: Vec<&str> =
        guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let whole: Vec<&&str> = blocks.iter().filter(|block| block.contains("[policy]")).collect();
    assert!(!whole.is_empty());
    for text in whole {
        let files =
            crate::world::files(&[("blocked.txt", "example.org\n"), ("office.txt", "192.0.2.0/24\n")]);
        Policy::parse(text, "policies.md", &files, None).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}
