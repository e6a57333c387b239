//! The public log: append-only, signed, and provable offline.
//!
//! What the filter does is told in a log that anybody can copy: which policies were loaded with which rules, on whose
//! authority, and what each rule stopped, hour by hour. Never whom: no type here can hold a client's address. The
//! [`Entry`]s are leaves of a Merkle tree (RFC 6962) that lies on disk as tiles (C2SP tlog-tiles) under a signed
//! [`Checkpoint`] (C2SP tlog-checkpoint); so a log can be served by any web server, and the tools of the transparency
//! community read it. `docs/reference/audit-log.md` has the format, and what the log proves and what not.
//!
//! The way of an entry: the filter counts in a [`Tally`]; a [`Writer`] appends, and signs with its [`Signer`]; everybody
//! else reads through [`Log`] with the [`VerifierKey`] alone, checks it whole with [`verify()`], follows it with [`Tail`],
//! takes proofs from it ([`InclusionProof`], [`ConsistencyProof`]), holds it against other copies ([`compare_logs`])
//! and asks it about a host ([`History`], [`lookup()`]).
//!
//! ```
//! use daylight_policy::{Basis, Match};
//! use daylight_policy::audit::*;
//!
//! # let folder = tempfile::tempdir()?;
//! # let (key_file, log_folder) = (folder.path().join("key"), folder.path().join("log"));
//! // Once: a key, of which the operator publishes the public half.
//! let signer = Signer::generate(&key_file, "filter.example.org/log")?;
//! let key: VerifierKey = signer.verifier_key().to_string().parse()?;
//!
//! // The filter loads a policy, and counts what its rules stop.
//! let mut writer = Writer::create(&log_folder, signer)?;
//! let now = Timestamp::parse("2026-11-23T09:40:00Z")?;
//! let (policy, rule) = (Label::new("school")?, Label::new("malware")?);
//! let told = Rule {
//!     policy: policy.clone(),
//!     rule: rule.clone(),
//!     action: Action::Reject,
//!     condition: Text::new("hostname in $malware")?,
//!     reason: Text::new("Hosts that spread malware")?,
//!     authority: Text::new("Head of the school, decision 7 of 2026")?,
//!     expires: Timestamp::parse("2027-08-01T00:00:00Z")?,
//!     appeal: Some(Text::new("https://school.example/appeal")?),
//!     basis: Basis::Operator,
//!     hours: vec![],
//! };
//! let terms =
//!     Terms { matching: Match::First, default: Otherwise::Allow, timezone: Label::new("Europe/Berlin")? };
//! let version = Digest::of(b"the policy's file");
//! writer.append(&Entry::policy_loaded(now, &policy, version, Some(terms), vec![told], vec![]))?;
//! let mut tally = Tally::default();
//! let host = HostName::new("evil.example")?;
//! let counts = Counts { flows: 1, packets: 3, bytes: 752 };
//! tally.add(now, &policy, &rule, Target::Host(host.clone()), counts);
//! let later = Timestamp::parse("2026-11-23T10:00:01Z")?;
//! let due = tally.due(later);
//! writer.append(&due)?;
//! tally.written(&due);
//!
//! // Anybody: verify it whole, follow it, prove from it.
//! assert_eq!(verify(&log_folder, &key)?.kinds["totals"], 1);
//! let mut tail = Log::open(&log_folder, &key)?.tail(2)?;
//! assert_eq!(tail.poll()?.len(), 1);
//! let proof = Log::open(&log_folder, &key)?.prove_inclusion(1)?.to_string();
//! proof.parse::<Proof>()?.verify(&key)?;
//!
//! // The public page: is it blocked here, by which rule, on whose authority?
//! let found = lookup(Log::open(&log_folder, &key)?, &host, later, &[])?;
//! assert!(found.answer.blocked);
//! assert_eq!(found.answer.findings[0].rule.authority.as_str(), "Head of the school, decision 7 of 2026");
//! assert_eq!(found.proofs.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod disk;
mod entry;
mod error;
mod hash;
mod key;
mod log;
mod lookup;
mod merkle;
mod note;
mod proof;
mod recover;
mod split;
mod tail;
#[cfg(test)]
mod tests;
mod tile;
mod totals;
mod value;
mod verify;
mod writer;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use entry::{
    Action, Counts, ENTRY_BYTES_MAX, Entry, Event, KeyRotation, List, Otherwise, Rule, Target, Terms, Totals,
};
pub use error::AuditError;
pub use hash::{HASH_BYTES, Hash};
pub use key::Signer;
pub use log::Log;
pub use lookup::{Answer, Finding, History, ProvenAnswer, Standing, Stopped, lookup};
pub use note::{Note, VerifierKey};
pub use proof::{ConsistencyProof, InclusionProof, Proof};
pub use split::{Comparison, SplitView, compare_checkpoints, compare_logs, compare_with_log};
pub use tail::Tail;
pub use totals::{TARGETS_MAX, Tally};
pub use value::{Digest, Domain, HostName, Hour, Label, Text, Timestamp};
pub use verify::{Verified, verify};
pub use writer::Writer;
