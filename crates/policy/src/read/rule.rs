//! Reading one rule.

use jiff::Timestamp;
use jiff::civil::Date;
use toml::de::DeValue;

use super::{Draft, Keys, Reader, RuleDraft, Value, span};
use crate::audit::{Label, Text};
use crate::basis::Basis;
use crate::rate::{self, Limit, Per, Rate};
use crate::rule::Action;
use crate::schedule::{self, Hours, WINDOWS_MAX};

const KEYS: [&str; 12] = [
    "name",
    "when",
    "action",
    "rate",
    "per",
    "burst",
    "reason",
    "authority",
    "basis",
    "expires",
    "appeal",
    "hours",
];

/// What the key `action` can say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Allow,
    Drop,
    Reject,
    Limit,
    Log,
}

const VERBS: [(&str, Verb); 5] = [
    ("allow", Verb::Allow),
    ("drop", Verb::Drop),
    ("reject", Verb::Reject),
    ("limit", Verb::Limit),
    ("log", Verb::Log),
];

impl<'t> Reader<'t> {
    pub(super) fn rule(&mut self, value: &Value<'t>, draft: &mut Draft) {
        let Some(keys) = self.table(value, "[[rule]]", &KEYS) else { return };
        let (name, name_at) = self.needed(&keys, "name", "a rule", "a name, by which the log calls it");
        let name = self.told(&name, name_at, Label::new);
        if let Some(name) = &name
            && draft.rules.iter().any(|rule| rule.name.as_ref() == Some(name))
        {
            let message = format!("there is a rule {:?} already", name.as_str());
            self.problem(name_at, message, "", "give it another name");
        }
        let when = self.needed(
            &keys,
            "when",
            "a rule",
            "a condition, such as 'hostname in $blocked', or 'true' for every flow",
        );
        let reason =
            self.needed(&keys, "reason", "a rule", "why, in words that those who are blocked understand");
        let reason = self.told(&reason.0, reason.1, Text::new);
        let authority =
            self.needed(&keys, "authority", "a rule", "who decided so, and can be asked about it");
        let authority = self.told(&authority.0, authority.1, Text::new);
        let basis = self.text(&keys, "basis");
        let basis = basis.and_then(|(text, at)| self.choice(&text, at, "basis", &Basis::NAMES));
        let expires = self.expires(&keys);
        let appeal = self.text(&keys, "appeal").and_then(|(text, at)| self.told(&text, at, Text::new));
        let hours = self.hours(&keys);
        let action = self.action(&keys);
        let (Some((expires_ns, expires)), Some(action)) = (expires, action) else { return };
        let line = self.line(keys.span);
        draft.rules.push(RuleDraft {
            name,
            line,
            when,
            action,
            reason,
            authority,
            basis: basis.unwrap_or_default(),
            expires_ns,
            expires,
            appeal,
            hours,
        });
    }

    fn action(&mut self, keys: &Keys<'_, 't>) -> Option<Action> {
        let (text, at) = self.needed(keys, "action", "a rule", "allow, drop, reject, limit or log");
        let verb = if text.is_empty() { None } else { self.choice(&text, at, "action", &VERBS) };
        let action = match verb? {
            Verb::Allow => Action::Allow,
            Verb::Drop => Action::Drop,
            Verb::Reject => Action::Reject,
            Verb::Log => Action::Log,
            Verb::Limit => return self.limit(keys).map(Action::Limit),
        };
        for key in ["rate", "per", "burst"] {
            if let Some(value) = keys.get(key) {
                let help = "leave it out, or write action = \"limit\"";
                self.problem(span(value), format!("`{key}` belongs to action = \"limit\""), "", help);
            }
        }
        Some(action)
    }

