//! Keeps a view of the log up to date: reads what is appended, verified, and looks the whole log over now and then.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daylight_policy::audit::{
    AuditError, Entry, History, Log, SignedCheckpoint, Tail, Timestamp, VerifierKey, verify,
};
use daylight_policy::{NamedList, Policy};
use serde::Serialize;

use super::board::{Board, PolicyInForce};

/// How often the log is asked for news.
const POLL: Duration = Duration::from_millis(500);
/// A policy file that is not the one in force is read again after this time.
const POLICY_RETRY: Duration = Duration::from_secs(30);

/// What the pages are made from.
#[derive(Default)]
pub(super) struct View {
    /// What the log says about hosts and rules.
    pub(super) history: History,
    /// What it says is in force.
    pub(super) board: Board,
    /// Up to where it was read and verified.
    pub(super) seen: Option<Seen>,
    /// What is wrong with what came after that.
    pub(super) trouble: Option<Trouble>,
    /// The last time that every byte of it was verified.
    pub(super) audit: Option<Audit>,
    /// What is wrong with what was verified before.
    pub(super) damage: Option<Trouble>,
    /// The policy in force, if its file was given and is that.
    pub(super) policy: Option<Policy>,
    /// When the filter last wrote the file beside the log in which it keeps counts, as it does every minute while it runs.
    /// Beside a copy of a log there is none.
    pub(super) alive_at: Option<Timestamp>,
}

/// Up to where the log was read.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The checkpoint, verified.
    pub(super) checkpoint: SignedCheckpoint,
    /// The key that signed it.
    pub(super) key: VerifierKey,
    /// When it was last looked at.
    pub(super) at: Timestamp,
}

/// When everything was verified, and how much that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Audit {
    /// When.
    pub(super) at: Timestamp,
    /// How many entries.
    pub(super) entries: u64,
    /// How many files.
    pub(super) files: u64,
}

/// What is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Which kind of thing.
    pub(super) kind: TroubleKind,
    /// What exactly.
    pub(super) why: String,
    /// Since when this is known.
    pub(super) since: Timestamp,
    /// The file that proves it to others, for a split view.
    pub(super) evidence: Option<String>,
}

/// What can be wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TroubleKind {
    /// It is not what was signed, or not what it was.
    Damaged,
    /// Two signed histories contradict each other.
    Split,
    /// It can't be read.
    Unreadable,
    /// Another key signed it.
    WrongKey,
}

impl Trouble {
    fn new(error: &AuditError, log: &Path) -> Self {
        let kind = match error {
            AuditError::SplitView(_) => TroubleKind::Split,
            AuditError::Io { .. } => TroubleKind::Unreadable,
            AuditError::WrongKey { .. } => TroubleKind::WrongKey,
            // No log at all: most often not there yet, or another folder.
            AuditError::File { path, .. } if !path.exists() && path.ends_with("checkpoint") => {
                TroubleKind::Unreadable
            }
            _ => TroubleKind::Damaged,
        };
        let evidence = match error {
            AuditError::SplitView(view) => Some(view.to_string()),
            _ => None,
        };
        // Where the log lies on this machine is nobody's business.
        let why = error.to_string().replace(&log.display().to_string(), "the log's folder");
        Self { kind, why, since: now(), evidence }
    }
}

/// The time, to the second.
#[expect(clippy::expect_used, reason = "every number of seconds in this range makes a timestamp")]
pub(super) fn now() -> Timestamp {
    const YEAR_9999: u64 = 253_370_764_800;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().min(YEAR_9999);
    Timestamp::from_unix_s(seconds as i64).expect("from 1970 to 9999")
}

/// The view, shared by the thread that keeps it and those that answer.
#[derive(Default)]
pub(super) struct Shared(RwLock<View>);

