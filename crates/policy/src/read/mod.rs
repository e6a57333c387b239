//! Reading a policy file: TOML to what it says, with every problem and its place.

mod place;
mod rule;

use std::collections::HashMap;
use std::path::PathBuf;

use daylight_expr::{Span, nearest};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::audit::{AuditError, Label, Text};
use crate::basis::Basis;
use crate::error::{Problem, position};
use crate::list::{ListFormat, ListKind, ListSpec};
use crate::rule::{Action, Match};
use crate::schedule::Hours;

pub(crate) use place::within;

/// The largest policy file, in bytes.
pub const POLICY_BYTES_MAX: u64 = 4 << 20;
/// How many rules a policy may have.
pub const RULES_MAX: usize = 4096;
/// How many lists a policy may have.
pub const LISTS_MAX: usize = 256;

type Value<'a> = Spanned<DeValue<'a>>;

/// What a file says, as far as it could be read.
pub(crate) struct Draft {
    pub(crate) name: Option<Label>,
    pub(crate) matching: Match,
    pub(crate) zone: TimeZone,
    /// With the places of the lists and of their files.
    pub(crate) lists: Vec<(ListSpec, Span, Span)>,
    pub(crate) rules: Vec<RuleDraft>,
}

/// What a file says of a rule; what is missing was told.
pub(crate) struct RuleDraft {
    pub(crate) name: Option<Label>,
    pub(crate) line: usize,
    /// The condition and where it stands, quotes included.
    pub(crate) when: (String, Span),
    pub(crate) action: Action,
    pub(crate) reason: Option<Text>,
    pub(crate) authority: Option<Text>,
    pub(crate) basis: Basis,
    pub(crate) expires_ns: i64,
    pub(crate) expires: String,
    pub(crate) appeal: Option<Text>,
    pub(crate) hours: Vec<Hours>,
}

/// Reads a policy. What could not be read is left out of the draft, and is among the problems.
pub(crate) fn read(text: &str, file: &str) -> (Draft, Vec<Problem>) {
    let mut reader = Reader { text, file, zone: TimeZone::UTC, problems: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reader.problem(Span::new(span.start, span.end), error.message(), "", "");
    }
    let mut draft = Draft {
        name: None,
        matching: Match::First,
        zone: TimeZone::UTC,
        lists: Vec::new(),
        rules: Vec::new(),
    };
    if errors.is_empty() {
        // What is said of a file that is not TOML would be guesses.
        reader.top(table.get_ref(), &mut draft);
    }
    draft.zone = reader.zone;
    (draft, reader.problems)
}

struct Reader<'t> {
    text: &'t str,
    file: &'t str,
    zone: TimeZone,
    problems: Vec<Problem>,
}

/// A table's values by their keys.
struct Keys<'a, 't> {
    values: HashMap<&'a str, &'a Value<'t>>,
    /// Where the table begins.
    span: Span,
}

impl<'a, 't> Keys<'a, 't> {
    fn get(&self, key: &str) -> Option<&'a Value<'t>> {
        self.values.get(key).copied()
    }
}

fn span(value: &Value<'_>) -> Span {
    let span = value.span();
    Span::new(span.start, span.end)
}

impl<'t> Reader<'t> {
    fn problem(&mut self, at: Span, message: impl Into<String>, label: &str, help: &str) {
        self.problems.push(Problem::new(self.file, self.text, at, message.into(), label, help));
    }

    fn line(&self, at: Span) -> usize {
        position(self.text, at.start).0
    }

    fn top(&mut self, table: &DeTable<'t>, draft: &mut Draft) {
        const KEYS: [&str; 3] = ["policy", "list", "rule"];
        let keys = self.keys(table, Span::new(0, 0), "a policy file", &KEYS);
        match keys.get("policy") {
            Some(value) => self.header(value, draft),
            None => self.problem(
                Span::new(0, 0),
                "there is no [policy]",
                "",
                "begin the file with [policy] and the policy's name: name = \"school\"",
            ),
        }
        for value in self.tables(keys.get("list"), "list", LISTS_MAX) {
            self.list(value, draft);
        }
        for value in self.tables(keys.get("rule"), "rule", RULES_MAX) {
            self.rule(value, draft);
        }
    }

