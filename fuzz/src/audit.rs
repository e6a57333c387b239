//! The public log's readers, and a log whose files were changed. Input: a byte that says which reader, and its text; or
//! (the last of them) the number of a file of the log (1), what is done to it (1), where (2) and the bytes put there.

use std::fmt::{Debug, Display};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use daylight_policy::Basis;
use daylight_policy::audit::{
    Action, Checkpoint, Counts, Digest, Domain, Entry, Event, HostName, Label, Log, Note, Proof, Rule,
    SignedCheckpoint, Signer, Target, Text, Timestamp, Totals, VerifierKey, Writer, lookup, verify,
};

use crate::input::Input;

/// Keys that sign nothing but the log below.
const KEYS: [&str; 2] = [
    "PRIVATE+KEY+fuzz.example/log+6a89b6fa+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "PRIVATE+KEY+fuzz.example/log+9d2fe3df+AQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
];
/// More than a bundle and less than two.
const ENTRIES: u64 = 300;
/// The entry before which the log goes over to its second key.
const ROTATED: u64 = 40;
const START_S: i64 = 1_795_392_000;

/// A log, as it should be.
struct Sample {
    /// Holds it until the end of the process.
    _folder: tempfile::TempDir,
    root: PathBuf,
    /// The key it began with, and the one it has.
    keys: [VerifierKey; 2],
    checkpoint: Checkpoint,
    /// All entries, encoded.
    entries: Vec<Vec<u8>>,
    /// Its files: where they are, and their bytes.
    files: Vec<(PathBuf, Vec<u8>)>,
    lock: Mutex<()>,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(Sample::new);

fn text(text: &str) -> Text {
    Text::new(text).expect("a text")
}

fn label(text: &str) -> Label {
    Label::new(text).expect("a label")
}

fn time(minute: u64) -> Timestamp {
    Timestamp::from_unix_s(START_S + 60 * minute as i64).expect("a time")
}

fn loaded() -> Vec<Entry> {
    let rule = Rule {
        policy: label("school"),
        rule: label("malware"),
        action: Action::Reject,
        condition: text("hostname in $malware"),
        reason: text("It spreads malware"),
        authority: text("Head of the school"),
        expires: time(1_000_000),
        appeal: None,
        basis: Basis::default(),
        hours: vec![],
    };
    Entry::policy_loaded(time(0), &label("school"), Digest::of(b"policy"), None, vec![rule], vec![])
}

fn total(index: u64) -> Entry {
    let host = HostName::new(&format!("host{}.example", index % 20)).expect("a name");
    let totals = Totals {
        hour: time(index).hour(),
        policy: label("school"),
        rule: label("malware"),
        target: Target::Host(host),
        counts: Counts { flows: index, packets: 3 * index, bytes: 200 * index },
    };
    Entry { time: time(index + 60), event: Event::Totals(totals) }
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let signers = KEYS.map(|key| {
            let path = folder.path().join("key");
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&path).expect("a file");
            file.write_all(key.as_bytes()).expect("room");
            Signer::open(&path).expect("a key")
        });
        let keys = [0, 1].map(|at: usize| signers[at].verifier_key().clone());
        let root = folder.path().join("log");
        let [first, second] = signers;
        let mut writer = Writer::create(&root, first).expect("a new log");
        writer.append(&loaded()).expect("room");
        let size = writer.len();
        writer.append(&(size..ROTATED).map(total).collect::<Vec<_>>()).expect("room");
        writer.rotate(time(ROTATED + 60), second).expect("room");
        writer.append(&(ROTATED + 1..ENTRIES).map(total).collect::<Vec<_>>()).expect("room");
        drop(writer);
        let log = Log::open(&root, &keys[0]).expect("the log");
        let entries = (0..log.len()).map(|at| log.prove_inclusion(at).expect("a proof").entry().to_vec());
        let mut files = Vec::new();
        read_all(&root, &mut files);
        files.sort();
        Self {
            entries: entries.collect(),
            checkpoint: log.checkpoint().checkpoint().clone(),
            root,
            keys,
            files,
            _folder: folder,
            lock: Mutex::new(()),
        }
    }

    /// Whatever is still believed of a log whose files are not what they were is true.
    fn check(&self, changed: &Path) {
        let of_tree = changed.starts_with(self.root.join("tile"));
        for key in &self.keys {
            if let Ok(verified) = verify(&self.root, key) {
                assert!(!of_tree, "{} was changed and the log verified", changed.display());
                assert_eq!(*verified.checkpoint.checkpoint(), self.checkpoint);
            }
            let Ok(log) = Log::open(&self.root, key) else { continue };
            self.is_of_log(log.checkpoint());
            for index in [0, 1, 2, ROTATED - 1, ROTATED, 255, 256, ENTRIES - 1] {
                if let Ok(proof) = log.prove_inclusion(index) {
                    assert_eq!(Some(proof.entry()), self.entries.get(index as usize).map(Vec::as_slice));
                }
            }
            for size in [0, 1, 2, ROTATED, ROTATED + 1, 255, 256] {
                if let Ok(proof) = log.prove_consistency(size) {
                    proof.verify(log.key()).expect("a proof that was checked");
                }
            }
            let host = HostName::new("host3.example").expect("a name");
            if let Ok(found) = lookup(log, &host, time(400), &[]) {
                for proof in &found.proofs {
                    assert_eq!(proof.entry(), self.entries[proof.index() as usize]);
                }
            }
            let tail = Log::open(&self.root, key).and_then(|log| log.tail(0));
            for (index, entry) in tail.and_then(|mut tail| tail.poll()).unwrap_or_default() {
                assert_eq!(entry.encode().expect("an entry"), self.entries[index as usize]);
            }
        }
    }

    /// Nothing verifies but what was signed.
    fn is_of_log(&self, signed: &SignedCheckpoint) {
        let found = signed.checkpoint();
        assert!(found.size <= self.checkpoint.size && found.origin == self.checkpoint.origin);
        assert!(found.size < self.checkpoint.size || found.root == self.checkpoint.root);
    }
}