impl Shared {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, View> {
        // A view is whole between any two of its changes.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the log is, and how it is followed.
pub(super) struct Source {
    pub(super) log: PathBuf,
    pub(super) key: VerifierKey,
    pub(super) policy: Option<PathBuf>,
    pub(super) audit_every: Duration,
}

/// Follows the log until `is_over`. `tell` is told when something goes wrong with it, and when it is right again.
pub(super) fn follow(source: &Source, shared: &Shared, is_over: &AtomicBool, tell: &dyn Fn(&str)) {
    let mut tail: Option<Tail> = None;
    let mut policy_read = None;
    while !is_over.load(Ordering::Relaxed) {
        let polled = match &mut tail {
            Some(tail) => poll(tail, shared),
            None => open(source, shared).map(|opened| tail = Some(opened)),
        };
        let trouble = polled.err().map(|error| Trouble::new(&error, &source.log));
        settle(shared, trouble, tell, |view| &mut view.trouble);
        let alive_at = written_at(&source.log);
        shared.write().alive_at = alive_at;
        if let Some(path) = &source.policy {
            load_policy(path, shared, &mut policy_read, tell);
        }
        thread::park_timeout(POLL);
    }
}

/// When the counts beside the log were written.
fn written_at(log: &Path) -> Option<Timestamp> {
    let mut counts = log.as_os_str().to_owned();
    counts.push(".counts");
    let written = std::fs::metadata(PathBuf::from(counts)).and_then(|file| file.modified()).ok()?;
    let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_s(i64::try_from(since.as_secs()).ok()?).ok()
}

/// Notes that something is wrong, or no longer.
fn settle(
    shared: &Shared,
    mut new: Option<Trouble>,
    tell: &dyn Fn(&str),
    of: impl Fn(&mut View) -> &mut Option<Trouble>,
) {
    let before = {
        let mut view = shared.write();
        let known = of(&mut view);
        // That two histories were signed stays so, whichever of them is shown again.
        if known.as_ref().is_some_and(|known| known.kind == TroubleKind::Split) {
            return;
        }
        if let (Some(new), Some(known)) = (&mut new, &*known)
            && new.kind == known.kind
        {
            new.since = known.since;
        }
        std::mem::replace(known, new.clone())
    };
    match (before.map(|trouble| trouble.why), new) {
        (before, Some(new)) if before.as_ref() != Some(&new.why) => tell(&format!("the log: {}", new.why)),
        (Some(_), None) => tell("the log is sound again"),
        _ => {}
    }
}

fn open(source: &Source, shared: &Shared) -> Result<Tail, AuditError> {
    let mut tail = Log::open(&source.log, &source.key)?.tail(0)?;
    let entries = tail.poll()?;
    // A view of its own, so that nobody sees a part of it, and nobody waits for it.
    let (mut history, mut board) = (History::default(), Board::default());
    take(&mut history, &mut board, &entries);
    let mut view = shared.write();
    (view.history, view.board, view.seen) = (history, board, Some(seen(&tail)));
    Ok(tail)
}

fn poll(tail: &mut Tail, shared: &Shared) -> Result<(), AuditError> {
    let entries = tail.poll()?;
    let mut view = shared.write();
    let View { history, board, .. } = &mut *view;
    take(history, board, &entries);
    view.seen = Some(seen(tail));
    Ok(())
}

fn seen(tail: &Tail) -> Seen {
    Seen { checkpoint: tail.checkpoint().clone(), key: tail.key().clone(), at: now() }
}

fn take(history: &mut History, board: &mut Board, entries: &[(u64, Entry)]) {
    for (index, entry) in entries {
        history.add(*index, entry);
        board.add(*index, entry);
    }
}

/// Verifies the whole log at once, and then every so often, until `is_over`: the follower looks at each entry once, as it
/// comes, and would not see that an older one is changed on the disk.
pub(super) fn audit(source: &Source, shared: &Shared, is_over: &AtomicBool, tell: &dyn Fn(&str)) {
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        // Not before the log was read: what is wrong from the beginning is the follower's to tell.
        if Instant::now() >= next && shared.read().seen.is_some() {
            let verified = verify(&source.log, &source.key);
            let damage = match verified {
                Ok(verified) => {
                    let entries = verified.checkpoint.checkpoint().size;
                    shared.write().audit = Some(Audit { at: now(), entries, files: verified.files });
                    None
                }
                Err(error) => Some(Trouble::new(&error, &source.log)),
            };
            settle(shared, damage, tell, |view| &mut view.damage);
            next = Instant::now() + source.audit_every;
        }
        thread::park_timeout(POLL);
    }
}

/// When a policy's file was last read, and for which version in force.
type PolicyRead = Option<(Instant, PolicyInForce)>;

/// Reads the policy's file when the log says that the filter has loaded one, and keeps it if it is that one.
fn load_policy(path: &Path, shared: &Shared, read: &mut PolicyRead, tell: &dyn Fn(&str)) {
    let (wanted, held) = {
        let view = shared.read();
        let Some(wanted) = view.board.policy.clone() else { return };
        (wanted, view.policy.is_some())
    };
    let is_new = read.as_ref().is_none_or(|(_, of)| *of != wanted);
    let is_due = read.as_ref().is_some_and(|(at, _)| at.elapsed() >= POLICY_RETRY);
    if !is_new && (held || !is_due) {
        return;
    }
    *read = Some((Instant::now(), wanted.clone()));
    let previous = shared.write().policy.take();
    match Policy::load(path, previous.as_ref()) {
        Ok(policy) if is_in_force(&policy, &wanted) => shared.write().policy = Some(policy),
        Ok(_) if is_new => tell(&format!(
            "{} or one of its lists is not what the filter loaded at {}; until it is, answers rest on the log alone",
            path.display(),
            wanted.loaded
        )),
        Err(error) if is_new => {
            tell(&format!("answers rest on the log alone: {}", error.to_string().trim_end()))
        }
        Ok(_) | Err(_) => {}
    }
}

/// Whether a policy and its lists are, byte for byte, what the log says is in force.
fn is_in_force(policy: &Policy, wanted: &PolicyInForce) -> bool {
    let is_told = |list: &NamedList| {
        wanted.lists.iter().any(|told| told.list.as_str() == list.name() && told.digest == list.digest())
    };
    *policy.name() == wanted.policy
        && policy.digest() == wanted.version
        && policy.lists().len() == wanted.lists.len()
        && policy.lists().iter().all(is_told)
}