    fn header(&mut self, value: &Value<'t>, draft: &mut Draft) {
        const KEYS: [&str; 4] = ["name", "match", "default", "timezone"];
        let Some(keys) = self.table(value, "[policy]", &KEYS) else { return };
        // The zone first: dates depend on it.
        if let Some((name, at)) = self.text(&keys, "timezone") {
            let zones = TimeZoneDatabase::bundled();
            match zones.get(&name) {
                Ok(zone) => self.zone = zone,
                Err(_) => {
                    let known: Vec<String> = zones.available().map(|name| name.to_string()).collect();
                    let near = nearest(&name, known.iter().map(String::as_str));
                    let label = near.map_or_else(String::new, |near| format!("did you mean {near:?}?"));
                    let help = "time zones have the names of the IANA data base, such as Europe/Berlin";
                    self.problem(at, format!("there is no time zone {name:?}"), &label, help);
                }
            }
        }
        let (name, at) = self.needed(&keys, "name", "a policy", "a name, by which people know it");
        draft.name = self.told(&name, at, Label::new);
        if let Some((text, at)) = self.text(&keys, "match") {
            draft.matching = self.choice(&text, at, "match", &Match::NAMES).unwrap_or(Match::First);
        }
        if let Some((text, at)) = self.text(&keys, "default") {
            match text.as_str() {
                "drop" | "reject" => self.problem(
                    at,
                    "a default can't block: nobody would answer for it",
                    "",
                    "let the last rule have the condition \"true\", and a reason, an authority and an end of its own",
                ),
                _ => _ = self.choice(&text, at, "default", &[("allow", ())]),
            }
        }
    }

    fn list(&mut self, value: &Value<'t>, draft: &mut Draft) {
        const KEYS: [&str; 5] = ["name", "kind", "file", "format", "column"];
        let Some(keys) = self.table(value, "[[list]]", &KEYS) else { return };
        let (name, name_at) = self.needed(&keys, "name", "a list", "a name, by which conditions call it");
        let good = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.');
        if !name.chars().all(good) {
            self.problem(
                name_at,
                format!("{name:?} can't be a list's name"),
                "",
                "use letters, digits, -, _ and .",
            );
        }
        self.told(&name, name_at, Label::new);
        if !name.is_empty() && draft.lists.iter().any(|(spec, ..)| spec.name == name) {
            self.problem(name_at, format!("there is a list {name:?} already"), "", "give it another name");
        }
        let (kind, kind_at) = self.needed(&keys, "kind", "a list", "a kind, what is in it");
        let kind = if kind.is_empty() { None } else { self.choice(&kind, kind_at, "kind", &ListKind::NAMES) };
        let mut format = ListFormat::Auto;
        if let Some((text, at)) = self.text(&keys, "format") {
            format = self.choice(&text, at, "format", &ListFormat::NAMES).unwrap_or(ListFormat::Auto);
        }
        let column = match keys.get("column").map(|value| (value.get_ref(), span(value))) {
            Some((DeValue::Integer(number), _)) => Some(number.as_str().to_owned()),
            Some(_) => self.text(&keys, "column").map(|(name, _)| name),
            None => None,
        };
        if let (Some(value), true) =
            (keys.get("column"), !matches!(format, ListFormat::Csv | ListFormat::Auto))
        {
            self.problem(span(value), "only tables have columns", "", "write format = \"csv\"");
        }
        let (file, file_at) = self.needed(&keys, "file", "a list", "a file, relative to the policy's");
        if let Some(kind) = kind {
            let spec = ListSpec { name, kind, format, column, file: PathBuf::from(file) };
            draft.lists.push((spec, keys.span, file_at));
        }
    }

