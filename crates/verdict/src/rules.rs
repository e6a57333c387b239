//! Rules: data that makes a verdict of observations.
//!
//! A file is TOML: a `version`, and `[[rule]]`s in the order in which they are asked. A rule's `when` is an expression
//! (the language of `daylight-expr`) over the fields of one kind of observation and of the visit; the first rule that
//! fires decides. Every rule brings observations on which it must fire, and on which it must not.

use std::collections::BTreeMap;

use daylight_expr::{NoLists, Program, compile, nearest};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::field::{FIELDS, Field, Fields, Observation, Seen, Value};
use crate::observe::Observed;
use crate::record::{Evidence, Fired, Layer, Mechanism, RuleSet, State, Witness};

/// The largest rules file, in bytes.
pub const RULES_BYTES_MAX: u64 = 1 << 20;
/// How many rules a file may have.
pub const RULES_MAX: usize = 512;

/// The rules that come with the program.
pub const OWN_RULES: &str = include_str!("../../../data/probe/rules.toml");
const OWN_NAME: &str = "data/probe/rules.toml";

/// Why a rules file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct RulesError {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    version: String,
    #[serde(default)]
    rule: Vec<Spanned<RuleText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    layer: Option<Layer>,
    when: Spanned<String>,
    class: State,
    mechanism: Option<Mechanism>,
    #[serde(default)]
    evidence: Vec<Spanned<String>>,
    note: String,
    #[serde(default)]
    fires: Vec<Spanned<Vector>>,
    #[serde(default)]
    not: Vec<Spanned<Vector>>,
}

type Vector = BTreeMap<String, toml::Value>;

/// One rule, checked.
#[derive(Debug)]
pub struct Rule {
    /// Its name: a public contract, it is never reused for something else.
    pub id: String,
    /// The layer it speaks of.
    pub layer: Option<Layer>,
    /// The state it speaks for.
    pub class: State,
    /// The mechanism it names.
    pub mechanism: Option<Mechanism>,
    /// Why it is right, and what it rests on.
    pub note: String,
    when: Program,
    /// The kind of observation it is asked about; none for the visit as a whole.
    group: Option<&'static str>,
    evidence: Vec<Field>,
}

impl Rule {
    /// Its condition as written.
    pub fn condition(&self) -> &str {
        self.when.source()
    }
}

/// A file of rules, checked.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    set: RuleSet,
}

/// What the rules say.
pub(crate) struct Judged {
    pub(crate) state: State,
    pub(crate) mechanism: Option<Mechanism>,
    pub(crate) layer: Option<Layer>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) witness: Option<Witness>,
}

impl Rules {
    /// The rules that come with the program.
    ///
    /// # Errors
    /// Never, as a test makes sure.
    pub fn own() -> Result<Self, RulesError> {
        Self::parse(OWN_RULES, OWN_NAME)
    }

    /// Reads and checks a file, its test vectors included.
    ///
    /// # Errors
    /// If it is no TOML, a key or a field is unknown, a condition doesn't compile, or a rule doesn't do on its vectors
    /// what it must.
    pub fn parse(text: &str, file: &str) -> Result<Self, RulesError> {
        let at = Place { text, file };
        let read: FileText = toml::from_str(text)
            .map_err(|error| at.error(error.span().map_or(0, |span| span.start), error.message()))?;
        if read.rule.len() > RULES_MAX {
            return Err(at.error(0, &format!("more than {RULES_MAX} rules")));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(read.rule.len());
        for rule in read.rule {
            let start = rule.span().start;
            let rule = at.rule(start, rule.into_inner())?;
            if rules.iter().any(|old| old.id == rule.id) {
                return Err(at.error(start, &format!("there are two rules `{}`: names are unique", rule.id)));
            }
            rules.push(rule);
        }
        let set = RuleSet { version: read.version, sha256: hex(&Sha256::digest(text)) };
        Ok(Self { rules, set })
    }

    /// All rules, in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules' version and hash.
    pub fn set(&self) -> &RuleSet {
        &self.set
    }

    /// The same rules, with the hash of further data that verdicts depend on mixed in.
    #[must_use]
    pub fn with_data<'a>(mut self, data: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.set.sha256.as_bytes());
        for data in data {
            hash.update(Sha256::digest(data));
        }
        self.set.sha256 = hex(&hash.finalize());
        self
    }

