//! Policies in memory and records to ask them about.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use daylight_expr::Schema;
use daylight_inspect::{FlowRecord, RecordSchema};
use daylight_policy::{LoadError, Policy};

pub(crate) const HEAD: &str = "[policy]\nname = \"test\"\n";

/// A rule with all that it needs.
pub(crate) fn rule(name: &str, when: &str, action: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nwhen = '{when}'\n{action}\nreason = \"a test\"\nauthority = \"us\"\nexpires = 2099-12-31\n"
    )
}

pub(crate) fn drop(name: &str, when: &str) -> String {
    rule(name, when, "action = \"drop\"")
}

pub(crate) fn allow(name: &str, when: &str) -> String {
    rule(name, when, "action = \"allow\"")
}

pub(crate) fn list(name: &str, kind: &str) -> String {
    format!("[[list]]\nname = \"{name}\"\nkind = \"{kind}\"\nfile = \"{name}.txt\"\n")
}

/// A policy whose one rule drops when this holds, which may ask `$l`: the list of this kind in `l.txt`.
pub(crate) fn listing(kind: &str, when: &str) -> String {
    format!("{HEAD}{}{}", list("l", kind), drop("r", when))
}

pub(crate) fn files(files: &[(&str, &str)]) -> HashMap<PathBuf, Vec<u8>> {
    files.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect()
}

pub(crate) fn parse(text: &str, given: &[(&str, &str)]) -> Result<Policy, LoadError> {
    Policy::parse(text, "test.toml", &files(given), None)
}

/// What is wrong with a policy, or with its list `$l`, tells all this.
#[track_caller]
pub(crate) fn refused(text: &str, l: &str, parts: &[&str]) {
    let said = parse(text, &[("l.txt", l)]).unwrap_err().to_string();
    for part in parts {
        assert!(said.contains(part), "{part}\nis not in\n{said}");
    }
}

pub(crate) fn policy(text: &str, given: &[(&str, &str)]) -> Arc<Policy> {
    Arc::new(parse(text, given).unwrap_or_else(|error| panic!("{error}")))
}

/// A day in 2026.
pub(crate) const NOW: i64 = 1_780_000_000_000_000_000;

pub(crate) fn id(name: &str) -> u32 {
    RecordSchema.field(name).unwrap().id
}

/// A flow from 10.0.0.1 to 203.0.113.5, port 443.
pub(crate) fn record() -> FlowRecord {
    let mut record = FlowRecord::blank(1);
    (record.start_ns, record.end_ns) = (NOW, NOW);
    record
}