    fn limit(&mut self, keys: &Keys<'_, 't>) -> Option<Limit> {
        let (text, at) = self.needed(keys, "rate", "a limit", "a rate, such as 2 Mbit/s or 20 packets/s");
        let (per, per_at) = self.needed(keys, "per", "a limit", "rule, flow or address");
        const PERS: [(&str, Per); 3] = [("rule", Per::Rule), ("flow", Per::Flow), ("address", Per::Address)];
        let per = if per.is_empty() { None } else { self.choice(&per, per_at, "per", &PERS) };
        if text.is_empty() {
            return None;
        }
        let rate = match Rate::parse(&text) {
            Ok(rate) => rate,
            Err(why) => {
                self.problem(at, why, "", "");
                return None;
            }
        };
        let mut limit = Limit::new(rate, per?);
        if let Some((text, at)) = self.text(keys, "burst") {
            match rate::quantity(&text) {
                Ok((unit, _)) if unit != rate.unit => {
                    self.problem(at, format!("the rate counts {}, and the burst {unit}", rate.unit), "", "");
                }
                Ok((unit, burst)) if burst < Limit::burst_min(unit) => {
                    let least = Limit::burst_min(unit);
                    let message = format!("a burst of {burst} {unit} lets no large packet pass");
                    self.problem(at, message, "", &format!("write at least {least} {unit}"));
                }
                Ok((_, burst)) => limit.burst = burst,
                Err(why) => self.problem(at, why, "", ""),
            }
        }
        Some(limit)
    }

    /// The end of a rule, and as it was written.
    fn expires(&mut self, keys: &Keys<'_, 't>) -> Option<(i64, String)> {
        const FORM: &str = "write a date, expires = 2027-06-30, or a time, 2027-06-30T12:00:00+02:00";
        let Some(value) = keys.get("expires") else {
            let at = self.head(keys.span);
            self.problem(at, "a rule needs `expires`", "", &format!("no rule is for ever: {FORM}"));
            return None;
        };
        let at = span(value);
        let text = match value.get_ref() {
            DeValue::Datetime(_) => self.text.get(at.start..at.end).unwrap_or_default().to_owned(),
            _ => self.text(keys, "expires")?.0,
        };
        let end = if text.len() == 10 {
            text.parse::<Date>().ok().and_then(|date| schedule::end_of(date, &self.zone))
        } else {
            let time = text.parse::<Timestamp>().ok();
            time.and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        };
        if end.is_none() {
            self.problem(at, format!("{text:?} is no date, nor a time with its zone"), "", FORM);
        }
        Some((end?, text))
    }

    fn hours(&mut self, keys: &Keys<'_, 't>) -> Vec<Hours> {
        const WINDOW: [&str; 3] = ["days", "from", "to"];
        let Some(value) = keys.get("hours") else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let help = "write hours = [{ days = \"mon-fri\", from = \"08:00\", to = \"16:00\" }]";
            self.problem(span(value), "`hours` is a list of windows", "", help);
            return Vec::new();
        };
        if array.is_empty() {
            let help = "leave `hours` out for a rule that is always in force";
            self.problem(span(value), "a rule without hours is never in force", "", help);
        }
        if array.len() > WINDOWS_MAX {
            let message = format!("there are {} windows, and {WINDOWS_MAX} is the most", array.len());
            self.problem(span(value), message, "", "make another rule for some of them");
        }
        let mut windows = Vec::new();
        for value in array.iter().take(WINDOWS_MAX) {
            let Some(keys) = self.table(value, "a window of `hours`", &WINDOW) else { continue };
            let mut part = |key: &str, whole: u16, read: &dyn Fn(&str) -> Result<u16, String>| {
                let Some((text, at)) = self.text(&keys, key) else { return Some(whole) };
                read(&text).map_err(|why| self.problem(at, why, "", "")).ok()
            };
            let days = part("days", 0x7f, &|text| schedule::days(text).map(u16::from));
            let from = part("from", 0, &schedule::minutes);
            let to = part("to", 24 * 60, &schedule::minutes);
            let (Some(days), Some(from), Some(to)) = (days, from, to) else { continue };
            match u8::try_from(days).map(|days| Hours::new(days, from, to)) {
                Ok(Ok(window)) => windows.push(window),
                Ok(Err(why)) => {
                    let help = "let it end after it begins; 24:00 is the end of the day";
                    self.problem(span(value), why, "", help);
                }
                Err(_) => {}
            }
        }
        windows
    }
}
