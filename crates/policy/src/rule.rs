//! What a policy is made of.

use std::sync::Arc;

use daylight_expr::Program;
use serde::{Deserialize, Serialize};

use crate::audit::{AuditError, Label, Text};
use crate::basis::Basis;
use crate::fields::FieldSet;
use crate::rate::Limit;
use crate::schedule::Hours;
use crate::target::Ground;

/// Which of several rules that hold has the say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// The first in the file.
    First,
    /// The strictest: `drop` before `reject` before `limit` before `allow`, and of equally strict ones the first in the
    /// file.
    All,
}

impl Match {
    pub(crate) const NAMES: [(&'static str, Self); 2] = [("first", Self::First), ("all", Self::All)];
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The flow passes.
    Allow,
    /// Its packets vanish.
    Drop,
    /// It is refused, so that both sides know: a reset, or an ICMP message.
    Reject,
    /// It passes at a rate.
    Limit(Limit),
    /// It is written down; other rules have the say.
    Log,
}

impl Action {
    /// As in a policy.
    pub fn name(self) -> &'static str {
        self.verdict().map_or("log", Verdict::name)
    }

    /// The verdict; none of `log`.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Allow => Some(Verdict::Allow),
            Self::Drop => Some(Verdict::Drop),
            Self::Reject => Some(Verdict::Reject),
            Self::Limit(limit) => Some(Verdict::Limit(limit)),
            Self::Log => None,
        }
    }
}

/// What becomes of a flow. There is nothing else: nothing is put into a connection, and nothing is led elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// Its packets vanish.
    Drop,
    /// It is refused, so that both sides know.
    Reject,
    /// It passes at a rate.
    Limit(Limit),
}

impl Verdict {
    /// As in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Limit(_) => "limit",
        }
    }

    /// 0 for the strictest.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Drop => 0,
            Self::Reject => 1,
            Self::Limit(_) => 2,
            Self::Allow => 3,
        }
    }
}

/// When a rule applies.
#[derive(Clone, Debug)]
pub enum Condition {
    /// To every flow: `when = "true"`.
    Always,
    /// To flows that fit.
    When(Arc<Program>),
}

impl Condition {
    /// The expression, unless it is always so. It asks for fields by their places in [`Policy::fields`](
    /// crate::Policy::fields), not by the record's numbers: a [`Judge`](crate::Judge) evaluates it.
    pub fn program(&self) -> Option<&Program> {
        if let Self::When(program) = self { Some(program) } else { None }
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        self.program().map_or("true", Program::source)
    }

    /// As the public log tells it: as it was written, but that other blanks are spaces there.
    ///
    /// # Errors
    /// If it is too long for an entry.
    pub(crate) fn told(&self) -> Result<Text, AuditError> {
        Text::new(&self.source().replace(|c: char| c.is_control() && c != '\n', " "))
    }
}

/// A rule. What people are told of it is of the public log's types: whatever loads can be accounted for.
#[derive(Clone, Debug)]
pub struct Rule {
    /// By which it is known.
    pub name: Label,
    /// Where it stands in the file, from 1.
    pub line: usize,
    /// When it applies.
    pub condition: Condition,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: Text,
    /// Who decided so.
    pub authority: Text,
    /// Whose will that is.
    pub basis: Basis,
    /// From when on it no longer applies: nanoseconds since 1970.
    pub expires_ns: i64,
    /// The same as it was written: a date, which is the last day, or a time.
    pub expires: String,
    /// Where to appeal: a URL or an address.
    pub appeal: Option<Text>,
    /// When it is in force; always if empty.
    pub hours: Vec<Hours>,
    /// The fields that its condition reads.
    pub reads: FieldSet,
    /// The lists by which what it stops is told.
    pub(crate) grounds: Box<[Ground]>,
}