fn read_all(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, files);
        } else {
            let bytes = fs::read(&path).expect("a file");
            files.push((path, bytes));
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let reader = input.u8() % 12;
    let bytes = input.rest();
    let text = String::from_utf8_lossy(bytes);
    let sample = &*SAMPLE;
    match reader {
        0 => {
            if let Ok(entry) = Entry::decode(bytes) {
                assert_eq!(entry.encode().as_deref().ok(), Some(bytes), "an entry has one encoding");
                entry.leaf_hash().expect("it can be encoded");
            }
        }
        1 => {
            // Signatures of others may stand beside; none of it is kept in a second form.
            if let Some(note) = round::<Note>(&text) {
                assert!(
                    !sample.keys.iter().any(|key| note.verify(key).is_ok()) || sample.was_signed(note.text())
                );
            }
        }
        2 => drop(round::<VerifierKey>(&text)),
        3 => {
            let Some(signed) = round::<SignedCheckpoint>(&text) else { return };
            if sample.keys.iter().any(|key| signed.verify(key).is_ok()) {
                sample.is_of_log(&signed);
            }
        }
        4 => {
            let Ok(proof) = text.parse::<Proof>() else { return };
            let said = match &proof {
                Proof::Consistency(proof) => proof.to_string(),
                Proof::Inclusion(proof) => proof.to_string(),
                Proof::SplitView(view) => view.to_string(),
                _ => return,
            };
            assert_eq!(said.parse::<Proof>().ok().as_ref(), Some(&proof));
            if sample.keys.iter().any(|key| proof.verify(key).is_ok()) {
                match &proof {
                    Proof::Inclusion(proof) => {
                        assert_eq!(proof.entry(), sample.entries[proof.index() as usize]);
                    }
                    Proof::Consistency(proof) => sample.is_of_log(proof.checkpoint()),
                    _ => panic!("this log never split"),
                }
            }
        }
        5 => {
            if let Ok(time) = Timestamp::parse(&text) {
                assert_eq!(Timestamp::parse(&time.to_string()).ok(), Some(time));
                assert_eq!(Timestamp::from_unix_s(time.unix_s()).ok(), Some(time));
                assert!(time.hour().start() <= time);
            }
        }
        6 => {
            if let Ok(name) = HostName::new(&text) {
                assert_eq!(HostName::new(name.as_str()).ok().as_ref(), Some(&name));
            }
        }
        7 => {
            if let Ok(name) = Domain::new(&text) {
                assert_eq!(Domain::new(name.as_str()).ok().as_ref(), Some(&name));
            }
        }
        8 => {
            if let Ok(label) = Label::new(&text) {
                assert_eq!(label.as_str(), text);
            }
        }
        9 => {
            if let Ok(own) = Text::new(&text) {
                assert_eq!(own.as_str(), text);
            }
        }
        _ => tamper(sample, bytes),
    }
}

/// Reads a text; what it says is the text again.
fn round<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let read = text.parse::<T>().ok()?;
    assert_eq!(read.to_string(), text, "there is one way to write it");
    Some(read)
}

impl Sample {
    fn was_signed(&self, text: &str) -> bool {
        text.lines().next() == Some(&self.checkpoint.origin)
    }
}

fn tamper(sample: &Sample, data: &[u8]) {
    let mut input = Input::new(data);
    let (file, how, at) = (input.u8(), input.u8() % 4, input.u16());
    let (path, was) = &sample.files[usize::from(file) % sample.files.len()];
    let at = usize::from(at) % (was.len() + 1);
    let new = input.rest();
    let mut bytes = was.clone();
    match how {
        // Written over, cut off, put in, taken away.
        0 => {
            let end = (at + new.len()).min(bytes.len());
            bytes.splice(at..end, new.iter().copied());
        }
        1 => {
            bytes.truncate(at);
            bytes.extend_from_slice(new);
        }
        2 => drop(bytes.splice(at..at, new.iter().copied())),
        _ => bytes = Vec::new(),
    }
    if bytes == *was {
        return;
    }
    let _alone = sample.lock.lock().unwrap_or_else(PoisonError::into_inner);
    let restore = Restore { path, was };
    if how == 3 { fs::remove_file(path) } else { fs::write(path, &bytes) }.expect("a file of one's own");
    sample.check(path);
    drop(restore);
}

/// Puts a file back, also when what must hold does not.
struct Restore<'a> {
    path: &'a Path,
    was: &'a [u8],
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.path, self.was);
    }
}