    /// The tables of an array of them, such as `[[rule]]`.
    fn tables<'a>(
        &mut self,
        value: Option<&'a Value<'t>>,
        name: &str,
        most: usize,
    ) -> impl Iterator<Item = &'a Value<'t>> + use<'a, 't> {
        let array = value.and_then(|value| value.get_ref().as_array());
        if let (Some(value), None) = (value, array) {
            let message = format!("each {name} begins with [[{name}]], in double brackets");
            self.problem(span(value), message, "", "");
        }
        if let (Some(value), Some(array)) = (value, array)
            && array.len() > most
        {
            let message = format!("there are {} of [[{name}]], and {most} is the most", array.len());
            self.problem(span(value), message, "", "join conditions by `or`, or use a list");
        }
        array.into_iter().flat_map(|array| array.iter()).take(most)
    }

    fn table<'a>(&mut self, value: &'a Value<'t>, what: &str, known: &[&str]) -> Option<Keys<'a, 't>> {
        match value.get_ref().as_table() {
            Some(table) => Some(self.keys(table, span(value), what, known)),
            None => {
                self.problem(span(value), format!("{what} is a table"), "", "");
                None
            }
        }
    }

    fn keys<'a>(&mut self, table: &'a DeTable<'t>, span: Span, what: &str, known: &[&str]) -> Keys<'a, 't> {
        let mut values = HashMap::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                values.insert(name, value);
                continue;
            }
            let at = Span::new(key.span().start, key.span().end);
            let near = nearest(name, known.iter().copied());
            let label = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            let help = format!("the keys of {what} are {}", known.join(", "));
            self.problem(at, format!("there is no key `{name}` in {what}"), &label, &help);
        }
        Keys { values, span }
    }

    /// The text of a key, if it is there and not empty.
    fn text(&mut self, keys: &Keys<'_, 't>, key: &str) -> Option<(String, Span)> {
        let value = keys.get(key)?;
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => return Some((text.trim().to_owned(), span(value))),
            Some(_) => self.problem(span(value), format!("`{key}` is empty"), "say something", ""),
            None => {
                let help = format!("write {key} = \"…\"");
                self.problem(span(value), format!("`{key}` is text, in quotes"), "", &help);
            }
        }
        None
    }

    /// The text of a key that has to be there: empty if it isn't, which is a problem.
    fn needed(&mut self, keys: &Keys<'_, 't>, key: &str, what: &str, help: &str) -> (String, Span) {
        if keys.get(key).is_none() {
            let message = format!("{what} needs `{key}`");
            self.problem(self.head(keys.span), message, "", &format!("add {key} = \"…\": {help}"));
        }
        self.text(keys, key).unwrap_or_else(|| (String::new(), keys.span))
    }

    /// What the public log will tell, if it can; nothing, which was told already, can't.
    fn told<T>(&mut self, text: &str, at: Span, new: fn(&str) -> Result<T, AuditError>) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        new(text).map_err(|error| self.problem(at, error.to_string(), "", "")).ok()
    }

    /// The first line of a table.
    fn head(&self, at: Span) -> Span {
        let line = self.text.get(at.start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        Span::new(at.start, at.end.min(at.start + line.len()))
    }

    fn choice<T: Copy>(&mut self, text: &str, at: Span, key: &str, among: &[(&str, T)]) -> Option<T> {
        let found = among.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<&str> = among.iter().map(|(name, _)| *name).collect();
            let near = nearest(text, names.iter().copied());
            let label = near.map_or_else(String::new, |near| format!("did you mean {near:?}?"));
            let help = format!("`{key}` is one of {}", names.join(", "));
            self.problem(at, format!("there is no {key} {text:?}"), &label, &help);
        }
        found.map(|(_, value)| *value)
    }
}
