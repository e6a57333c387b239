//! The entries of the log, and their one encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{AuditError, Digest, Domain, Hash, HostName, Hour, Label, Signer, Text, Timestamp, VerifierKey};
use crate::basis::Basis;
use crate::rule::Match;
use crate::schedule::Hours;

/// An encoded entry is no longer than this: bundles hold lengths of 16 bits.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// An entry: what happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written. Never earlier than that of the entry before it.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What an entry states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The filter began to work.
    FilterStarted {
        /// Program and version.
        software: Text,
    },
    /// The filter stopped; from here on nothing is filtered until it is started again.
    FilterStopped {
        /// Why.
        why: Text,
    },
    /// The log goes over to a new key. The last entry that the old key answers for.
    KeyRotated(KeyRotation),
    /// A list that the policy just loaded uses.
    List(List),
    /// A policy came into force, and every other went out of it. Its rules and lists are the entries that follow.
    PolicyLoaded {
        /// Its name.
        policy: Label,
        /// SHA-256 of its file.
        version: Digest,
        /// How many `rule` entries follow.
        rules: u32,
        /// How many `list` entries follow those.
        lists: u32,
        /// How its rules are read. Logs that were written before this was told have none.
        #[serde(flatten)]
        terms: Option<Terms>,
    },
    /// A policy was not loaded; what was in force before stays so.
    PolicyRefused {
        /// Its name.
        policy: Label,
        /// SHA-256 of its file.
        version: Digest,
        /// What was wrong with it.
        why: Text,
    },
    /// A rule of the policy just loaded.
    Rule(Rule),
    /// What a rule stopped in an hour, at one target.
    Totals(Totals),
}

/// How a policy's rules are read, which are told in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Which of several rules that hold has the say.
    #[serde(rename = "match")]
    pub matching: Match,
    /// What becomes of what no rule speaks of.
    pub default: Otherwise,
    /// The zone of the rules' hours, as in the IANA data base.
    pub timezone: Label,
}

/// What becomes of what no rule speaks of. It can't be stopped: nobody would answer for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// It is let through.
    Allow,
}

/// A list that a policy uses. Its contents are published beside the log; the digest says that they are those.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The policy's name.
    pub policy: Label,
    /// The list's name, as rules call it.
    pub list: Label,
    /// SHA-256 of its file.
    pub digest: Digest,
    /// How many entries it has.
    pub entries: u64,
}

/// A rule: what it covers, what it does, and who answers for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The policy's name.
    pub policy: Label,
    /// The rule's name.
    pub rule: Label,
    /// What it does.
    pub action: Action,
    /// Its condition, in the expression language.
    pub condition: Text,
    /// Why it is there.
    pub reason: Text,
    /// On whose authority.
    pub authority: Text,
    /// Until when.
    pub expires: Timestamp,
    /// Where to appeal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub appeal: Option<Text>,
    /// Whose will it carries out. The operator's is left out of the encoding.
    #[serde(skip_serializing_if = "Basis::is_default", default)]
    pub basis: Basis,
    /// When it is in force, in the zone of the policy's [`Terms`]; always if empty. Unknown if the policy has no terms.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hours: Vec<Hours>,
}

/// What a rule does with what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Lets it through.
    Allow,
    /// Drops it in silence.
    Drop,
    /// Slows it down.
    Limit,
    /// Notes it, and lets it through.
    Log,
    /// Refuses it with a reset, an ICMP error, or one of the two notices.
    Reject,
}

impl Action {
    /// Whether it keeps traffic from getting through.
    pub fn blocks(self) -> bool {
        matches!(self, Self::Drop | Self::Reject)
    }
}

/// What a rule stopped in an hour, at one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The hour.
    pub hour: Hour,
    /// The policy's name.
    pub policy: Label,
    /// The rule's name.
    pub rule: Label,
    /// What was to be reached.
    pub target: Target,
    /// How much was stopped.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What was to be reached when a rule stopped it. No variant can hold an address: hosts are named, and an address on a
