//! Tests of the log as a whole.

mod crash;
mod kill;
mod model;
mod proofs;
mod said;
mod tamper;
mod terms;
mod vectors;

use std::fs;
use std::path::Path;

use super::*;
use crate::Basis;

const NAME: &str = "filter.example.org/log";

fn signer() -> Signer {
    Signer::of_seed(NAME, 1)
}

fn key() -> VerifierKey {
    signer().verifier_key().clone()
}

/// Moments one minute apart, so that hours pass.
fn time(minute: u64) -> Timestamp {
    Timestamp::from_unix_s(1_795_392_000 + 60 * minute as i64).unwrap()
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn rule(name: &str) -> Rule {
    Rule {
        policy: label("school"),
        rule: label(name),
        action: Action::Reject,
        condition: text("hostname in $malware"),
        reason: text("It spreads malware"),
        authority: text("Head of the school"),
        expires: time(1_000_000),
        appeal: None,
        basis: Basis::Operator,
        hours: vec![],
    }
}

/// A rule's load at minute 0: two entries.
fn load() -> Vec<Entry> {
    Entry::policy_loaded(
        time(0),
        &label("school"),
        Digest::of(b"policy"),
        None,
        vec![rule("malware")],
        vec![],
    )
}

/// Entries that differ, `from` to `to`, after those of [`load`].
fn totals(from: u64, to: u64) -> Vec<Entry> {
    let one = |n: u64| Totals {
        hour: time(n).hour(),
        policy: label("school"),
        rule: label("malware"),
        target: Target::Host(host(&format!("h{n}.example"))),
        counts: Counts { flows: n, packets: 3 * n, bytes: 999 },
    };
    (from..to).map(|n| Entry { time: time(n), event: Event::Totals(one(n)) }).collect()
}

/// A log of this many entries, of at least 2, appended in a few batches.
fn log_of(folder: &Path, size: u64) -> Writer {
    let mut writer = Writer::create(folder, signer()).unwrap();
    writer.append(&load()).unwrap();
    for from in (0..size - 2).step_by(100) {
        writer.append(&totals(from, (from + 100).min(size - 2))).unwrap();
    }
    assert_eq!(writer.len(), size);
    writer
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let disk = disk::Folder::reading(folder);
    let mut names = disk::walk(&disk, recover::TILES).unwrap();
    names.push(recover::CHECKPOINT.to_owned());
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let into = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &into);
        } else {
            fs::copy(item.path(), into).unwrap();
        }
    }
}