    pub(crate) fn judge(&self, observed: &Observed) -> Judged {
        let mut judged = Judged {
            state: State::Insufficient,
            mechanism: None,
            layer: None,
            fired: Vec::new(),
            witness: None,
        };
        for rule in &self.rules {
            let Some(one) = rule.first(observed) else { continue };
            let seen = Seen { visit: &observed.visit, one };
            let field = |field: &Field| {
                let value = seen.get(*field)?.scalar();
                Some(Evidence { field: field.name().to_owned(), value })
            };
            if judged.witness.is_none() {
                judged.state = rule.class;
                judged.mechanism.clone_from(&rule.mechanism);
                judged.layer = rule.mechanism.as_ref().map(Mechanism::layer).or(rule.layer);
                let values =
                    one.values.iter().map(|(field, value)| (field.name().to_owned(), value.scalar()));
                judged.witness =
                    Some(Witness { rule: rule.id.clone(), path: one.path.clone(), values: values.collect() });
            }
            judged.fired.push(Fired {
                rule: rule.id.clone(),
                class: rule.class,
                mechanism: rule.mechanism.clone(),
                evidence: rule.evidence.iter().filter_map(field).collect(),
            });
        }
        judged
    }
}

impl Rule {
    /// The first observation on which it fires.
    fn first<'o>(&self, observed: &'o Observed) -> Option<&'o Observation> {
        let visit = &observed.visit;
        match self.group {
            None => self.when.matches(&Seen { visit, one: visit }).then_some(visit),
            Some(group) => observed
                .steps
                .iter()
                .filter(|one| one.group() == Some(group))
                .find(|one| self.when.matches(&Seen { visit, one })),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Place<'a> {
    text: &'a str,
    file: &'a str,
}