/// list is told by its line in the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A host, by the name that the flow asked for.
    Host(HostName),
    /// An address, prefix or other entry of a list, by its line in the list's file.
    ListLine {
        /// The list.
        list: Label,
        /// SHA-256 of its file as it was then: a line says nothing without it.
        digest: Digest,
        /// The line, from 1.
        line: u32,
    },
    /// A domain of a list.
    ListName {
        /// The list.
        list: Label,
        /// The domain.
        name: Domain,
    },
    /// Targets beyond the number that are counted one by one in an hour.
    Rest,
    /// Nothing more than the rule is known: it asks for no name, such as a rule about a protocol.
    Rule,
}

/// How much was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Flows.
    pub flows: u64,
    /// Packets of those flows.
    pub packets: u64,
    /// Bytes of those packets, from the IP header on.
    pub bytes: u64,
}

impl Counts {
    /// Adds other counts; a count that would overflow stays at its greatest value.
    pub fn add(&mut self, other: Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The statement of a key that another takes its place. [`super::Writer::rotate`] makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotation {
    old: VerifierKey,
    new: VerifierKey,
    /// Base64 of the old key's Ed25519 signature over [`KeyRotation::statement`].
    signature: String,
}

impl KeyRotation {
    pub(super) fn sign(index: u64, old: &Signer, new: &VerifierKey) -> Self {
        let statement = Self::statement(old.verifier_key().name(), index, new);
        Self {
            old: old.verifier_key().clone(),
            new: new.clone(),
            signature: STANDARD.encode(old.sign(statement.as_bytes())),
        }
    }

    fn statement(origin: &str, index: u64, new: &VerifierKey) -> String {
        format!("daylight key rotation v1\n{origin}\n{index}\n{new}\n")
    }

    /// The key up to here.
    pub fn old(&self) -> &VerifierKey {
        &self.old
    }

    /// The key from here on.
    pub fn new_key(&self) -> &VerifierKey {
        &self.new
    }

    /// Whether the old key really said so, about this place in this log.
    pub(super) fn verify(&self, index: u64) -> Result<(), AuditError> {
        let signature = STANDARD.decode(&self.signature).unwrap_or_default();
        self.old.verify(&Self::statement(self.old.name(), index, &self.new), &signature)?;
        if self.old.name() == self.new.name() {
            return Ok(());
        }
        let why = format!("the new key is of {:?}, not of {:?}", self.new.name(), self.old.name());
        Err(AuditError::Content { index, why })
    }
}

impl Entry {
    /// The entries that say that a policy was loaded, to be appended together: the load, its rules, its lists.
    pub fn policy_loaded(
        time: Timestamp,
        policy: &Label,
        version: Digest,
        terms: Option<Terms>,
        rules: Vec<Rule>,
        lists: Vec<List>,
    ) -> Vec<Self> {
        let loaded = Event::PolicyLoaded {
            policy: policy.clone(),
            version,
            rules: u32::try_from(rules.len()).unwrap_or(u32::MAX),
            lists: u32::try_from(lists.len()).unwrap_or(u32::MAX),
            terms,
        };
        std::iter::once(loaded)
            .chain(rules.into_iter().map(Event::Rule))
            .chain(lists.into_iter().map(Event::List))
            .map(|event| Self { time, event })
            .collect()
    }

    /// The canonical encoding: JSON without white space, keys in the order of the declaration, no escapes but those
    /// that JSON demands.
    ///
    /// # Errors
    /// If it would be longer than [`ENTRY_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, AuditError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| AuditError::Entry { index: None, why: error.to_string() })?;
        if bytes.len() > ENTRY_BYTES_MAX {
            let why = format!("takes {} bytes; an entry has at most {ENTRY_BYTES_MAX}", bytes.len());
            return Err(AuditError::Entry { index: None, why });
        }
        Ok(bytes)
    }

    /// Reads an entry, which must be in the canonical encoding: what has two encodings could be shown in two ways.
    ///
    /// # Errors
    /// If it is not an entry, holds what an entry can't hold, or is encoded in another way.
    pub fn decode(bytes: &[u8]) -> Result<Self, AuditError> {
        let bad = |why: String| AuditError::Entry { index: None, why };
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if entry.encode()? != bytes {
            return Err(bad(
                "not in the canonical encoding (unknown keys, spaces, order or escapes)".to_owned()
            ));
        }
        Ok(entry)
    }

    /// The entry's hash in the tree.
    ///
    /// # Errors
    /// As [`Entry::encode`].
    pub fn leaf_hash(&self) -> Result<Hash, AuditError> {
        Ok(Hash::leaf(&self.encode()?))
    }
}
