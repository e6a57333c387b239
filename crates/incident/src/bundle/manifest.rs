//! What a bundle holds: one line for each file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::unsafe_path;
use crate::rows::{RuleSetName, hex, unhex};

const FIRST_LINE: &str = "daylight evidence bundle 1";
/// No bundle holds more files.
pub(super) const FILES_MAX: usize = 100_000;

/// A file: its size, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// A bundle's files, and the rules that judged what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) files: BTreeMap<String, Entry>,
    pub(super) rules: Vec<RuleSetName>,
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for rules in &self.rules {
            let one_line = |text: &str| text.replace(char::is_control, " ");
            let _ = writeln!(text, "rules {} {}", one_line(&rules.sha256), one_line(&rules.version));
        }
        for (path, entry) in &self.files {
            let _ = writeln!(text, "file {} {} {path}", hex(&entry.sha256), entry.size);
        }
        text
    }

    /// Reads a manifest; says what is wrong, with the line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(FIRST_LINE) {
            return Err(format!("manifest.txt:1: expected `{FIRST_LINE}`"));
        }
        if !text.ends_with('\n') {
            return Err("manifest.txt is cut short: its last line has no end".to_owned());
        }
        let mut manifest = Self::default();
        for (number, line) in lines {
            let wrong = |what: &str| format!("manifest.txt:{}: {what}", number + 1);
            match line.split_once(' ') {
                Some(("rules", rest)) => {
                    let (sha256, version) =
                        rest.split_once(' ').ok_or_else(|| wrong("expected `rules HASH VERSION`"))?;
                    manifest
                        .rules
                        .push(RuleSetName { version: version.to_owned(), sha256: sha256.to_owned() });
                }
                Some(("file", rest)) => {
                    let mut parts = rest.splitn(3, ' ');
                    let (hash, size, path) = (parts.next(), parts.next(), parts.next());
                    let sha256 = hash.and_then(unhex);
                    let size = size.and_then(|size| size.parse().ok());
                    let (Some(sha256), Some(size), Some(path)) = (sha256, size, path) else {
                        return Err(wrong("expected `file SHA256 SIZE PATH`"));
                    };
                    if let Some(why) = unsafe_path(path) {
                        return Err(wrong(&format!("`{path}`: {why}")));
                    }
                    if manifest.files.insert(path.to_owned(), Entry { size, sha256 }).is_some() {
                        return Err(wrong(&format!("`{path}` is named twice")));
                    }
                    if manifest.files.len() > FILES_MAX {
                        return Err(wrong("more than 100,000 files"));
                    }
                }
                _ => return Err(wrong("neither `rules` nor `file`")),
            }
        }
        Ok(manifest)
    }
}
