//! Why a policy says what it says of a row.

use std::fmt;

use daylight_expr::{Row, ValueRef};

use crate::memo::Memo;
use crate::policy::Policy;
use crate::rule::{Condition, Match, Verdict};

/// How many values of a field are shown, and how many characters of each.
const VALUES_SHOWN: usize = 4;
const CHARS_SHOWN: usize = 80;

/// Why a policy says what it says of a row: rule by rule, in the file's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Each rule.
    pub rules: Vec<RuleExplanation>,
    /// The verdict and the rule that has the say (none: the default). None if it isn't decided.
    pub decided: Option<(Verdict, Option<u32>)>,
    matching: Match,
}

/// What a rule says of a row, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleExplanation {
    /// Its name.
    pub rule: String,
    /// Its line in the file.
    pub line: usize,
    /// What it does.
    pub action: &'static str,
    /// Why it is not in force, if it isn't.
    pub inert: Option<String>,
    /// Whether its condition holds; none if that isn't known yet.
    pub holds: Option<bool>,
    /// The tests that decided, in order.
    pub why: Vec<Why>,
}

/// A test and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// As it was written.
    pub test: String,
    /// Whether it holds; none if that isn't known yet.
    pub holds: Option<bool>,
    /// The fields that it reads, with their values as text.
    pub values: Vec<(String, Vec<String>)>,
    /// The entry of a list that a value was found by.
    pub entry: Option<String>,
}

impl Policy {
    /// Says of each rule whether it holds for a row and why, whichever rule has the say in the end.
    pub fn explain<R: Row>(&self, row: &R, now_ns: i64) -> Explanation {
        let (in_force, _) = self.in_force(now_ns);
        let memo = Memo::new(row, self.fields());
        let rules: Vec<RuleExplanation> = self
            .rules()
            .iter()
            .zip(&in_force)
            .map(|(rule, in_force)| {
                let (holds, why) = match &rule.condition {
                    Condition::Always => (Some(true), Vec::new()),
                    Condition::When(program) => {
                        let found = program.explain(&memo);
                        let why = found.asked.into_iter().map(|asked| self.why(asked, row)).collect();
                        (found.outcome, why)
                    }
                };
                let inert = (!in_force).then(|| {
                    if now_ns >= rule.expires_ns {
                        format!("it expired ({})", rule.expires)
                    } else {
                        let hours: Vec<_> = rule.hours.iter().map(ToString::to_string).collect();
                        format!("it is outside its hours ({}, {})", hours.join("; "), self.timezone())
                    }
                });
                let (name, line, action) = (rule.name.to_string(), rule.line, rule.action.name());
                RuleExplanation { rule: name, line, action, inert, holds, why }
            })
            .collect();
        let mut decided = Some((Verdict::Allow, None));
        for turn in &self.order {
            let Some(found) = rules.get(turn.rule as usize) else { continue };
            match (&found.inert, found.holds, turn.verdict) {
                (None, Some(true), Some(verdict)) => {
                    decided = Some((verdict, Some(turn.rule)));
                    break;
                }
                (None, None, _) => {
                    decided = None;
                    break;
                }
                _ => {}
            }
        }
        Explanation { rules, decided, matching: self.matching() }
    }

    fn why<R: Row>(&self, asked: daylight_expr::Asked, row: &R) -> Why {
        let values = asked.fields.iter().filter_map(|place| {
            let field = self.fields().at(*place)?;
            let mut values: Vec<String> = row.values(field.id).take(VALUES_SHOWN + 1).map(shown).collect();
            if values.len() > VALUES_SHOWN {
                values.truncate(VALUES_SHOWN);
                values.push("…".to_owned());
            }
            Some((field.name.to_string(), values))
        });
        Why { test: asked.text, holds: asked.outcome, values: values.collect(), entry: asked.entry }
    }
}

fn shown(value: ValueRef<'_>) -> String {
    let text = match value {
        ValueRef::Bool(b) => b.to_string(),
        ValueRef::Uint(n) => n.to_string(),
        ValueRef::Float(x) => x.to_string(),
        ValueRef::Str(text) => format!("{text:?}"),
        ValueRef::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ValueRef::Ip(address) => address.to_string(),
        ValueRef::Time(ns) => {
            jiff::Timestamp::from_nanosecond(ns.into()).map_or_else(|_| ns.to_string(), |t| t.to_string())
        }
    };
    match text.char_indices().nth(CHARS_SHOWN) {
        None => text,
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

fn word(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known yet",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            let holds = match (&rule.inert, rule.holds) {
                (Some(why), _) => format!("not in force: {why}"),
                (None, Some(true)) => "holds".to_owned(),
                (None, Some(false)) => "does not hold".to_owned(),
                (None, None) => "is undecided".to_owned(),
            };
            writeln!(f, "{} (line {}, {}): {holds}", rule.rule, rule.line, rule.action)?;
            for why in &rule.why {
                write!(f, "    {}: {}", why.test, word(why.holds))?;
                let values: Vec<String> = why
                    .values
                    .iter()
                    .map(|(name, values)| match values.as_slice() {
                        [] => format!("{name} is absent"),
                        values => format!("{name} = {}", values.join(", ")),
                    })
                    .collect();
                if !values.is_empty() {
                    write!(f, " ({})", values.join("; "))?;
                }
                match &why.entry {
                    Some(entry) => writeln!(f, ", by the entry {entry}")?,
                    None => writeln!(f)?,
                }
            }
        }
        let order = match self.matching {
            Match::First => "the first rule that holds has the say",
            Match::All => "the strictest rule that holds has the say",
        };
        match self.decided {
            None => writeln!(f, "undecided: a rule that would have the say may still come to hold ({order})"),
            Some((verdict, None)) => writeln!(f, "{}: no rule holds", verdict.name()),
            Some((verdict, Some(at))) => {
                let name = self.rules.get(at as usize).map_or("", |rule| &rule.rule);
                writeln!(f, "{}: by {name} ({order})", verdict.name())
            }
        }
    }
}
