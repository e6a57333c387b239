//! A verdict's reasoning, for a person.

use std::fmt::Write as _;

use crate::field::{Field, Observation, Value};
use crate::observe::Observed;
use crate::record::Record;
use crate::rules::Rules;

/// How many observations are told.
const TOLD_MAX: usize = 24;

/// What was seen, which rules fired and why, what decided, and what would have to be otherwise.
pub(crate) fn explain(record: &Record, observed: &Observed, rules: &Rules) -> String {
    let mut text = String::new();
    let mechanism = record.mechanism.as_ref().map(|mechanism| format!(", {mechanism}")).unwrap_or_default();
    let network = &record.network;
    let _ = writeln!(text, "{}: {}{mechanism}", record.input, record.state);
    let name = network.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let _ =
        writeln!(text, "  measured {} from AS{}{name}, {}", record.measured, network.asn, network.country);
    if let Some(place) = &record.place {
        let of = place.of_hops.map(|hops| format!(" of {hops}")).unwrap_or_default();
        let _ = writeln!(text, "  at hop {}{of}", place.hop);
    }
    text.push_str("  seen:\n");
    line(&mut text, "the visit", &observed.visit);
    for step in observed.steps.iter().take(TOLD_MAX) {
        line(&mut text, &step.path, step);
    }
    if let Some(more @ 1..) = observed.steps.len().checked_sub(TOLD_MAX) {
        let _ = writeln!(text, "    and {more} more");
    }
    if record.fired.is_empty() {
        text.push_str("  no rule fired, so nothing can be said\n");
    }
    for (at, fired) in record.fired.iter().enumerate() {
        let verb = if at == 0 { "decided by" } else { "also fired:" };
        let _ = writeln!(text, "  {verb} {} ({})", fired.rule, fired.class);
        let Some(rule) = rules.rules().iter().find(|rule| rule.id == fired.rule) else { continue };
        let _ = writeln!(text, "    {}", rule.note);
        let _ = writeln!(text, "    when {}", rule.condition());
        for evidence in &fired.evidence {
            let _ = writeln!(text, "    {} = {}", evidence.field, scalar(&evidence.value));
        }
        if at == 0
            && let Some(witness) = record.witness.as_ref().filter(|witness| !witness.path.is_empty())
        {
            let _ = writeln!(text, "    seen in test_keys.{}", witness.path);
        }
    }
    if let [first, rest @ ..] = &record.fired[..] {
        let other = rest.iter().find(|other| other.class != first.class);
        let otherwise = other.map_or_else(
            || "it would be insufficient, unless another rule fired".to_owned(),
            |other| format!("it would be {}, by {}", other.class, other.rule),
        );
        let _ = writeln!(text, "  if {} had not fired, {otherwise}", first.rule);
    }
    let classic = serde_json::to_string(&record.classic.blocking).unwrap_or_default();
    let _ = writeln!(text, "  OONI's own analysis: blocking {classic}");
    let _ = writeln!(text, "  rules {} {}\n", record.rules.version, record.rules.sha256);
    text
}

fn line(text: &mut String, what: &str, seen: &Observation) {
    // What doesn't hold is left out, but where that is the point.
    let is_told = |(field, value): &&(Field, Value)| {
        let telling = [Field::Control, Field::Reached, Field::DnsAgrees, Field::HttpSame];
        *value != Value::Bool(false) || telling.contains(field)
    };
    let values: Vec<_> = seen
        .values
        .iter()
        .filter(is_told)
        .map(|(field, value)| {
            let name = field.name().split_once('.').map_or("", |(_, name)| name);
            match value {
                Value::Bool(true) => name.to_owned(),
                _ => format!("{name} {value}"),
            }
        })
        .collect();
    let _ = writeln!(text, "    {what}: {}", values.join(", "));
}

fn scalar(value: &crate::record::Scalar) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