impl Place<'_> {
    fn error(&self, start: usize, message: &str) -> RulesError {
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        RulesError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.to_owned(),
        }
    }

    fn rule(&self, start: usize, text: RuleText) -> Result<Rule, RulesError> {
        let id = &text.id;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(is_name) {
            let message = format!("`{id}` is no rule's id: write words of a-z and 0-9 joined by hyphens");
            return Err(self.error(start, &message));
        }
        let when = compile(text.when.get_ref(), &Fields, &NoLists).map_err(|error| {
            let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
            // The text begins after its opening quotes.
            let at = text.when.span().start + 1 + error.span().start;
            self.error(at, &format!("rule `{id}`: {error}{advice}"))
        })?;
        if let Some(warning) = when.warnings().first() {
            let at = text.when.span().start + 1 + warning.span().start;
            return Err(self.error(at, &format!("rule `{id}`: {warning}; {}", warning.advice())));
        }
        let mut groups: Vec<&'static str> = when
            .fields()
            .iter()
            .filter_map(|field| Field::from_id(*field))
            .map(Field::group)
            .filter(|group| *group != "visit")
            .collect();
        groups.sort_unstable();
        groups.dedup();
        if let [one, other, ..] = groups[..] {
            let message = format!(
                "rule `{id}` asks for fields of `{one}` and of `{other}`: a rule is about one kind of observation, and the visit"
            );
            return Err(self.error(text.when.span().start, &message));
        }
        let mut evidence = Vec::new();
        for name in &text.evidence {
            let found = self.field(name.span().start, id, name.get_ref())?;
            evidence.push(found);
        }
        let with_mechanism = matches!(text.class, State::Blocked | State::LikelyBlocked | State::Impaired);
        if text.mechanism.is_some() != with_mechanism && text.class != State::Impaired {
            let message = format!(
                "rule `{id}`: a mechanism goes with the classes blocked and likely-blocked, may go with impaired, and goes with no other"
            );
            return Err(self.error(start, &message));
        }
        if text.fires.is_empty() || text.not.is_empty() {
            let message = format!(
                "rule `{id}` has no observations to be tried on: give some for `fires` and for `not`"
            );
            return Err(self.error(start, &message));
        }
        let rule = Rule {
            id: text.id.clone(),
            layer: text.layer,
            class: text.class,
            mechanism: text.mechanism,
            note: text.note,
            when,
            group: groups.first().copied(),
            evidence,
        };
        for (vectors, should) in [(&text.fires, true), (&text.not, false)] {
            for vector in vectors {
                let observed = self.vector(&rule, vector)?;
                if rule.first(&observed).is_some() != should {
                    let verb = if should { "doesn't fire" } else { "fires" };
                    let message = format!("rule `{id}` {verb} on this");
                    return Err(self.error(vector.span().start, &message));
                }
            }
        }
        Ok(rule)
    }

    fn field(&self, start: usize, id: &str, name: &str) -> Result<Field, RulesError> {
        Field::from_name(name).map(|(field, _)| field).ok_or_else(|| {
            let near = nearest(name, FIELDS.iter().map(|field| field.1));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            self.error(start, &format!("rule `{id}`: there is no field `{name}`{near}"))
        })
    }

    /// A test vector as observations.
    fn vector(&self, rule: &Rule, vector: &Spanned<Vector>) -> Result<Observed, RulesError> {
        let start = vector.span().start;
        let (mut visit, mut one) = (Observation::default(), Observation::default());
        for (name, value) in vector.get_ref() {
            let field = self.field(start, &rule.id, name)?;
            let kind = FIELDS[field as usize].2;
            use daylight_expr::Kind;
            let value = match (kind, value) {
                (Kind::Bool, toml::Value::Boolean(value)) => Value::Bool(*value),
                (Kind::Uint, toml::Value::Integer(value)) if *value >= 0 => Value::Uint(value.unsigned_abs()),
                (Kind::Float, toml::Value::Float(value)) => Value::Float(*value),
                (Kind::Str, toml::Value::String(value)) => Value::Str(value.clone()),
                _ => {
                    let message = format!("rule `{}`: `{name}` holds {kind}, not {value}", rule.id);
                    return Err(self.error(start, &message));
                }
            };
            if field.group() == "visit" { &mut visit } else { &mut one }.values.push((field, value));
        }
        Ok(Observed { visit, steps: vec![one] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = r#"version = "1"
[[rule]]
id = "a"
when = 'dns.bogon == true and visit.control == true'
class = "blocked"
mechanism = "dns.injection.bogon"
evidence = ["dns.bogon"]
note = "n"
fires = [{ "dns.bogon" = true, "visit.control" = true }]
not = [{ "dns.bogon" = true }]
"#;

    fn message(text: &str) -> String {
        Rules::parse(text, "r.toml").unwrap_err().to_string()
    }

    #[test]
    fn our_rules_do_what_their_vectors_say() {
        let rules = Rules::own().unwrap();
        assert!(rules.rules().len() >= 40, "{}", rules.rules().len());
        assert_eq!(rules.set().sha256.len(), 64);
    }

    #[test]
    fn every_field_is_used_or_there_for_evidence() {
        let text = OWN_RULES;
        for (_, name, ..) in FIELDS {
            assert!(text.contains(name), "no rule asks for {name}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert!(Rules::parse(RULE, "r.toml").is_ok());
        let with = |from: &str, to: &str| message(&RULE.replace(from, to));
        assert!(
            with("dns.bogon == true and", "dns.bogn == true and")
                .starts_with("r.toml:4:9: rule `a`: there is no field `dns.bogn`")
        );
        assert!(with("and visit.control", "and tls.reset").contains("of `dns` and of `tls`"));
        assert!(with("dns.bogon == true and", "dns.bogon and").contains("write dns.bogon == true"));
        assert!(with("[\"dns.bogon\"]", "[\"dns.bogons\"]").contains("did you mean `dns.bogon`?"));
        assert!(with("\"blocked\"", "\"ok\"").contains("a mechanism goes with"));
        assert!(
            with("fires = [{ \"dns.bogon\" = true", "fires = [{ \"dns.bogon\" = false").contains("r.toml:9:")
        );
        assert!(with("not = [{ \"dns.bogon\" = true }]", "").contains("has no observations"));
        assert!(with("note =", "notes =").contains("unknown field"));
        assert!(with("dns.injection.bogon\"", "bogon\"").contains("is no mechanism"));
        assert!(message(&format!("{RULE}{}", RULE.split_once("\n").unwrap().1)).contains("two rules `a`"));
        assert!(with("\"visit.control\" = true", "\"visit.control\" = 1").contains("a truth value, not 1"));
    }
}
